//! `tandem sync run`: tells the running Tandem to compare both sides whole, and follows it if asked to.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tandem_domain::{JobId, SyncName, Timestamp};
use tandem_operator::views::{JobView, RunView};
use tandem_operator::{JobQuery, RunQuery, Start};
use tandem_store::{JobClass, JobState, RunKind, RunState};

use crate::commands::desk::Desk;
use crate::commands::options::{DataOptions, NO};
use crate::commands::output::{bar, say, say_json};
use crate::commands::storage::{operator, require_sync, somebody_runs};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// After so many looks it is made sure that somebody is still there to do the work.
const LOOKS_BETWEEN_SIGNS_OF_LIFE: u32 = 25;

/// What to run.
#[derive(Args)]
pub struct RunArgs {
    /// The sync.
    name: SyncName,
    /// Wait until the run has ended and what it found is done; exit code 1 when something could not be.
    #[arg(long)]
    wait: bool,
}

/// How a run that was waited for has come out.
struct Outcome {
    run: Option<RunView>,
    job: JobView,
    /// Dead letters of the sync that were not there before.
    dead: u64,
}

/// Starts the run.
pub async fn run(args: &RunArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    require_sync(&operator, &args.name).await?;
    require_running(data).await?;
    let dead_before = operator.sync_status(&args.name).await?.queue.dead;
    let job = operator.start(&args.name, Start::Backfill).await?;
    if !args.wait {
        if data.output.json {
            say_json(&json!({ "sync": args.name, "job": job }))?;
        } else {
            let name = &args.name;
            say(&format!(
                "started: {job}; `tandem sync status {name}` shows how it goes"
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = follow(&operator, args, data, job, dead_before).await?;
    answer(args, data, &outcome)
}

async fn require_running(data: &DataOptions) -> anyhow::Result<()> {
    if somebody_runs(&data.storage).await? {
        return Ok(());
    }
    bail!(
        "no `tandem up` is running on `{0}`, so nothing would be done: start `tandem up --config FILE --data {0}` and \
         run this again, or name the folder of the running one with --data",
        data.storage.data.display()
    );
}

/// Waits until the job, its run, and the jobs that the run queued have ended.
async fn follow(
    operator: &Desk,
    args: &RunArgs,
    data: &DataOptions,
    id: JobId,
    dead_before: u64,
) -> anyhow::Result<Outcome> {
    let progress = bar(format!("{}: reading both sides", args.name));
    let mut looks = 0;
    loop {
        let job = operator.job(id).await?.job;
        let ended = matches!(
            job.state,
            JobState::Done | JobState::Dead | JobState::Discarded
        );
        let run = newest_run(operator, &args.name, job.created_at).await?;
        let queue = operator.sync_status(&args.name).await?.queue;
        let [.., waiting] = queue.available_by_class;
        let open = waiting + running_of_the_run(operator, &args.name).await?;
        show(&progress, run.as_ref(), ended, open);
        if ended && open == 0 {
            progress.finish_and_clear();
            return Ok(Outcome {
                run,
                job,
                dead: queue.dead.saturating_sub(dead_before),
            });
        }
        looks += 1;
        if looks % LOOKS_BETWEEN_SIGNS_OF_LIFE == 0 {
            require_running(data).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The run that the job began; none while it waits.
async fn newest_run(
    operator: &Desk,
    sync: &SyncName,
    since: Timestamp,
) -> anyhow::Result<Option<RunView>> {
    let query = RunQuery {
        sync: Some(sync.clone()),
        kind: Some(RunKind::Backfill),
        limit: Some(1),
        ..RunQuery::default()
    };
    let runs = operator.runs(query).await?;
    Ok(runs.items.into_iter().find(|run| run.started_at >= since))
}

/// Jobs at work in the class of whole comparisons and what they find.
async fn running_of_the_run(operator: &Desk, sync: &SyncName) -> anyhow::Result<u64> {
    let query = JobQuery {
        sync: Some(sync.clone()),
        state: Some(JobState::Running),
        limit: Some(tandem_store::PAGE_ROWS_MAX),
        ..JobQuery::default()
    };
    let running = operator.jobs(query).await?.items;
    Ok(running
        .iter()
        .filter(|job| job.class == JobClass::Backfill)
        .count() as u64)
}

fn show(progress: &ProgressBar, run: Option<&RunView>, listed: bool, open: u64) {
    let Some(run) = run.filter(|_| listed) else {
        return;
    };
    progress.set_message(format!("{}: bringing into agreement", run.sync));
    progress.set_length(run.progress.queued.max(open));
    progress.set_position(run.progress.queued.saturating_sub(open));
}

fn answer(args: &RunArgs, data: &DataOptions, outcome: &Outcome) -> anyhow::Result<ExitCode> {
    let Outcome { run, job, dead } = outcome;
    let ended_well = run
        .as_ref()
        .is_some_and(|run| run.state == RunState::Succeeded);
    let well = ended_well && job.state == JobState::Done && *dead == 0;
    if data.output.json {
        say_json(&json!({ "sync": args.name, "ok": well, "job": job, "run": run, "dead": dead }))?;
    } else {
        say(&told(args, outcome, well))?;
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

fn told(args: &RunArgs, outcome: &Outcome, well: bool) -> String {
    let mut lines = Vec::new();
    if let Some(run) = &outcome.run {
        let progress = &run.progress;
        lines.push(format!(
            "{} {}: {} records listed, {} pairs newly matched, {} records worked on, {} as they were, {} held for a person",
            args.name, run.state.as_str(), progress.listed, progress.matched, progress.queued, progress.unchanged, progress.held
        ));
        lines.extend(run.error.iter().cloned());
        lines.extend(
            progress
                .problems
                .iter()
                .map(|problem| format!("  {problem}")),
        );
        lines.extend(crate::commands::runs::unreadable(progress));
    }
    if let (None, Some(note)) = (&outcome.run, &outcome.job.note) {
        lines.push(note.clone());
    }
    let failure = outcome
        .job
        .failure
        .as_ref()
        .filter(|_| outcome.job.state == JobState::Dead);
    lines.extend(failure.map(|failure| failure.chain.join(": ")));
    if outcome.dead > 0 {
        lines.push(format!(
            "{} could not be done; see `tandem dlq list --sync {}`",
            outcome.dead, args.name
        ));
    }
    lines.push(if well {
        "done".to_owned()
    } else {
        "NOT all of it could be done".to_owned()
    });
    lines.join("\n")
}
