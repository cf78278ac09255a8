//! `tandem changes`: the change log: what was written where, why, and what it replaced.

use std::process::ExitCode;

use clap::Args;
use tandem_domain::line::line;
use tandem_domain::{LinkId, RecordId, Side, SyncName};
use tandem_operator::ChangeQuery;
use tandem_operator::views::{ChangeView, FieldView};
use tandem_store::{Operation, Outcome};

use super::desk::Desk;
use super::nothing::Filters;
use super::options::{DataOptions, PageOptions, record_id, words};
use super::output::{moment, or_dash, say, say_json, shown, word};
use super::span::SpanOptions;
use super::storage::{operator, require_sync};

/// Which changes.
#[derive(Args)]
pub struct ChangesArgs {
    /// Only of this sync.
    #[arg(long)]
    sync: Option<SyncName>,
    /// Only about this record, on either side.
    #[arg(long, value_parser = record_id)]
    record: Option<RecordId>,
    /// Only of this pair.
    #[arg(long)]
    link: Option<LinkId>,
    /// Only of this kind.
    #[arg(long, value_parser = words(&Operation::ALL, Operation::as_str))]
    operation: Option<Operation>,
    #[command(flatten)]
    span: SpanOptions,
    #[command(flatten)]
    page: PageOptions,
    #[command(flatten)]
    data: DataOptions,
}

/// Shows them, the newest first.
pub async fn run(args: ChangesArgs) -> anyhow::Result<ExitCode> {
    let desk = operator(&args.data.storage).await?;
    if let Some(sync) = &args.sync {
        require_sync(&desk, sync).await?;
    }
    let filters = Filters::default()
        .and("--sync", args.sync.as_ref())
        .and("--record", args.record.as_ref())
        .and("--link", args.link.as_ref())
        .and("--operation", args.operation.map(Operation::as_str))
        .and("--cursor", args.page.cursor.as_ref());
    let filters = args.span.among(filters);
    let query = ChangeQuery {
        sync: args.sync,
        record: args.record,
        link: args.link,
        operation: args.operation,
        since: args.span.since,
        until: args.span.until,
        cursor: args.page.cursor()?,
        limit: args.page.limit(),
    };
    let page = desk.changes(query).await?;
    if args.data.output.json {
        say_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    if page.items.is_empty() {
        let others = !filters.is_empty() && any(&desk).await?;
        say(&filters.nothing("changes", others, "tandem changes"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines: Vec<String> = page.items.iter().flat_map(told).collect();
    lines.extend(page.next.map(|next| format!("\nmore: --cursor {next}")));
    say(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether there is any change at all.
async fn any(desk: &Desk) -> anyhow::Result<bool> {
    let query = ChangeQuery {
        limit: Some(1),
        ..ChangeQuery::default()
    };
    Ok(!desk.changes(query).await?.items.is_empty())
}

/// A change in full: values are what a person looks for here, so no table cuts them.
fn told(change: &ChangeView) -> Vec<String> {
    let written = change.written.map(|side| format!(" on side {side}"));
    let outcome = match change.outcome {
        Outcome::Applied => String::new(),
        Outcome::NotKept | Outcome::Failed => format!(", {}", word(&change.outcome)),
    };
    let first = format!(
        "{}  {} {}{}{outcome}: a {}, b {}, caused by {} ({})",
        moment(change.at),
        change.sync,
        change.operation.as_str(),
        written.unwrap_or_default(),
        or_dash(change.a.as_ref()),
        or_dash(change.b.as_ref()),
        change.trigger.as_str(),
        change.id
    );
    let mut lines = vec![first];
    lines.extend(change.fields.iter().map(field));
    lines.extend(
        change
            .error
            .iter()
            .map(|error| format!("    {}", line(error))),
    );
    lines
}

fn field(field: &FieldView) -> String {
    let from = match field.from {
        Some(Side::A) => " from side a",
        Some(Side::B) => " from side b",
        None => "",
    };
    let lost = field
        .lost
        .as_ref()
        .map_or_else(String::new, |lost| format!("; {} lost", shown(lost)));
    format!(
        "    {}: {}{from} (a had {}, b had {}): {}{lost}",
        line(&field.field),
        shown(&field.chosen),
        shown(&field.a),
        shown(&field.b),
        line(&field.reason)
    )
}
