//! The operator's tool: what all use cases share.

use std::sync::Arc;

use tandem_domain::suggest::full_advice;
use tandem_domain::{Clock, ConnectionName, Entropy, JobId, SyncName, Timestamp};
use tandem_queue::Doorbell;
use tandem_store::{ConnectionRow, PAGE_ROWS_MAX, Store, SyncRow};

use crate::hooks::HookRegistry;
use crate::{OperatorError, Systems};

/// A list shows so many rows unless asked for others.
pub const PAGE_ROWS: usize = 50;

/// What an operator's use cases work with.
#[derive(Clone)]
pub struct OperatorParts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// How webhook bodies are read; an empty registry where no event is replayed.
    pub hooks: Arc<dyn HookRegistry>,
    /// The connected systems, to look at records where they live.
    pub systems: Arc<dyn Systems>,
    /// Tells workers of new jobs.
    pub doorbell: Arc<dyn Doorbell>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For ids.
    pub entropy: Arc<dyn Entropy>,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    pub(crate) parts: OperatorParts,
}

impl Operator {
    /// An operator over these parts.
    #[must_use]
    pub fn new(parts: OperatorParts) -> Self {
        Self { parts }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.parts.entropy
    }

    pub(crate) fn new_job_id(&self, now: Timestamp) -> JobId {
        JobId::new(now, self.entropy())
    }

    pub(crate) fn ring(&self, jobs: &[JobId]) {
        if !jobs.is_empty() {
            self.parts.doorbell.ring(jobs);
        }
    }

    /// The sync of this name, unless it was removed.
    pub(crate) async fn known_sync(&self, name: &SyncName) -> Result<SyncRow, OperatorError> {
        let mut rows = self.store().syncs().await?;
        rows.retain(|row| row.deleted_at.is_none());
        match rows.iter().position(|row| row.name == *name) {
            Some(at) => Ok(rows.swap_remove(at)),
            None => Err(unknown(
                "sync",
                name,
                rows.iter().map(|row| row.name.as_str()),
            )),
        }
    }

    /// Refuses a list that is narrowed to a sync that never was: it would look as if there were nothing.
    /// One that was removed still has jobs and questions.
    pub(crate) async fn check_sync(&self, name: Option<&SyncName>) -> Result<(), OperatorError> {
        let Some(name) = name else { return Ok(()) };
        let rows = self.store().syncs().await?;
        let known = rows.iter().map(|row| row.name.as_str());
        check_name("sync", name.as_str(), known)
    }

    /// As [`Operator::check_sync`], of a connection.
    pub(crate) async fn check_connection(
        &self,
        name: Option<&ConnectionName>,
    ) -> Result<(), OperatorError> {
        let Some(name) = name else { return Ok(()) };
        let rows = self.store().connections().await?;
        let known = rows.iter().map(|row| row.name.as_str());
        check_name("connection", name.as_str(), known)
    }

    /// The connection of this name, unless it was removed.
    pub(crate) async fn known_connection(
        &self,
        name: &ConnectionName,
    ) -> Result<ConnectionRow, OperatorError> {
        let mut rows = self.store().connections().await?;
        rows.retain(|row| row.deleted_at.is_none());
        match rows.iter().position(|row| row.name == *name) {
            Some(at) => Ok(rows.swap_remove(at)),
            None => Err(unknown(
                "connection",
                name,
                rows.iter().map(|row| row.name.as_str()),
            )),
        }
    }
}

/// What was named is not there; says what is.
fn unknown<'a>(
    what: &'static str,
    name: impl ToString,
    known: impl Iterator<Item = &'a str>,
) -> OperatorError {
    let id = name.to_string();
    let advice = full_advice(&id, known);
    let advice = advice.trim_start_matches("; ").to_owned();
    OperatorError::not_found(what, id, advice)
}

fn check_name<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), OperatorError> {
    if known.clone().any(|one| one == name) {
        return Ok(());
    }
    let advice = full_advice(name, known);
    Err(OperatorError::Unmeant(format!(
        "there is no {what} `{name}`{advice}"
    )))
}

/// How many rows of a list to fetch, if what it is narrowed to is right as well. Says all that is wrong at once.
///
/// # Errors
/// What is wrong.
pub(crate) fn checked<const CHECKS: usize>(
    asked: Option<usize>,
    checks: [Result<(), OperatorError>; CHECKS],
) -> Result<usize, OperatorError> {
    let (mut rows, mut wrong) = (PAGE_ROWS, Vec::new());
    match page_rows(asked) {
        Ok(asked) => rows = asked,
        Err(error) => wrong.push(error),
    }
    wrong.extend(checks.into_iter().filter_map(Result::err));
    let mut said = Vec::new();
    for error in wrong {
        match error {
            OperatorError::Unmeant(what) => said.push(what),
            // The storage, which says nothing of what was asked for.
            other => return Err(other),
        }
    }
    if said.is_empty() {
        Ok(rows)
    } else {
        Err(OperatorError::Unmeant(said.join(". And ")))
    }
}

/// How many rows to fetch when `asked` were asked for.
///
/// # Errors
/// [`OperatorError::Unmeant`] when that is none, or more than a page has.
pub(crate) fn page_rows(asked: Option<usize>) -> Result<usize, OperatorError> {
    let rows = asked.unwrap_or(PAGE_ROWS);
    if (1..=PAGE_ROWS_MAX).contains(&rows) {
        return Ok(rows);
    }
    Err(OperatorError::Unmeant(format!(
        "`limit` is {rows}, and a page has from 1 to {PAGE_ROWS_MAX} rows; a longer list comes in pages, see `cursor`"
    )))
}
