//! `tandem apply` and `tandem export`: the configuration into the storage, and out of it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tandem_runtime::Configuration;
use tandem_store::Store;

use super::options::{ConfigOptions, DataOptions};
use super::output::{say, say_exactly, say_json, shown};
use super::storage::{build, now, open, open_or_make, somebody_runs};

/// What to store, and where.
#[derive(Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    config: ConfigOptions,
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
    let store = open_or_make(data).await?;
    let before = documents(store.as_ref()).await?;
    let written = built.documents;
    store
        .apply_config(written.connections, written.syncs, built.schedules, now())
        .await?;
    let after = documents(store.as_ref()).await?;
    let edits = compare(&before, &after);
    let unchanged = after.len() - edits.iter().filter(|edit| edit.change != "removed").count();
    let running = somebody_runs(data).await?;
    if args.data.output.json {
        say_json(
            &json!({ "changes": edits, "unchanged": unchanged, "taken_over_by_running": running && !edits.is_empty() }),
        )?;
    } else {
        say(&told(&edits, unchanged, running))?;
    }
    Ok(ExitCode::SUCCESS)
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
