//! Listing and grouping. Jobs and events are read page by page and merged by their ids, which sort by time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tandem_domain::suggest::full_advice;
use tandem_domain::{ErrorCode, JobId, RecordId, SyncName, Timestamp};
use tandem_store::{
    ChangeFilter, Event, EventFilter, EventState, Job, JobFilter, JobKind, JobState, PAGE_ROWS_MAX,
};

use super::cause::{cause_of, generalise};
use super::{DeadLetter, DeadLetterDetail, DeadLetterId, DeadLetterQuery, Letter, Offers};
use crate::operator::checked;
use crate::views::{ChangeView, EventView, IntentView, Page};
use crate::{Operator, OperatorError};

/// Groups are made of at most so many dead letters, the newest.
pub(super) const SCAN_MAX: usize = 10_000;
/// Changes shown with a dead letter.
const CHANGES_SHOWN: usize = 10;
/// Events looked through for those that caused a job.
const EVENTS_SEARCHED: usize = 200;
/// The prefix of every id, with its underscore; what follows sorts by time.
const PREFIX_BYTES: usize = 4;

/// Dead letters with one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseGroup {
    /// The stable word for the failure.
    pub code: ErrorCode,
    /// The cause they share.
    pub cause: String,
    /// How many.
    pub count: usize,
    /// How many of each sync.
    pub syncs: BTreeMap<SyncName, usize>,
    /// Since when the first waits.
    #[serde(with = "crate::views::when")]
    pub oldest: Timestamp,
    /// Since when the last waits.
    #[serde(with = "crate::views::when")]
    pub newest: Timestamp,
    /// The newest one.
    pub example: DeadLetterId,
    /// Its message.
    pub message: String,
}

/// All dead letters by cause, the largest group first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterGroups {
    /// The groups.
    pub items: Vec<CauseGroup>,
    /// How many dead letters they are made of.
    pub count: usize,
    /// Whether there are older ones that were not looked at.
    pub more: bool,
}

/// Dead letters that were found.
pub(super) struct Scanned {
    pub(super) letters: Vec<DeadLetter>,
    /// Where older ones begin that were not looked at.
    pub(super) older: Option<String>,
}

impl Operator {
    /// Dead letters, newest first.
    ///
    /// # Errors
    /// When the cursor is not one, or the storage fails.
    pub async fn dead_letters(
        &self,
        query: DeadLetterQuery,
    ) -> Result<Page<DeadLetter>, OperatorError> {
        let limit = checked(query.limit, self.check_filters(&query).await)?;
        let letters = self.scan(&query, limit).await?;
        Ok(Page::new(letters, limit, cursor_of))
    }

    /// Dead letters by cause.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn dead_letter_groups(
        &self,
        query: DeadLetterQuery,
    ) -> Result<DeadLetterGroups, OperatorError> {
        let letters = self.scan(&query, SCAN_MAX).await?;
        let (count, more) = (letters.len(), letters.len() >= SCAN_MAX);
        let mut groups: BTreeMap<(ErrorCode, String), CauseGroup> = BTreeMap::new();
        for letter in letters {
            let key = (letter.code, letter.cause.clone());
            match groups.get_mut(&key) {
                Some(group) => add(group, &letter),
                None => {
                    groups.insert(key, group_of(letter));
                }
            }
        }
        let mut groups: Vec<CauseGroup> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Ok(DeadLetterGroups {
            items: groups,
            count,
            more,
        })
    }

    /// One dead letter with all that may explain it.
    ///
    /// # Errors
    /// When there is no such job or event, or the storage fails.
    pub async fn dead_letter(&self, id: DeadLetterId) -> Result<DeadLetterDetail, OperatorError> {
        match id {
            DeadLetterId::Job(id) => self.dead_job(id).await,
            DeadLetterId::Event(id) => {
                let event = self.stored_event(id).await?;
                Ok(DeadLetterDetail::Event {
                    offers: self.offers_of_event(&event).await?,
                    event: Box::new(event.into()),
                })
            }
        }
    }

    async fn dead_job(&self, id: JobId) -> Result<DeadLetterDetail, OperatorError> {
        let stored = self.store().job(id).await?;
        let offers = match &stored {
            Some(stored) => self.offers_of_job(stored).await?,
            None => Offers::default(),
        };
        let job = Box::new(self.job(id).await?);
        let (mut intents, mut events, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        if let (Some(sync), Some(record)) = (&job.job.sync, &job.job.record) {
            intents = self.store().intents_of(sync, record).await?;
            events = self.events_that_caused(id, record).await?;
            let filter = ChangeFilter {
                sync: Some(sync.clone()),
                record: Some(record.clone()),
                limit: CHANGES_SHOWN,
                ..ChangeFilter::default()
            };
            changes = self.store().changes(&filter).await?;
        }
        Ok(DeadLetterDetail::Job {
            job,
            intents: intents.into_iter().map(IntentView::from).collect(),
            events: events.into_iter().map(EventView::from).collect(),
            changes: changes.into_iter().map(ChangeView::from).collect(),
            offers,
        })
    }

    async fn events_that_caused(
        &self,
        job: JobId,
        record: &RecordId,
    ) -> Result<Vec<Event>, OperatorError> {
        let filter = EventFilter {
            record: Some(record.clone()),
            limit: EVENTS_SEARCHED,
            ..EventFilter::default()
        };
        let mut events = self.store().events(&filter).await?;
        events.retain(|event| event.jobs.contains(&job));
        Ok(events)
    }

    /// Up to `wanted` matching dead letters, newest first.
    pub(super) async fn scan(
        &self,
        query: &DeadLetterQuery,
        wanted: usize,
    ) -> Result<Vec<DeadLetter>, OperatorError> {
        Ok(self.scan_from(query, wanted).await?.letters)
    }

    async fn check_filters(&self, query: &DeadLetterQuery) -> [Result<(), OperatorError>; 2] {
        [
            crate::span::check(query.since, query.until),
            self.check_sync(query.sync.as_ref()).await,
        ]
    }

    /// The same, with the place where it stopped.
    pub(super) async fn scan_from(
        &self,
        query: &DeadLetterQuery,
        wanted: usize,
    ) -> Result<Scanned, OperatorError> {
        checked(None, self.check_filters(query).await)?;
        let mut cursor = query.cursor.clone();
        let mut found: Vec<DeadLetter> = Vec::new();
        let mut seen = 0;
        loop {
            let page = self.scan_page(query, cursor.as_deref()).await?;
            let full = page.len() >= PAGE_ROWS_MAX;
            seen += page.len();
            cursor = page.last().map(cursor_of);
            let fits = |letter: &DeadLetter| {
                let cause_fits = query
                    .cause
                    .as_ref()
                    .is_none_or(|cause| letter.cause == *cause);
                cause_fits
                    && query.since.is_none_or(|since| letter.since >= since)
                    && query.until.is_none_or(|until| letter.since <= until)
            };
            found.extend(page.into_iter().filter(fits));
            if found.len() >= wanted || !full || seen >= SCAN_MAX {
                if let (Some(cause), true) = (&query.cause, found.is_empty()) {
                    self.check_cause(cause).await?;
                }
                found.truncate(wanted);
                return Ok(Scanned {
                    letters: found,
                    older: cursor.filter(|_| full),
                });
            }
        }
    }

    /// Refuses a cause that no dead letter has: the list would look as if nothing were left of it. It is looked for
    /// among all, because the other filters may leave out those that have it.
    async fn check_cause(&self, cause: &str) -> Result<(), OperatorError> {
        let mut cursor = None;
        let mut known = BTreeSet::new();
        let mut seen = 0;
        loop {
            let all = DeadLetterQuery::default();
            let page = self.scan_page(&all, cursor.as_deref()).await?;
            seen += page.len();
            cursor = page.last().map(cursor_of);
            let is_last = page.len() < PAGE_ROWS_MAX || seen >= SCAN_MAX;
            known.extend(page.into_iter().map(|letter| letter.cause));
            if known.contains(cause) {
                return Ok(());
            }
            if is_last {
                let advice = full_advice(cause, known.iter().map(String::as_str));
                return Err(OperatorError::Unmeant(format!(
                    "no dead letter has the cause `{cause}`{advice}"
                )));
            }
        }
    }

    /// One page of jobs and events merged; every row that is newer than its last is in it.
    async fn scan_page(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<&str>,
    ) -> Result<Vec<DeadLetter>, OperatorError> {
        let jobs = JobFilter {
            state: Some(JobState::Dead),
            sync: query.sync.clone(),
            code: query.code,
            before: cursor
                .map(|cursor| format!("job_{cursor}").parse())
                .transpose()?,
            limit: PAGE_ROWS_MAX,
            ..JobFilter::default()
        };
        let events = EventFilter {
            state: Some(EventState::Quarantined),
            before: cursor
                .map(|cursor| format!("evt_{cursor}").parse())
                .transpose()?,
            limit: PAGE_ROWS_MAX,
            ..EventFilter::default()
        };
        let mut letters: Vec<DeadLetter> = Vec::new();
        let jobs = self.store().jobs(&jobs).await?;
        letters.extend(jobs.into_iter().map(DeadLetter::from));
        let events_fit =
            query.sync.is_none() && query.code.is_none_or(|code| code == ErrorCode::Unreadable);
        if events_fit {
            let events = self.store().events(&events).await?;
            letters.extend(events.into_iter().map(DeadLetter::from));
        }
        letters.sort_by_key(|letter| std::cmp::Reverse(cursor_of(letter)));
        letters.truncate(PAGE_ROWS_MAX);
        Ok(letters)
    }
}

fn cursor_of(letter: &DeadLetter) -> String {
    letter.id.to_string().split_off(PREFIX_BYTES)
}

fn group_of(letter: DeadLetter) -> CauseGroup {
    let mut group = CauseGroup {
        code: letter.code,
        cause: letter.cause.clone(),
        count: 0,
        syncs: BTreeMap::new(),
        oldest: letter.since,
        newest: letter.since,
        example: letter.id,
        message: letter.message.clone(),
    };
    add(&mut group, &letter);
    group
}

fn add(group: &mut CauseGroup, letter: &DeadLetter) {
    group.count += 1;
    group.oldest = group.oldest.min(letter.since);
    group.newest = group.newest.max(letter.since);
    if let Letter::Job(job) = &letter.letter
        && let Some(sync) = &job.sync
    {
        *group.syncs.entry(sync.clone()).or_default() += 1;
    }
}

impl From<Job> for DeadLetter {
    fn from(job: Job) -> Self {
        let failure = job.failure.as_ref();
        Self {
            id: DeadLetterId::Job(job.id),
            code: failure.map_or(ErrorCode::Internal, |failure| failure.code),
            cause: cause_of(failure),
            message: failure
                .and_then(|failure| failure.chain.first().cloned())
                .unwrap_or_else(|| what(&job.kind)),
            since: job.ended_at.unwrap_or(job.created_at),
            letter: Letter::Job(Box::new(job.into())),
        }
    }
}

fn what(kind: &JobKind) -> String {
    format!("a {} job gave up", kind.as_str())
}

impl From<Event> for DeadLetter {
    fn from(event: Event) -> Self {
        let problem = event
            .problem
            .clone()
            .unwrap_or_else(|| "it could not be understood".to_owned());
        Self {
            id: DeadLetterId::Event(event.id),
            code: ErrorCode::Unreadable,
            cause: generalise(&problem),
            message: problem,
            since: event.received_at,
            letter: Letter::Event(Box::new(event.into())),
        }
    }
}
