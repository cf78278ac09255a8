//! When a record was changed, and by whom, as far as times say. A record has one time of change, in seconds often, by a clock
//! that is known to about one; our own writes move it; and a local time without an offset comes twice in the night when
//! clocks are put back.

use std::time::Duration;

use tandem_domain::{Side, Timestamp};
use tandem_engine::Between;
use tandem_store::{Intent, Link, SideMemory};

use super::lost_create::lands_within;
use super::own_write::is_of;
use super::pair::{CLOCK_SLACK, Pair};
use crate::executor::Work;
use crate::readings::{self, Reading};

/// A record's time that is further ahead than this is none.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// When a record was last changed, by our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// The first of two times where it may be either, and one only otherwise.
    pub(super) earliest: Timestamp,
    /// The second of them.
    pub(super) latest: Timestamp,
}

impl Changed {
    /// The one of its times that is nearer to another one.
    pub(super) fn near(self, at: Timestamp) -> Timestamp {
        let apart = |time: Timestamp| time.since(at).max(at.since(time));
        if apart(self.latest) < apart(self.earliest) {
            self.latest
        } else {
            self.earliest
        }
    }

    /// The one that it is, where something tells: the times of a record do not go back, and an event tells of a change right
    /// when it was made.
    fn settled(self, known: Option<Timestamp>, told: Option<Timestamp>) -> Option<Timestamp> {
        let is_past = |at: Timestamp| at > self.earliest.plus(CLOCK_SLACK);
        if self.earliest == self.latest {
            Some(self.earliest)
        } else if known.is_some_and(is_past) {
            Some(self.latest)
        } else {
            told.filter(|told| !is_past(*told) || *told >= self.latest.minus(CLOCK_SLACK))
                .map(|told| self.near(told))
        }
    }
}

/// Whether the times that a side gives its records can be held against ours.
pub(super) fn has_usable_times(work: Work<'_>, side: Side) -> bool {
    let connector = &work.sync.end(side).connector;
    connector.clock_state().has_usable_times()
}

/// When a record was last changed. What is still to come is no time of a change, and where the system's clock is known to
/// be wrong none is.
pub(super) fn changed(work: Work<'_>, side: Side, reading: Option<&Reading>) -> Option<Changed> {
    if !has_usable_times(work, side) {
        return None;
    }
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let record = &reading?.record;
    let earliest = record.updated_at?.shifted(-offset);
    let again = record.updated_again.map(|again| again.shifted(-offset));
    let until = work.context.now().plus(CLOCK_SLACK);
    let latest = again.filter(|again| *again <= until).unwrap_or(earliest);
    Some(Changed { earliest, latest })
}

/// When somebody edited a record, by our clock.
#[derive(Clone, Copy)]
enum Edited {
    /// The system says so, or an event does.
    At(Timestamp),
    /// At one of two times, and nothing tells at which.
    Either(Changed),
    /// Its last change is a write of ours, or may be one whose answer was lost.
    Guessed {
        /// As the system says.
        changed: Timestamp,
        /// The earliest.
        earliest: Timestamp,
    },
}

/// When somebody edited a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    /// As nearly as it is known.
    pub(super) at: Timestamp,
    /// At the latest, where `at` is the earliest.
    pub(super) until: Option<Timestamp>,
}

impl Edited {
    const fn until(self, plain: bool) -> Option<Timestamp> {
        match self {
            Self::Guessed { changed, .. } if !plain => Some(changed),
            Self::Guessed { .. } | Self::At(_) | Self::Either(_) => None,
        }
    }

    const fn span(self, plain: bool) -> Changed {
        match self {
            Self::Guessed { changed, .. } if plain => Changed::at(changed),
            Self::At(at) | Self::Guessed { earliest: at, .. } => Changed::at(at),
            Self::Either(span) => span,
        }
    }
}

impl Changed {
    const fn at(at: Timestamp) -> Self {
        Self {
            earliest: at,
            latest: at,
        }
    }

    /// Whether one of its two times is before another change and one after it.
    fn is_around(self, other: Self) -> bool {
        self.earliest != self.latest
            && self.earliest <= other.latest
            && self.latest >= other.earliest
    }
}

/// When somebody edited each record of a pair, as far as it is known. `moved` are the open writes that may have moved the
/// times. Where it decides which edit was the later one, and may be before or after the other, it is not known.
pub(super) fn edits(
    work: Work<'_>,
    link: &Link,
    moved: &[&Intent],
    pair: &Pair,
) -> [Option<Edit>; 2] {
    let edits = Side::BOTH.map(|side| edited(work, link, moved, side, pair.side(side)?));
    let is_guessed = |edit: &Option<Edited>| matches!(edit, Some(Edited::Guessed { .. }));
    // Where both times may be those of our own writes, neither says more than the system does.
    let plain = edits.iter().all(is_guessed);
    let span = |edit: Option<Edited>| edit.map(|edit| edit.span(plain));
    let [a, b] = edits;
    [(a, b), (b, a)].map(|(edit, other)| {
        let own = span(edit)?;
        let other = span(other);
        let is_unclear = other.is_some_and(|other| own.is_around(other));
        // The journal may know that the other was typed sooner than its record says.
        let is_before = other.is_some_and(|other| own.latest < other.earliest);
        (!is_unclear).then(|| Edit {
            at: if is_before { own.latest } else { own.earliest },
            until: edit.and_then(|edit| edit.until(plain)),
        })
    })
}

/// A write of ours, be it to another field, moves the record's time of change; it must not make that side the later
/// one. What was edited all the same was edited before our write: at the time that an event told, or at the earliest
/// when we read the record for that write.
fn edited(
    work: Work<'_>,
    link: &Link,
    moved: &[&Intent],
    side: Side,
    reading: &Reading,
) -> Option<Edited> {
    let Some(changed) = changed(work, side, Some(reading)) else {
        return reading.edited_at.map(Edited::At);
    };
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let told = readings::hint(work.claimed.job.hints, side);
    let memory = &link.side(side).memory;
    if changed.earliest > work.context.now().plus(AHEAD_MAX) {
        // A time that has not come yet says nothing about when the record was edited.
        return None;
    }
    if let Some(own) = &memory.own_write
        && own.after == reading.record.updated_at
    {
        // An event this close to our write is its echo: clocks are known to about a second.
        let changed = changed.near(own.read_at);
        let until = changed.minus(CLOCK_SLACK);
        let from = own.before.map(|before| before.shifted(-offset));
        let told = told.filter(|told| *told < until && from.is_none_or(|from| *told > from));
        return Some(match told {
            Some(told) => Edited::At(told),
            None => Edited::Guessed {
                changed,
                earliest: own.read_at,
            },
        });
    }
    // A write that was answered and did not show when it was read back moves the time when it shows.
    if let Some(own) = &memory.own_write
        && is_of_acknowledged(memory, changed)
    {
        return Some(Edited::Guessed {
            changed: changed.near(own.read_at),
            earliest: own.read_at,
        });
    }
    // A write whose end is not known may have moved the time as well, though it shows nothing: a system may drop the value.
    let dated = memory.own_write.as_ref();
    let mut of_side = moved.iter().filter(|intent| intent.side == side);
    // Of one that was answered is known which time it has left.
    let ours =
        of_side.find(|intent| !is_of(work, dated, intent) && could_be_of(work, intent, changed));
    if let Some(intent) = ours {
        return Some(Edited::Guessed {
            changed: changed.near(intent.created_at),
            earliest: intent.created_at,
        });
    }
    let known = link.side(side).updated_at.map(|at| at.shifted(-offset));
    let settled = changed.settled(known, told);
    Some(settled.map_or(Edited::Either(changed), Edited::At))
}

/// Whether a change at this time, by our clock, can be that of a write whose answer was lost.
pub(super) fn could_be_of(work: Work<'_>, intent: &Intent, changed: Changed) -> bool {
    let timeout = work.sync.end(intent.side).connector.timeout();
    let until = timeout + CLOCK_SLACK;
    let sent = intent.sent_at;
    sent.is_some_and(|sent| {
        let changed = changed.near(sent);
        changed >= sent.minus(CLOCK_SLACK) && changed <= sent.plus(until)
    })
}

/// Whether nobody has changed a record since it was made, as its own times say.
pub(super) fn is_as_made(reading: &Reading) -> bool {
    let record = &reading.record;
    record.created_at.is_some() && record.created_at == record.updated_at
}

/// Whether the last change of a record that a create of ours made can be its creation. Otherwise somebody edited it
/// since, and the time is theirs.
pub(super) fn could_be_made_so(work: Work<'_>, intent: &Intent, made: &Reading) -> bool {
    let timeout = work.sync.end(intent.side).connector.timeout();
    is_made_within(work, intent, made, timeout)
}

/// Whether a record was last changed at most this long after its create was sent.
fn is_made_within(work: Work<'_>, intent: &Intent, made: &Reading, within: Duration) -> bool {
    let (side, record) = (intent.side, &made.record);
    let Some(changed) = changed(work, side, Some(made)) else {
        return true;
    };
    let sent = intent.sent_at.unwrap_or(intent.created_at);
    // An earlier sending of it may have made the record.
    let until = sent.plus(within + CLOCK_SLACK);
    let from = intent.created_at.minus(CLOCK_SLACK);
    let changed = changed.near(sent);
    record.created_at == record.updated_at || (changed >= from && changed <= until)
}

/// Whether a change at this time, by our clock, can be that of our last write, which was answered and did not show.
pub(super) fn is_of_acknowledged(memory: &SideMemory, changed: Changed) -> bool {
    let Some(own) = &memory.own_write else {
        return false;
    };
    let changed = changed.near(own.read_at);
    let mut unseen = memory.unseen.values().filter(|unseen| !unseen.lost);
    unseen.any(|unseen| {
        changed >= own.read_at.minus(CLOCK_SLACK) && changed <= unseen.since.plus(CLOCK_SLACK)
    })
}

/// What the times of a record say of the moment between a write that was answered at `answered`, by our clock, and
/// the reading of it.
pub(super) fn between(
    work: Work<'_>,
    side: Side,
    reading: &Reading,
    answered: Timestamp,
) -> Between {
    match changed(work, side, Some(reading)) {
        Some(changed) if changed.earliest > answered.plus(CLOCK_SLACK) => Between::Somebody,
        Some(_) | None => Between::Unknown,
    }
}

/// What the times of a record say of the time since it was made by a create whose answer was lost. Equal times say
/// little: many systems count in whole seconds.
pub(super) fn since_made(work: Work<'_>, intent: &Intent, reading: &Reading) -> Between {
    // It may have landed long after it was sent.
    if !is_made_within(work, intent, reading, lands_within(work, intent)) {
        return Between::Somebody;
    }
    match (reading.record.created_at, reading.record.updated_at) {
        (Some(made), Some(changed)) if changed > made => Between::Somebody,
        _ => Between::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    const TWICE: Changed = Changed {
        earliest: at(1_000),
        latest: at(4_600),
    };

    #[test]
    fn of_a_time_that_comes_twice_what_was_seen_before_or_an_event_tells_which_it_is() {
        assert_eq!(TWICE.settled(None, None), None);
        assert_eq!(TWICE.settled(Some(at(900)), None), None);
        assert_eq!(TWICE.settled(Some(at(1_200)), None), Some(at(4_600)));
        assert_eq!(TWICE.settled(None, Some(at(4_601))), Some(at(4_600)));
        assert_eq!(TWICE.settled(None, Some(at(1_001))), Some(at(1_000)));
        // It may be of an earlier change, or come late.
        assert_eq!(TWICE.settled(None, Some(at(3_000))), None);
        assert_eq!(Changed::at(at(7)).settled(None, None), Some(at(7)));
    }

    #[test]
    fn a_time_that_comes_twice_decides_only_what_is_before_or_after_both() {
        for (other, is_unclear) in [(999, false), (1_000, true), (3_000, true), (4_601, false)] {
            assert_eq!(
                TWICE.is_around(Changed::at(at(other))),
                is_unclear,
                "{other}"
            );
        }
    }
}
