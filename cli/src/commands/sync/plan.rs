//! `tandem sync plan`: what a sync would do, item by item. Nothing is written, to no system and not to
//! the storage either.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};
use tandem_domain::{Side, SyncName};
use tandem_operator::views::plain_fields;
use tandem_runtime::SyncDefinition;
use tandem_worker::{Preview, PreviewItem, survey};

use crate::commands::filters;
use crate::commands::options::{ConfigOptions, DataOptions};
use crate::commands::output::{ReadingProgress, fitted, or_dash, say, say_json, shown, table};
use crate::commands::storage::{build, now, open_to_look, sync_of};

/// Items shown to a person unless asked for others.
const ITEMS_SHOWN: usize = 20;

/// What to plan.
#[derive(Args)]
pub struct PlanArgs {
    /// The sync.
    name: SyncName,
    #[command(flatten)]
    config: ConfigOptions,
    /// How many items to list at most: 20 in a table, all in JSON unless said otherwise.
    #[arg(long)]
    limit: Option<usize>,
}

/// Plans and prints.
pub async fn run(args: &PlanArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let built = build(&args.config.config)?;
    let sync = sync_of(&built, &args.name)?;
    let looked_at = open_to_look(&data.storage).await?;
    super::require_same_links(looked_at.store.as_ref(), &built, &args.name, now()).await?;
    let progress = ReadingProgress::new(&sync);
    let report = |side, read| progress.report(side, read);
    let surveying = survey(looked_at.store.as_ref(), &sync, &report);
    let survey = progress.watch(surveying).await;
    progress.finish();
    let preview = survey?.preview(&sync);
    if data.output.json {
        say_json(&as_json(&sync, &preview, args.limit.unwrap_or(usize::MAX)))?;
    } else {
        say(&told(&sync, &preview, args.limit.unwrap_or(ITEMS_SHOWN)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(sync: &SyncDefinition, preview: &Preview, limit: usize) -> Json {
    let items = preview.items.iter().take(limit).map(|item| {
        json!({
            "a": item.a,
            "b": item.b,
            "action": item.action,
            "side": item.side,
            "fields": plain_fields(&item.fields),
            "reason": item.reason,
            "question": item.question,
        })
    });
    json!({
        "sync": sync.name,
        "a": sync.a.connection,
        "b": sync.b.connection,
        "listed_a": preview.listed_a,
        "listed_b": preview.listed_b,
        "left_out_a": preview.left_out_a,
        "left_out_b": preview.left_out_b,
        "linked": preview.linked,
        "matched": preview.matched,
        "equal": preview.equal,
        "create_a": preview.create_a,
        "create_b": preview.create_b,
        "update_a": preview.update_a,
        "update_b": preview.update_b,
        "delete": preview.delete,
        "held": preview.held,
        "waiting": preview.waiting,
        "waiting_fields": preview.waiting_fields,
        "left": preview.left,
        "ends": preview.ends,
        "questions": preview.questions,
        "unreadable": preview.unreadable,
        "filtered": preview.filtered,
        "beside_left_out": preview.beside_left_out,
        "left_alone": preview.left_alone,
        "not_looked_at": preview.not_looked_at,
        "in_part": preview.in_part,
        "emptied": preview.emptied,
        "items": items.collect::<Vec<Json>>(),
        "items_left_out": preview.items.len().saturating_sub(limit),
    })
}

fn told(sync: &SyncDefinition, preview: &Preview, limit: usize) -> String {
    let (a, b) = (&sync.a.connection, &sync.b.connection);
    let Preview {
        listed_a,
        listed_b,
        linked,
        matched,
        equal,
        create_a,
        create_b,
        ..
    } = preview;
    let Preview {
        update_a,
        update_b,
        delete,
        held,
        questions,
        ..
    } = preview;
    let mut lines = vec![
        format!("Plan of {}: nothing is changed by this", sync.name),
        String::new(),
        format!("  {a} holds {listed_a} records, {b} holds {listed_b}"),
        format!(
            "  {linked} pairs are linked, {matched} more match; {equal} of them hold the same already"
        ),
        format!("  create {create_a} in {a}, {create_b} in {b}"),
        format!("  update {update_a} in {a}, {update_b} in {b}"),
        format!("  delete {delete}"),
        format!("  {held} records would wait for a person because the match is not clear"),
        format!("  {questions} fields would be asked about"),
    ];
    lines.extend(beside(sync, preview));
    if !preview.items.is_empty() && limit > 0 {
        let mut items = table(&["what", a.as_str(), b.as_str(), "fields", "why"]);
        for item in preview.items.iter().take(limit) {
            items.add_row([
                action(sync, item),
                or_dash(item.a.as_ref()),
                or_dash(item.b.as_ref()),
                fields(item),
                item.reason.clone(),
            ]);
        }
        lines.extend([String::new(), fitted(&items)]);
    }
    let left_out = preview.items.len().saturating_sub(limit);
    if left_out > 0 {
        lines.push(format!(
            "\n{left_out} more; --limit {} lists all",
            preview.items.len()
        ));
    }
    lines.join("\n")
}

/// What is said only where there is something to say.
fn beside(sync: &SyncDefinition, preview: &Preview) -> Vec<String> {
    let Preview {
        waiting,
        waiting_fields,
        left,
        ends,
        unreadable,
        filtered,
        beside_left_out,
        left_alone,
        not_looked_at,
        in_part,
        ..
    } = preview;
    let counted = [
        (
            *waiting,
            "records or pairs wait for an open question: nothing is written for them until a person answers",
        ),
        (
            *waiting_fields,
            "fields of linked pairs wait for an open question: they stay as they are until a person answers, and the other \
             fields of their pairs go on",
        ),
        (
            *left,
            "fields of linked pairs differ and stay as they are: a person has answered so, or nothing has changed them since the \
             two sides last agreed",
        ),
        (
            *ends,
            "linked pairs end, because a record of theirs is gone: nothing is written or deleted for them",
        ),
        (
            *filtered,
            "linked pairs rest, because the sync's filters leave a record out: nothing of them is written or deleted",
        ),
        (
            *beside_left_out,
            "records have their like on the other side among those that the sync's filters leave out: nothing is made for them",
        ),
        (*left_alone, "linked pairs are left alone, as a person said"),
        (*unreadable, "records could not be read"),
        (
            *not_looked_at,
            "linked pairs are NOT in this plan: a record of theirs is in no listing and not more than 1,000 of a side are \
             read by their ids, or it cannot be read. A run reads each of them",
        ),
        (
            *in_part,
            "records are shown only in part by the listing, and not more than 1,000 of a side are read by their ids: what is \
             left out of the others is NOT in this plan. A run reads each of them",
        ),
    ];
    let left_out = [
        (&sync.a, preview.listed_a, preview.left_out_a),
        (&sync.b, preview.listed_b, preview.left_out_b),
    ];
    let left_out = left_out.into_iter().filter_map(|(end, listed, left_out)| {
        filters::told(end.connection.as_str(), listed as u64, left_out as u64)
    });
    let emptied = preview.emptied.iter().map(|side| {
        let name = &sync.end(*side).connection;
        format!(
            "  {name} lists no record at all, though there are links: a run would end here, and nothing is planned of them. \
             Check what the credentials of {name} may read, and its account, with `tandem check`"
        )
    });
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    counted
        .map(|(count, words)| format!("  {count} {words}"))
        .chain(left_out.map(|told| format!("  {told}")))
        .chain(emptied)
        .collect()
}

fn action(sync: &SyncDefinition, item: &PreviewItem) -> String {
    let name = |side: Side| &sync.end(side).connection;
    match item.side {
        Some(side) if item.action == "update" => format!("update {}", name(side)),
        Some(side) => format!("{} in {}", item.action, name(side)),
        None => item.action.to_owned(),
    }
}

fn fields(item: &PreviewItem) -> String {
    let Json::Object(fields) = plain_fields(&item.fields) else {
        return String::new();
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", shown(value)))
        .collect();
    pairs.join(", ")
}
