//! What events tell of the moments around our writes. An edit that came between our reading and our write, and that the
//! write went over, is lost; that it was there is known from its event, so the change log and a person are told. An edit
//! that came right after our write, before that was read back, looked like the system's form of our value: two events
//! tell the two apart.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, ConflictId, Fields, RecordId, Side, Timestamp, Value};
use tandem_engine::{FieldRule, is_form_of, same};
use tandem_store::{
    Change, ConflictKind, Event, Intent, IntentOp, IntentState, Link, NewConflict, Operation,
    OwnWrite, ShownRecord,
};

use super::changed::has_usable_times;
use super::events_around::{earlier_events, told_meanwhile, until, was_there_before, went_under};
use super::met::{self, Stood};
use super::own_write::is_of;
use super::pair::Pair;
use super::recover::Recovery;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::{Reading, hint};

/// So long after a write its echo, and what went under, are looked for.
pub(super) const LOOKED_FOR: Duration = Duration::from_secs(300);

/// An edit that a write of ours went over.
pub(super) struct Overwritten {
    pub(super) side: Side,
    record: RecordId,
    event: Event,
    edited_at: Timestamp,
    written: Fields,
    /// What says that the write was a create, which met the record.
    met: Option<Stood>,
}

/// What events tell of the moments before and after our last writes.
#[derive(Default)]
pub(super) struct Around {
    /// Edits that a write went over.
    pub(super) overwritten: Vec<Overwritten>,
    /// Edits that came right after a write that was read back, and that were taken for the system's form of it.
    pub(super) came_after: Vec<CameAfter>,
}

/// Fields that somebody edited right after our write, with what the write had put there.
pub(super) struct CameAfter {
    pub(super) side: Side,
    pub(super) written: Fields,
}

/// Looks for edits around our last write to each side, be it one of which only now is known that it took effect. Events are
/// only asked for when one has come for a record that we wrote a moment ago.
pub(super) async fn find(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    (recovery, late): (&Recovery, &[&Intent]),
) -> Result<Around, WorkError> {
    let mut around = Around::default();
    for side in Side::BOTH {
        let (Some(record), Some(reading)) = (&link.side(side).id, pair.side(side)) else {
            continue;
        };
        let dated = link.side(side).memory.own_write.as_ref();
        let late = late.iter().find(|intent| intent.side == side);
        let undated = late.filter(|intent| !is_of(work, dated, intent));
        let seen_late = undated.map(|intent| OwnWrite {
            others_moved: stands_beside(work, link, intent, reading),
            ..seen_late(work, link, intent, reading)
        });
        let earlier = link.side(side).memory.own_write.as_ref();
        let earlier = earlier.map(|own| beside_edit(work, &recovery.base, (side, reading), own));
        let Some(own) = &seen_late.or(earlier) else {
            continue;
        };
        let is_recent = work.context.now().since(own.read_at) < LOOKED_FOR;
        // An event may have been merged into a job that something else caused.
        let is_told = hint(work.claimed.job.hints, side).is_some();
        if own.after != reading.record.updated_at || !is_recent || !is_told {
            continue;
        }
        let write = match late {
            Some(intent) => Some((*intent).clone()),
            None => last_written(work, side, record).await?,
        };
        let earlier = match (own.after, &write) {
            (None, None) => Vec::new(),
            (None, Some(write)) => {
                let until = until(work, link, write, pair.look(side)).await?;
                told_meanwhile(work, (side, reading), own, (write, until)).await?
            }
            (Some(_), _) => earlier_events(work, side, pair.look(side), own).await?,
        };
        if earlier.is_empty() {
            continue;
        }
        let written = write.map(|write| write.fields).unwrap_or_default();
        let edited = match late {
            Some(_) => Fields::new(),
            None => edited_after(work, link, side, reading, &written),
        };
        if !edited.is_empty() {
            // The last event is of that edit, the one before it of our write.
            if own.fields.is_empty() && own.after.is_some() {
                around.came_after.push(CameAfter {
                    side,
                    written: edited,
                });
            }
            continue;
        }
        let is_new = own.made && has_usable_times(work, side);
        let met = is_new.then(|| was_there_before(own, &earlier)).flatten();
        if met.is_some() {
            // What we had no value for is of the record that stood there.
            around.came_after.push(CameAfter {
                side,
                written: taken_for_defaults(work, link, side, &written),
            });
        }
        let under = met.clone().or_else(|| went_under(own, earlier));
        around.overwritten.extend(under.map(|event| Overwritten {
            side,
            record: record.clone(),
            edited_at: event.occurred_at.unwrap_or(event.received_at),
            met: met.as_ref().map(met::by_event),
            written,
            event,
        }));
    }
    Ok(around)
}

/// Whether an edit of another field stands beside a write: one of the events is of that.
fn stands_beside(work: Work<'_>, link: &Link, intent: &Intent, now: &Reading) -> bool {
    let mut others = work.sync.policy.fields.iter();
    others.any(|rule| {
        let base = link.base.get(&rule.name).map(|base| base.side(intent.side));
        let found = now.fields.get(&rule.name).unwrap_or(&Value::Null);
        !intent.fields.contains_key(&rule.name)
            && !same(rule.equality, base.unwrap_or(&Value::Null), found)
    })
}

/// What a write did of which only now is known that it took effect.
pub(super) fn seen_late(work: Work<'_>, link: &Link, intent: &Intent, now: &Reading) -> OwnWrite {
    let known = link.side(intent.side);
    OwnWrite {
        // What had been edited when it was decided was read, and went under nothing unseen.
        before: known.updated_at.max(read_as_of(work, intent)),
        after: now.record.updated_at,
        read_at: intent.created_at,
        replaced: known.checksum.clone().unwrap_or_default(),
        fields: Vec::new(),
        wrote: intent.fields.keys().cloned().collect(),
        others_moved: false,
        made: false,
        unread: false,
        left: now.checksum(),
    }
}

/// The time of change, by its system's clock, that the record had when a write to it was decided.
fn read_as_of(work: Work<'_>, intent: &Intent) -> Option<Timestamp> {
    let offset = work.sync.end(intent.side).connector.clock_offset_micros();
    let decided = intent.decided.iter();
    let until = decided.filter_map(|one| match intent.side {
        Side::A => one.a_until,
        Side::B => one.b_until,
    });
    until.max().map(|at| at.shifted(offset))
}

/// A time in whole seconds, or none, does not tell our write from an edit right beside it, and the one shows beside the other:
/// then one of the events is of that edit. What counts is what the record showed with our write: what both sides agree on is
/// older where a question of a field is open, or its value refused. An answer may show another form than a reading does.
pub(super) fn beside_edit(
    work: Work<'_>,
    base: &BTreeMap<String, BaseValue>,
    (side, reading): (Side, &Reading),
    own: &OwnWrite,
) -> OwnWrite {
    let is_coarse = own.after.is_none_or(|at| at.as_micros() % 1_000_000 == 0);
    let is_same = own.after == reading.record.updated_at;
    let mut rules = work.sync.policy.fields.iter();
    let mut is_apart = || {
        rules.any(|rule| {
            let known = base.get(&rule.name).map(|base| base.side(side));
            known.is_some_and(|known| !same(rule.equality, known, &reading.value(&rule.name)))
        })
    };
    let mut is_edited = || !own.left.is_empty() && own.left != reading.checksum() && is_apart();
    OwnWrite {
        others_moved: own.others_moved || is_coarse && is_same && is_edited(),
        ..own.clone()
    }
}

/// The fields of a new record for which we had no value, and that have one, which was taken for a default; with nothing,
/// which is what we had put there.
fn taken_for_defaults(work: Work<'_>, link: &Link, side: Side, written: &Fields) -> Fields {
    let rules = work.sync.policy.fields.iter();
    let is_default = |rule: &&FieldRule| {
        let base = link.base.get(&rule.name);
        let is_unsent = written.get(&rule.name).is_none_or(Value::is_null);
        rule.direction.writes(side)
            && is_unsent
            && base.is_some_and(|base| base.side(side.other()).is_null())
    };
    let fields = rules.filter(is_default);
    fields
        .map(|rule| (rule.name.clone(), Value::Null))
        .collect()
}

/// The fields of our last write that show something else, which is no form of what was written, and was taken for one
/// all the same; with what was written.
fn edited_after(
    work: Work<'_>,
    link: &Link,
    side: Side,
    reading: &Reading,
    written: &Fields,
) -> Fields {
    let is_taken_for_a_form = |rule: &&FieldRule| {
        let (Some(sent), Some(base)) = (written.get(&rule.name), link.base.get(&rule.name)) else {
            return false;
        };
        let shown = reading.fields.get(&rule.name).cloned().unwrap_or_default();
        let is = |known: &Value| same(rule.equality, known, &shown);
        is(base.side(side)) && !is(sent) && !is_form_of(&shown, sent)
    };
    let fields = work.sync.policy.fields.iter().filter(is_taken_for_a_form);
    fields
        .map(|rule| (rule.name.clone(), written[&rule.name].clone()))
        .collect()
}

/// Our last confirmed write.
async fn last_written(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<Intent>, WorkError> {
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, record).await?;
    Ok(intents.into_iter().rev().find(|intent| {
        intent.side == side
            && intent.op != IntentOp::Delete
            && intent.state == IntentState::Confirmed
    }))
}

impl Overwritten {
    pub(super) fn question(
        &self,
        work: Work<'_>,
        link: &Link,
        shown: Vec<ShownRecord>,
    ) -> NewConflict {
        let connection = &work.sync.end(self.side).connection;
        tracing::warn!(sync = %work.sync.name, %connection, record = %self.record, event = %self.event.id, "an edit was overwritten that came while a write was on its way");
        NewConflict {
            id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
            sync: work.sync.name.clone(),
            link: Some(link.id),
            side: self.side,
            record: self.record.clone(),
            kind: ConflictKind::Overwritten {
                edited_at: Some(self.edited_at),
                event: Some(self.event.id),
                written: self.written.clone(),
                met: self.met.as_ref().map(|met| met.how.clone()),
            },
            shown,
        }
    }

    pub(super) fn change(&self, work: Work<'_>, link: &Link) -> Change {
        let change = work.change(Operation::Overwrite, link.a.id.as_ref(), link.b.id.as_ref());
        let why = match &self.met {
            Some(met) => met.over(self.side, &self.record, &self.written),
            None => format!(
                "side {} was edited at {} (event {}), between our reading and our write, which went over it",
                self.side, self.edited_at, self.event.id
            ),
        };
        Change {
            link: Some(link.id),
            error: Some(why),
            ..change
        }
    }
}
