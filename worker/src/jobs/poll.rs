//! Lists a side, changed records since the cursor or all of them, and records what differs as jobs.

use tandem_connectors::{ClockDoubt, ClockState, Listing, Page, PageToken};
use tandem_domain::{JobId, RunId, Side, Timestamp};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    ClaimedJob, JobClass, ListingPlace, NewRun, Run, RunKind, RunState, StoredPage, Trigger,
};

use super::Performed;
use super::dates::Dates;
use super::vanished::{self, ids_of, row_errors};
use crate::context::{Cause, Context};
use crate::failure::WorkError;
use crate::first_sync;
use crate::listing::Walk;
use crate::patience::{self, PAGE_TRIES};
use crate::readings::{Reading, hints_of};
use crate::reconcile::{close_moot_questions_about_fields, close_moot_questions_about_sides};

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
    super::key_form::renew(context, sync).await?;
    let run = begin(context, sync, claimed, side, extent).await?;
    if run.state == RunState::Skipped {
        return Ok(Performed::done(
            "skipped: the run before it is still under way",
        ));
    }
    let mut listed = Listed::resumed(context, sync, side, &run).await?;
    listed.dates.starts_at(cursor);
    let result = list_side(context, sync, claimed, extent, &run, &mut listed).await;
    let result = match result {
        Err(error) if super::begin::goes_on(context, sync, claimed, &run, &error).await => {
            tracing::info!(run = %run.id, sync = %run.sync, %error, "a run stops; its job goes on with it");
            return Err(error);
        }
        result => result,
    };
    end(context, &run, &listed, result.as_ref().err()).await?;
    result.map(|()| Performed::done(format!("listed {}", listed.place.progress.listed)))
}

/// What a listing has come to.
struct Listed {
    side: Side,
    place: ListingPlace,
    dates: Dates,
}

impl Listed {
    /// As its last stored page left it, where a process has left it in the middle.
    async fn resumed(
        context: &Context,
        sync: &SyncDefinition,
        side: Side,
        run: &Run,
    ) -> Result<Self, WorkError> {
        let place = context.store.listing_place(run, side).await?;
        let place = place.unwrap_or_default();
        let place = ListingPlace {
            mapping: super::begin::mapping_of(sync),
            ..place
        };
        let mut dates = Dates::new(sync.end(side).connection.as_str(), run.started_at);
        dates.note(place.latest);
        Ok(Self { side, place, dates })
    }
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
        // One that was stored ahead of the system's clock would hide what changes until then.
        let offset = sync.end(side).connector.clock_offset_micros();
        return Ok(Some(Some(stored.min(context.now().shifted(offset)))));
    }
    let Some(first) = first_sync::newest_ended(context, &sync.name).await? else {
        return Ok(None);
    };
    by_clock_of(sync, side, first.started_at).await.map(Some)
}

/// An instant by the clock of a system. This process may never have asked that system anything, and before
/// its first answers nobody knows how far its clock is off. `None` where that cannot be known.
async fn by_clock_of(
    sync: &SyncDefinition,
    side: Side,
    instant: Timestamp,
) -> Result<Option<Timestamp>, WorkError> {
    let end = sync.end(side);
    let listing = Listing::Since(instant);
    patience::ask(PAGE_TRIES, || {
        end.connector.list(&end.stream, &listing, None)
    })
    .await?;
    Ok(match end.connector.clock_state() {
        ClockState::Measured | ClockState::Untold | ClockState::Doubted(ClockDoubt::Cached) => {
            Some(instant.shifted(end.connector.clock_offset_micros()))
        }
        ClockState::Unsettled | ClockState::Doubted(_) => None,
    })
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
        under: Some(claimed.lease),
        instead_of: Vec::new(),
    };
    super::begin::begin(context, sync, claimed, run).await
}

async fn list_side(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    extent: Extent,
    run: &Run,
    listed: &mut Listed,
) -> Result<(), WorkError> {
    let side = listed.side;
    let end = sync.end(side);
    let listing = match (extent, listed.dates.latest()) {
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
    let token = listed.place.token.take().map(PageToken);
    let mut walk = Walk::new(end, listing, token);
    while !listed.place.has_ended {
        let Some(page) = walk.next().await? else {
            break;
        };
        listed.place.token = walk.token().map(|token| token.0.clone());
        listed.place.has_ended = walk.has_ended();
        take_page(context, sync, cause, extent, run, page, listed).await?;
    }
    if extent == Extent::Whole {
        vanished::refuse_emptied(context, sync, side, &listed.place.progress).await?;
        listed.place.progress.vanished += vanished::look_up(context, cause, run).await?;
        vanished::look_at_asked(context, cause, run).await?;
        close_moot_questions_about_fields(context, sync, side).await?;
        close_moot_questions_about_sides(context, sync, cause).await?;
    }
    Ok(())
}

async fn take_page(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
    extent: Extent,
    run: &Run,
    page: Page,
    listed: &mut Listed,
) -> Result<(), WorkError> {
    let unreadable = ids_of(&page.unreadable);
    for error in row_errors(cause.side, page.unreadable) {
        listed.place.progress.add_unreadable(error);
    }
    let connector = &sync.end(cause.side).connector;
    let offset = connector.clock_offset_micros();
    let their_now = context.now().shifted(offset);
    listed.dates.measured(offset, connector.clock_state());
    let readings: Vec<Reading> = page
        .records
        .into_iter()
        .map(|record| Reading::new(sync, cause.side, record, None))
        .collect();
    for reading in &readings {
        listed.dates.take(&reading.record, their_now);
    }
    let queued = index_page(context, sync, cause, run, readings, listed).await?;
    context.doorbell.ring(&queued);
    let progress = listed.place.progress.clone();
    if extent == Extent::Whole {
        listed.place.latest = listed.dates.latest();
        let place = listed.place.clone();
        let page = StoredPage {
            side: cause.side,
            records: Vec::new(),
            unreadable,
            place,
        };
        context.store.keep_page(run, page).await?;
    }
    context.store.progress_run(run.id, &progress).await?;
    Ok(())
}

/// Puts a page into the index, but for strangers that the filters leave out. Returns the jobs of what differs.
async fn index_page(
    context: &Context,
    sync: &SyncDefinition,
    cause: Cause<'_>,
    run: &Run,
    readings: Vec<Reading>,
    listed: &mut Listed,
) -> Result<Vec<JobId>, WorkError> {
    let now = context.now();
    let indexed = readings
        .iter()
        .map(|reading| reading.listed(sync))
        .collect();
    let out = readings.iter().filter(|reading| !reading.may_take_part());
    let filtered = out.count() as u64;
    let records = readings.len() as u64;
    let jobs = readings
        .into_iter()
        .map(|reading| {
            // When a change was found says nothing of when it was made: where the system does not tell, `prefer` decides.
            let hints = hints_of(cause.side, reading.edited_at);
            context.reconcile_job(cause, reading.record.id, hints)
        })
        .collect();
    let known = context
        .store
        .index_records(&sync.name, cause.side, indexed, jobs, run.number, now)
        .await?;
    let queued: Vec<JobId> = known.into_iter().filter_map(|record| record.job).collect();
    let progress = &mut listed.place.progress;
    progress.add_listed(cause.side, records - filtered, filtered);
    progress.unchanged += (records - filtered).saturating_sub(queued.len() as u64);
    progress.queued += queued.len() as u64;
    Ok(queued)
}

async fn end(
    context: &Context,
    run: &Run,
    listed: &Listed,
    error: Option<&WorkError>,
) -> Result<(), WorkError> {
    let mut progress = listed.place.progress.clone();
    progress.problems.extend(listed.dates.problem());
    let state = match error {
        Some(_) => RunState::Failed,
        None if progress.unreadable > 0 => RunState::Partial,
        None => RunState::Succeeded,
    };
    vanished::log_set_aside(run, &progress);
    let message = error.map(ToString::to_string);
    let cursor = if error.is_none() {
        listed.dates.cursor(context.now())
    } else {
        None
    };
    let now = context.now();
    context
        .store
        .end_run(run.id, state, &progress, message.as_deref(), cursor, now)
        .await?;
    vanished::forget_pages(context).await
}
