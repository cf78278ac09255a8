//! `tandem apply` and `tandem export`: the configuration into the storage, and out of it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tandem_runtime::Configuration;
use tandem_runtime::addresses::{Move, moves};
use tandem_runtime::config::Built;
use tandem_store::Store;

use super::options::{ConfigOptions, DataOptions};
use super::output::{say, say_exactly, say_json, shown};
use super::storage::{build, now, open, open_or_make, open_to_look, somebody_runs};
use crate::removal::{Removal, listed, removals, require_same_ends};

/// What to store, and where.
#[derive(Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    config: ConfigOptions,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Remove connections and syncs that the file does not name, without asking.
    #[arg(long, visible_alias = "yes")]
    prune: bool,
    #[command(flatten)]
    data: DataOptions,
}

/// Where it was stored.
#[derive(Args)]
pub struct ExportArgs {
    #[command(flatten)]
    data: DataOptions,
}

/// Documents by kind and name.
type Documents = BTreeMap<(&'static str, String), Json>;

/// What applying did to one document.
#[derive(Serialize)]
struct Edit {
    what: &'static str,
    name: String,
    change: &'static str,
    fields: Vec<FieldEdit>,
}

/// What became of one field of a document.
#[derive(Serialize)]
struct FieldEdit {
    field: String,
    before: Json,
    after: Json,
}

/// Checks the configuration, stores it, and says what has changed.
pub async fn apply(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let built = build(&args.config.config)?;
    let data = &args.data.storage;
    if args.dry_run {
        let looked_at = open_to_look(data).await?;
        let removed = removals(looked_at.store.as_ref(), &built.documents, now()).await?;
        let before = documents(looked_at.store.as_ref()).await?;
        require_same_ends(looked_at.store.as_ref(), &built).await?;
        let moved = moves(looked_at.store.as_ref(), &built).await?;
        return report(&args, &before, &wanted(&built), &removed, &moved).await;
    }
    let store = open_or_make(data).await?;
    require_same_ends(store.as_ref(), &built).await?;
    let removed = removals(store.as_ref(), &built.documents, now()).await?;
    if !removed.is_empty() && !args.prune {
        ask_to_remove(&args, &removed)?;
    }
    let before = documents(store.as_ref()).await?;
    let moved = moves(store.as_ref(), &built).await?;
    let written = built.documents;
    store
        .apply_config(written.connections, written.syncs, built.schedules, now())
        .await?;
    let after = documents(store.as_ref()).await?;
    store.close().await?;
    report(&args, &before, &after, &removed, &moved).await
}

/// Says what has changed, or would.
async fn report(
    args: &ApplyArgs,
    before: &Documents,
    after: &Documents,
    removed: &[Removal],
    moved: &[Move],
) -> anyhow::Result<ExitCode> {
    let edits = compare(before, after);
    let unchanged = after
        .len()
        .saturating_sub(edits.iter().filter(|edit| edit.change != "removed").count());
    let dry_run = args.dry_run;
    let running = !dry_run && somebody_runs(&args.data.storage).await?;
    if args.data.output.json {
        say_json(&json!({
            "changes": edits,
            "unchanged": unchanged,
            "removed": removed,
            "moved": moved,
            "dry_run": dry_run,
            "taken_over_by_running": running && !edits.is_empty(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = told(&edits, unchanged, running);
    if dry_run {
        text = if edits.is_empty() {
            format!("nothing would change ({unchanged} unchanged)")
        } else {
            format!("Nothing was stored; this would change:\n\n{text}")
        };
        if !removed.is_empty() {
            let _ = write!(text, "\nIt would remove\n{}", listed(removed));
        }
    }
    for one in moved {
        let _ = write!(text, "\n\n! {one}");
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks whether what is not named any more is to be removed. Where nobody can be asked, it is not.
fn ask_to_remove(args: &ApplyArgs, removed: &[Removal]) -> anyhow::Result<()> {
    let what = format!(
        "{} does not name any more what is stored:\n{}",
        args.config.config.display(),
        listed(removed)
    );
    let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !can_ask || args.data.output.json {
        bail!(
            "{what}\nNothing was changed. If this is to be removed, say so with --prune; `tandem apply --config {} --dry-run` shows every change",
            args.config.config.display()
        );
    }
    eprint!("{what}\nRemove this? Their jobs are not done any more. [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("reading the answer")?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    bail!("nothing was changed")
}

/// All that would be stored.
fn wanted(built: &Built) -> Documents {
    let mut all = Documents::new();
    let written = &built.documents;
    for (name, document) in &written.connections {
        all.insert(("connection", name.to_string()), document.clone());
    }
    for (name, document) in &written.syncs {
        all.insert(("sync", name.to_string()), document.clone());
    }
    for row in &built.schedules {
        let name = format!("{} {}", row.key.sync, row.key.purpose.as_str());
        all.insert(("schedule", name), json!({ "spec": row.spec }));
    }
    all
}

/// Prints the configuration that is stored, in the form of a configuration file.
pub async fn export(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let store = open(&args.data.storage).await?;
    let stored = Configuration::from_store(&store.connections().await?, &store.syncs().await?)?;
    let documents = stored.documents();
    let named = |list: Vec<(String, Json)>| list.into_iter().collect::<Map<String, Json>>();
    let whole = json!({
        "connections": named(documents.connections.into_iter().map(|(name, json)| (name.into(), json)).collect()),
        "syncs": named(documents.syncs.into_iter().map(|(name, json)| (name.into(), json)).collect()),
    });
    if args.data.output.json {
        say_json(&whole)?;
    } else {
        let yaml = serde_saphyr::to_string(&whole).context("writing the configuration as YAML")?;
        say_exactly(
            "# Connections and syncs as applied. What each process has for itself (server, worker,",
        )?;
        say_exactly(
            "# scheduler, retention) is not stored; add it where it differs from the defaults.",
        )?;
        say_exactly(yaml.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is stored and was not removed.
async fn documents(store: &dyn Store) -> anyhow::Result<Documents> {
    let mut all = Documents::new();
    for row in store
        .connections()
        .await?
        .into_iter()
        .filter(|row| row.deleted_at.is_none())
    {
        all.insert(("connection", row.name.into()), row.document);
    }
    for row in store
        .syncs()
        .await?
        .into_iter()
        .filter(|row| row.deleted_at.is_none())
    {
        all.insert(("sync", row.name.into()), row.document);
    }
    for row in store.schedules().await? {
        let name = format!("{} {}", row.key.sync, row.key.purpose.as_str());
        all.insert(("schedule", name), json!({ "spec": row.spec }));
    }
    Ok(all)
}

fn compare(before: &Documents, after: &Documents) -> Vec<Edit> {
    let mut edits = Vec::new();
    let names = before
        .keys()
        .chain(after.keys())
        .collect::<std::collections::BTreeSet<_>>();
    for key in names {
        let (change, fields) = match (before.get(key), after.get(key)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => {
                let mut fields = Vec::new();
                compare_json("", old, new, &mut fields);
                ("changed", fields)
            }
            (None, _) => ("added", Vec::new()),
            (Some(_), None) => ("removed", Vec::new()),
        };
        edits.push(Edit {
            what: key.0,
            name: key.1.clone(),
            change,
            fields,
        });
    }
    edits
}

/// The leaves that differ, by their path.
fn compare_json(path: &str, old: &Json, new: &Json, found: &mut Vec<FieldEdit>) {
    let (Json::Object(old_fields), Json::Object(new_fields)) = (old, new) else {
        if old != new {
            found.push(FieldEdit {
                field: path.to_owned(),
                before: old.clone(),
                after: new.clone(),
            });
        }
        return;
    };
    let names = old_fields
        .keys()
        .chain(new_fields.keys())
        .collect::<std::collections::BTreeSet<_>>();
    for name in names {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let of = |fields: &Map<String, Json>| fields.get(name).cloned().unwrap_or(Json::Null);
        compare_json(&path, &of(old_fields), &of(new_fields), found);
    }
}

/// Writing to a `String` cannot fail, so its results are not looked at.
fn told(edits: &[Edit], unchanged: usize, running: bool) -> String {
    if edits.is_empty() {
        return format!("nothing has changed ({unchanged} unchanged)");
    }
    let mut text = String::new();
    for edit in edits {
        let _ = writeln!(text, "{} {} {}", edit.change, edit.what, edit.name);
        for field in &edit.fields {
            let (before, after) = (shown(&field.before), shown(&field.after));
            let _ = writeln!(text, "  {}: {before} -> {after}", field.field);
        }
    }
    let _ = writeln!(text, "{unchanged} unchanged");
    if running {
        let _ = write!(
            text,
            "\nWhat runs already takes it over within seconds; `tandem status` says so if it cannot. Sections of a process itself \
             (server, worker, scheduler, retention) are heeded after a restart."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_fields_are_named_by_their_path() {
        let mut found = Vec::new();
        let old = json!({"a": {"x": 1, "gone": true}, "same": [1]});
        let new = json!({"a": {"x": 2, "new": "n"}, "same": [1]});
        compare_json("", &old, &new, &mut found);
        let told: Vec<String> = found
            .iter()
            .map(|edit| format!("{}: {} -> {}", edit.field, edit.before, edit.after))
            .collect();
        assert_eq!(
            told,
            [
                "a.gone: true -> null",
                "a.new: null -> \"n\"",
                "a.x: 1 -> 2"
            ]
        );
    }

    #[test]
    fn documents_are_added_changed_and_removed() {
        let before = Documents::from([
            (("sync", "old".to_owned()), json!({})),
            (("sync", "s".to_owned()), json!(1)),
        ]);
        let after = Documents::from([
            (("sync", "new".to_owned()), json!({})),
            (("sync", "s".to_owned()), json!(1)),
        ]);
        let changes: Vec<_> = compare(&before, &after)
            .into_iter()
            .map(|edit| (edit.name, edit.change))
            .collect();
        assert_eq!(
            changes,
            [("new".to_owned(), "added"), ("old".to_owned(), "removed")]
        );
    }
}
