//! `tandem sync run`: tells the running Tandem to compare both sides whole, and follows it if asked to.

mod outcome;
mod waiting;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tandem_domain::line::lines;
use tandem_domain::{JobId, SyncName, Timestamp};
use tandem_operator::views::{ConflictView, JobView, RunView};
use tandem_operator::{ConflictQuery, DeadLetter, DeadLetterQuery, RunQuery, Start, SyncStatus};
use tandem_store::{ConflictState, JobState, RunKind};

use self::outcome::{End, Outcome};
use self::waiting::{Reach, StillOpen};
use crate::commands::desk::Desk;
use crate::commands::options::DataOptions;
use crate::commands::output::{bar, say, say_json};
use crate::commands::storage::{now, operator, require_sync, somebody_runs};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Where standard error is no terminal, progress within a step is told this often.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// After so many looks it is made sure that somebody is still there to do the work.
const LOOKS_BETWEEN_SIGNS_OF_LIFE: u32 = 25;

/// What to run.
#[derive(Args)]
pub struct RunArgs {
    /// The sync.
    name: SyncName,
    /// Wait until the run has ended and everything that it found is done. Exit code 1 when something of the sync
    /// could not be done, waits for a person, or stands still. What comes meanwhile is waited for too, as long as that
    /// comes to an end.
    #[arg(long)]
    wait: bool,
    /// Wait so many seconds at most; what still waits then is named, and the exit code is 1. It goes on without being
    /// waited for.
    #[arg(long, value_name = "SECS", requires = "wait", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
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
    outcome::answer(&args.name, data, &outcome)
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

/// Waits until the job, its run, and the jobs that the run queued have ended, or until waiting is of no use.
async fn follow(
    desk: &Desk,
    args: &RunArgs,
    data: &DataOptions,
    id: JobId,
) -> anyhow::Result<Outcome> {
    let mut shown = Shown::new(&args.name);
    let deadline = args
        .timeout
        .map(|secs| now().plus(Duration::from_secs(u64::from(secs))));
    let (mut looks, mut reach) = (0, Reach::default());
    loop {
        let job = desk.job(id).await?.job;
        let status = desk.sync_status(&args.name).await?;
        let run = newest_run(desk, &args.name, job.created_at).await?;
        let open = StillOpen::of(desk, &args.name, &job, &mut reach).await?;
        let end = end(&status, &open, deadline);
        if let Some(end) = end {
            shown.progress.finish_and_clear();
            let stalled = open.stalled(&status);
            return outcome(desk, &args.name, (end, stalled), open, run, job).await;
        }
        shown.show(run.as_ref(), &job, &open);
        shown.tell(&open, &status);
        looks += 1;
        if looks % LOOKS_BETWEEN_SIGNS_OF_LIFE == 0 {
            require_running(data).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why there is nothing more to wait for, if so.
fn end(status: &SyncStatus, open: &StillOpen, deadline: Option<Timestamp>) -> Option<End> {
    if open.is_empty() {
        return Some(End::Drained);
    }
    if let Some(words) = standstill(status) {
        return Some(End::StandsStill(words));
    }
    deadline
        .is_some_and(|deadline| now() >= deadline)
        .then_some(End::TimedOut)
}

/// Why no job of the sync runs, if it was paused, or one of its connections was.
fn standstill(status: &SyncStatus) -> Option<String> {
    if let Some(pause) = &status.sync.pause {
        return Some(format!("the sync {} is {}", status.sync.name, pause.words));
    }
    status.connections.iter().find_map(|connection| {
        let words = &connection.pause.as_ref()?.words;
        Some(format!("the connection {} is {words}", connection.name))
    })
}

async fn outcome(
    desk: &Desk,
    sync: &SyncName,
    (end, stalled): (End, String),
    open: StillOpen,
    run: Option<RunView>,
    job: JobView,
) -> anyhow::Result<Outcome> {
    Ok(Outcome {
        letters: open_letters(desk, sync).await?,
        questions: open_questions(desk, sync).await?,
        end,
        stalled,
        open,
        run,
        job,
    })
}

/// All dead letters of the sync. Those from before this run count as well: their records are not in agreement.
async fn open_letters(desk: &Desk, sync: &SyncName) -> anyhow::Result<Vec<DeadLetter>> {
    let query = DeadLetterQuery {
        sync: Some(sync.clone()),
        ..DeadLetterQuery::default()
    };
    desk.all_dead_letters(&query).await
}

/// All questions of the sync that nobody has answered.
async fn open_questions(desk: &Desk, sync: &SyncName) -> anyhow::Result<Vec<ConflictView>> {
    let query = ConflictQuery {
        sync: Some(sync.clone()),
        state: Some(ConflictState::Open),
        ..ConflictQuery::default()
    };
    desk.all_conflicts(&query).await
}

/// The run that the job began; none while it waits.
async fn newest_run(
    desk: &Desk,
    sync: &SyncName,
    since: Timestamp,
) -> anyhow::Result<Option<RunView>> {
    let query = RunQuery {
        sync: Some(sync.clone()),
        kind: Some(RunKind::Backfill),
        limit: Some(1),
        ..RunQuery::default()
    };
    let runs = desk.runs(query).await?;
    Ok(runs.items.into_iter().find(|run| run.started_at >= since))
}

const fn has_ended(job: &JobView) -> bool {
    match job.state {
        JobState::Done | JobState::Dead | JobState::Discarded => true,
        JobState::Available | JobState::Running => false,
    }
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    InLine,
    Reading,
    Settling,
}

/// What is said where standard error is no terminal: a line at each step, and one now and then if it has changed.
#[derive(Debug, Default)]
struct Plain {
    said: Option<(Step, String, Timestamp)>,
}

impl Plain {
    fn line(&mut self, step: Step, text: &str, now: Timestamp) -> Option<String> {
        let is_news = self.said.as_ref().is_none_or(|(at, said, when)| {
            *at != step || (said != text && now.since(*when) >= PLAIN_EVERY)
        });
        is_news.then(|| {
            self.said = Some((step, text.to_owned(), now));
            text.to_owned()
        })
    }
}

/// What a person sees meanwhile, on standard error.
struct Shown {
    sync: SyncName,
    progress: ProgressBar,
    plain: Plain,
    /// What was told last of what is waited for.
    told: String,
}

impl Shown {
    fn new(sync: &SyncName) -> Self {
        Self {
            sync: sync.clone(),
            progress: bar(format!("{sync}: waiting for a worker")),
            plain: Plain::default(),
            told: String::new(),
        }
    }

    fn show(&mut self, run: Option<&RunView>, job: &JobView, open: &StillOpen) {
        let sync = &self.sync;
        let (left, queued) = (open.jobs as u64, run.map_or(0, |run| run.progress.queued));
        let all = queued.max(left);
        let done = all.saturating_sub(left);
        let (step, message) = match run {
            None => (Step::InLine, format!("{sync}: waiting for a worker")),
            Some(run) if !has_ended(job) => {
                let so_far = run.progress.listed;
                let text = format!("{sync}: reading both sides, {so_far} records");
                (Step::Reading, text)
            }
            Some(_) => (Step::Settling, format!("{sync}: bringing into agreement")),
        };
        if step == Step::Settling {
            self.progress.set_length(all);
            self.progress.set_position(done);
        }
        if self.progress.is_hidden() {
            let text = match step {
                Step::InLine | Step::Reading => message,
                Step::Settling => format!("{message}, {done} of {all} records"),
            };
            if let Some(line) = self.plain.line(step, &text, now()) {
                eprintln!("{}", lines(&line));
            }
        } else {
            self.progress.set_message(message);
        }
    }

    /// Says what is waited for, each time that this is something else.
    fn tell(&mut self, open: &StillOpen, status: &SyncStatus) {
        let text = open.stalled(status);
        if text.is_empty() || text == self.told {
            return;
        }
        let line = format!("waiting: {text}{}", open.until_words());
        if self.progress.is_hidden() {
            eprintln!("{}", lines(&line));
        } else {
            self.progress.println(lines(&line));
        }
        self.told = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_pipe_each_step_is_a_line_and_its_progress_one_now_and_then() {
        let mut plain = Plain::default();
        let at = Timestamp::from_secs;
        let mut lines = Vec::new();
        for (step, text, secs) in [
            (Step::InLine, "waiting", 0),
            (Step::InLine, "waiting", 30),
            (Step::Reading, "0 records", 31),
            (Step::Reading, "100 records", 32),
            (Step::Reading, "900 records", 41),
            (Step::Settling, "0 of 9", 42),
        ] {
            lines.extend(plain.line(step, text, at(secs)));
        }
        assert_eq!(lines, ["waiting", "0 records", "900 records", "0 of 9"]);
    }
}
