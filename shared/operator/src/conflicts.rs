//! Questions that only a person can answer.

use tandem_domain::{ConflictId, SyncName};
use tandem_store::{ConflictFilter, ConflictKind, ConflictState, Resolution};

use crate::operator::page_rows;
use crate::views::{ConflictView, Page};
use crate::{Operator, OperatorError};

/// Which questions to list.
#[derive(Clone, Debug, Default)]
pub struct ConflictQuery {
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only in this state.
    pub state: Option<ConflictState>,
    /// Where the page before ended.
    pub cursor: Option<ConflictId>,
    /// How many.
    pub limit: Option<usize>,
}

/// The answers that fit a question.
#[must_use]
pub(crate) const fn answers(kind: &ConflictKind) -> &'static [&'static str] {
    match kind {
        ConflictKind::Field { .. } | ConflictKind::NotKept { .. } => &["take", "ignore"],
        ConflictKind::Ambiguous { .. } => &["link_to", "create_new", "ignore"],
        ConflictKind::DeleteHeld { .. } => &["approve", "reject", "ignore"],
    }
}

const fn word(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::Take { .. } => "take",
        Resolution::LinkTo { .. } => "link_to",
        Resolution::CreateNew => "create_new",
        Resolution::Ignore => "ignore",
        Resolution::Approve => "approve",
        Resolution::Reject => "reject",
    }
}

impl Operator {
    /// Questions, newest first.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn conflicts(
        &self,
        query: ConflictQuery,
    ) -> Result<Page<ConflictView>, OperatorError> {
        let limit = page_rows(query.limit);
        let filter = ConflictFilter {
            sync: query.sync,
            state: query.state,
            before: query.cursor,
            limit,
        };
        let conflicts = self.store().conflicts(&filter).await?;
        let views = conflicts.into_iter().map(ConflictView::from).collect();
        Ok(Page::new(views, limit, |conflict: &ConflictView| {
            conflict.id.to_string()
        }))
    }

    /// One question.
    ///
    /// # Errors
    /// When there is no such question, or the storage fails.
    pub async fn conflict(&self, id: ConflictId) -> Result<ConflictView, OperatorError> {
        let conflict = self.store().conflict(id).await?;
        conflict
            .map(ConflictView::from)
            .ok_or_else(|| no_conflict(id))
    }

    /// Answers an open question; a job carries the answer out.
    ///
    /// # Errors
    /// When there is no such question, or it is not open, or the answer does not fit it, or the storage
    /// fails.
    pub async fn resolve(
        &self,
        id: ConflictId,
        resolution: Resolution,
    ) -> Result<ConflictView, OperatorError> {
        let conflict = self.store().conflict(id).await?;
        let conflict = conflict.ok_or_else(|| no_conflict(id))?;
        let given = word(&resolution);
        let fitting = answers(&conflict.kind);
        if !fitting.contains(&given) {
            return Err(OperatorError::Invalid {
                problem: format!(
                    "`{given}` does not answer a question of kind `{}`",
                    conflict.kind.as_str()
                ),
                advice: advice(&conflict.kind),
            });
        }
        let now = self.now();
        let job = self
            .store()
            .resolve_conflict(id, resolution, self.new_job_id(now), now)
            .await?;
        let Some(job) = job else {
            return Err(OperatorError::NotNow {
                problem: format!("the question {id} is {} already", conflict.state.as_str()),
                advice: "list the open questions",
            });
        };
        self.ring(&[job]);
        tracing::info!(conflict = %id, answer = given, %job, "an operator answered a question");
        self.conflict(id).await
    }
}

fn no_conflict(id: ConflictId) -> OperatorError {
    OperatorError::not_found("question", id, "list the conflicts to see their ids")
}

const fn advice(kind: &ConflictKind) -> &'static str {
    match kind {
        ConflictKind::Field { .. } | ConflictKind::NotKept { .. } => {
            "say which side to take (a or b), or ignore the record"
        }
        ConflictKind::Ambiguous { .. } => {
            "say which record to link it to, or to create a new one, or ignore the record"
        }
        ConflictKind::DeleteHeld { .. } => "approve or reject the delete, or ignore the record",
    }
}
