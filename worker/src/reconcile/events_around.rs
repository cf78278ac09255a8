//! Which events that came around a write of ours are of edits that it went over: they are placed by their times.

use std::time::Duration;

use tandem_domain::{Side, Timestamp};
use tandem_store::{ChangeFilter, Event, EventKind, Intent, IntentOp, Link, OwnWrite};

use super::changed::has_usable_times;
use super::pair::{CLOCK_SLACK, Look};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// Only events that came after our reading, or hardly before, can be of an edit that it does not show.
pub(super) const HEARD_BEFORE: Duration = CLOCK_SLACK;
/// Some systems tell in an event of a change another time than the record has: an event this close to the change before
/// may be of that change.
pub(super) const APART_FROM_BEFORE: Duration = Duration::from_secs(1);
/// The event of the change that a record shows is this close.
const APART_FROM_RECORD: Duration = APART_FROM_BEFORE;
/// Some systems tell of one change in several events, moments apart.
pub(super) const APART_FROM_ECHO: Duration = Duration::from_millis(5);
/// So many of the last entries of the change log of a pair are asked for one write.
const LOGGED: usize = 50;

/// The events of changes before the one that the record shows, newest first, each with how long before that one it
/// was. All times are as the system said them: what is known of its clock changes. Its events may tell other times than
/// its records; but the event of the change that the record shows is among them, so the others are placed by their
/// distance from it. What was heard since the record was read may be of a change that the reading does not show.
pub(super) async fn earlier_events(
    work: Work<'_>,
    side: Side,
    look: &Look,
    own: &OwnWrite,
) -> Result<Vec<(Event, Duration)>, WorkError> {
    let (Some(after), Some(reading)) = (own.after, &look.reading) else {
        return Ok(Vec::new());
    };
    let mut events = work.events_of(side, &reading.record.id).await?;
    let since = own.read_at.minus(HEARD_BEFORE);
    events.retain(|event| {
        let is_heard = event.received_at >= since && event.received_at <= look.began;
        event.kind != EventKind::Deleted && is_heard
    });
    // The record may show a local time that comes twice, and the event tell which of the two it is.
    let times = [Some(after), reading.record.updated_again];
    let is_near = |at: &Timestamp| {
        let mut times = times.iter().flatten();
        times.any(|time| apart(*at, *time) < APART_FROM_RECORD)
    };
    let last = events.iter().filter_map(exact_time).filter(is_near).max();
    let Some(last) = last else {
        return Ok(while_under_way(work, side, events, own, after));
    };
    let offset = after.as_micros() - last.as_micros();
    let earlier = events.into_iter().filter_map(|event| {
        let at = exact_time(&event)?.shifted(offset);
        let is_later_than_before = own
            .before
            .is_none_or(|before| at > before.plus(APART_FROM_BEFORE));
        (is_later_than_before && at < after.minus(APART_FROM_ECHO))
            .then(|| (event, after.since(at)))
    });
    Ok(earlier.collect())
}

/// A system need not tell of what we write. Then events have no other to be placed by; but one whose time lies between our
/// reading and the moment when our write took effect, and well before that, is of an edit that came while the write was on
/// its way. For a write that takes its moment there is no such time.
fn while_under_way(
    work: Work<'_>,
    side: Side,
    events: Vec<Event>,
    own: &OwnWrite,
    after: Timestamp,
) -> Vec<(Event, Duration)> {
    if !has_usable_times(work, side) {
        return Vec::new();
    }
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let read_at = own.read_at.shifted(offset);
    let earlier = events.into_iter().filter_map(|event| {
        let at = exact_time(&event)?;
        let is_new = own
            .before
            .is_none_or(|before| at > before.plus(APART_FROM_BEFORE));
        let is_meanwhile = is_new && at > read_at && at < after.minus(APART_FROM_RECORD);
        is_meanwhile.then(|| (event, after.since(at)))
    });
    earlier.collect()
}

/// Until when a write may have taken effect, by our clock: it was answered, or found out about, by then.
pub(super) async fn until(
    work: Work<'_>,
    link: &Link,
    write: &Intent,
    look: &Look,
) -> Result<Timestamp, WorkError> {
    let filter = ChangeFilter {
        link: Some(link.id),
        limit: LOGGED,
        ..ChangeFilter::default()
    };
    let logged = work.context.store.changes(&filter).await?;
    let of_it = logged.iter().find(|one| one.intent == Some(write.id));
    Ok(of_it.map_or(look.began, |one| one.at))
}

/// Where a record does not say when it was changed, nothing places the events. But of those between our reading and the end of
/// our write each sending of it has one, and those before them are of edits. Without the event of our write an edit cannot be
/// told from it.
pub(super) async fn told_meanwhile(
    work: Work<'_>,
    (side, reading): (Side, &Reading),
    own: &OwnWrite,
    (write, until): (&Intent, Timestamp),
) -> Result<Vec<(Event, Duration)>, WorkError> {
    if write.op != IntentOp::Update || !has_usable_times(work, side) {
        return Ok(Vec::new());
    }
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let (since, until) = (own.read_at.shifted(offset), until.shifted(offset));
    let events = work.events_of(side, &reading.record.id).await?;
    let timed = events.into_iter().filter_map(|event| {
        let at = exact_time(&event).filter(|at| *at > since && *at <= until)?;
        (event.kind != EventKind::Deleted).then_some((event, at))
    });
    let mut timed: Vec<(Event, Timestamp)> = timed.collect();
    timed.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    for _ in 0..write.sends.max(1) {
        let Some(last) = timed.first().map(|(_, at)| at.minus(APART_FROM_ECHO)) else {
            break;
        };
        timed.retain(|(_, at)| *at < last);
    }
    let earlier = timed.into_iter();
    Ok(earlier
        .map(|(event, at)| (event, until.since(at)))
        .collect())
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

/// The event of an edit that our write went over. Where an edit of another field stands beside our write, one of the
/// events is of that.
pub(super) fn went_under(own: &OwnWrite, earlier: Vec<(Event, Duration)>) -> Option<Event> {
    if own.before.is_none() && own.after.is_some() {
        return None;
    }
    let mut apart: Vec<Duration> = Vec::new();
    for (_, one) in &earlier {
        if apart
            .iter()
            .all(|other| one.abs_diff(*other) > APART_FROM_ECHO)
        {
            apart.push(*one);
        }
    }
    let standing = usize::from(own.others_moved);
    let event = earlier.into_iter().next().map(|(event, _)| event);
    event.filter(|_| apart.len() > standing)
}

/// The event of a record that a create of ours met: what it tells of happened before anything was sent. Clocks are known
/// to about a second, and some not at all: so it must also lie well before the change that the record shows.
pub(super) fn was_there_before(own: &OwnWrite, earlier: &[(Event, Duration)]) -> Option<Event> {
    let mut told = earlier.iter().filter(|(_, apart)| *apart > CLOCK_SLACK);
    let before = told.find(|(event, _)| {
        let happened = event.occurred_at;
        happened.is_some_and(|at| at.plus(CLOCK_SLACK) < own.read_at)
    });
    before.map(|(event, _)| event.clone())
}

/// As the system said it. A time in whole seconds is too coarse to say on which side of our write it lies.
pub(super) fn exact_time(event: &Event) -> Option<Timestamp> {
    event.said_at().filter(|at| at.as_micros() % 1_000_000 != 0)
}
