//! `tandem jobs …`: the queue: what waits, runs, ended, and how each attempt went.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tandem_domain::line::line;
use tandem_domain::{ErrorCode, JobId, RecordId, SyncName};
use tandem_operator::JobQuery;
use tandem_operator::views::{JobDetail, JobView};
use tandem_store::JobState;

use super::desk::Desk;
use super::dlq::show::{attempt, counted_attempts};
use super::nothing::Filters;
use super::options::{PageOptions, Verbs, error_code, record_id, words};
use super::output::{moment, or_dash, say, say_json, say_page, table};
use super::span::SpanOptions;
use super::storage::{operator, require_sync};

/// What to do with jobs.
#[derive(Subcommand)]
pub enum Action {
    /// List jobs, the newest first.
    List(ListArgs),
    /// Show a job with its failed attempts.
    Show {
        /// The job.
        id: JobId,
    },
}

#[derive(Args)]
pub struct ListArgs {
    /// Only of this sync.
    #[arg(long)]
    sync: Option<SyncName>,
    /// Only in this state.
    #[arg(long, value_parser = words(&JobState::ALL, JobState::as_str))]
    state: Option<JobState>,
    /// Only with this failure.
    #[arg(long, value_parser = error_code())]
    code: Option<ErrorCode>,
    /// Only about this record.
    #[arg(long, value_parser = record_id)]
    record: Option<RecordId>,
    #[command(flatten)]
    span: SpanOptions,
    #[command(flatten)]
    page: PageOptions,
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    let desk = operator(&args.data.storage).await?;
    let json = args.data.output.json;
    match args.action {
        Action::List(list_args) => list(&desk, list_args, json).await?,
        Action::Show { id } => {
            let job = desk.job(id).await?;
            if json {
                say_json(&job)?;
            } else {
                say(&told(&job))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(desk: &Desk, args: ListArgs, json: bool) -> anyhow::Result<()> {
    if let Some(sync) = &args.sync {
        require_sync(desk, sync).await?;
    }
    let filters = Filters::default()
        .and("--sync", args.sync.as_ref())
        .and("--state", args.state.map(JobState::as_str))
        .and("--code", args.code)
        .and("--record", args.record.as_ref())
        .and("--cursor", args.page.cursor.as_ref());
    let filters = args.span.among(filters);
    let query = JobQuery {
        state: args.state,
        sync: args.sync,
        code: args.code,
        record: args.record,
        since: args.span.since,
        until: args.span.until,
        cursor: args.page.cursor()?,
        limit: args.page.limit(),
    };
    let page = desk.jobs(query).await?;
    if json {
        return say_json(&page);
    }
    let mut rows = table(&[
        "job",
        "what",
        "state",
        "attempt",
        "made",
        "due or ended",
        "why",
    ]);
    for job in &page.items {
        rows.add_row([
            job.id.to_string(),
            what(job),
            job.state.as_str().to_owned(),
            job.attempt.to_string(),
            moment(job.created_at),
            moment(job.ended_at.unwrap_or(job.run_at)),
            why(job),
        ]);
    }
    let others = page.items.is_empty() && !filters.is_empty() && any(desk).await?;
    say_page(
        &page,
        &rows,
        &filters.nothing("jobs", others, "tandem jobs list"),
    )
}

/// Whether there is any job at all.
async fn any(desk: &Desk) -> anyhow::Result<bool> {
    let query = JobQuery {
        limit: Some(1),
        ..JobQuery::default()
    };
    Ok(!desk.jobs(query).await?.items.is_empty())
}

fn what(job: &JobView) -> String {
    let parts = [
        Some(job.kind.clone().into_owned()),
        job.sync.as_ref().map(ToString::to_string),
        job.side.map(|side| side.to_string()),
        job.record.as_ref().map(ToString::to_string),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    line(&parts.join(" ")).into_owned()
}

/// The failure that it waits for or ended with, else what it did.
fn why(job: &JobView) -> String {
    let ended_well = job.state == JobState::Done;
    let failure = job.failure.as_ref().filter(|_| !ended_well);
    failure
        .and_then(|failure| failure.chain.first().cloned())
        .or_else(|| job.note.clone())
        .unwrap_or_default()
}

fn told(detail: &JobDetail) -> String {
    let job = &detail.job;
    let mut lines = vec![
        format!("{}: {}, {}", job.id, what(job), job.state.as_str()),
        format!(
            "  caused by  {} at {}, {} more causes merged",
            job.trigger.as_str(),
            moment(job.created_at),
            job.merged
        ),
        format!("  class      {}", job.class.as_str()),
        format!("  lane       {}", line(&job.lane)),
        format!("  due        {}", moment(job.run_at)),
        format!("  ended      {}", or_dash(job.ended_at.map(moment))),
        format!(
            "  attempts   {}",
            counted_attempts(job.attempt, detail.attempts.len())
        ),
    ];
    lines.extend(
        job.note
            .iter()
            .map(|note| format!("  note       {}", line(note))),
    );
    lines.extend(
        job.edits
            .iter()
            .map(|(field, value)| format!("  to write   {}: \"{}\"", line(field), line(value))),
    );
    if let Some(failure) = &job.failure {
        lines.push(format!("  failure    {}", failure.code));
        lines.extend(
            failure
                .chain
                .iter()
                .map(|message| format!("    {}", line(message))),
        );
    }
    if !detail.attempts.is_empty() {
        lines.push("\nAttempts that failed".to_owned());
    }
    let attempts = (1..).zip(&detail.attempts);
    lines.extend(
        attempts
            .flat_map(|one| attempt(&one))
            .map(|line| format!("  {line}")),
    );
    if job.state == JobState::Dead {
        lines.push(format!(
            "\ntandem dlq show {} tells all that may explain it",
            job.id
        ));
    }
    lines.join("\n")
}
