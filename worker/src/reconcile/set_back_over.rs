//! The end of a question whether a side was set back, looked for after each whole listing of that side: what waited for
//! it is looked at when it is answered, and it closes by itself when no pair shows it any more.

use std::time::Duration;

use tandem_connectors::ReadOutcome;
use tandem_domain::{LinkId, RecordId, Side};
use tandem_runtime::SyncDefinition;
use tandem_store::{ConflictState, Fact, Hints, LinkState};

use super::set_back::{asked, close, holds, shows};
use crate::context::{Cause, Context};
use crate::failure::WorkError;
use crate::readings::Reading;
use crate::whole::read_apart;

/// Pairs that are read again at once.
const PAGE_PAIRS: usize = 50;
/// Pairs that are looked at after an answer.
const ANSWERED_PAIRS: usize = 2_000;
/// What nobody asks about is forgotten after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub async fn close_moot(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
) -> Result<(), WorkError> {
    let side = cause.side;
    let Some(question) = asked(context, sync, side).await? else {
        let until = context.now().minus(FORGOTTEN_AFTER);
        let store = &context.store;
        store.forget_set_back(&sync.name, side, None, until).await?;
        return Ok(());
    };
    if question.state == ConflictState::Answered {
        look_at_all(context, sync, cause).await?;
        if !holds(context, &question) {
            close(context, &question, None).await?;
        }
        return Ok(());
    }
    if is_over(context, sync, side).await? {
        close(context, &question, Some(Fact::UpToDate.because())).await?;
    }
    Ok(())
}

/// A listing does not find all that waited: one may show what it showed before.
async fn look_at_all(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
) -> Result<(), WorkError> {
    let now = context.now();
    let store = &context.store;
    let noted = store
        .set_back_links(&sync.name, cause.side, ANSWERED_PAIRS)
        .await?;
    let mut jobs = Vec::new();
    for id in noted {
        let link = store.link(id).await?;
        let record = link.and_then(|link| link.side(cause.side).id.clone());
        jobs.extend(record.map(|id| context.reconcile_job(cause, id, Hints::default())));
    }
    context.enqueue(jobs).await?;
    store
        .forget_set_back(&sync.name, cause.side, None, now)
        .await?;
    Ok(())
}

/// Whether no pair shows any more that the side was set back. Those that do not are forgotten.
async fn is_over(context: &Context, sync: &SyncDefinition, side: Side) -> Result<bool, WorkError> {
    let store = &context.store;
    loop {
        let now = context.now();
        let noted = store.set_back_links(&sync.name, side, PAGE_PAIRS).await?;
        if noted.is_empty() {
            return Ok(true);
        }
        for id in &noted {
            if is_set_back(context, sync, side, *id).await? {
                return Ok(false);
            }
            store
                .forget_set_back(&sync.name, side, Some(*id), now)
                .await?;
        }
    }
}

async fn is_set_back(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
    id: LinkId,
) -> Result<bool, WorkError> {
    let Some(link) = context.store.link(id).await? else {
        return Ok(false);
    };
    let Some(record) = link.side(side).id.clone() else {
        return Ok(false);
    };
    Ok(match read_one(sync, side, &record).await? {
        // Nobody knows.
        Err(()) => true,
        // It was deleted before, and is back.
        Ok(reading) if link.state == LinkState::Retired => reading.is_some(),
        Ok(reading) => shows(sync, &link, side, reading.as_ref()).is_some(),
    })
}

/// A record, or nothing where it cannot be read for a reason of its own.
async fn read_one(
    sync: &SyncDefinition,
    side: Side,
    record: &RecordId,
) -> Result<Result<Option<Reading>, ()>, WorkError> {
    let outcome = read_apart(sync, side, std::slice::from_ref(record)).await?;
    Ok(match outcome.into_iter().next() {
        Some(ReadOutcome::Found(record)) => Ok(Some(Reading::new(sync, side, *record, None))),
        Some(ReadOutcome::Missing) | None => Ok(None),
        Some(ReadOutcome::Unreadable(_)) => Err(()),
    })
}
