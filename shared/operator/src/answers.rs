//! Whether an answer can be carried out now: the question may be old, and what a person names may not be there.
//! Everything is checked against what is stored and against the systems themselves, before it is accepted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tandem_domain::{ConflictId, LinkId, RecordId, Side};
use tandem_store::{
    Conflict, ConflictFilter, ConflictKind, ConflictState, Fact, Link, LinkState, PAGE_ROWS_MAX,
    Resolution,
};

use crate::conflicts::Confirmed;
use crate::linking::{CONFIRM, named};
use crate::still_shown::Both;
use crate::systems::Standing;
use crate::{Operator, OperatorError};

/// Ids that differ in so many characters at most are near enough to be meant.
const NEAR_EDITS: usize = 2;

/// A question that was left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOpen {
    /// Which.
    pub id: ConflictId,
    /// Why.
    pub reason: String,
}

/// What became of questions answered at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Those that are answered.
    pub resolved: Vec<ConflictId>,
    /// Those left as they are.
    pub skipped: Vec<LeftOpen>,
    /// Why answers are not carried out for the time being, and what ends that; once for each sync that stands still.
    #[serde(default)]
    pub waits: Vec<String>,
}

impl Operator {
    /// Answers many questions alike. One that the answer does not fit is left as it is, with the reason.
    ///
    /// # Errors
    /// When the answer is meant for one record, or the storage fails.
    pub async fn resolve_all(
        &self,
        ids: &[ConflictId],
        resolution: &Resolution,
    ) -> Result<Resolved, OperatorError> {
        if matches!(resolution, Resolution::LinkTo { .. }) {
            return Err(OperatorError::Invalid {
                problem: "one record cannot be the partner of many".to_owned(),
                advice: "answer these questions one by one, or all of them with another answer",
            });
        }
        let mut outcome = Resolved::default();
        for id in ids {
            match self.resolve(*id, resolution.clone()).await {
                Ok(answered) => {
                    outcome.resolved.push(*id);
                    let new = answered
                        .waits
                        .filter(|words| !outcome.waits.contains(words));
                    outcome.waits.extend(new);
                }
                Err(OperatorError::Store(error)) => return Err(error.into()),
                Err(refusal) => outcome.skipped.push(LeftOpen {
                    id: *id,
                    reason: refusal.to_string(),
                }),
            }
        }
        Ok(outcome)
    }

    /// Refuses an answer that could not be carried out now.
    pub(crate) async fn check_answer(
        &self,
        conflict: &Conflict,
        resolution: &Resolution,
        confirmed: Confirmed,
    ) -> Result<(), OperatorError> {
        match resolution {
            Resolution::Ignore | Resolution::Dismiss => Ok(()),
            Resolution::LinkTo { record } => {
                let standing = self.check_partner(conflict, record).await?;
                self.require_meant(conflict, &standing, confirmed).await
            }
            Resolution::CreateNew => {
                self.require_made(conflict).await?;
                match &conflict.kind {
                    ConflictKind::NotMade { made, .. } => self.check_not_made(conflict, made).await,
                    _ => self.check_unmatched(conflict).await,
                }
            }
            Resolution::Take { side } => {
                self.require_healthy(conflict, *side)?;
                let both = self.check_both(conflict).await?;
                self.require_shown(conflict, &both).await
            }
            Resolution::Approve if matches!(conflict.kind, ConflictKind::NotDeleted { .. }) => {
                self.check_delete_again(conflict).await
            }
            Resolution::Approve => self.check_delete(conflict).await,
            Resolution::Reject => self.active_link(conflict).await.map(|_| ()),
        }
    }

    /// Where the sync makes no records none is made for an answer either: the question would only be asked again.
    async fn require_made(&self, conflict: &Conflict) -> Result<(), OperatorError> {
        let Conflict {
            sync, side, record, ..
        } = conflict;
        let made_on = side.other();
        if self.ends_of(sync).await?.creates(made_on) {
            return Ok(());
        }
        Err(OperatorError::NotNow {
            problem: format!(
                "the sync {sync} makes no records in {} (`create` in its configuration), so none can be made for `{record}`",
                self.parts.systems.name(sync, made_on)
            ),
            advice: "link it with a record that is there, or ignore it; or let the sync make records there",
        })
    }

    /// The record itself must still be there, and without a partner.
    async fn check_unmatched(&self, conflict: &Conflict) -> Result<(), OperatorError> {
        let Conflict {
            sync, side, record, ..
        } = conflict;
        self.require_free(sync, *side, record).await?;
        if self
            .parts
            .systems
            .read(sync, *side, record)
            .await?
            .is_some()
        {
            return Ok(());
        }
        let closed = self
            .store()
            .close_questions_of(sync, *side, record, Fact::Gone, self.now())
            .await?;
        tracing::info!(%sync, %record, closed = closed.len(), "the record of a question is gone");
        Err(OperatorError::NotNow {
            problem: format!(
                "the record `{record}` is gone from {}, so the question {} is closed",
                self.parts.systems.name(sync, *side),
                conflict.id
            ),
            advice: "nothing is left to answer",
        })
    }

    async fn check_partner(
        &self,
        conflict: &Conflict,
        partner: &RecordId,
    ) -> Result<Standing, OperatorError> {
        let (sync, other) = (&conflict.sync, conflict.side.other());
        let Some(standing) = self.read_named(sync, other, partner).await? else {
            let name = self.parts.systems.name(sync, other);
            return Err(OperatorError::Invalid {
                problem: format!(
                    "{name} has no record `{partner}` now{}",
                    suggestion(&conflict.kind, partner)
                ),
                advice: "name one of the candidates, or another record that is there",
            });
        };
        if standing.out_of_use {
            self.in_use(sync, other, partner).await?;
        }
        self.require_free(sync, other, partner).await?;
        self.require_taking_part(conflict, partner).await?;
        self.require_unpromised(conflict, partner).await?;
        self.check_unmatched(conflict).await?;
        Ok(standing)
    }

    /// A record that is left alone would be half of a pair: what happens to it would go nowhere.
    async fn require_taking_part(
        &self,
        conflict: &Conflict,
        partner: &RecordId,
    ) -> Result<(), OperatorError> {
        let Conflict {
            sync, side, record, ..
        } = conflict;
        let pair = self.store().pair(sync, side.other(), partner).await?;
        if !pair.ignored {
            return Ok(());
        }
        let (a, b) = match side {
            Side::A => (record, partner),
            Side::B => (partner, record),
        };
        Err(OperatorError::NotNow {
            problem: format!(
                "the record `{partner}` of {} is left alone, because a person said so; `tandem links link {sync} {a} {b}` has it take part again, as the partner of `{record}`",
                self.parts.systems.name(sync, side.other())
            ),
            advice: "do that, which closes the question, or choose another record",
        })
    }

    /// A record that the question does not name is no match by any key: what would be written over is shown first.
    async fn require_meant(
        &self,
        conflict: &Conflict,
        partner: &Standing,
        confirmed: Confirmed,
    ) -> Result<(), OperatorError> {
        let ConflictKind::Ambiguous { candidates, .. } = &conflict.kind else {
            return Ok(());
        };
        if confirmed.0 || candidates.contains(&partner.id) {
            return Ok(());
        }
        let (sync, side) = (&conflict.sync, conflict.side);
        let record = self.present(sync, side, &conflict.record).await?;
        let (name, partner_name) = (named(&record), named(partner));
        let (a, b) = match side {
            Side::A => (&record, partner),
            Side::B => (partner, &record),
        };
        let over = self.written_over(sync, None, a, b);
        if over.is_empty() {
            return Ok(());
        }
        Err(OperatorError::Unconfirmed {
            problem: format!(
                "{partner_name} of {} is none of the candidates, and does not hold the same as {name} of {}. Linking makes the two equal by the rules of the sync, and so writes over {}",
                self.parts.systems.name(sync, side.other()),
                self.parts.systems.name(sync, side),
                self.told(sync, &over).join("; ")
            ),
            advice: CONFIRM,
        })
    }

    /// Two records of one side cannot both get the same partner.
    async fn require_unpromised(
        &self,
        conflict: &Conflict,
        partner: &RecordId,
    ) -> Result<(), OperatorError> {
        let answered = ConflictFilter {
            sync: Some(conflict.sync.clone()),
            state: Some(ConflictState::Answered),
            kind: None,
            before: None,
            limit: PAGE_ROWS_MAX,
        };
        let answered = self.store().conflicts(&answered).await?;
        let promised = answered.iter().find(|other| {
            other.id != conflict.id
                && other.side == conflict.side
                && other.resolution.as_ref()
                    == Some(&Resolution::LinkTo {
                        record: partner.clone(),
                    })
        });
        let Some(promised) = promised else {
            return Ok(());
        };
        Err(OperatorError::NotNow {
            problem: format!(
                "the record `{partner}` is to be linked with `{}`, by the answer to {}",
                promised.record, promised.id
            ),
            advice: "answer that one otherwise first, or choose another answer here",
        })
    }

    /// The pair that the question is about, which must still be one.
    async fn active_link(&self, conflict: &Conflict) -> Result<Option<Link>, OperatorError> {
        let Some(id) = conflict.link else {
            return Ok(None);
        };
        match self.store().link(id).await? {
            Some(link) if link.state == LinkState::Active => Ok(Some(link)),
            Some(_) | None => Err(no_pair(id)),
        }
    }

    /// A system that was set back has no values to give to itself.
    fn require_healthy(&self, conflict: &Conflict, taken: Side) -> Result<(), OperatorError> {
        if !matches!(conflict.kind, ConflictKind::SetBack { .. }) || taken != conflict.side {
            return Ok(());
        }
        let other = taken.other();
        let [name, partner] =
            [taken, other].map(|side| self.parts.systems.name(&conflict.sync, side));
        Err(OperatorError::Invalid {
            problem: format!(
                "side {taken} of {} is {name}, the system that was set back: it has no values to give to itself. Only side {other} can be taken, which is {partner} and was not set back",
                conflict.sync,
            ),
            advice: "take that side; or approve, if what it shows now is what counts",
        })
    }

    /// A value can only be taken over when both records are there.
    async fn check_both(&self, conflict: &Conflict) -> Result<Both, OperatorError> {
        let mut both = Both::new();
        let Some(link) = self.active_link(conflict).await? else {
            return Ok(both);
        };
        for (side, record) in link.records() {
            both.push((side, self.present(&conflict.sync, side, record).await?));
        }
        Ok(both)
    }

    /// A held delete may be carried out while the record is gone, and its partner there to be deleted.
    async fn check_delete(&self, conflict: &Conflict) -> Result<(), OperatorError> {
        let (Some(link), ConflictKind::DeleteHeld { gone, .. }) =
            (self.active_link(conflict).await?, &conflict.kind)
        else {
            return Ok(());
        };
        self.require_gone(&link, *gone, "reject the delete").await
    }

    /// A delete that did nothing may be sent again while the record is there, and its partner is not.
    async fn check_delete_again(&self, conflict: &Conflict) -> Result<(), OperatorError> {
        self.check_unmatched(conflict).await?;
        let Conflict {
            sync, side, record, ..
        } = conflict;
        let Some(link) = self.store().pair(sync, *side, record).await?.link else {
            return Ok(());
        };
        let advice = "nothing is left to answer: the two are looked at again";
        self.require_gone(&link, conflict.side.other(), advice)
            .await
    }

    /// A create may be sent again while what it carried over is there, and what it made does not show.
    async fn check_not_made(
        &self,
        conflict: &Conflict,
        made: &RecordId,
    ) -> Result<(), OperatorError> {
        self.active_link(conflict).await?;
        let Conflict {
            sync, side, record, ..
        } = conflict;
        self.present(sync, *side, record).await?;
        let (other, systems) = (side.other(), &self.parts.systems);
        if systems.read(sync, other, made).await?.is_none() {
            return Ok(());
        }
        Err(OperatorError::NotNow {
            problem: format!(
                "the record `{made}` is in {} by now, so none is made beside it",
                systems.name(sync, other)
            ),
            advice: "nothing is left to answer: the two are looked at again",
        })
    }

    /// The record of this side is not there, or out of use.
    async fn require_gone(
        &self,
        link: &Link,
        gone: Side,
        advice: &'static str,
    ) -> Result<(), OperatorError> {
        let (sync, systems) = (&link.sync, &self.parts.systems);
        let Some(record) = &link.side(gone).id else {
            return Ok(());
        };
        let back = systems.read(sync, gone, record).await?;
        if back.is_none_or(|standing| standing.out_of_use) {
            return Ok(());
        }
        Err(OperatorError::NotNow {
            problem: format!(
                "the record `{record}` is in {} again, so its partner is not deleted",
                systems.name(sync, gone)
            ),
            advice,
        })
    }
}

fn no_pair(link: LinkId) -> OperatorError {
    OperatorError::NotNow {
        problem: format!("the pair {link} is not linked any more"),
        advice: "nothing is left to answer; the question closes by itself",
    }
}

/// The candidates that may have been meant; all of them when none is near.
fn suggestion(kind: &ConflictKind, wrong: &RecordId) -> String {
    let ConflictKind::Ambiguous { candidates, .. } = kind else {
        return String::new();
    };
    let candidates: BTreeSet<&str> = candidates.iter().map(RecordId::as_str).collect();
    let near: Vec<&str> = candidates
        .iter()
        .copied()
        .filter(|one| strsim::damerau_levenshtein(one, wrong.as_str()) <= NEAR_EDITS)
        .collect();
    match (near.as_slice(), candidates.len()) {
        ([], 0) => String::new(),
        ([], _) => {
            let all: Vec<&str> = candidates.into_iter().collect();
            format!("; the candidates are {}", all.join(", "))
        }
        (near, _) => format!("; did you mean {}?", near.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_names_the_candidates_that_are_near() {
        let kind = ConflictKind::Ambiguous {
            candidates: vec![RecordId::new("b-1001"), RecordId::new("b-2002")],
            more_candidates: 0,
            rivals: Vec::new(),
            more_rivals: 0,
            key: String::new(),
        };
        let told = |wrong: &str| suggestion(&kind, &RecordId::new(wrong));
        assert_eq!(told("b-1010"), "; did you mean b-1001?");
        assert_eq!(told("else"), "; the candidates are b-1001, b-2002");
    }
}
