//! The first sync, and every later whole comparison: list both sides, match, link, and record what
//! differs as jobs. It writes to no system itself.
//!
//! Neither side is ever held whole. Each page goes into the index as it comes (`read.rs`); of records that have
//! no partner their mapped fields are stored beside it, and where the listing goes on, so that a process
//! that ends in the middle leaves the rest to the next one. When both sides are read, the match keys alone
//! are matched, and what matches is compared piece by piece (`settle.rs`).

mod jobs;
mod read;
mod settle;

use tandem_domain::{RunId, Side};
use tandem_engine::match_form;
use tandem_runtime::SyncDefinition;
use tandem_store::{ClaimedJob, NewRun, Progress, Run, RunKind, RunState, Trigger};

use self::jobs::Jobs;
use self::read::{Sides, read_side};
use self::settle::settle;
use super::Performed;
use super::vanished::{self, forget_pages};
use crate::context::Context;
use crate::failure::WorkError;
use crate::reconcile::{close_moot_questions_about_fields, close_moot_questions_about_sides};

pub async fn run(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
) -> Result<Performed, WorkError> {
    let now = context.now();
    let run = NewRun {
        id: RunId::new(now, context.entropy.as_ref()),
        sync: sync.name.clone(),
        kind: RunKind::Backfill,
        side: None,
        trigger: claimed.job.trigger,
        under: Some(claimed.lease),
        instead_of: Vec::new(),
    };
    let run = super::begin::begin(context, sync, claimed, run).await?;
    if run.state == RunState::Skipped {
        return Ok(Performed::done(
            "skipped: the run before it is still under way",
        ));
    }
    forget_pages(context).await?;
    let mut progress = Progress::default();
    let result = compare_all(context, sync, claimed, &run, &mut progress).await;
    let result = match result {
        Err(error) if super::begin::goes_on(context, sync, claimed, &run, &error).await => {
            tracing::info!(run = %run.id, sync = %run.sync, %error, "a run stops; its job goes on with it");
            return Err(error);
        }
        result => result,
    };
    let state = match &result {
        Err(_) => RunState::Failed,
        Ok(()) if progress.unreadable > 0 => RunState::Partial,
        Ok(()) => RunState::Succeeded,
    };
    if result.is_ok() {
        let form = match_form(&sync.policy);
        context.store.set_key_form(&sync.name, &form).await?;
    }
    super::vanished::log_set_aside(&run, &progress);
    let error = result.as_ref().err().map(ToString::to_string);
    let now = context.now();
    context
        .store
        .end_run(run.id, state, &progress, error.as_deref(), None, now)
        .await?;
    forget_pages(context).await?;
    result.map(|()| Performed::done(format!("compared {} records", progress.listed)))
}

async fn compare_all(
    context: &Context,
    sync: &SyncDefinition,
    claimed: &ClaimedJob,
    run: &Run,
    progress: &mut Progress,
) -> Result<(), WorkError> {
    let trigger = trigger(claimed);
    let sides = Sides::resumed(context, run).await?;
    let mut jobs_a = Jobs::new(context, sync, trigger);
    let mut jobs_b = Jobs::new(context, sync, trigger);
    let read = futures::try_join!(
        read_side(&mut jobs_a, run, Side::A, &sides),
        read_side(&mut jobs_b, run, Side::B, &sides),
    );
    *progress = sides.progress();
    read?;
    for side in Side::BOTH {
        let listed = sides.place(side).progress;
        vanished::refuse_emptied(context, sync, side, &listed).await?;
    }
    let mut jobs = Jobs::new(context, sync, trigger);
    for side in Side::BOTH {
        progress.vanished += vanished::look_up(context, jobs.cause(side), run).await?;
        vanished::look_at_asked(context, jobs.cause(side), run).await?;
    }
    settle(&mut jobs, run, progress).await?;
    for side in Side::BOTH {
        close_moot_questions_about_fields(context, sync, side).await?;
        close_moot_questions_about_sides(context, sync, jobs.cause(side)).await?;
    }
    progress.queued += progress.vanished + jobs.queued;
    progress.unchanged = progress
        .listed
        .saturating_sub(progress.queued + progress.held);
    Ok(())
}

fn trigger(claimed: &ClaimedJob) -> Trigger {
    match claimed.job.trigger {
        Trigger::Manual => Trigger::Manual,
        Trigger::Webhook | Trigger::Poll | Trigger::Backfill | Trigger::Schedule => {
            Trigger::Backfill
        }
    }
}
