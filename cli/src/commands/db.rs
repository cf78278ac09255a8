//! `tandem db`: is the database whole, a copy of it, and the schema of a fleet's. An embedded Tandem keeps the schema
//! of its file up to date by itself.

mod backup;
mod check;

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;
use tandem_store_postgres::PostgresStore;

use super::options::Verbs;
use super::output::{say, say_json};

/// What to do with the schema.
#[derive(Subcommand)]
pub enum Action {
    /// Look whether the database is whole, has the schema of this program, and is readable by its owner alone.
    /// Exit code 1 when something is wrong; what to do is said. Changes nothing.
    Check,
    /// Copy the database, as it is at one moment, into a file. Others may go on using it. The file has its name only when
    /// it is whole.
    Backup(backup::Target),
    /// Bring the schema up to date. Several may do so at once; running processes go on working.
    Migrate,
    /// Undo the migrations after a version; what only the later schema can hold is lost. Stop all
    /// processes first, and make a backup.
    Rollback {
        /// The version that is to be the last; 0 removes everything.
        #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
        to: i64,
        /// Say that the loss is wanted.
        #[arg(long)]
        yes: bool,
    },
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    args.data.storage.require_here()?;
    match &args.action {
        Action::Check => return check::run(&args.data).await,
        Action::Backup(target) => return backup::run(target, &args.data).await,
        Action::Migrate | Action::Rollback { .. } => {}
    }
    let Some(url) = args.data.storage.postgres() else {
        bail!(
            "no PostgreSQL database is named: do so with --database-url or TANDEM_DATABASE_URL. The file of an \
             embedded Tandem is kept up to date by `tandem up`"
        );
    };
    match args.action {
        // Done above, for both kinds of database.
        Action::Check | Action::Backup(_) => {}
        Action::Migrate => {
            let (before, after) = PostgresStore::migrate(url.expose())
                .await
                .context("the database was not migrated")?;
            if args.data.output.json {
                say_json(&json!({ "before": before, "after": after }))?;
            } else if before == after {
                say(&format!("the schema is up to date: version {after}"))?;
            } else {
                say(&format!(
                    "migrated the schema from version {before} to {after}"
                ))?;
            }
        }
        Action::Rollback { yes: false, to } => bail!(
            "rolling back to version {to} loses what only the later schema can hold: stop all processes, make a \
             backup, and say --yes"
        ),
        Action::Rollback { to, yes: true } => {
            PostgresStore::roll_back(url.expose(), to)
                .await
                .context("the schema was not rolled back")?;
            if args.data.output.json {
                say_json(&json!({ "after": to }))?;
            } else {
                say(&format!("rolled the schema back to version {to}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether there is a database. Refuses one that this user may not read: to say that there is none would be untrue.
fn is_there(file: &Path) -> anyhow::Result<bool> {
    let looked_at = std::fs::symlink_metadata(file).and_then(|found| {
        // To open a pipe would wait for ever. What is no file is told of when it is opened as a database.
        if found.is_file() {
            File::open(file)?;
        }
        Ok(())
    });
    match looked_at {
        Ok(()) => Ok(true),
        Err(error) if is_absent(error.kind()) => Ok(false),
        Err(error) => Err(anyhow::Error::from(error).context(not_readable(file))),
    }
}

/// Also where what should be its folder is a file.
const fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn not_readable(file: &Path) -> String {
    let folder = file.parent().unwrap_or(Path::new(".")).display();
    format!(
        "{} cannot be read, so nothing was done. Whether there is a database, and whether it is whole, is not known: run this \
         as the user that runs `tandem up` (`ls -la {folder}` shows whose the files are)",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_be_read_is_not_said_to_be_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tandem.db");
        assert!(!is_there(&file).expect("looked at"));
        assert!(!is_there(&file.join("below")).expect("looked at"));
        std::fs::write(&file, "it").expect("written");
        assert!(is_there(&file).expect("looked at"));
        assert!(!is_there(&file.join("below")).expect("no folder, so nothing is in it"));
        // What the system says of somebody else's file; whoever runs this test may read all.
        assert!(!is_absent(ErrorKind::PermissionDenied));
        let said = not_readable(&file);
        let shown = file.display().to_string();
        assert!(said.contains(&shown) && said.contains("as the user that runs `tandem up`"));
    }
}
