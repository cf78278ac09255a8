//! What is not done before a person has answered: decided here, from the open questions of a sync, for a record, a pair, or a
//! field of it. The dry run and the whole comparison say what is held by it. A job holds what it looks at by the same
//! questions, in the file of `reconcile` that asks them.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{ConflictId, Fields, LinkId, RecordId, Side, SyncName, Value};
use tandem_engine::{Plan, Presence, WriteOp, emptied, same};
use tandem_runtime::SyncDefinition;
use tandem_store::{Conflict, ConflictKind, Link, QuestionKind, Store, StoreError};

use crate::asked::{Asked, named};
use crate::failure::WorkError;
use crate::readings::Reading;
use crate::reconcile::{Shows, says_of_side, stays_asked, still_shows, unsaid};

/// An open question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub kind: QuestionKind,
    /// Its id.
    pub id: ConflictId,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, id) = (self.kind.as_str(), self.id);
        write!(
            f,
            "waits for an open question ({kind}): `tandem conflicts show {id}` lists the answers"
        )
    }
}

/// The open questions of a sync, by what each of them holds.
#[derive(Debug, Default)]
pub struct OpenQuestions {
    /// Records without a partner: none is made or linked for them.
    records: BTreeMap<(Side, RecordId), Question>,
    /// Records that such a question names beside: they are not deleted.
    named: BTreeMap<(Side, RecordId), Question>,
    pairs: BTreeMap<LinkId, Vec<OfPair>>,
    fields: BTreeMap<LinkId, BTreeMap<String, OfField>>,
    /// Fields that vanished from the records of a side.
    emptied: BTreeMap<(Side, String), Question>,
    /// Whether a side was set back.
    sides: BTreeMap<Side, Question>,
    /// A question about a pair that may show the same of its side, before it is asked about that.
    signs: BTreeMap<Side, Question>,
}

/// What a question about a pair as a whole holds of it.
#[derive(Clone, Copy, Debug)]
struct OfPair {
    question: Question,
    holds: Holds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// The delete of the record that is left.
    Delete,
    /// Whatever would be done because a record is not there.
    Absence,
    /// Whatever would be written over a record.
    Updates,
    /// All, while a record is not the one that was linked.
    Stranger,
    /// All, while nobody has said which values of a record count that a create of ours may have gone over.
    Overlaid,
    /// All, while a record answers with another one.
    Merged,
}

/// What a question holds of one field.
#[derive(Clone, Copy, Debug)]
struct OfField {
    question: Question,
    holds: HeldField,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldField {
    /// It is contested; whether an earlier answer was given for other values.
    Contested { was_answered: bool },
    /// The value that a system did not keep stays as it is on both sides.
    NotKept,
}

/// A field that waits, with its question.
pub type HeldFields = BTreeMap<String, Question>;

impl OpenQuestions {
    /// All of a sync.
    pub async fn of(store: &dyn Store, sync: &SyncName) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for kind in QuestionKind::ALL {
            let mut pages = Asked::open(sync, kind);
            while let Some(page) = pages.next(store).await? {
                for asked in page {
                    all.take(asked);
                }
            }
        }
        Ok(all)
    }

    /// Puts a question where what it holds is looked for. Each kind is named: a new one must be given its place.
    fn take(&mut self, asked: Conflict) {
        let question = Question {
            kind: asked.kind.kind(),
            id: asked.id,
        };
        let link = asked.link;
        match &asked.kind {
            ConflictKind::Ambiguous { .. } | ConflictKind::Doubled { .. } => {
                let beside = named(&asked).into_iter();
                let beside = beside.map(|(side, record)| ((side, record.clone()), question));
                self.named.extend(beside);
                self.records.insert((asked.side, asked.record), question);
            }
            ConflictKind::NotDeleted { .. } => {
                self.records.insert((asked.side, asked.record), question);
            }
            ConflictKind::Field { field, again, .. } => {
                let was_answered = again.is_some();
                let holds = HeldField::Contested { was_answered };
                self.take_field(link, field, OfField { question, holds });
            }
            ConflictKind::NotKept { field, .. } => {
                let holds = HeldField::NotKept;
                self.take_field(link, field, OfField { question, holds });
            }
            ConflictKind::Emptied { field, .. } => {
                self.emptied.insert((asked.side, field.clone()), question);
            }
            ConflictKind::DeleteHeld { .. } => self.take_pair(link, question, Holds::Delete),
            ConflictKind::NotMade { .. } => self.take_pair(link, question, Holds::Absence),
            ConflictKind::BackAndForth { .. } => self.take_pair(link, question, Holds::Updates),
            ConflictKind::Replaced {
                overlaid, merged, ..
            } => {
                let holds = match (overlaid, merged) {
                    (true, _) => Holds::Overlaid,
                    (false, true) => Holds::Merged,
                    (false, false) => Holds::Stranger,
                };
                self.take_pair(link, question, holds);
                if says_of_side(&asked.kind) {
                    self.signs.insert(asked.side, question);
                }
            }
            ConflictKind::SetBack { .. } => {
                self.sides.insert(asked.side, question);
            }
            // What it asks about has happened, and the pair goes on.
            ConflictKind::Overwritten { .. } => {}
        }
    }

    fn take_pair(&mut self, link: Option<LinkId>, question: Question, holds: Holds) {
        if let Some(link) = link {
            let of_pair = self.pairs.entry(link).or_default();
            of_pair.push(OfPair { question, holds });
        }
    }

    fn take_field(&mut self, link: Option<LinkId>, field: &str, held: OfField) {
        if let Some(link) = link {
            let of_pair = self.fields.entry(link).or_default();
            of_pair.insert(field.to_owned(), held);
        }
    }

    /// What a record without a partner waits for.
    pub fn record(&self, side: Side, id: &RecordId) -> Option<Question> {
        self.records.get(&(side, id.clone())).copied()
    }

    /// What a record waits for that would be made on a side: one that was set back gives ids again that links still bear.
    pub fn create(&self, side: Side) -> Option<Question> {
        self.sides.get(&side).copied()
    }

    fn of_pair(&self, link: LinkId) -> &[OfPair] {
        self.pairs.get(&link).map_or(&[], Vec::as_slice)
    }

    /// What a pair waits for of which a record answers with another one.
    pub fn merged(&self, link: LinkId) -> Option<Question> {
        self.held_as(link, Holds::Merged)
    }

    fn held_as(&self, link: LinkId, holds: Holds) -> Option<Question> {
        let mut of_pair = self.of_pair(link).iter();
        let held = of_pair.find(|one| one.holds == holds);
        held.map(|one| one.question)
    }

    /// What a pair waits for whatever is planned for it: a record of it is another, of an older state, or not there while its
    /// side is asked about. `None` for a record that is not there.
    pub async fn identity(
        &self,
        store: &dyn Store,
        sync: &SyncDefinition,
        link: &Link,
        readings: [Option<&Reading>; 2],
    ) -> Result<Option<Question>, WorkError> {
        if self.sides.is_empty() && self.signs.is_empty() && self.of_pair(link.id).is_empty() {
            return Ok(None);
        }
        let each = || Side::BOTH.into_iter().zip(readings);
        for (side, reading) in each() {
            let is_here = reading.is_some_and(|reading| !reading.counts_as_gone);
            let is_overlaid = is_here && link.side(side).memory.overlaid.is_some();
            if let Some(asked) = self.held_as(link.id, Holds::Overlaid)
                && is_overlaid
            {
                return Ok(Some(asked));
            }
        }
        let own = self.held_as(link.id, Holds::Stranger);
        for (side, reading) in each() {
            let (of_side, sign) = (self.sides.get(&side), self.signs.get(&side));
            if of_side.is_none() && sign.is_none() && own.is_none() {
                continue;
            }
            let shows = still_shows(store, sync, link, side, reading).await?;
            let held = match shows {
                Some(Shows::Missing) => of_side.copied().or(own).or(sign.copied()),
                Some(Shows::Older(_) | Shows::Other(_)) => of_side.copied().or(own),
                None => None,
            };
            if held.is_some() {
                return Ok(held);
            }
        }
        Ok(None)
    }

    /// What a pair waits for by what is planned for it, so that nothing of it is done.
    pub fn pair(&self, link: &Link, planned: &Plan, sides: [&Presence; 2]) -> Option<Question> {
        let is_one_gone = sides
            .into_iter()
            .any(|side| matches!(side, Presence::Gone(_)));
        let plans = |op: WriteOp| planned.writes.iter().find(|write| write.op == op);
        let holds = |one: &&OfPair| match one.holds {
            Holds::Delete => plans(WriteOp::Delete).is_some(),
            Holds::Absence => is_one_gone,
            Holds::Updates => plans(WriteOp::Update).is_some(),
            Holds::Stranger | Holds::Overlaid | Holds::Merged => false,
        };
        if let Some(held) = self.of_pair(link.id).iter().find(holds) {
            return Some(held.question);
        }
        if let Some(delete) = plans(WriteOp::Delete)
            && let Some(id) = &link.side(delete.side).id
            && let Some(named) = self.named.get(&(delete.side, id.clone()))
        {
            return Some(*named);
        }
        plans(WriteOp::Create).and_then(|create| self.create(create.side))
    }

    /// The fields that stay asked about, whatever a plan says without it.
    pub fn asked(&self, sync: &SyncDefinition, link: LinkId) -> BTreeSet<String> {
        let of_pair = self.fields.get(&link).into_iter().flatten();
        let stays = of_pair.filter(|(field, held)| match held.holds {
            HeldField::Contested { was_answered } => stays_asked(&sync.policy, field, was_answered),
            HeldField::NotKept => false,
        });
        stays.map(|(field, _)| field.clone()).collect()
    }

    /// The values that stand although the answer for a record leaves them out: a person is asked whether they were emptied, or
    /// has said that they were not.
    pub fn kept(
        &self,
        sync: &SyncDefinition,
        link: &Link,
        side: Side,
        readings: [Option<&Reading>; 2],
    ) -> Vec<(String, Value, Option<Question>)> {
        let [a, b] = readings;
        let (own, other) = match side {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        let Some(own) = own.filter(|own| !own.counts_as_gone) else {
            return Vec::new();
        };
        let mut left_out = unsaid(link, side, own);
        left_out.extend(own.counted_empty.iter().cloned());
        let other = other.map(|other| &other.fields);
        let gone: Fields = emptied(
            &sync.policy,
            &link.base,
            side,
            &left_out,
            &own.fields,
            other,
        );
        let memory = &link.side(side).memory.left_out;
        let stands = gone.into_iter().filter_map(|(field, value)| {
            let is_settled = memory.get(&field).is_some_and(|known| known.settled);
            let asked = self.emptied.get(&(side, field.clone())).copied();
            let asked = asked.filter(|_| !is_settled);
            (is_settled || asked.is_some()).then_some((field, value, asked))
        });
        stands.collect()
    }

    /// The fields of a pair that wait while the others go on, by what is planned for it.
    pub fn fields(
        &self,
        sync: &SyncDefinition,
        link: LinkId,
        planned: &Plan,
        [a, b]: [&Presence; 2],
    ) -> HeldFields {
        let of_pair = self.fields.get(&link).into_iter().flatten();
        let is_asked = |field: &str| planned.questions.iter().any(|one| one.field == field);
        let is_written = |field: &str| {
            let mut writes = planned.writes.iter();
            writes.any(|write| write.fields.contains_key(field))
        };
        let waits = of_pair.filter(|(field, held)| match held.holds {
            HeldField::Contested { .. } => is_asked(field),
            HeldField::NotKept => {
                !is_asked(field) && !is_written(field) && differs(sync, field, a, b)
            }
        });
        waits
            .map(|(field, held)| (field.clone(), held.question))
            .collect()
    }

    /// What the comparison of a pair that has no more to it waits for: a record of it is not there, or this field differs.
    pub fn difference(&self, link: LinkId, field: Option<&str>) -> Option<Question> {
        let of_field = field.and_then(|field| self.fields.get(&link)?.get(field));
        let holds = |one: &&OfPair| match one.holds {
            Holds::Delete | Holds::Absence => field.is_none(),
            Holds::Updates => field.is_some(),
            Holds::Stranger | Holds::Overlaid => false,
            Holds::Merged => true,
        };
        let of_pair = || self.of_pair(link).iter().find(holds);
        let of_field = of_field.map(|held| held.question);
        of_field.or_else(|| Some(of_pair()?.question))
    }
}

fn differs(sync: &SyncDefinition, field: &str, a: &Presence, b: &Presence) -> bool {
    let (Presence::Here(a), Presence::Here(b), Some(rule)) = (a, b, sync.policy.rule(field)) else {
        return false;
    };
    let value = |fields: &Fields| fields.get(field).cloned().unwrap_or_default();
    !same(rule.equality, &value(&a.fields), &value(&b.fields))
}
