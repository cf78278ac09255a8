//! Both records of a link, as the systems show them now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_connectors::ConnectorError;
use tandem_domain::{Side, Timestamp, Value};
use tandem_engine::{Gone, Presence, Snapshot};
use tandem_store::{Intent, Link};

use super::changed::{self, Edit};
use super::emptied;
use super::seen::{Known, Typed};
use crate::executor::Work;
use crate::readings::{self, Answer, Reading};

/// A reading is fresh for at least so long after it ended: what follows at once takes some time as well.
const FRESH_MIN: Duration = Duration::from_millis(10);
/// Systems tell the time of a change in whole seconds, and their clocks are known to about one.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// One look at one record.
pub(super) struct Look {
    /// What there was; `None` when the system says that there is no such record, or that it was merged into another.
    pub(super) reading: Option<Reading>,
    /// The other record with which the system answers.
    pub(super) merged_into: Option<Box<Reading>>,
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

    /// The record into which the one of a side was merged. It is not of the pair: it may have a partner of its own.
    pub(super) fn merged_into(&self, side: Side) -> Option<&Reading> {
        self.look(side).merged_into.as_deref()
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
    let answer = match &link.side(side).id {
        Some(id) => readings::ask(work.sync, side, id, work.claimed.job.hints).await?,
        None => Answer::Missing,
    };
    let (mut reading, merged_into) = match answer {
        Answer::Here(reading) => (Some(*reading), None),
        Answer::Merged { into } => (None, Some(into)),
        Answer::Missing => (None, None),
    };
    if let Some(reading) = &mut reading {
        leave_out(link, side, reading);
    }
    let ended = work.context.now();
    Ok(Look {
        reading,
        merged_into,
        began,
        ended,
    })
}

/// Where a record is as old as it was when it had a value, nobody has emptied the field since: the system says nothing of it,
/// whatever it puts in its place. Nor does a record that shows nothing at all of what it held.
fn leave_out(link: &Link, side: Side, reading: &mut Reading) {
    let unsaid = unsaid(link, side, reading);
    reading.left_out.extend(unsaid);
}

/// The fields that are empty in an answer which says nothing of them, see [`leave_out`].
pub fn unsaid(link: &Link, side: Side, reading: &Reading) -> BTreeSet<String> {
    let known = link.side(side);
    let is_as_old = reading.record.updated_at.is_some()
        && reading.record.updated_at == known.updated_at
        && reading.record.version == known.version;
    if !is_as_old && !emptied::shows_nothing(link, side, reading) {
        return BTreeSet::new();
    }
    let had_value = link
        .base
        .iter()
        .filter(|(_, base)| !base.side(side).is_null());
    let hidden =
        had_value.filter(|(field, _)| reading.fields.get(*field).is_some_and(Value::is_null));
    hidden.map(|(field, _)| field.clone()).collect()
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
    let edits = changed::edits(work, link, moved, pair);
    let mut edits = edits.into_iter();
    Side::BOTH.map(|side| {
        let edit = edits.next().flatten();
        let typed = pair
            .side(side)
            .map(|reading| known.typed(work, side, reading));
        presence(side, pair, edit, typed.unwrap_or_default())
    })
}

fn presence(side: Side, pair: &Pair, edit: Option<Edit>, typed: Typed) -> Presence {
    // Where the system says when, a reading that was behind says nothing.
    let mut unseen_at = typed.unseen_at;
    let until = edit.and_then(|edit| edit.until);
    unseen_at.retain(|_, at| until.is_some_and(|until| *at <= until));
    match pair.side(side) {
        None => Presence::Gone(Gone::Deleted),
        Some(reading) if reading.record.archived && pair.side(side.other()).is_none() => {
            Presence::Gone(Gone::Archived)
        }
        Some(reading) if reading.counts_as_gone => Presence::Gone(Gone::Archived),
        Some(reading) => Presence::Here(Snapshot {
            fields: reading.fields.clone(),
            edited_at: edit.map(|edit| edit.at),
            seen_at: typed.seen_at,
            unseen_at,
            covered: BTreeMap::new(),
        }),
    }
}
