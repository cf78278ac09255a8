//! Both records of a link, as the systems show them now.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_connectors::ConnectorError;
use tandem_domain::{Side, Timestamp};
use tandem_engine::{Between, Gone, Presence, Snapshot};
use tandem_store::{Intent, Link, SideMemory};

use super::seen::Known;
use crate::executor::Work;
use crate::readings::{self, Reading};

/// A reading is fresh for at least so long after it ended: what follows at once takes some time as well.
const FRESH_MIN: Duration = Duration::from_millis(10);
/// Systems tell the time of a change in whole seconds, and their clocks are known to about one.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// A record's time that is further ahead than this is none.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// One look at one record.
pub(super) struct Look {
    /// What there was; `None` when the system says that there is no such record.
    pub(super) reading: Option<Reading>,
    /// When it was asked for.
    pub(super) began: Timestamp,
    /// When it was answered.
    pub(super) ended: Timestamp,
}

impl Look {
    /// Whether the record can hardly have changed since: the reading is not older than it took.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.ended) <= self.ended.since(self.began).max(FRESH_MIN)
    }
}

/// Both records as first read.
pub(super) struct Pair {
    pub(super) a: Look,
    pub(super) b: Look,
}

impl Pair {
    pub(super) const fn look(&self, side: Side) -> &Look {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// Has a side be without a record: what was read is not the one of the pair.
    pub(super) const fn take(&mut self, side: Side) -> Option<Reading> {
        match side {
            Side::A => self.a.reading.take(),
            Side::B => self.b.reading.take(),
        }
    }

    pub(super) const fn side_mut(&mut self, side: Side) -> Option<&mut Reading> {
        match side {
            Side::A => self.a.reading.as_mut(),
            Side::B => self.b.reading.as_mut(),
        }
    }

    pub(super) const fn side(&self, side: Side) -> Option<&Reading> {
        self.look(side).reading.as_ref()
    }
}

pub(super) async fn read_both(work: Work<'_>, link: &Link) -> Result<Pair, ConnectorError> {
    let (a, b) = futures::try_join!(look(work, link, Side::A), look(work, link, Side::B))?;
    Ok(Pair { a, b })
}

/// Reads the record of one side.
pub(super) async fn look(work: Work<'_>, link: &Link, side: Side) -> Result<Look, ConnectorError> {
    let began = work.context.now();
    let reading = match &link.side(side).id {
        Some(id) => readings::read(work.sync, side, id, work.claimed.job.hints).await?,
        None => None,
    };
    let ended = work.context.now();
    Ok(Look {
        reading,
        began,
        ended,
    })
}

/// Both sides as the engine looks at them. A record that is out of use, and whose partner is deleted, is not made again
/// elsewhere: it counts as gone even where the sync keeps such records in agreement. `moved` are the open writes that may
/// have moved the times; all that is `known` of writes tells when values were seen.
pub(super) fn presences(
    work: Work<'_>,
    link: &Link,
    (moved, known): (&[&Intent], &Known),
    pair: &Pair,
) -> [Presence; 2] {
    let edits = Side::BOTH.map(|side| {
        let reading = pair.side(side)?;
        edited(work, link, moved, side, reading)
    });
    let is_guessed = |edit: &Option<Edited>| matches!(edit, Some(Edited::Guessed { .. }));
    // Where both times may be those of our own writes, neither says more than the system does.
    let plain = edits.iter().all(is_guessed);
    let mut edits = edits.into_iter();
    Side::BOTH.map(|side| {
        let edit = edits.next().flatten();
        let seen_at = pair.side(side).map(|reading| known.seen_at(side, reading));
        let edited_at = edit.map(|edit| edit.at(plain));
        presence(side, pair, edited_at, seen_at.unwrap_or_default())
    })
}

fn presence(
    side: Side,
    pair: &Pair,
    edited_at: Option<Timestamp>,
    seen_at: BTreeMap<String, Timestamp>,
) -> Presence {
    match pair.side(side) {
        None => Presence::Gone(Gone::Deleted),
        Some(reading) if reading.record.archived && pair.side(side.other()).is_none() => {
            Presence::Gone(Gone::Archived)
        }
        Some(reading) if reading.counts_as_gone => Presence::Gone(Gone::Archived),
        Some(reading) => Presence::Here(Snapshot {
            fields: reading.fields.clone(),
            edited_at,
            seen_at,
        }),
    }
}

/// When somebody edited a record, by our clock.
enum Edited {
    /// The system says so, or an event does.
    At(Timestamp),
    /// Its last change is a write of ours, or may be one whose answer was lost.
    Guessed {
        /// As the system says.
        changed: Timestamp,
        /// The earliest.
        earliest: Timestamp,
    },
}

impl Edited {
    const fn at(self, plain: bool) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Guessed { changed, .. } if plain => changed,
            Self::Guessed { earliest, .. } => earliest,
        }
    }
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
    let Some(changed) = reading.record.updated_at else {
        return reading.edited_at.map(Edited::At);
    };
    let offset = work.sync.end(side).connector.clock_offset_micros();
    if changed.shifted(-offset) > work.context.now().plus(AHEAD_MAX) {
        // A time that has not come yet says nothing about when the record was edited.
        return None;
    }
    if let Some(own) = &link.side(side).memory.own_write
        && own.after == Some(changed)
    {
        // An event this close to our write is its echo: clocks are known to about a second.
        let until = changed.shifted(-offset).minus(CLOCK_SLACK);
        let from = own.before.map(|before| before.shifted(-offset));
        let told = readings::hint(work.claimed.job.hints, side)
            .filter(|told| *told < until && from.is_none_or(|from| *told > from));
        return Some(match told {
            Some(told) => Edited::At(told),
            None => Edited::Guessed {
                changed: changed.shifted(-offset),
                earliest: own.read_at,
            },
        });
    }
    let changed = changed.shifted(-offset);
    // A write that was answered and did not show when it was read back moves the time when it shows.
    let memory = &link.side(side).memory;
    if let Some(own) = &memory.own_write
        && is_of_acknowledged(memory, changed)
    {
        return Some(Edited::Guessed {
            changed,
            earliest: own.read_at,
        });
    }
    // A write whose end is not known may have moved the time as well, though it shows nothing: a system may drop the value.
    let ours = moved
        .iter()
        .find(|intent| intent.side == side && could_be_of(work, intent, changed));
    Some(match ours {
        Some(intent) => Edited::Guessed {
            changed,
            earliest: intent.created_at,
        },
        None => Edited::At(changed),
    })
}

/// When a record was last changed, by our clock.
pub(super) fn changed(work: Work<'_>, side: Side, reading: Option<&Reading>) -> Option<Timestamp> {
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let changed = reading?.record.updated_at?;
    Some(changed.shifted(-offset))
}

/// Whether a change at this time, by our clock, can be that of a write whose answer was lost.
pub(super) fn could_be_of(work: Work<'_>, intent: &Intent, changed: Timestamp) -> bool {
    let timeout = work.sync.end(intent.side).connector.timeout();
    let until = timeout + CLOCK_SLACK;
    let sent = intent.sent_at;
    sent.is_some_and(|sent| changed >= sent.minus(CLOCK_SLACK) && changed <= sent.plus(until))
}

/// Whether the last change of a record that a create of ours made can be its creation. Otherwise somebody edited it
/// since, and the time is theirs.
pub(super) fn could_be_made_so(work: Work<'_>, intent: &Intent, made: &Reading) -> bool {
    let (side, record) = (intent.side, &made.record);
    let Some(changed) = changed(work, side, Some(made)) else {
        return true;
    };
    let timeout = work.sync.end(side).connector.timeout();
    let sent = intent.sent_at.unwrap_or(intent.created_at);
    // An earlier sending of it may have made the record.
    let until = sent.plus(timeout + CLOCK_SLACK);
    let from = intent.created_at.minus(CLOCK_SLACK);
    record.created_at == record.updated_at || (changed >= from && changed <= until)
}

/// Whether a change at this time, by our clock, can be that of our last write, which was answered and did not show.
pub(super) fn is_of_acknowledged(memory: &SideMemory, changed: Timestamp) -> bool {
    let Some(own) = &memory.own_write else {
        return false;
    };
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
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let changed = reading.record.updated_at.map(|at| at.shifted(-offset));
    match changed {
        Some(changed) if changed > answered.plus(CLOCK_SLACK) => Between::Somebody,
        Some(_) | None => Between::Unknown,
    }
}

/// What the times of a record say of the time since it was made by a create whose answer was lost. Equal times say
/// little: many systems count in whole seconds.
pub(super) fn since_made(work: Work<'_>, intent: &Intent, reading: &Reading) -> Between {
    if !could_be_made_so(work, intent, reading) {
        return Between::Somebody;
    }
    match (reading.record.created_at, reading.record.updated_at) {
        (Some(made), Some(changed)) if changed > made => Between::Somebody,
        _ => Between::Perhaps,
    }
}
