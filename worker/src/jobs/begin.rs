//! The beginning of a run, and what a lost one leaves in its way.

use tandem_store::{
    ClaimedJob, JobFilter, JobState, NewRun, PAGE_ROWS_MAX, Run, RunFilter, RunState,
};

use crate::context::Context;
use crate::failure::WorkError;

/// What a run says whose process went away in the middle of it.
const REASON: &str =
    "the process that ran it went away; what it had recorded stays, and this run begins again";

/// Begins the run of a claimed job. A job that was taken over from a process that died, stood still or had
/// to end finds the run that this process left: no other job carries it, so it is ended as failed. Without
/// that the new run would be skipped in favour of one that nobody works on, and a first sync never end.
pub async fn begin(context: &Context, claimed: &ClaimedJob, new: NewRun) -> Result<Run, WorkError> {
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
            tracing::warn!(run = %run.id, sync = %run.sync, "a run was left in the middle; it begins again");
            let (state, now) = (RunState::Failed, context.now());
            store
                .end_run(run.id, state, &run.progress, Some(REASON), None, now)
                .await?;
        }
    }
    Ok(store.begin_run(new, context.now()).await?)
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
