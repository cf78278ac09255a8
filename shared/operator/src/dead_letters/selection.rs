//! Of which dead letters a verb for many is. A filter that narrows nothing would mean all of them, and is easily sent
//! by mistake (a variable that is not set becomes null): whoever means all says so.

use super::list::SCAN_MAX;
use super::{DeadLetterId, DeadLetterQuery};
use crate::{Counted, Operator, OperatorError};

/// Of which dead letters a verb is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These.
    Ids(Vec<DeadLetterId>),
    /// All that match. A query without a condition is refused.
    Matching(DeadLetterQuery),
    /// All there are.
    All,
}

const ONE_OF_THEM: &str = "give one of `ids`, `matching` and `\"all\": true`";

impl Selection {
    /// What was asked for. More than one at once could mean any of them, so nothing is done then.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`] when not exactly one of them is given.
    pub fn of(
        ids: Option<Vec<DeadLetterId>>,
        matching: Option<DeadLetterQuery>,
        all: bool,
    ) -> Result<Self, OperatorError> {
        let refused = |problem: String| {
            Err(OperatorError::Invalid {
                problem,
                advice: ONE_OF_THEM,
            })
        };
        match (ids, matching, all) {
            (Some(ids), None, false) => Ok(Self::Ids(ids)),
            (None, Some(query), false) => Ok(Self::Matching(query)),
            (None, None, true) => Ok(Self::All),
            (None, None, false) => {
                refused("it is not said of which dead letters, and nothing was done".to_owned())
            }
            (ids, matching, all) => {
                let given = [
                    ("`ids`", ids.is_some()),
                    ("`matching`", matching.is_some()),
                    ("`all`", all),
                ];
                let given: Vec<&str> = given
                    .into_iter()
                    .filter_map(|(name, is_given)| is_given.then_some(name))
                    .collect();
                let given = given.join(" and ");
                refused(format!("{given} are given at once, and nothing was done"))
            }
        }
    }
}

impl DeadLetterQuery {
    /// Refuses a filter that leaves nothing out, whose verb would be about everything.
    fn require_condition(&self) -> Result<(), OperatorError> {
        let is_empty = |text: &str| text.trim().is_empty();
        let problem = match &self.cause {
            Some(cause) if is_empty(cause) => "`cause` is empty, and nothing was done",
            cause => {
                let narrows = cause.is_some()
                    || self.sync.is_some()
                    || self.code.is_some()
                    || self.since.is_some()
                    || self.until.is_some();
                if narrows {
                    return Ok(());
                }
                "`matching` has no condition and would mean all dead letters; nothing was done"
            }
        };
        Err(OperatorError::Invalid {
            problem: problem.to_owned(),
            advice: "give it one of `sync`, `code`, `cause`, `since` and `until`, or say `\"all\": true` in its place",
        })
    }
}

/// What is selected.
pub(super) struct Selected {
    /// The ids that the verb is of.
    pub(super) ids: Vec<DeadLetterId>,
    /// Those that match as well, and that a limit leaves out.
    pub(super) left: Counted,
}

impl Selected {
    /// What is said when not all that match are done; `done` completes "3 of 12 were …".
    pub(super) fn told(&self, done: &str) -> Option<String> {
        let Counted { count, more } = self.left;
        if count == 0 && !more {
            return None;
        }
        let at_least = if more { "at least " } else { "" };
        let (ids, all) = (self.ids.len(), self.ids.len() + count);
        Some(format!(
            "{ids} of {at_least}{all} that match were {done}, the newest; the same request again goes on with the next"
        ))
    }
}

impl Operator {
    /// The ids that are selected.
    pub(super) async fn selected(&self, selection: &Selection) -> Result<Selected, OperatorError> {
        let all = DeadLetterQuery::default();
        let none = Counted {
            count: 0,
            more: false,
        };
        let query = match selection {
            Selection::Ids(ids) => {
                return Ok(Selected {
                    ids: ids.clone(),
                    left: none,
                });
            }
            Selection::Matching(query) => {
                query.require_condition()?;
                query
            }
            Selection::All => &all,
        };
        let rows = scan_rows(query.limit)?;
        let scanned = self.scan_from(query, SCAN_MAX).await?;
        let (found, more) = (scanned.letters.len(), scanned.older.is_some());
        let letters = scanned.letters.into_iter();
        let ids: Vec<DeadLetterId> = letters.take(rows).map(|one| one.id).collect();
        let count = found - ids.len();
        Ok(Selected {
            ids,
            left: Counted { count, more },
        })
    }
}

/// How many dead letters are gone through that were not said to be fewer.
///
/// # Errors
/// [`OperatorError::Unmeant`] when that is none, or more than are gone through.
pub(super) fn scan_rows(asked: Option<usize>) -> Result<usize, OperatorError> {
    let rows = asked.unwrap_or(SCAN_MAX);
    if (1..=SCAN_MAX).contains(&rows) {
        return Ok(rows);
    }
    Err(OperatorError::Unmeant(format!(
        "`limit` is {rows}, and from 1 to {SCAN_MAX} dead letters are gone through at once"
    )))
}
