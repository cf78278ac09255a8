//! What a pair shows of a side that may have been set back: an older state of its record, another record, or none. And
//! what a link remembers of that, so that an edit of the old state is not taken for the present one.

use tandem_domain::{LinkId, Side, Timestamp};
use tandem_engine::Mistaken;
use tandem_runtime::SyncDefinition;
use tandem_store::{Confirmation, Conflict, Link, LinkState, SetBackSign};

use super::doubt::mistake;
use super::pair::CLOCK_SLACK;
use super::set_back::asked;
use crate::context::Context;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// So often is it tried to have a link remember something that others write to as well.
const REMEMBERED_MAX: u32 = 10;

/// What a pair shows of a side.
pub(super) enum Shows {
    /// An older state of its record.
    Older(String),
    /// Another record under its id.
    Other(String),
    /// No record, or one out of use.
    Missing,
}

impl Shows {
    pub(super) const fn sign(&self) -> SetBackSign {
        match self {
            Self::Older(_) | Self::Other(_) => SetBackSign::Older,
            Self::Missing => SetBackSign::Missing,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Older(reason) | Self::Other(reason) => reason.clone(),
            Self::Missing => "it is not there".to_owned(),
        }
    }
}

fn shows(
    sync: &SyncDefinition,
    link: &Link,
    side: Side,
    reading: Option<&Reading>,
) -> Option<Shows> {
    link.side(side).id.as_ref()?;
    let Some(reading) = reading.filter(|reading| !reading.counts_as_gone) else {
        return Some(Shows::Missing);
    };
    mistake(sync, link, side, reading).map(|mistaken| match mistaken {
        Mistaken::Older(reason) => Shows::Older(reason),
        Mistaken::Other(reason) => Shows::Other(reason),
    })
}

/// The same of a record that waits already: who edits it meanwhile edits an old state, and does not make that the present
/// one. It waits for the question about its side, and for no longer than that stands.
pub(super) async fn still_shows(
    context: &Context,
    sync: &SyncDefinition,
    link: &Link,
    side: Side,
    reading: Option<&Reading>,
) -> Result<Option<Shows>, WorkError> {
    if let Some(shows) = shows(sync, link, side, reading) {
        return Ok(Some(shows));
    }
    let (state, Some(reading)) = (link.side(side), reading) else {
        return Ok(None);
    };
    let is_edited = state.checksum.as_deref() != Some(reading.checksum().as_str());
    let Some(since) = state.memory.set_back.filter(|_| is_edited) else {
        return Ok(None);
    };
    let offset = sync.end(side).connector.clock_offset_micros();
    let latest = reading.record.updated_again.or(reading.record.updated_at);
    // What was changed before it began to wait is no edit of the old state: it is right again.
    let is_later = latest.is_none_or(|at| at.shifted(-offset).plus(CLOCK_SLACK) >= since);
    let waits = is_later
        && asked(context, sync, side)
            .await?
            .is_some_and(|asked| waits_for(&asked, since));
    Ok(waits.then(|| Shows::Older("it was edited after its system was set back".to_owned())))
}

/// Whether what began to wait then waits for this question, and not for an earlier one, which is over.
fn waits_for(asked: &Conflict, since: Timestamp) -> bool {
    since.plus(CLOCK_SLACK) >= asked.created_at
}

/// Has a link know that its record waits for the question about its side.
pub(super) async fn remember(work: Work<'_>, link: LinkId, side: Side) -> Result<(), WorkError> {
    for _ in 0..REMEMBERED_MAX {
        let Some(asked) = asked(work.context, work.sync, side).await? else {
            return Ok(());
        };
        let link = work.context.store.link(link).await?;
        let waiting = |link: &Link| {
            let since = link.side(side).memory.set_back;
            since.is_some_and(|since| waits_for(&asked, since))
        };
        let is_held = |link: &Link| link.state == LinkState::Active;
        let Some(link) = link.filter(|link| is_held(link) && !waiting(link)) else {
            return Ok(());
        };
        let since = work.context.now();
        let confirmation = Confirmation {
            link: Some(link.remembering(side, |memory| memory.set_back = Some(since))),
            ..Confirmation::default()
        };
        if work.learned(confirmation).await? {
            return Ok(());
        }
    }
    Ok(())
}
