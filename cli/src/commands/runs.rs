//! `tandem runs`: first syncs, polls and sweeps, and what each has done.

use std::process::ExitCode;

use clap::Args;
use tandem_domain::line::line;
use tandem_domain::{RecordId, RunId, SyncName};
use tandem_operator::RunQuery;
use tandem_operator::views::RunView;
use tandem_store::{Progress, RowError, RunKind, RunState};

use super::desk::Desk;
use super::nothing::Filters;
use super::options::{DataOptions, PageOptions, words};
use super::output::{Rows, moment, or_dash, say, say_json, say_page, table};
use super::span::SpanOptions;
use super::storage::operator;

/// Which runs.
#[derive(Args)]
pub struct RunsArgs {
    /// One run with its problems; a list when left out.
    run: Option<RunId>,
    /// Only of this sync.
    #[arg(long)]
    sync: Option<SyncName>,
    /// Only of this kind: `backfill` is the first sync and every later whole comparison of both sides, `poll` what has
    /// changed on one side, `sweep` one side whole (a schedule of a side that cannot tell what has changed).
    #[arg(long, value_parser = words(&RunKind::ALL, RunKind::as_str))]
    kind: Option<RunKind>,
    /// Only in this state.
    #[arg(long, value_parser = words(&RunState::ALL, RunState::as_str))]
    state: Option<RunState>,
    #[command(flatten)]
    span: SpanOptions,
    #[command(flatten)]
    page: PageOptions,
    #[command(flatten)]
    data: DataOptions,
}

/// What people call a sweep is often a run of another kind.
const NO_SWEEP: &str = "\na sweep reads one side whole, because its system cannot tell what has changed; a comparison of both \
                        sides whole, by the schedule `full` or by `tandem sync run`, is of the kind `backfill`";

/// Shows them.
pub async fn run(args: RunsArgs) -> anyhow::Result<ExitCode> {
    let operator = operator(&args.data.storage).await?;
    let json = args.data.output.json;
    if let Some(id) = args.run {
        let run = operator.run(id).await?;
        if json {
            say_json(&run)?;
        } else {
            say(&told(&run))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let filters = Filters::default()
        .and("--sync", args.sync.as_ref())
        .and("--kind", args.kind.map(RunKind::as_str))
        .and("--state", args.state.map(RunState::as_str))
        .and("--cursor", args.page.cursor.as_ref());
    let filters = args.span.among(filters);
    let kind = args.kind;
    let query = RunQuery {
        sync: args.sync,
        kind: args.kind,
        state: args.state,
        cursor: args.page.cursor()?,
        limit: args.page.limit(),
        since: args.span.since,
        until: args.span.until,
    };
    let page = operator.runs(query).await?;
    if json {
        say_json(&page)?;
    } else {
        let others = page.items.is_empty() && !filters.is_empty() && any(&operator).await?;
        let mut nothing = filters.nothing("runs", others, "tandem runs");
        if kind == Some(RunKind::Sweep) {
            nothing.push_str(NO_SWEEP);
        }
        say_page(&page, &runs_table(&page.items), &nothing)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether there is any run at all.
async fn any(desk: &Desk) -> anyhow::Result<bool> {
    let query = RunQuery {
        limit: Some(1),
        ..RunQuery::default()
    };
    Ok(!desk.runs(query).await?.items.is_empty())
}

/// Runs as a table.
pub fn runs_table(runs: &[RunView]) -> Rows {
    let mut table = table(&[
        "run", "sync", "kind", "side", "state", "began", "listed", "queued", "unclear", "error",
    ]);
    for run in runs {
        table.add_row([
            run.id.to_string(),
            run.sync.to_string(),
            run.kind.as_str().to_owned(),
            or_dash(run.side),
            run.state.as_str().to_owned(),
            moment(run.started_at),
            run.progress.listed.to_string(),
            run.progress.queued.to_string(),
            run.progress.held.to_string(),
            error_of(run),
        ]);
    }
    table
}

/// Why a run failed, or how many records it set aside.
fn error_of(run: &RunView) -> String {
    let unreadable = match run.progress.unreadable {
        0 => None,
        1 => Some("1 record could not be read".to_owned()),
        count => Some(format!("{count} records could not be read")),
    };
    let reasons: Vec<String> = run.error.clone().into_iter().chain(unreadable).collect();
    reasons.join("; ")
}

fn told(run: &RunView) -> String {
    let side = run
        .side
        .map_or_else(String::new, |side| format!(" of side {side}"));
    let progress = &run.progress;
    let mut lines = vec![
        format!(
            "{} of {}{side}: {} ({})",
            run.kind.as_str(),
            run.sync,
            run.state.as_str(),
            run.id
        ),
        format!("  caused by   {}", run.trigger.as_str()),
        format!("  began       {}", moment(run.started_at)),
        format!("  ended       {}", or_dash(run.ended_at.map(moment))),
        format!(
            "  listed      {} records, {} could not be read",
            progress.listed, progress.unreadable
        ),
        format!(
            "  left out    {} records by the filters: {} of side a, {} of side b",
            progress.filtered, progress.shares.a.filtered, progress.shares.b.filtered
        ),
        format!("  matched     {} pairs", progress.matched),
        format!("  queued      {} records that differ", progress.queued),
        format!("  unchanged   {}", progress.unchanged),
        format!(
            "  unclear     {} records of which the match was not clear, when it looked",
            progress.held
        ),
        format!("  vanished    {}", progress.vanished),
    ];
    lines.extend(
        run.error
            .iter()
            .map(|error| format!("  error       {}", line(error))),
    );
    lines.extend(
        progress
            .problems
            .iter()
            .map(|problem| format!("  problem     {}", line(problem))),
    );
    lines.extend(unreadable(progress));
    lines.join("\n")
}

/// The records that could not be read, one a line, and how many more there are.
pub fn unreadable(progress: &Progress) -> Vec<String> {
    let told = |error: &RowError| {
        let record = error.record.as_ref();
        let record = record.map_or("one without an id", RecordId::as_str);
        format!(
            "  unreadable  side {}: {}: {}",
            error.side,
            line(record),
            line(&error.reason)
        )
    };
    let mut lines: Vec<String> = progress.row_errors.iter().map(told).collect();
    match progress.row_errors_left_out() {
        0 => {}
        more => lines.push(format!("  unreadable  {more} more")),
    }
    if !lines.is_empty() {
        lines.push(
            "  They were left out and are read again at the next whole comparison (`tandem sync run NAME`)."
                .to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_domain::Side;

    #[test]
    fn unreadable_records_are_named_and_those_beyond_are_counted() {
        let mut progress = Progress::default();
        assert_eq!(unreadable(&progress), Vec::<String>::new());
        for number in 0..tandem_store::ROW_ERRORS_MAX + 3 {
            progress.add_unreadable(RowError {
                side: Side::B,
                record: Some(RecordId::new(format!("b{number}"))),
                reason: "`limit` is not a number".to_owned(),
            });
        }
        let lines = unreadable(&progress);
        assert_eq!(
            lines[0],
            "  unreadable  side b: b0: `limit` is not a number"
        );
        let counted = &lines[tandem_store::ROW_ERRORS_MAX];
        assert_eq!(counted, "  unreadable  3 more");
    }
}
