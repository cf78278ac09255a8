//! `tandem db check`: is the database whole, of the right schema, and its owner's alone; and what to do if not.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;
use tandem_runtime::process::Storage;
use tandem_store::StoreError;
use tandem_store_postgres::PostgresStore;
use tandem_store_sqlite::upkeep;

use crate::commands::options::{DataOptions, NO};
use crate::commands::output::{say, say_json};

/// Something that is wrong, and what to do.
struct Finding {
    what: String,
    advice: String,
}

/// Looks the database through.
pub async fn run(data: &DataOptions) -> anyhow::Result<ExitCode> {
    let (place, found) = match data.storage.storage(false) {
        Storage::Sqlite { file, .. } => {
            let found = file_findings(&file).await?;
            (file.display().to_string(), found)
        }
        Storage::Postgres { url, .. } => {
            let (found, needed) = PostgresStore::examine(url.expose())
                .await
                .context("the database was not looked at")?;
            let place = "the database of TANDEM_DATABASE_URL".to_owned();
            (
                place,
                schema_finding(found, needed, "`tandem db migrate`")
                    .into_iter()
                    .collect(),
            )
        }
    };
    if data.output.json {
        let problems: Vec<_> = found
            .iter()
            .map(|one| json!({ "problem": one.what, "advice": one.advice }))
            .collect();
        say_json(&json!({ "database": place, "ok": found.is_empty(), "problems": problems }))?;
    } else if found.is_empty() {
        say(&format!("{place} is as it should be"))?;
    } else {
        let lines: Vec<String> = found
            .iter()
            .map(|one| format!("{}\n  {}", one.what, one.advice))
            .collect();
        say(&format!("{place}\n{}", lines.join("\n")))?;
    }
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

async fn file_findings(file: &Path) -> anyhow::Result<Vec<Finding>> {
    if let Some(lost) = upkeep::lost(file).await? {
        return Ok(vec![Finding {
            what: lost.what,
            advice: lost.advice,
        }]);
    }
    if !super::is_there(file)? {
        bail!(
            "there is no database at {}: name the folder of your `tandem up` with --data or TANDEM_DATA; if there is none \
             yet, `tandem apply` and `tandem up` make one",
            file.display()
        );
    }
    let mut found = permissions(file);
    found.extend(upkeep::cut_log(file).map(|cut| Finding {
        what: cut.what,
        advice: cut.advice,
    }));
    let report = match upkeep::examine(file).await {
        Ok(report) => report,
        // It may be whole: somebody has it to himself, or this user may not write beside it.
        Err(error @ StoreError::Unavailable(_)) => {
            return Err(error)
                .with_context(|| format!("{} was not looked through", file.display()));
        }
        Err(error) => {
            found.push(damaged(file, &error.to_string()));
            return Ok(found);
        }
    };
    if let Some(first) = report.damage.first() {
        let more = report.damage.len() - 1;
        let more = if more > 0 {
            format!(" (and {more} more)")
        } else {
            String::new()
        };
        found.push(damaged(file, &format!("{first}{more}")));
    }
    if report.dangling > 0 {
        found.push(Finding {
            what: format!("{} rows refer to what is not there", report.dangling),
            advice: "restore a copy that was made before; please report it".to_owned(),
        });
    }
    let version = report.version.unwrap_or(0);
    found.extend(schema_finding(
        version,
        report.needed,
        "`tandem up`, which brings it up to date",
    ));
    Ok(found)
}

fn damaged(file: &Path, reason: &str) -> Finding {
    let file = file.display();
    Finding {
        what: format!("the file is damaged: {reason}"),
        advice: format!(
            "stop `tandem up`, move {file} and the files {file}-wal and {file}-shm aside, put a copy made by \
             `tandem db backup` in its place and start again. Without a copy: start with an empty folder, and the \
             first sync links by match keys what both systems hold; only edits made since the last sync, answers and \
             the change log are lost"
        ),
    }
}

fn schema_finding(found: i64, needed: i64, how: &str) -> Option<Finding> {
    let advice = match found.cmp(&needed) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => format!("run {how}"),
        std::cmp::Ordering::Greater => {
            "a newer Tandem has used this database: run that version".to_owned()
        }
    };
    Some(Finding {
        what: format!("the schema is at version {found}, and this program needs {needed}"),
        advice,
    })
}

/// What others than the owner may do with the file and its folder.
#[cfg(unix)]
fn permissions(file: &Path) -> Vec<Finding> {
    use std::os::unix::fs::PermissionsExt as _;

    const OTHERS: u32 = 0o077;
    let open_to_others = |path: &Path| {
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & OTHERS != 0).then_some(mode & 0o777)
    };
    let places = [(Some(file), "600"), (file.parent(), "700")];
    places
        .into_iter()
        .filter_map(|(path, wanted)| {
            let path = path?;
            let mode = open_to_others(path)?;
            Some(Finding {
                what: format!("others may look at {} (mode {mode:o})", path.display()),
                advice: format!("chmod {wanted} {}", path.display()),
            })
        })
        .collect()
}

#[cfg(not(unix))]
fn permissions(_file: &Path) -> Vec<Finding> {
    Vec::new()
}
