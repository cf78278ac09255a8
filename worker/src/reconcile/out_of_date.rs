//! What a pair shows of a side that may have been set back: an older state of its record, another record, or none. And
//! what a link remembers of that, so that an edit of the old state is not taken for the present one.

use tandem_domain::{ConflictId, LinkId, Side, Timestamp};
use tandem_engine::Mistaken;
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Confirmation, Conflict, ConflictState, Link, LinkState, SetBackSign, SideMemory, Store,
    replaced_subject,
};

use super::doubt::mistake;
use super::pair::CLOCK_SLACK;
use super::set_back::asked;
use super::went_back;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// So often is it tried to have a link remember something that others write to as well.
pub(super) const REMEMBERED_MAX: u32 = 10;

/// What a pair shows of a side.
pub enum Shows {
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

/// Whether a record was made at another time than the one that was linked.
pub(super) fn is_made_anew(link: &Link, side: Side, reading: &Reading) -> bool {
    let known = link.side(side).memory.made_at;
    tandem_engine::is_made_anew(known, reading.record.created_at)
}

/// The same of a record that waits already: who edits it meanwhile edits an old state, and does not make that the present
/// one. It waits for the question about it or its side, and for no longer than that stands.
pub async fn still_shows(
    store: &dyn Store,
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
    if state.checksum.as_deref() == Some(reading.checksum().as_str()) {
        return Ok(None);
    }
    if is_dated_anew(store, sync, link, (side, reading)).await? {
        let reason =
            "it was changed, and holds again what it held before, while others are missing";
        return Ok(Some(Shows::Older(reason.to_owned())));
    }
    let Some(since) = state.memory.set_back else {
        return Ok(None);
    };
    let waits = may_be_later(sync, side, reading, since)
        && is_waited_for(store, sync, link, (side, reading)).await?;
    Ok(waits.then(|| Shows::Older("it was edited after its system was set back".to_owned())))
}

/// Whether a record shows an older state though its system dates it anew. That was found out by asking others of its side;
/// while a person is asked about the side, or has answered what the record waits for, nobody is asked again.
async fn is_dated_anew(
    store: &dyn Store,
    sync: &SyncDefinition,
    link: &Link,
    (side, reading): (Side, &Reading),
) -> Result<bool, WorkError> {
    let memory = &link.side(side).memory;
    let is_doubted = memory.doubt.is_some_and(|doubt| doubt.is_older);
    let asked = asked(store, sync, side).await?;
    let is_asked =
        asked.is_some_and(|asked| asked.state == ConflictState::Open || waits_for(&asked, memory));
    if !is_doubted && !is_asked {
        return Ok(false);
    }
    let again = went_back::holds_again(store, sync, link, side, reading).await?;
    Ok(again.is_some())
}

/// Whether a record may have been changed after it began to wait. What was changed before is no edit of the old state: it is
/// right again. A clock that is doubted does not say that it was.
fn may_be_later(sync: &SyncDefinition, side: Side, reading: &Reading, since: Timestamp) -> bool {
    let connector = &sync.end(side).connector;
    if connector.clock_state().doubt().is_some() {
        return true;
    }
    let offset = connector.clock_offset_micros();
    let latest = reading.record.updated_again.or(reading.record.updated_at);
    latest.is_none_or(|at| at.shifted(-offset).plus(CLOCK_SLACK) >= since)
}

/// Whether a person is still asked what the record waits for: about itself, or about its side.
async fn is_waited_for(
    store: &dyn Store,
    sync: &SyncDefinition,
    link: &Link,
    (side, reading): (Side, &Reading),
) -> Result<bool, WorkError> {
    let memory = &link.side(side).memory;
    if let Some(asked) = asked(store, sync, side).await?
        && waits_for(&asked, memory)
    {
        return Ok(true);
    }
    let subject = replaced_subject(&sync.name, side, &reading.record.id);
    let singly = store.question_about(&subject).await?;
    Ok(singly.is_some_and(|asked| {
        let is_of_link = asked.link == Some(link.id) && asked.state == ConflictState::Open;
        is_of_link && waits_for(&asked, memory)
    }))
}

/// Whether what waits does so for this question, and not for an earlier one, which is over.
fn waits_for(asked: &Conflict, memory: &SideMemory) -> bool {
    match (memory.set_back, memory.set_back_asked) {
        (None, _) => false,
        (Some(_), Some(question)) => question == asked.id,
        // As earlier versions noted it.
        (Some(since), None) => since.plus(CLOCK_SLACK) >= asked.created_at,
    }
}

/// A record waits from then on for an answer to this question.
pub(super) const fn wait_for(memory: &mut SideMemory, question: ConflictId, since: Timestamp) {
    memory.set_back = Some(since);
    memory.set_back_asked = Some(question);
}

/// Has a link know that its record waits for the question about its side, from now on or since it was asked about by itself.
pub(super) async fn remember(
    work: Work<'_>,
    link: LinkId,
    side: Side,
    since: Option<Timestamp>,
) -> Result<(), WorkError> {
    for _ in 0..REMEMBERED_MAX {
        let Some(asked) = asked(work.store(), work.sync, side).await? else {
            return Ok(());
        };
        let link = work.context.store.link(link).await?;
        let waiting = |link: &Link| waits_for(&asked, &link.side(side).memory);
        let is_held = |link: &Link| link.state == LinkState::Active;
        let Some(link) = link.filter(|link| is_held(link) && !waiting(link)) else {
            return Ok(());
        };
        let since = since.unwrap_or(work.context.now());
        let confirmation = Confirmation {
            link: Some(link.remembering(side, |memory| wait_for(memory, asked.id, since))),
            ..Confirmation::default()
        };
        if work.learned(confirmation).await? {
            return Ok(());
        }
    }
    Ok(())
}
