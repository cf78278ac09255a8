//! Whether a question still shows what its records hold. An answer takes one value and gives up the other, so it is only
//! accepted for values that a person has seen; the worker asks the same again when it carries the answer out.

use std::collections::BTreeMap;

use tandem_domain::{Fields, Side, Value};
use tandem_store::{
    Conflict, ConflictState, Hints, JobClass, JobKind, NewConflict, NewJob, ShownUnder, Trigger,
};

use crate::systems::Standing;
use crate::views::questions::quoted;
use crate::{Operator, OperatorError};

/// The two records of a question as they stand now, by side.
pub(crate) type Both = Vec<(Side, Standing)>;

/// What a record holds.
#[derive(Clone, Copy)]
struct Held<'a> {
    stands: &'a Fields,
    /// What somebody had typed there, and a write of ours went over when it landed late: the question is about that.
    under: Option<&'a BTreeMap<String, ShownUnder>>,
}

impl<'a> Held<'a> {
    fn value(self, field: &str) -> Option<&'a Value> {
        let stands = self.stands.get(field)?;
        let under = self.under.and_then(|under| under.get(field));
        let covered = under.filter(|under| under.covered_by.as_ref() == Some(stands));
        Some(covered.map_or(stands, |under| &under.value))
    }
}

impl Operator {
    /// Refuses to take a value where one that the question shows has changed since, and has the question show those of now.
    pub(crate) async fn require_shown(
        &self,
        conflict: &Conflict,
        both: &Both,
    ) -> Result<(), OperatorError> {
        let conflict = self.as_it_stands(conflict.clone()).await?;
        // Of an answer that is not carried out yet the worker finds it out.
        let is_open = conflict.state == ConflictState::Open;
        let Some(shown) = conflict.values().filter(|_| is_open) else {
            return Ok(());
        };
        if both.iter().any(|(_, standing)| standing.out_of_use) {
            return Ok(());
        }
        let link = match conflict.link {
            Some(link) => self.store().link(link).await?,
            None => None,
        };
        let (mut now, mut changed) = (shown.clone(), Vec::new());
        for ((side, before), now) in Side::BOTH.into_iter().zip(&shown).zip(&mut now) {
            let standing = both.iter().find(|(of, _)| *of == side);
            let Some((_, standing)) = standing else {
                continue;
            };
            let held = Held {
                stands: &standing.fields,
                under: link
                    .as_ref()
                    .map(|link| &link.side(side).memory.shown_under),
            };
            changed.extend(self.changed(&conflict, (side, before), held, now));
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.show(&conflict, both, now).await?;
        Err(OperatorError::NotNow {
            problem: format!(
                "the question {} showed other values than there are now, so nothing was done: {}",
                conflict.id,
                changed.join(", ")
            ),
            advice: "look at the question again, and answer for the values of now",
        })
    }

    /// What has changed on one side, in words; takes it over.
    fn changed(
        &self,
        conflict: &Conflict,
        (side, before): (Side, &Fields),
        held: Held<'_>,
        now: &mut Fields,
    ) -> Vec<String> {
        let systems = &self.parts.systems;
        let mut told = Vec::new();
        for (field, shown) in before {
            let Some(value) = held.value(field) else {
                continue;
            };
            if systems.same(&conflict.sync, field, shown, value) {
                continue;
            }
            told.push(format!(
                "`{field}` on side {side} ({}) was {} and is {}",
                systems.name(&conflict.sync, side),
                quoted(shown),
                quoted(value)
            ));
            now.insert(field.clone(), value.clone());
        }
        told
    }

    /// Has the question show these values, and a job look at the pair.
    async fn show(
        &self,
        conflict: &Conflict,
        both: &Both,
        [a, b]: [Fields; 2],
    ) -> Result<(), OperatorError> {
        let now = self.now();
        let mut shown = conflict.shown.clone();
        for record in &mut shown {
            let standing = both.iter().find(|(side, _)| *side == record.side);
            if let Some((_, standing)) = standing.filter(|(_, one)| one.id == record.id) {
                record.fields.extend(standing.fields.clone());
            }
        }
        // What becomes of a value that was not kept only the plan knows: an edit of one side goes over.
        let is_same = |kind: &tandem_store::ConflictKind| kind.kind() == conflict.kind.kind();
        let again = conflict.kind.again().cloned();
        if let Some(kind) = conflict.asked_anew(&a, &b, again).filter(is_same) {
            let newer = NewConflict {
                id: conflict.id,
                sync: conflict.sync.clone(),
                link: conflict.link,
                side: conflict.side,
                record: conflict.record.clone(),
                kind,
                shown,
            };
            self.store().open_conflicts(vec![newer], now).await?;
        }
        let job = NewJob {
            id: self.new_job_id(now),
            kind: JobKind::Reconcile {
                sync: conflict.sync.clone(),
                side: conflict.side,
                record: conflict.record.clone(),
            },
            class: JobClass::Interactive,
            trigger: Trigger::Manual,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        };
        let standing = self.store().enqueue(vec![job], now).await?;
        self.ring(&standing);
        Ok(())
    }
}
