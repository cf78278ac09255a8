//! Questions that only a person can answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_domain::suggest::full_advice;
use tandem_domain::{ConflictId, SyncName, Timestamp};
use tandem_store::{Conflict, ConflictFilter, ConflictKind, ConflictState, Resolution};

use crate::control::Start;
use crate::error::after;
use crate::operator::checked;
use crate::span::{self, before};
use crate::story::Ends;
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
    /// Only of this kind, by one of [`ConflictKind::WORDS`].
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

/// Records that were missed so long before a question was asked may wait for it.
const MISSING_BEFORE: Duration = Duration::from_secs(3_600);

/// Whether a person has seen what an answer would write over, and said that it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed(pub bool);

/// The answers that fit a question, with what each does: it completes "the answer would …".
#[must_use]
pub(crate) const fn choices(kind: &ConflictKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ConflictKind::Field { .. } => &[
            (
                "take",
                "give both sides the value of the side that is named",
            ),
            IGNORE_PAIR,
        ],
        ConflictKind::NotKept { .. } => &[
            (
                "take",
                "give both sides the value of the side that is named",
            ),
            ("dismiss", DISMISS),
            IGNORE_PAIR,
        ],
        ConflictKind::Ambiguous { .. } => &[
            (
                "link_to",
                "link the two records and bring them into agreement",
            ),
            (
                "create_new",
                "make a new record on the other side, and link it",
            ),
            (
                "ignore",
                "leave the record alone from now on: it gets no partner, and its changes go nowhere",
            ),
        ],
        ConflictKind::DeleteHeld { .. } => &[
            ("approve", "delete the partner of the record that is gone"),
            (
                "reject",
                "keep the record that is still there, no longer as one of a pair, and leave it alone",
            ),
            IGNORE_PAIR,
        ],
        ConflictKind::NotDeleted { .. } => &[
            (
                "approve",
                "delete the record once more; if it was edited since, the edit wins as with any delete, and its partner is made again",
            ),
            (
                "dismiss",
                "leave the record as it is, without a partner, and close the question",
            ),
        ],
        ConflictKind::NotMade { .. } => &[
            (
                "create_new",
                "send the create again: the record is matched anew, and gets a new partner if it has none",
            ),
            (
                "dismiss",
                "leave the record as it is, without a partner, and close the question",
            ),
        ],
        ConflictKind::Emptied { .. } => &[
            (
                "approve",
                "take the field for emptied, in all records where it is missing: it is emptied on the other side too",
            ),
            (
                "reject",
                "keep the values in all records where the field is missing, until it is shown again; nothing is written",
            ),
        ],
        ConflictKind::Replaced { merged: true, .. } => &[
            (
                "approve",
                "end the pair: its record was merged into another, the partner is left alone, and nothing is written or deleted",
            ),
            (
                "reject",
                "take the pair apart; the partner is then looked at as one without a partner",
            ),
            IGNORE_PAIR,
        ],
        ConflictKind::Replaced { .. } => &[
            (
                "take",
                "give both records the values of the side that is named; one that is gone on the other side is made again there",
            ),
            (
                "approve",
                "hold the two records equal again: what differs from what both last had counts as an edit, and goes to the other side",
            ),
            (
                "reject",
                "take the pair apart; each of the two records is then looked at as one without a partner",
            ),
            IGNORE_PAIR,
        ],
        ConflictKind::SetBack { .. } => &[
            (
                "take",
                "give the system that was set back the values of this side, in all pairs concerned, and make the records again that are missing there; a record that is archived there is left alone from now on, and its partner too. What somebody has edited there since, in a pair that waits for this, is written over as well, and stays in the change log",
            ),
            (
                "approve",
                "take what the system that was set back shows for what counts: what differs goes to the other side, and what is missing counts as deleted, under the delete brake of the sync",
            ),
        ],
        ConflictKind::Overwritten { .. } => &[("dismiss", DISMISS), IGNORE_PAIR],
        ConflictKind::BackAndForth { .. } => &[
            (
                "take",
                "give both sides the values of the side that is named, and go on with the pair",
            ),
            (
                "approve",
                "go on with the pair as before, from the values that it has now, and count anew",
            ),
            IGNORE_PAIR,
        ],
        ConflictKind::Doubled { .. } => &[
            (
                "create_new",
                "take it for a record of its own: make a partner for it on the other side, and link it",
            ),
            (
                "ignore",
                "leave the record alone from now on: it gets no partner, and its changes go nowhere",
            ),
        ],
    }
}

const DISMISS: &str = "leave both records as they are, and close the question";
const IGNORE_PAIR: (&str, &str) = (
    "ignore",
    "leave both records of the pair alone from now on: no change of either goes to the other",
);

impl Operator {
    /// Questions, newest first.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn conflicts(
        &self,
        query: ConflictQuery,
    ) -> Result<Page<ConflictView>, OperatorError> {
        let checks = [
            check_kind(query.kind.as_deref()),
            span::check(query.since, query.until),
            self.check_sync(query.sync.as_ref()).await,
        ];
        let limit = checked(query.limit, checks)?;
        let filter = ConflictFilter {
            sync: query.sync,
            state: query.state,
            kind: query.kind,
            before: before(query.cursor, query.until, ConflictId::least),
            limit,
        };
        let (mut views, ends) = (Vec::new(), self.ends().await?);
        for conflict in self.store().conflicts(&filter).await? {
            let conflict = self.as_it_stands(conflict).await?;
            let none = Ends::default();
            let ends = ends.get(&conflict.sync).unwrap_or(&none);
            views.push(ConflictView::new(conflict, ends));
        }
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
        let conflict = conflict.ok_or_else(|| no_conflict(id))?;
        self.offered(conflict).await
    }

    /// Answers an open question, or gives one whose answer is not carried out yet another; a job carries it out.
    /// The answer is checked against what is stored and what the systems hold now.
    ///
    /// # Errors
    /// When there is no such question, or it is closed or being carried out, or the answer does not fit it or
    /// what is there now, or would write over values of a record that the question does not name, or a system does
    /// not answer, or the storage fails.
    pub async fn resolve(
        &self,
        id: ConflictId,
        resolution: Resolution,
    ) -> Result<ConflictView, OperatorError> {
        self.resolve_when(id, resolution, Confirmed(false)).await
    }

    /// Like [`Operator::resolve`], by somebody who may have said that values may be written over.
    ///
    /// # Errors
    /// As [`Operator::resolve`], but for what was confirmed.
    pub async fn resolve_when(
        &self,
        id: ConflictId,
        resolution: Resolution,
        confirmed: Confirmed,
    ) -> Result<ConflictView, OperatorError> {
        let conflict = self.store().conflict(id).await?;
        let conflict = conflict.ok_or_else(|| no_conflict(id))?;
        let given = resolution.as_str();
        let fitting = choices(&conflict.kind);
        if !fitting.iter().any(|(answer, _)| *answer == given) {
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
        self.check_answer(&conflict, &resolution, confirmed).await?;
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
        if let Err(error) = self.start_for_others(&conflict).await {
            tracing::warn!(conflict = %id, sync = %conflict.sync, %error, "the answer is carried out by the next whole comparison");
        }
        after("the question is answered", self.conflict(id).await)
    }
}

impl Operator {
    /// Has the records that wait for the answer looked at, beside the one that the question names.
    async fn start_for_others(&self, conflict: &Conflict) -> Result<(), OperatorError> {
        if let Some(start) = self.finds_others(conflict).await? {
            self.start(&conflict.sync, start).await?;
        }
        Ok(())
    }

    /// What finds the records that wait for the answer, beside the one that the question names.
    async fn finds_others(&self, conflict: &Conflict) -> Result<Option<Start>, OperatorError> {
        match conflict.kind {
            ConflictKind::Emptied { .. } => Ok(Some(Start::Sweep(conflict.side))),
            // Records without a partner wait as well.
            ConflictKind::SetBack { .. } => Ok(Some(Start::Backfill)),
            // Records that are missing, or are back, wait while it is asked why others of their side are out of date.
            ConflictKind::Replaced { .. } => {
                let since = conflict.created_at.minus(MISSING_BEFORE);
                let count = self
                    .store()
                    .set_back_count(&conflict.sync, conflict.side, since)
                    .await?;
                Ok((count.missing + count.older > 0).then_some(Start::Sweep(conflict.side)))
            }
            ConflictKind::Field { .. }
            | ConflictKind::Ambiguous { .. }
            | ConflictKind::NotKept { .. }
            | ConflictKind::DeleteHeld { .. }
            | ConflictKind::NotDeleted { .. }
            | ConflictKind::NotMade { .. }
            | ConflictKind::Overwritten { .. }
            | ConflictKind::BackAndForth { .. }
            | ConflictKind::Doubled { .. } => Ok(None),
        }
    }

    /// Takes the answer `ignore` back: the record takes part again, its partner too, and the question is open again,
    /// unless the same is asked already. A job looks at them.
    ///
    /// # Errors
    /// When there is no such question, it was not answered with `ignore`, the records take part already, or the
    /// storage fails.
    pub async fn reopen(&self, id: ConflictId) -> Result<ConflictView, OperatorError> {
        let conflict = self.store().conflict(id).await?;
        let conflict = conflict.ok_or_else(|| no_conflict(id))?;
        if conflict.resolution != Some(Resolution::Ignore) {
            return Err(OperatorError::NotNow {
                problem: format!("the question {id} was not answered with `ignore`"),
                advice: "an answer that is not carried out yet is changed by giving another one",
            });
        }
        let Conflict {
            sync, side, record, ..
        } = conflict;
        if !self.take_up(&sync, side, &record, Some(id)).await? {
            return Err(OperatorError::NotNow {
                problem: format!(
                    "the record `{record}` on side {side} of {sync} takes part already"
                ),
                advice: "nothing is left to take back; `explain` shows how it stands",
            });
        }
        after("the record takes part again", self.conflict(id).await)
    }
}

/// A misspelt kind would look like "no questions".
fn check_kind(kind: Option<&str>) -> Result<(), OperatorError> {
    match kind {
        Some(kind) if !ConflictKind::WORDS.contains(&kind) => {
            let advice = full_advice(kind, ConflictKind::WORDS);
            Err(OperatorError::Unmeant(format!(
                "there are no questions of kind `{kind}`{advice}"
            )))
        }
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
        ConflictKind::NotDeleted { .. } => {
            "delete the record in its system, and the question closes; or approve to have the delete sent once more, or dismiss to leave the record as it is"
        }
        ConflictKind::NotMade { .. } => {
            "look into the system why it shows no such record, then say to create it again, or dismiss to leave the record without a partner"
        }
        ConflictKind::Overwritten { .. } => {
            "put the value right in either system if it is wrong, then dismiss the question; or ignore the record"
        }
        ConflictKind::Emptied { .. } => {
            "approve if the field is really empty there, or reject to keep the values"
        }
        ConflictKind::Replaced { merged: true, .. } => {
            "approve to end the pair and leave the partner alone, reject to have the partner looked at anew, or ignore the record"
        }
        ConflictKind::Replaced { .. } => {
            "say which side to take (a or b), or approve if it is the same record after all, reject to take the pair apart, or ignore the record"
        }
        ConflictKind::SetBack { .. } => {
            "take the side that was not set back, or approve if what the other one shows now is what counts"
        }
        ConflictKind::BackAndForth { .. } => {
            "say which side to take (a or b), or approve to go on as before, or ignore the pair"
        }
        ConflictKind::Doubled { .. } => {
            "delete one of the two in its system, and the question closes; or create a partner for it, or ignore it"
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::{EventId, Fields, IntentId, RecordId, Side, Value};
    use tandem_testkit::{Make, SeededEntropy};

    use super::*;

    fn one_of_each() -> [ConflictKind; 12] {
        [
            Make::field_conflict("name"),
            Make::ambiguous(),
            ConflictKind::NotKept {
                field: "name".to_owned(),
                sent: Value::Null,
                kept: Value::Null,
                beside: Fields::default(),
            },
            ConflictKind::DeleteHeld {
                gone: Side::A,
                reason: String::new(),
            },
            ConflictKind::NotDeleted {
                system: "crm".to_owned(),
                answered_at: Timestamp::from_secs(0),
                seen_at: Timestamp::from_secs(30),
                edited: false,
                gone_at: None,
            },
            ConflictKind::NotMade {
                system: "books".to_owned(),
                made: RecordId::new("b1"),
                sent_at: Timestamp::from_secs(0),
                missed_at: Timestamp::from_secs(30),
            },
            ConflictKind::Overwritten {
                edited_at: Some(Timestamp::from_secs(0)),
                event: Some(EventId::new(
                    Timestamp::from_secs(0),
                    &SeededEntropy::new(1),
                )),
                written: Fields::default(),
                met: None,
            },
            ConflictKind::Emptied {
                field: "name".to_owned(),
                records: 1,
                value: Value::Null,
            },
            ConflictKind::Replaced {
                reason: String::new(),
                known: Fields::default(),
                found: Fields::default(),
                overlaid: false,
                merged: false,
            },
            ConflictKind::SetBack {
                system: "crm".to_owned(),
                older: 3,
                missing: 1,
                reason: String::new(),
            },
            ConflictKind::BackAndForth {
                a: Fields::default(),
                b: Fields::default(),
                writes: 12,
                since: Timestamp::from_secs(0),
                again: None,
            },
            ConflictKind::Doubled {
                first: RecordId::new("b1"),
                source: None,
                intent: IntentId::new(Timestamp::from_secs(0), &SeededEntropy::new(1)),
                sent: None,
                alike: None,
            },
        ]
    }

    #[test]
    fn the_readme_names_every_kind_of_question_with_the_answers_that_fit_and_no_others() {
        let readme = include_str!("../../../README.md");
        let kinds = one_of_each();
        assert_eq!(
            kinds.each_ref().map(ConflictKind::as_str).len(),
            ConflictKind::WORDS.len()
        );
        let options = |answer: &str| match answer {
            "take" => vec!["--take a", "--take b"],
            "link_to" => vec!["--link RECORD"],
            "create_new" => vec!["--create"],
            "ignore" => vec!["--ignore"],
            "approve" => vec!["--approve"],
            "reject" => vec!["--reject"],
            _ => vec!["--dismiss"],
        };
        for kind in kinds {
            let word = kind.as_str();
            let mut rows = readme
                .lines()
                .filter(|line| line.starts_with(&format!("| `{word}` |")));
            let row = rows
                .next()
                .unwrap_or_else(|| panic!("README lacks `{word}`"));
            let mut named: Vec<&str> = row
                .split('`')
                .filter(|part| part.starts_with("--"))
                .collect();
            let mut fitting: Vec<&str> = choices(&kind)
                .iter()
                .flat_map(|(answer, _)| options(answer))
                .collect();
            named.sort_unstable();
            fitting.sort_unstable();
            assert_eq!(named, fitting, "{word}");
        }
    }
}
