//! What a run would do to a linked pair as it was read, beside what a person is asked or has answered about it. The dry run lists
//! it; the whole comparison says by it of which differences nothing will be written.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{ConflictId, LinkId, Side, SyncName, Timestamp, Value};
use tandem_engine::{Gone, Plan, Presence, Ruled, View, plan, same};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Conflict, ConflictKind, ConflictState, Link, QuestionKind, Resolution, Store, StoreError,
};

use crate::asked::Asked;
use crate::open_questions::{HeldFields, OpenQuestions};
use crate::readings::Reading;

/// A linked pair, and what is planned for it.
pub struct PlannedPair {
    /// Both records, with the values that stand although an answer leaves them out.
    pub sides: [Presence; 2],
    /// What a run would do.
    pub planned: Plan,
    /// The fields that vanished from a record, and of which a person is asked.
    pub emptied: HeldFields,
}

impl PlannedPair {
    /// A record that was not read is gone.
    pub fn of(
        questions: &OpenQuestions,
        sync: &SyncDefinition,
        link: &Link,
        readings: [Option<&Reading>; 2],
    ) -> Self {
        let mut emptied = HeldFields::new();
        let sides = Side::BOTH.map(|side| {
            let reading = readings[usize::from(side == Side::B)];
            let mut here = reading.map_or(Presence::Gone(Gone::Deleted), Reading::presence);
            for (field, value, asked) in questions.kept(sync, link, side, readings) {
                if let Presence::Here(here) = &mut here {
                    here.fields.insert(field.clone(), value);
                }
                emptied.extend(asked.map(|asked| (field, asked)));
            }
            here
        });
        let ruled = Ruled {
            asked: questions.asked(sync, link.id),
            ..Ruled::default()
        };
        let view = View {
            base: Some(&link.base),
            a: &sides[0],
            b: &sides[1],
            ruled: &ruled,
        };
        let hidden = hidden(readings);
        let planned = if hidden.is_empty() {
            plan(&sync.policy, view)
        } else {
            // Of what no answer shows nothing is known: it is no edit.
            let mut policy = sync.policy.clone();
            policy.fields.retain(|rule| !hidden.contains(&rule.name));
            plan(&policy, view)
        };
        Self {
            sides,
            planned,
            emptied,
        }
    }

    /// The fields in which both records differ, and that a run would leave so, with what each side has.
    pub fn left<'s>(
        &self,
        sync: &'s SyncDefinition,
        readings: [Option<&Reading>; 2],
    ) -> Vec<(&'s str, [Value; 2])> {
        let [Some(a), Some(b)] = readings else {
            return Vec::new();
        };
        if a.counts_as_gone || b.counts_as_gone {
            return Vec::new();
        }
        let hidden = hidden(readings);
        let is_planned = |field: &str| {
            let mut writes = self.planned.writes.iter();
            let mut asked = self.planned.questions.iter();
            writes.any(|write| write.fields.contains_key(field))
                || asked.any(|one| one.field == field)
        };
        let rules = sync.policy.fields.iter();
        let rules = rules.filter(|rule| !hidden.contains(&rule.name) && !is_planned(&rule.name));
        let valued = rules.map(|rule| {
            let of = |reading: &Reading| reading.fields.get(&rule.name).cloned();
            (rule, [a, b].map(|reading| of(reading).unwrap_or_default()))
        });
        let differ = valued.filter(|(rule, [a, b])| !same(rule.equality, a, b));
        differ
            .map(|(rule, values)| (rule.name.as_str(), values))
            .collect()
    }
}

/// The fields that no answer for a record of the pair shows.
fn hidden(readings: [Option<&Reading>; 2]) -> BTreeSet<&String> {
    let readings = readings.into_iter().flatten();
    readings.flat_map(|reading| &reading.left_out).collect()
}

/// An answer that has left a field of a pair as it is on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBy {
    /// The question.
    pub question: ConflictId,
    /// What was asked.
    pub kind: QuestionKind,
    /// What was answered.
    pub answer: &'static str,
    /// When, if that was kept.
    pub at: Option<Timestamp>,
}

impl std::fmt::Display for LeftBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            question,
            kind,
            answer,
            at,
        } = self;
        write!(
            f,
            "stays as it is by the answer `{answer}` to question {question} ({})",
            kind.as_str()
        )?;
        at.map_or(Ok(()), |at| write!(f, ", given at {at}"))
    }
}

/// The answers that leave fields as they are: the newest of each.
#[derive(Debug, Default)]
pub struct Answers {
    pairs: BTreeMap<(LinkId, String), LeftBy>,
    /// Those about a field that vanished from the records of a side.
    sides: BTreeMap<(Side, String), LeftBy>,
}

impl Answers {
    /// All of a sync that are still kept.
    pub async fn of(store: &dyn Store, sync: &SyncName) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for kind in [
            QuestionKind::NotKept,
            QuestionKind::Field,
            QuestionKind::Emptied,
        ] {
            // An answer about a side is carried out record by record, and stands meanwhile.
            for state in [ConflictState::Answered, ConflictState::Closed] {
                let mut pages = Asked::standing(sync, kind, state);
                while let Some(page) = pages.next(store).await? {
                    for asked in page {
                        all.take(&asked);
                    }
                }
            }
        }
        Ok(all)
    }

    fn take(&mut self, asked: &Conflict) {
        let field = match &asked.kind {
            ConflictKind::NotKept { field, .. }
            | ConflictKind::Field { field, .. }
            | ConflictKind::Emptied { field, .. } => field,
            _ => return,
        };
        let answer = match &asked.resolution {
            Some(answer @ (Resolution::Dismiss | Resolution::Reject)) => answer.as_str(),
            _ => return,
        };
        if asked.closed_because.is_some() {
            return;
        }
        let left_by = LeftBy {
            question: asked.id,
            kind: asked.kind.kind(),
            answer,
            at: asked.answered_at,
        };
        // The newest comes first.
        match (&asked.kind, asked.link) {
            (ConflictKind::Emptied { .. }, _) => {
                let subject = (asked.side, field.clone());
                self.sides.entry(subject).or_insert(left_by);
            }
            (_, Some(link)) => {
                self.pairs.entry((link, field.clone())).or_insert(left_by);
            }
            (_, None) => {}
        }
    }

    /// The answer that leaves this field of a pair as it is.
    pub fn get(&self, link: &Link, field: &str) -> Option<&LeftBy> {
        let is_settled = |side: &Side| {
            let known = link.side(*side).memory.left_out.get(field);
            known.is_some_and(|known| known.settled)
        };
        let of_side = Side::BOTH.into_iter().find(is_settled);
        let of_side = of_side.and_then(|side| self.sides.get(&(side, field.to_owned())));
        of_side.or_else(|| self.pairs.get(&(link.id, field.to_owned())))
    }
}

/// Whether a difference of a pair may stand by an answer: each side had another value when they last agreed, or a value that a
/// side leaves out stands.
pub fn may_be_left(sync: &SyncDefinition, link: &Link) -> bool {
    let mut rules = sync.policy.fields.iter();
    let mut sides = Side::BOTH.into_iter();
    rules.any(|rule| {
        let base = link.base.get(&rule.name);
        base.is_some_and(|base| !same(rule.equality, &base.a, &base.b))
    }) || sides.any(|side| {
        let mut left_out = link.side(side).memory.left_out.values();
        left_out.any(|known| known.settled)
    })
}
