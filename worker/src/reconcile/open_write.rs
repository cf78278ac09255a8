//! Writes whose end the journal does not know, as the recovery looks at them.

use std::time::Duration;

use tandem_domain::{Fields, Side, Timestamp};
use tandem_engine::{OpenWrite, Recovered, Seen, WriteOp, recover};
use tandem_store::{FieldChange, Intent, IntentOp, IntentState, Link};

use super::changed::{changed, could_be_of, is_of_acknowledged};
use super::lost_create::RESEND_TIMEOUTS;
use super::pair::{Look, Pair};
use crate::executor::Work;
use crate::readings::Reading;

/// Whether the record was last changed about when the values were sent that it did not show.
pub(super) fn shows_time_of_unseen(work: Work<'_>, link: &Link, pair: &Pair, side: Side) -> bool {
    let memory = &link.side(side).memory;
    changed(work, side, pair.side(side)).is_some_and(|changed| is_of_acknowledged(memory, changed))
}

pub(super) fn shows_time_of(work: Work<'_>, reading: Option<&Reading>, intent: &Intent) -> bool {
    changed(work, intent.side, reading).is_some_and(|changed| could_be_of(work, intent, changed))
}

pub(super) fn unseen(side: Side, values: &Fields, at_its_time: bool) -> OpenWrite<'_> {
    OpenWrite {
        side,
        op: WriteOp::Update,
        fields: values,
        before: values,
        was_sent: true,
        under_way: false,
        at_its_time,
        answered: true,
    }
}

pub(super) const fn write_op(op: IntentOp) -> WriteOp {
    match op {
        IntentOp::Create => WriteOp::Create,
        IntentOp::Update => WriteOp::Update,
        IntentOp::Delete => WriteOp::Delete,
    }
}

/// What the record held in the fields of a write when it was decided.
pub(super) fn stood_before(intent: &Intent) -> Fields {
    let of_side = |decided: &FieldChange| match intent.side {
        Side::A => decided.a.clone(),
        Side::B => decided.b.clone(),
    };
    intent
        .decided
        .iter()
        .map(|decided| (decided.field.clone(), of_side(decided)))
        .collect()
}

pub(super) fn open_write<'i>(
    work: Work<'_>,
    intent: &'i Intent,
    before: &'i Fields,
    at_its_time: bool,
) -> OpenWrite<'i> {
    OpenWrite {
        side: intent.side,
        op: write_op(intent.op),
        fields: &intent.fields,
        before,
        was_sent: intent.state != IntentState::Planned,
        under_way: may_be_under_way(work, intent, work.context.now()),
        at_its_time,
        answered: false,
    }
}

/// Whether a request that was sent without an answer may still have its effect.
pub(super) fn may_be_under_way(work: Work<'_>, intent: &Intent, now: Timestamp) -> bool {
    since_sent(intent, now) < may_land_for(work, intent)
}

pub(super) fn since_sent(intent: &Intent, now: Timestamp) -> Duration {
    now.since(intent.sent_at.unwrap_or(intent.created_at))
}

/// How long an update without an answer may still be under way.
pub(super) fn may_land_for(work: Work<'_>, intent: &Intent) -> Duration {
    work.sync.end(intent.side).connector.timeout() * RESEND_TIMEOUTS
}

/// Whether a record shows what was sent to it.
pub(super) fn has_landed(work: Work<'_>, link: &Link, intent: &Intent, now: &Look) -> bool {
    let before = stood_before(intent);
    let reading = now.reading.as_ref();
    let at_its_time = shows_time_of(work, reading, intent);
    let write = open_write(work, intent, &before, at_its_time);
    let seen = seen_in(reading);
    recover(&work.sync.policy, &link.base, write, seen) == Recovered::Confirmed
}

pub(super) fn seen(pair: &Pair, side: Side) -> Seen<'_> {
    seen_in(pair.side(side))
}

pub(super) fn seen_in(reading: Option<&Reading>) -> Seen<'_> {
    match reading {
        Some(reading) if !reading.record.archived => Seen::Here(&reading.fields),
        Some(_) | None => Seen::Gone,
    }
}
