//! The beginning of a run, and what a lost one leaves in its way.

use std::hash::{DefaultHasher, Hash, Hasher};

use tandem_domain::Side;
use tandem_queue::outcome_for;
use tandem_runtime::SyncDefinition;
use tandem_store::{
    ClaimedJob, Job, JobFilter, JobOutcome, JobState, NewRun, PAGE_ROWS_MAX, Run, RunFilter,
    RunState, StoreError, Turn, Verdict,
};

use crate::context::Context;
use crate::failure::WorkError;

/// Begins the run of a claimed job. A job that was taken over from a process that died, stood still or had
/// to end finds the run that this process left: no other job carries it, so it is ended as failed. Without
/// that the new run would be skipped in favour of one that nobody works on, and a first sync never end. If it
/// has stored pages, it is taken up where it stood instead.
pub async fn begin(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    mut new: NewRun,
) -> Result<Run, WorkError> {
    let filter = RunFilter {
        sync: Some(new.sync.clone()),
        kind: Some(new.kind),
        state: Some(RunState::Running),
        limit: PAGE_ROWS_MAX,
        ..RunFilter::default()
    };
    let store = &context.store;
    for run in store.runs(&filter).await? {
        if run.side == new.side && !is_carried(context, claimed, &run).await? {
            if can_go_on(context, sync, &run).await? {
                tracing::info!(run = %run.id, sync = %run.sync, "a run was left in the middle; it goes on");
                return Ok(run);
            }
            tracing::warn!(run = %run.id, sync = %run.sync, "a run was left in the middle; it begins again");
            new.instead_of.push(run.id);
        }
    }
    Ok(store.begin_run(new, context.now()).await?)
}

/// Whether a run has stored pages, read as the sync reads them still.
async fn can_go_on(context: &Context, sync: &SyncDefinition, run: &Run) -> Result<bool, WorkError> {
    let mapping = mapping_of(sync);
    let mut has_pages = false;
    for side in Side::BOTH {
        if let Some(place) = context.store.listing_place(run, side).await? {
            has_pages = true;
            if place.mapping != mapping {
                return Ok(false);
            }
        }
    }
    Ok(has_pages)
}

/// A run that waits is given up with every so many waits of its job, and begins anew: a system may answer as
/// if it were down because of the place itself. With the longest wait between two, this is about a day.
const WAITS_MAX: u32 = 300;

/// Whether a run that met this error is left as it stands. Its job waits or is tried again, and goes on with the
/// page at which it stopped; a first sync of many hours does not begin at the beginning because a system was
/// down for a while.
pub async fn goes_on(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    run: &Run,
    error: &WorkError,
) -> bool {
    if matches!(error, WorkError::Store(StoreError::LeaseLost)) {
        // Another process has the job, and the run with it.
        return true;
    }
    if !comes_again(context, sync, &claimed.job, error) {
        return false;
    }
    // A storage that does not answer now could not end the run either.
    can_go_on(context, sync, run).await.unwrap_or(true)
}

/// Whether the queue lets the job try again, rather than make a dead letter of it.
fn comes_again(context: &Context, sync: &SyncDefinition, job: &Job, error: &WorkError) -> bool {
    let now = context.now();
    let turn = Turn {
        due: job.run_at,
        now,
    };
    let disposition = error.disposition();
    match outcome_for(
        disposition,
        job.attempt,
        &sync.retry,
        error.failure(),
        now,
        0,
    ) {
        JobOutcome::Done { .. } | JobOutcome::Dead { .. } => false,
        JobOutcome::Retry { .. } => true,
        JobOutcome::Snooze {
            run_at,
            failure,
            reason,
        } => match job.waits.again(reason, run_at, failure.as_ref(), turn) {
            Verdict::Wait { waits, .. } => {
                waits.count == 0 || !waits.count.is_multiple_of(WAITS_MAX)
            }
            Verdict::TooLong { .. } => false,
        },
    }
}

/// What stored pages depend on: the streams, the mapping, the match keys and the filters.
pub fn mapping_of(sync: &SyncDefinition) -> String {
    let ends = Side::BOTH.map(|side| sync.end(side));
    let ends = ends.map(|end| (end.connection.as_str(), end.stream.as_str()));
    let mut hasher = DefaultHasher::new();
    format!("{ends:?} {:?}", sync.policy).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Whether another running job could be the one that carries the run.
async fn is_carried(context: &Context, claimed: &ClaimedJob, run: &Run) -> Result<bool, WorkError> {
    for lane in run.lanes() {
        let filter = JobFilter {
            state: Some(JobState::Running),
            lane: Some(lane),
            limit: 1,
            ..JobFilter::default()
        };
        let jobs = context.store.jobs(&filter).await?;
        if jobs.iter().any(|job| job.id != claimed.job.id) {
            return Ok(true);
        }
    }
    Ok(false)
}
