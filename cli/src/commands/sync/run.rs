//! `tandem sync run`: tells the running Tandem to compare both sides whole, and follows it if asked to.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tandem_domain::{JobId, SyncName, Timestamp};
use tandem_operator::views::{ConflictView, JobView, RunView};
use tandem_operator::{ConflictQuery, DeadLetter, DeadLetterQuery, JobQuery, RunQuery, Start};
use tandem_store::{ConflictState, JobClass, JobState, RunKind, RunState};

use crate::commands::desk::Desk;
use crate::commands::options::{DataOptions, NO};
use crate::commands::output::{bar, say, say_json};
use crate::commands::storage::{operator, require_sync, somebody_runs};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// After so many looks it is made sure that somebody is still there to do the work.
const LOOKS_BETWEEN_SIGNS_OF_LIFE: u32 = 25;

/// So many dead letters and questions are named.
const NAMED_MAX: usize = 10;

/// What to run.
#[derive(Args)]
pub struct RunArgs {
    /// The sync.
    name: SyncName,
    /// Wait until the run has ended and what it found is done; exit code 1 when something could not be, or
    /// a question came of it.
    #[arg(long)]
    wait: bool,
}

/// How a run that was waited for has come out.
struct Outcome {
    run: Option<RunView>,
    job: JobView,
    /// Dead letters of the sync that came of it.
    letters: Vec<DeadLetter>,
    /// Questions of the sync that came of it and are open.
    questions: Vec<ConflictView>,
}

/// Starts the run.
pub async fn run(args: &RunArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    require_sync(&operator, &args.name).await?;
    require_running(data).await?;
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
    let outcome = follow(&operator, args, data, job).await?;
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
            let since = Some(job.created_at);
            return Ok(Outcome {
                letters: new_letters(operator, &args.name, since).await?,
                questions: new_questions(operator, &args.name, since).await?,
                run,
                job,
            });
        }
        looks += 1;
        if looks % LOOKS_BETWEEN_SIGNS_OF_LIFE == 0 {
            require_running(data).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Dead letters since the run was asked for.
async fn new_letters(
    desk: &Desk,
    sync: &SyncName,
    since: Option<Timestamp>,
) -> anyhow::Result<Vec<DeadLetter>> {
    let query = DeadLetterQuery {
        sync: Some(sync.clone()),
        since,
        ..DeadLetterQuery::default()
    };
    desk.all_dead_letters(&query).await
}

/// Questions since the run was asked for that nobody has answered meanwhile.
async fn new_questions(
    desk: &Desk,
    sync: &SyncName,
    since: Option<Timestamp>,
) -> anyhow::Result<Vec<ConflictView>> {
    let query = ConflictQuery {
        sync: Some(sync.clone()),
        state: Some(ConflictState::Open),
        since,
        ..ConflictQuery::default()
    };
    desk.all_conflicts(&query).await
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
    let Some(run) = run else { return };
    if !listed {
        let so_far = run.progress.listed;
        progress.set_message(format!(
            "{}: reading both sides, {so_far} records",
            run.sync
        ));
        return;
    }
    progress.set_message(format!("{}: bringing into agreement", run.sync));
    progress.set_length(run.progress.queued.max(open));
    progress.set_position(run.progress.queued.saturating_sub(open));
}

fn answer(args: &RunArgs, data: &DataOptions, outcome: &Outcome) -> anyhow::Result<ExitCode> {
    let Outcome {
        run,
        job,
        letters,
        questions,
    } = outcome;
    let ended_well = run
        .as_ref()
        .is_some_and(|run| run.state == RunState::Succeeded);
    let well = ended_well && job.state == JobState::Done;
    let well = well && letters.is_empty() && questions.is_empty();
    if data.output.json {
        say_json(&json!({
            "sync": args.name, "ok": well, "job": job, "run": run,
            "dead": letters.len(), "dead_letters": letters, "questions": questions,
        }))?;
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
    let letters = outcome.letters.iter();
    lines.extend(named(
        letters.map(|letter| format!("{}: {}", letter.id, letter.message)),
    ));
    if !outcome.letters.is_empty() {
        lines.push(format!(
            "{} could not be done; see `tandem dlq list --sync {}`",
            outcome.letters.len(),
            args.name
        ));
    }
    let questions = outcome.questions.iter();
    lines.extend(named(questions.map(|question| {
        let (id, side, record) = (question.id, question.side, &question.record);
        format!("{id}: {} of {record} on side {side}", question.kind)
    })));
    if !outcome.questions.is_empty() {
        lines.push(format!(
            "{} wait for a person; see `tandem conflicts list --sync {}`",
            outcome.questions.len(),
            args.name
        ));
    }
    lines.push(if well {
        "done".to_owned()
    } else {
        "NOT all of it could be done".to_owned()
    });
    lines.join("\n")
}

/// The first of many, and how many more.
fn named(lines: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = lines.len().saturating_sub(NAMED_MAX);
    let mut named: Vec<String> = lines
        .take(NAMED_MAX)
        .map(|line| format!("  {line}"))
        .collect();
    if more > 0 {
        named.push(format!("  and {more} more"));
    }
    named
}
