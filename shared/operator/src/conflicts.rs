//! Questions that only a person can answer.

use serde::{Deserialize, Serialize};
use tandem_domain::{ConflictId, SyncName, Timestamp};
use tandem_store::{Conflict, ConflictFilter, ConflictKind, ConflictState, Resolution};

use crate::operator::page_rows;
use crate::span::{self, before};
use crate::views::{ConflictView, Page};
use crate::{Operator, OperatorError};

/// Which questions to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConflictQuery {
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only in this state.
    pub state: Option<ConflictState>,
    /// Only of this kind: `field`, `ambiguous`, `not_kept` or `delete_held`.
    pub kind: Option<String>,
    /// Only since this instant.
    #[serde(with = "crate::views::when_opt")]
    pub since: Option<Timestamp>,
    /// Only until this instant.
    #[serde(with = "crate::views::when_opt")]
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<ConflictId>,
    /// How many.
    pub limit: Option<usize>,
}

/// The answers that fit a question.
#[must_use]
pub(crate) const fn answers(kind: &ConflictKind) -> &'static [&'static str] {
    match kind {
        ConflictKind::Field { .. } => &["take", "ignore"],
        ConflictKind::NotKept { .. } => &["take", "dismiss", "ignore"],
        ConflictKind::Ambiguous { .. } => &["link_to", "create_new", "ignore"],
        ConflictKind::DeleteHeld { .. } | ConflictKind::Replaced { .. } => {
            &["approve", "reject", "ignore"]
        }
        ConflictKind::Overwritten { .. } => &["dismiss", "ignore"],
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
        Resolution::Dismiss => "dismiss",
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
        check_kind(query.kind.as_deref())?;
        let limit = page_rows(query.limit)?;
        self.check_sync(query.sync.as_ref()).await?;
        let filter = ConflictFilter {
            sync: query.sync,
            state: query.state,
            kind: query.kind,
            before: before(query.cursor, query.until, ConflictId::least),
            limit,
        };
        let conflicts = self.store().conflicts(&filter).await?;
        let views = conflicts.into_iter().map(ConflictView::from).collect();
        let page = Page::new(views, limit, |conflict: &ConflictView| {
            conflict.id.to_string()
        });
        Ok(span::since(page, query.since, |conflict| {
            conflict.id.made_at()
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

    /// Answers an open question, or gives one whose answer is not carried out yet another; a job carries it out.
    /// The answer is checked against what is stored and what the systems hold now.
    ///
    /// # Errors
    /// When there is no such question, or it is closed or being carried out, or the answer does not fit it or
    /// what is there now, or a system does not answer, or the storage fails.
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
        if conflict.state == ConflictState::Closed {
            return Err(not_open(&conflict));
        }
        self.check_answer(&conflict, &resolution).await?;
        let now = self.now();
        let job = self
            .store()
            .resolve_conflict(id, resolution, self.new_job_id(now), now)
            .await?;
        let Some(job) = job else {
            return Err(not_open(&conflict));
        };
        self.ring(&[job]);
        tracing::info!(conflict = %id, answer = given, %job, "an operator answered a question");
        self.conflict(id).await
    }
}

/// A misspelt kind would look like "no questions".
fn check_kind(kind: Option<&str>) -> Result<(), OperatorError> {
    match kind {
        Some(kind) if !ConflictKind::WORDS.contains(&kind) => Err(OperatorError::Invalid {
            problem: format!("there are no questions of kind `{kind}`"),
            advice: "the kinds are field, ambiguous, not_kept, delete_held, overwritten and replaced",
        }),
        Some(_) | None => Ok(()),
    }
}

fn not_open(conflict: &Conflict) -> OperatorError {
    let id = conflict.id;
    match conflict.state {
        ConflictState::Closed => OperatorError::NotNow {
            problem: format!("the question {id} is closed already"),
            advice: "list the open questions",
        },
        ConflictState::Open | ConflictState::Answered => OperatorError::NotNow {
            problem: format!("the answer to {id} is being carried out"),
            advice: "look again in a moment: it is closed then, or can be answered otherwise",
        },
    }
}

fn no_conflict(id: ConflictId) -> OperatorError {
    OperatorError::not_found("question", id, "list the conflicts to see their ids")
}

const fn advice(kind: &ConflictKind) -> &'static str {
    match kind {
        ConflictKind::Field { .. } => "say which side to take (a or b), or ignore the record",
        ConflictKind::NotKept { .. } => {
            "say which side to take (a or b), or dismiss the question and leave both as they are, or ignore the record"
        }
        ConflictKind::Ambiguous { .. } => {
            "say which record to link it to, or to create a new one, or ignore the record"
        }
        ConflictKind::DeleteHeld { .. } => "approve or reject the delete, or ignore the record",
        ConflictKind::Overwritten { .. } => {
            "put the value right in either system if it is wrong, then dismiss the question"
        }
        ConflictKind::Replaced { .. } => {
            "approve if it is the same record after all, reject to take the pair apart, or ignore the record"
        }
    }
}
