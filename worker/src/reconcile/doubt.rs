//! What a system says of a linked record and is not believed at once: that it is not there, or that it is as it was
//! long ago. Both are what a replica shows that lags behind, for a moment. So it is looked for again, after waits that
//! grow, and believed only when it still says so after a while; sooner where an event said that the record was deleted.

use std::time::Duration;

use tandem_domain::{Side, Timestamp};
use tandem_engine::{Marks, Mistaken, mistaken};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Confirmation, Doubt, EventKind, IndexedRecord, Link, SetBackSign, SideState, Waiting,
};

use super::changed::changed;
use super::pair::{CLOCK_SLACK, Pair};
use super::set_back;
use super::shown;
use super::went_back;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{Reading, hint};

/// The wait before the second look; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// No wait between two looks is longer.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A delete that an event told of is believed after this long, if that is sooner.
pub(super) const TOLD_AFTER: Duration = Duration::from_secs(5);
/// What was said longer before the last look says nothing: the record may have been there in between.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// It is never believed on fewer looks.
const LOOKS_MIN: u32 = 2;
/// An event that is later than the record by less than this tells of the same change.
const BEHIND_BY: Duration = CLOCK_SLACK;
/// A record that stays behind an event for so long is as it is: some systems tell the time of sending.
const BEHIND_FOR: Duration = Duration::from_secs(30);
/// Each event asks for that anew, but somebody who edits without pause must not hold up everything for longer than this.
const BEHIND_MAX: Duration = Duration::from_secs(120);

/// What a reading says that is not believed at once.
enum Said {
    /// There is no such record.
    Missing,
    /// It is as it was before.
    Older,
    /// It is as it was before our last write.
    AsBefore,
    /// It is as it was before an edit that an event told of.
    Behind,
}

/// Looks again later when one of the records is in doubt, and has not been for long enough.
pub(super) async fn wait(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
) -> Result<Option<Performed>, WorkError> {
    let said = [
        said(work, link, Side::A, pair).await?,
        said(work, link, Side::B, pair).await?,
    ];
    if said.iter().all(Option::is_none) {
        return dispel(work, link).await;
    }
    let now = work.context.now();
    let seen = undoubted(work, pair, &said);
    let mut states = [link.a.clone(), link.b.clone()];
    let mut wait: Option<Duration> = None;
    let mut reason = Waiting::Elsewhere;
    for ((side, state), said) in Side::BOTH.into_iter().zip(&mut states).zip(said) {
        let Some(said) = said else {
            state.memory.doubt = None;
            continue;
        };
        let is_older = !matches!(said, Said::Missing);
        let doubt = match state.memory.doubt {
            Some(doubt)
                if doubt.is_older == is_older
                    && now.since(doubt.last) < FORGOTTEN_AFTER
                    && !(matches!(said, Said::Missing)
                        && is_told_since(work, side, doubt.since)) =>
            {
                Doubt {
                    looks: doubt.looks.saturating_add(1),
                    last: now,
                    ..doubt
                }
            }
            Some(_) | None => Doubt {
                since: now,
                looks: 1,
                last: now,
                is_older,
            },
        };
        state.memory.doubt = Some(doubt);
        if matches!(said, Said::Older) && doubt.looks < LOOKS_MIN {
            set_back::note(work, link.id, side, SetBackSign::Doubted).await?;
        }
        let since = now.since(doubt_counts_from(work, side, &doubt, &said));
        if doubt.looks < LOOKS_MIN || since < patience(work, side, state, &said).await? {
            let backoff = FIRST_WAIT.saturating_mul(1 << doubt.looks.saturating_sub(1).min(8));
            wait = Some(wait.unwrap_or(Duration::ZERO).max(backoff.min(WAIT_MAX)));
            if !is_older {
                reason = Waiting::Missing;
            }
        } else if pair.side(side).is_none()
            && let Some(how) = shown::elsewhere(work, link, side, doubt.since).await?
        {
            if shown::is_over(work) {
                return Err(shown::given_up(work, link, side, how));
            }
            // It is missed anew, from now on.
            state.memory.doubt = Some(Doubt {
                since: now,
                looks: 1,
                last: now,
                is_older: false,
            });
            wait = Some(WAIT_MAX);
            reason = Waiting::Missing;
        }
    }
    let Some(wait) = wait else { return Ok(None) };
    remember(work, link, states, (wait, reason), seen)
        .await
        .map(Some)
}

/// What is known of the record that is not doubted goes into the index, also where the pair was never compared yet: it may
/// hide in its turn, and whoever looks for the partner of a record that is like it must know of it.
fn undoubted(work: Work<'_>, pair: &Pair, said: &[Option<Said>; 2]) -> Vec<(Side, IndexedRecord)> {
    let sides = Side::BOTH.into_iter().zip(said);
    let undoubted = sides.filter(|(_, said)| said.is_none());
    let seen = undoubted.filter_map(|(side, _)| Some((side, pair.side(side)?.indexed(work.sync))));
    seen.collect()
}

/// From when on the system has said the same. A record that is behind has as long for the newest event as for the first.
fn doubt_counts_from(work: Work<'_>, side: Side, doubt: &Doubt, said: &Said) -> Timestamp {
    match said {
        Said::Behind => hint(work.claimed.job.hints, side)
            // Where the clock of a system is not measured yet, its events may tell of times to come.
            .filter(|told| *told <= work.context.now() && told.since(doubt.since) < BEHIND_MAX)
            .map_or(doubt.since, |told| told.max(doubt.since)),
        Said::Missing | Said::Older | Said::AsBefore => doubt.since,
    }
}

/// Both records are there. What was said before is forgotten at once: the job may end in a way that stores nothing, and
/// the next time that one is missed would count from then.
async fn dispel(work: Work<'_>, link: &Link) -> Result<Option<Performed>, WorkError> {
    let mut states = [link.a.clone(), link.b.clone()];
    let mut is_any = false;
    for (side, state) in Side::BOTH.into_iter().zip(&mut states) {
        if let Some(doubt) = state.memory.doubt.take() {
            set_back::dispel(work, link, side, doubt).await?;
            is_any = true;
        }
    }
    if !is_any {
        return Ok(None);
    }
    let waits = (Duration::ZERO, Waiting::Progress);
    remember(work, link, states, waits, Vec::new())
        .await
        .map(Some)
}

/// Stores what is known of both sides, and goes on after this long.
async fn remember(
    work: Work<'_>,
    link: &Link,
    [a, b]: [SideState; 2],
    (wait, reason): (Duration, Waiting),
    seen: Vec<(Side, IndexedRecord)>,
) -> Result<Performed, WorkError> {
    let confirmation = Confirmation {
        link: Some(link.with_sides(a, b)),
        seen,
        outcome: Some(work.snooze(wait, reason)),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

async fn said(
    work: Work<'_>,
    link: &Link,
    side: Side,
    pair: &Pair,
) -> Result<Option<Said>, WorkError> {
    // One that was merged into another is not missed: a person is asked.
    if link.side(side).id.is_none() || pair.merged_into(side).is_some() {
        return Ok(None);
    }
    let reading = pair.side(side);
    // Who archives by mistake, or for a moment, must not lose the partner at once.
    let Some(reading) = reading.filter(|reading| !reading.counts_as_gone) else {
        return Ok(Some(Said::Missing));
    };
    match mistake(work.sync, link, side, reading) {
        Some(Mistaken::Older(_)) => return Ok(Some(Said::Older)),
        Some(Mistaken::Other(_)) => {}
        None if went_back::is_restored(work, link, side, reading).await? => {
            return Ok(Some(Said::Older));
        }
        None => {}
    }
    if is_as_before_our_write(work, link, side, reading)
        || is_from_before_our_write(work, link, side, reading)
    {
        return Ok(Some(Said::AsBefore));
    }
    Ok(is_behind(work, side, reading).then_some(Said::Behind))
}

/// An event told of a later edit than the record shows.
fn is_behind(work: Work<'_>, side: Side, reading: &Reading) -> bool {
    let (Some(told), Some(changed)) = (
        hint(work.claimed.job.hints, side),
        changed(work, side, Some(reading)),
    ) else {
        return false;
    };
    // What is told of a time to come was told by a wrong clock.
    let now = work.context.now();
    told > changed.latest.plus(BEHIND_BY) && told <= now.plus(BEHIND_BY)
}

/// Whether a listing or an event has told of the record since it was first missed.
fn is_told_since(work: Work<'_>, side: Side, since: Timestamp) -> bool {
    let now = work.context.now();
    let told = hint(work.claimed.job.hints, side);
    // A time to come was told by a wrong clock.
    told.is_some_and(|told| told > since.plus(BEHIND_BY) && told <= now.plus(BEHIND_BY))
}

/// What speaks against a record being the one that was linked.
pub(super) fn mistake(
    sync: &SyncDefinition,
    link: &Link,
    side: Side,
    reading: &Reading,
) -> Option<Mistaken> {
    let state = link.side(side);
    let checksum = reading.checksum();
    let known = Marks {
        made_at: state.memory.made_at,
        updated_at: state.updated_at,
        updated_again: None,
        version: state.version.as_deref(),
        checksum: state.checksum.as_deref(),
    };
    let found = Marks {
        made_at: reading.record.created_at,
        updated_at: reading.record.updated_at,
        updated_again: reading.record.updated_again,
        version: reading.record.version.as_deref(),
        checksum: Some(&checksum),
    };
    mistaken(
        &sync.policy,
        &link.base,
        side,
        known,
        found,
        &reading.fields,
    )
}

/// A record shows a moment after our write what the write replaced, with the very time of change that it had then, or without
/// any: that is a reading that lags behind, rather than somebody who put it back at once.
fn is_as_before_our_write(work: Work<'_>, link: &Link, side: Side, reading: &Reading) -> bool {
    let state = link.side(side);
    let Some(own) = &state.memory.own_write else {
        return false;
    };
    let checksum = Some(reading.checksum());
    reading.record.updated_at == own.before
        && checksum.as_deref() == Some(own.replaced.as_str())
        && checksum != state.checksum
        && work.context.now().since(own.read_at) < work.sync.confirm_gone
}

/// A write was answered and has not shown yet, and now the record shows a change from before that write: the reading is
/// still behind it. What it shows may be what the write went over.
fn is_from_before_our_write(work: Work<'_>, link: &Link, side: Side, reading: &Reading) -> bool {
    let state = link.side(side);
    let (Some(own), Some(changed)) = (&state.memory.own_write, changed(work, side, Some(reading)))
    else {
        return false;
    };
    let is_unseen = state.memory.unseen.values().any(|unseen| !unseen.lost);
    is_unseen
        && state.checksum.as_deref() != Some(reading.checksum().as_str())
        && changed.latest < own.read_at.minus(CLOCK_SLACK)
        && work.context.now().since(own.read_at) < work.sync.confirm_gone
}

/// How long it must have been said before it is believed.
async fn patience(
    work: Work<'_>,
    side: Side,
    state: &SideState,
    said: &Said,
) -> Result<Duration, WorkError> {
    let whole = work.sync.confirm_gone;
    match said {
        Said::Older | Said::AsBefore => Ok(whole),
        Said::Behind => Ok(whole.min(BEHIND_FOR)),
        Said::Missing if is_told(work, side, state).await? => Ok(whole.min(TOLD_AFTER)),
        Said::Missing => Ok(whole),
    }
}

/// Whether the newest event about the record says that it was deleted.
pub(super) async fn is_told(
    work: Work<'_>,
    side: Side,
    state: &SideState,
) -> Result<bool, WorkError> {
    let Some(record) = &state.id else {
        return Ok(false);
    };
    let events = work.events_of(side, record).await?;
    let newest = events.first();
    Ok(newest.is_some_and(|event| event.kind == EventKind::Deleted))
}
