//! Fields of which only the answer to our last write has ever shown what it wrote, and that show what stood there before, under a
//! later time. A listing of what changed, which began after our write and ended before that time, has not shown the record: so the
//! system has not carried our write out. Where there was no such listing, somebody has set the value back before anything could
//! show ours, and that is an edit as any.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::{BaseValue, Side};
use tandem_engine::{Direction, FieldRule, same};
use tandem_store::{Event, EventKind, Link, OwnWrite, RunFilter, RunState};

use super::changed::changed;
use super::events_around::APART_FROM_ECHO;
use super::pair::{CLOCK_SLACK, Pair};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// What a system has answered is in its listings after this long.
const SHOWS_AFTER: Duration = Duration::from_secs(10);
/// So many of the last runs of a sync are looked through.
const RUNS: usize = 100;

/// Those fields of a side. Where the other record has changed, too, or is gone, an edit is none the less taken for one: the
/// contest decides, and a delete waits for it. So it is with a field that goes one way, which is put right in either case.
pub(super) async fn fields(
    (work, link): (Work<'_>, &Link),
    base: &BTreeMap<String, BaseValue>,
    pair: &Pair,
    side: Side,
) -> Result<Vec<String>, WorkError> {
    let (Some(own), Some(reading), Some(other)) = (
        &link.side(side).memory.own_write,
        pair.side(side),
        pair.side(side.other()),
    ) else {
        return Ok(Vec::new());
    };
    let is_suspect = |rule: &&FieldRule| {
        let Some(known) = base.get(&rule.name) else {
            return false;
        };
        let found = reading.value(&rule.name);
        own.fields.contains(&rule.name)
            && rule.direction == Direction::Both
            && !same(rule.equality, known.side(side), &found)
            && same(
                rule.equality,
                known.side(side.other()),
                &other.value(&rule.name),
            )
    };
    let rules = work.sync.policy.fields.iter().filter(is_suspect);
    let suspects: Vec<String> = rules.map(|rule| rule.name.clone()).collect();
    if own.made || own.left.is_empty() || other.record.archived || suspects.is_empty() {
        return Ok(Vec::new());
    }
    let (store, record) = (&work.context.store, &reading.record.id);
    let answered = store.answered_only(&work.sync.name, side, record).await?;
    if answered.is_none_or(|answered| answered != own.left)
        || !was_missed(work, side, own, reading).await?
        || was_told_of_both(work, side, own, reading).await?
    {
        return Ok(Vec::new());
    }
    Ok(suspects)
}

/// Whether a listing that would have shown our write has not: it began when what had been answered must show, and ended before
/// the record was changed again.
async fn was_missed(
    work: Work<'_>,
    side: Side,
    own: &OwnWrite,
    reading: &Reading,
) -> Result<bool, WorkError> {
    let Some(changed) = changed(work, side, Some(reading)) else {
        return Ok(false);
    };
    let (since, until) = (
        own.read_at.plus(SHOWS_AFTER),
        changed.earliest.minus(CLOCK_SLACK),
    );
    if until <= since {
        return Ok(false);
    }
    let filter = RunFilter {
        sync: Some(work.sync.name.clone()),
        limit: RUNS,
        ..RunFilter::default()
    };
    let runs = work.context.store.runs(&filter).await?;
    Ok(runs.iter().any(|run| {
        let is_of_side = run.side.is_none_or(|of| of == side);
        let is_whole = matches!(run.state, RunState::Succeeded | RunState::Partial);
        let has_ended = run.ended_at.is_some_and(|ended| ended <= until);
        is_of_side && is_whole && has_ended && run.started_at >= since
    }))
}

/// Whether the system has told of two changes since the record was read for our write: it was carried out, and then somebody has
/// edited the record, who was heard before our own event had it read.
async fn was_told_of_both(
    work: Work<'_>,
    side: Side,
    own: &OwnWrite,
    reading: &Reading,
) -> Result<bool, WorkError> {
    let mut events = work.events_of(side, &reading.record.id).await?;
    events.retain(|event| event.received_at >= own.read_at && event.kind != EventKind::Deleted);
    let Some((last, earlier)) = events.split_last() else {
        return Ok(false);
    };
    // One change may be told of more than once.
    let is_another = |one: &Event| match (one.said_at(), last.said_at()) {
        (Some(one), Some(last)) => one.since(last).max(last.since(one)) > APART_FROM_ECHO,
        _ => true,
    };
    Ok(earlier.iter().any(is_another))
}
