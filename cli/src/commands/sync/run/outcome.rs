//! How a run that was waited for has come out.

use std::process::ExitCode;

use serde_json::{Value as Json, json};
use tandem_domain::line::line;
use tandem_domain::{Side, SyncName};
use tandem_operator::DeadLetter;
use tandem_operator::views::{ConflictView, JobView, RunView};
use tandem_store::{JobState, RunState};

use super::waiting::StillOpen;
use crate::commands::filters;
use crate::commands::options::{DataOptions, NO};
use crate::commands::output::{say, say_json};

/// So many dead letters and questions are named.
const NAMED_MAX: usize = 10;

/// Why it is not waited for any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// No job is left.
    Drained,
    /// It was paused: nothing goes on before a person says so.
    StandsStill(String),
    /// `--timeout` is over.
    TimedOut,
}

/// How it stands.
pub(super) struct Outcome {
    pub(super) end: End,
    /// What everything that is left waits for; empty while something moves.
    pub(super) stalled: String,
    pub(super) open: StillOpen,
    pub(super) run: Option<RunView>,
    pub(super) job: JobView,
    /// The dead letters of the sync.
    pub(super) letters: Vec<DeadLetter>,
    /// Its open questions.
    pub(super) questions: Vec<ConflictView>,
}

impl Outcome {
    fn is_well(&self) -> bool {
        let ended_well = |run: &RunView| run.state == RunState::Succeeded;
        self.end == End::Drained
            && self.open.writes.is_none()
            && self.run.as_ref().is_some_and(ended_well)
            && self.job.state == JobState::Done
            && self.letters.is_empty()
            && self.questions.is_empty()
    }

    /// Whether nothing but open questions is left.
    fn waits_for_a_person(&self) -> bool {
        let ended_well = |run: &RunView| run.state == RunState::Succeeded;
        self.open.writes.is_none()
            && self.run.as_ref().is_some_and(ended_well)
            && self.job.state == JobState::Done
            && self.letters.is_empty()
            && !self.questions.is_empty()
    }

    /// The word for programs.
    fn state(&self) -> &'static str {
        match (&self.end, self.is_well()) {
            (End::Drained, true) => "done",
            (End::Drained, false) => "not_all_done",
            (End::StandsStill(_), _) => "paused",
            (End::TimedOut, _) => "waiting",
        }
    }
}

/// Prints it, and gives the exit code.
pub(super) fn answer(
    sync: &SyncName,
    data: &DataOptions,
    outcome: &Outcome,
) -> anyhow::Result<ExitCode> {
    let well = outcome.is_well();
    if data.output.json {
        say_json(&as_json(sync, outcome))?;
    } else {
        say(&told(sync, outcome))?;
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

fn as_json(sync: &SyncName, outcome: &Outcome) -> Json {
    let paused = match &outcome.end {
        End::StandsStill(words) => Some(words),
        End::Drained | End::TimedOut => None,
    };
    json!({
        "sync": sync, "ok": outcome.is_well(), "state": outcome.state(), "paused": paused,
        "waiting": outcome.open.as_json(), "job": outcome.job, "run": outcome.run,
        "dead": outcome.letters.len(), "dead_letters": outcome.letters, "questions": outcome.questions,
    })
}

fn told(sync: &SyncName, outcome: &Outcome) -> String {
    let mut lines = told_of_run(sync, outcome);
    let letters = outcome.letters.iter();
    lines.extend(named(
        letters.map(|letter| format!("{}: {}", letter.id, letter.message)),
    ));
    if !outcome.letters.is_empty() {
        lines.push(format!(
            "{} could not be done; see `tandem dlq list --sync {sync}`",
            outcome.letters.len()
        ));
    }
    let questions = outcome.questions.iter();
    lines.extend(named(questions.map(|question| {
        format!("{}: {}: {}", question.id, question.kind, question.asks)
    })));
    if !outcome.questions.is_empty() {
        lines.push(format!(
            "questions: {} open; see `tandem conflicts list --sync {sync}`",
            outcome.questions.len()
        ));
    }
    lines.extend(outcome.open.lines());
    lines.push(match &outcome.end {
        End::Drained if outcome.is_well() => "done".to_owned(),
        End::Drained if outcome.waits_for_a_person() => {
            "done, but for what waits for a person: answer the questions, and it goes on by itself".to_owned()
        }
        End::Drained => "NOT all of it could be done; what could not was kept, and is named above".to_owned(),
        End::StandsStill(words) => {
            format!("NOT done, and nothing goes on by itself: {words}. What is left was kept")
        }
        End::TimedOut if !outcome.stalled.is_empty() => format!(
            "NOT done yet; it waits: {}. It goes on by itself, and `tandem sync status {sync}` shows how",
            line(&outcome.stalled)
        ),
        End::TimedOut => {
            format!("NOT done yet; it goes on by itself, and `tandem sync status {sync}` shows how")
        }
    });
    lines.join("\n")
}

fn told_of_run(sync: &SyncName, outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    match &outcome.run {
        Some(run) => {
            let progress = &run.progress;
            lines.push(format!(
                "{sync} {}: {} records listed, {} pairs newly matched, {} records worked on, {} as they were",
                run.state.as_str(), progress.listed, progress.matched, progress.queued, progress.unchanged
            ));
            lines.extend(Side::BOTH.into_iter().filter_map(|side| {
                let share = progress.shares.of(side);
                filters::told(&format!("side {side}"), share.listed, share.filtered)
            }));
            lines.extend(run.error.iter().cloned());
            lines.extend(
                progress
                    .problems
                    .iter()
                    .map(|problem| format!("  {problem}")),
            );
            lines.extend(crate::commands::runs::unreadable(progress));
        }
        None => lines.extend(outcome.job.note.clone()),
    }
    let failure = outcome.job.failure.as_ref();
    let failure = failure.filter(|_| outcome.job.state == JobState::Dead);
    lines.extend(failure.map(|failure| failure.chain.join(": ")));
    lines
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
