//! Lists a side, changed records since the cursor or all of them, and records what differs as jobs.

use tandem_connectors::{Listing, Page};
use tandem_domain::{JobId, RunId, Side, Timestamp};
use tandem_runtime::SyncDefinition;
use tandem_store::{ClaimedJob, JobClass, NewRun, Progress, Run, RunKind, RunState, Trigger};

use super::Performed;
use crate::context::{Cause, Context};
use crate::failure::WorkError;
use crate::first_sync;
use crate::patience::{self, PAGE_TRIES};
use crate::readings::{Reading, hints_of};

/// Problems kept with a run, at most.
const PROBLEMS_MAX: usize = 20;
/// Records that vanished from a listing are looked up in pages of this size.
const VANISHED_PAGE: usize = 500;
/// A side that lists nothing while more links than this exist counts as emptied.
const EMPTIED_LINKS: u64 = 10;

/// How much is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What changed since the cursor.
    Changes,
    /// Everything; what is not seen any more is looked up.
    Whole,
}

pub async fn run(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    side: Side,
    extent: Extent,
) -> Result<Performed, WorkError> {
    let Some(cursor) = start(context, sync, side, extent).await? else {
        return Ok(Performed::done("waits: the first sync has not ended yet"));
    };
    let run = begin(context, sync, claimed, side, extent).await?;
    if run.state == RunState::Skipped {
        return Ok(Performed::done(
            "skipped: the run before it is still under way",
        ));
    }
    let mut listing = Listed {
        progress: Progress::default(),
        high: cursor,
    };
    let result = list_side(context, sync, claimed, side, extent, &run, &mut listing).await;
    end(context, &run, &listing, result.as_ref().err()).await?;
    result.map(|()| Performed::done(format!("listed {}", listing.progress.listed)))
}

/// What a listing has come to.
struct Listed {
    progress: Progress,
    high: Option<Timestamp>,
}

/// Where the listing starts: `None` while there was no first sync, `Some(None)` for a whole one.
async fn start(
    context: &Context,
    sync: &SyncDefinition,
    side: Side,
    extent: Extent,
) -> Result<Option<Option<Timestamp>>, WorkError> {
    if !first_sync::has_ended(context, &sync.name).await? {
        return Ok(None);
    }
    if extent == Extent::Whole {
        return Ok(Some(None));
    }
    if let Some(stored) = context.store.cursor(&sync.name, side).await? {
        return Ok(Some(Some(stored)));
    }
    let Some(first) = first_sync::newest_ended(context, &sync.name).await? else {
        return Ok(None);
    };
    let by_their_clock = by_clock_of(sync, side, first.started_at).await?;
    Ok(Some(Some(by_their_clock)))
}

/// An instant by the clock of a system. This process may never have asked that system anything, and before
/// its first answer nobody knows how far its clock is off.
async fn by_clock_of(
    sync: &SyncDefinition,
    side: Side,
    instant: Timestamp,
) -> Result<Timestamp, WorkError> {
    let end = sync.end(side);
    let listing = Listing::Since(instant);
    patience::ask(PAGE_TRIES, || {
        end.connector.list(&end.stream, &listing, None)
    })
    .await?;
    Ok(instant.shifted(end.connector.clock_offset_micros()))
}

async fn begin(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    side: Side,
    extent: Extent,
) -> Result<Run, WorkError> {
    let now = context.now();
    let run = NewRun {
        id: RunId::new(now, context.entropy.as_ref()),
        sync: sync.name.clone(),
        kind: if extent == Extent::Whole {
            RunKind::Sweep
        } else {
            RunKind::Poll
        },
        side: Some(side),
        trigger: claimed.job.trigger,
    };
    super::begin::begin(context, claimed, run).await
}

async fn list_side(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    side: Side,
    extent: Extent,
    run: &Run,
    listed: &mut Listed,
) -> Result<(), WorkError> {
    let end = sync.end(side);
    let listing = match (extent, listed.high) {
        (Extent::Changes, Some(cursor)) => Listing::Since(cursor.minus(sync.overlap)),
        (Extent::Changes, None) | (Extent::Whole, _) => Listing::All,
    };
    let class = if claimed.job.trigger == Trigger::Manual {
        JobClass::Interactive
    } else {
        JobClass::Poll
    };
    let cause = Cause {
        sync: &sync.name,
        side,
        class,
        trigger: Trigger::Poll,
    };
    let mut token = None;
    loop {
        let page = patience::ask(PAGE_TRIES, || {
            end.connector.list(&end.stream, &listing, token.as_ref())
        })
        .await?;
        token = page.next.clone();
        take_page(context, sync, cause, run, page, listed).await?;
        if token.is_none() {
            break;
        }
    }
    if extent == Extent::Whole {
        look_up_vanished(context, sync, cause, run, listed).await?;
    }
    Ok(())
}

async fn take_page(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
    run: &Run,
    page: Page,
    listed: &mut Listed,
) -> Result<(), WorkError> {
    let progress = &mut listed.progress;
    progress.unreadable += page.unreadable.len() as u64;
    let room = PROBLEMS_MAX.saturating_sub(progress.problems.len());
    progress
        .problems
        .extend(page.unreadable.into_iter().take(room).map(|row| row.reason));
    let readings: Vec<Reading> = page
        .records
        .into_iter()
        .map(|record| Reading::new(sync, cause.side, record, None))
        .collect();
    let readings: Vec<Reading> = readings
        .into_iter()
        .filter(|reading| reading.takes_part(sync, cause.side))
        .collect();
    progress.listed += readings.len() as u64;
    listed.high = readings
        .iter()
        .filter_map(|reading| reading.record.updated_at)
        .fold(listed.high, Option::max_some);
    let indexed = readings
        .iter()
        .map(|reading| reading.indexed(sync))
        .collect();
    let now = context.now();
    let listed_records = readings.len();
    let jobs = readings
        .into_iter()
        .map(|reading| {
            // A system without times of change has at least the time at which the change was found.
            let hints = hints_of(cause.side, reading.edited_at.or(Some(now)));
            context.reconcile_job(cause, reading.record.id, hints)
        })
        .collect();
    let known = context
        .store
        .index_records(&sync.name, cause.side, indexed, jobs, run.number, now)
        .await?;
    let queued: Vec<JobId> = known.into_iter().filter_map(|record| record.job).collect();
    progress.unchanged += (listed_records - queued.len()) as u64;
    progress.queued += queued.len() as u64;
    context.doorbell.ring(&queued);
    context.store.progress_run(run.id, progress).await?;
    Ok(())
}

/// The larger of two instants, where there are any.
trait MaxSome {
    fn max_some(self, other: Timestamp) -> Self;
}

impl MaxSome for Option<Timestamp> {
    fn max_some(self, other: Timestamp) -> Self {
        Some(self.map_or(other, |one| one.max(other)))
    }
}

/// A record that a whole listing did not show is not taken for deleted: paging may have drifted. It
/// gets a job, which reads it by its id and believes only that.
async fn look_up_vanished(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
    run: &Run,
    listed: &mut Listed,
) -> Result<(), WorkError> {
    let links = context.store.link_count(&sync.name).await?;
    if listed.progress.listed == 0 && links > EMPTIED_LINKS {
        return Err(WorkError::EmptiedSide {
            system: sync.end(cause.side).connection.to_string(),
            links,
        });
    }
    let mut after = None;
    loop {
        let store = &context.store;
        let page = store
            .unseen_records(
                &sync.name,
                cause.side,
                run.number,
                after.as_ref(),
                VANISHED_PAGE,
            )
            .await?;
        let Some(last) = page.last().cloned() else {
            return Ok(());
        };
        listed.progress.vanished += page.len() as u64;
        let jobs = page
            .into_iter()
            .map(|id| context.reconcile_job(cause, id, hints_of(cause.side, Some(context.now()))))
            .collect();
        context.enqueue(jobs).await?;
        after = Some(last);
    }
}

async fn end(
    context: &Context,
    run: &Run,
    listed: &Listed,
    error: Option<&WorkError>,
) -> Result<(), WorkError> {
    let state = match error {
        Some(_) => RunState::Failed,
        None if listed.progress.unreadable > 0 => RunState::Partial,
        None => RunState::Succeeded,
    };
    let message = error.map(ToString::to_string);
    let cursor = if error.is_none() { listed.high } else { None };
    let now = context.now();
    let store = &context.store;
    store
        .end_run(
            run.id,
            state,
            &listed.progress,
            message.as_deref(),
            cursor,
            now,
        )
        .await?;
    Ok(())
}
