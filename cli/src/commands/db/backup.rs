//! `tandem db backup`: a copy of the database file, while it is in use.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;
use tandem_runtime::process::{PostgresUrl, Storage};
use tandem_store_sqlite::upkeep;

use crate::commands::options::DataOptions;
use crate::commands::output::{say, say_json};

/// Makes the copy, and looks it through.
pub async fn run(path: &Path, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let file = match data.storage.storage(false) {
        Storage::Sqlite { file, .. } => file,
        Storage::Postgres { url, .. } => bail!(
            "nothing was copied: a PostgreSQL database is copied by its own tool, which asks for the password \
             (or takes it from PGPASSWORD or ~/.pgpass):\n  {}",
            pg_dump(&url, path)
        ),
    };
    if let Some(lost) = upkeep::lost(&file).await? {
        bail!("nothing was copied: {}. {}", lost.what, lost.advice);
    }
    if !super::is_there(&file)? {
        bail!(
            "there is no database at {}, so nothing was copied: name the folder of your `tandem up` with --data or \
             TANDEM_DATA; if there is none yet, `tandem apply` and `tandem up` make one",
            file.display()
        );
    }
    let made = make(path, &file)?;
    let copied = async {
        upkeep::copy(&file, path).await?;
        upkeep::examine(path).await
    };
    let report = match copied.await {
        Ok(report) => report,
        Err(error) => {
            // What is half a copy must not be taken for one.
            let _ = std::fs::remove_file(path);
            return Err(error).with_context(|| format!("{} was not copied", file.display()));
        }
    };
    if let Some(damage) = report.damage.first() {
        bail!(
            "the copy at {} is damaged, because the database is: {damage}. See `tandem db check`",
            path.display()
        );
    }
    made.sync_all().context("writing the copy to the disk")?;
    let bytes = made.metadata().context("looking at the copy")?.len();
    if data.output.json {
        say_json(
            &json!({ "database": file, "copy": path, "bytes": bytes, "version": report.version }),
        )?;
    } else {
        say(&format!(
            "{} is copied into {} ({} KiB), and the copy is whole. To restore it: stop `tandem up`, put it in the \
             place of {} (and remove the files ending in -wal and -shm beside it), start again",
            file.display(),
            path.display(),
            bytes.div_ceil(1_024),
            file.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The file of the copy, empty and the owner's alone. One that is there is kept.
fn make(path: &Path, database: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map_err(|error| {
        let what = refusal(path, database, error.kind());
        anyhow::Error::from(error).context(format!("nothing was copied: {what}"))
    })
}

/// Why the file of the copy could not be made, and what to do.
fn refusal(path: &Path, database: &Path, kind: ErrorKind) -> String {
    let shown = path.display();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display();
    let is_database = || match (path.canonicalize(), database.canonicalize()) {
        (Ok(path), Ok(database)) => path == database,
        _ => false,
    };
    match kind {
        ErrorKind::AlreadyExists if path.is_dir() => {
            format!("{shown} is a folder; name a file in it, such as {shown}/tandem-backup.db")
        }
        ErrorKind::AlreadyExists if is_database() => {
            format!("{shown} is the database itself; give the copy another name")
        }
        ErrorKind::AlreadyExists => {
            format!("{shown} is there already and was kept; give another name, or move it away")
        }
        ErrorKind::NotFound => {
            format!("there is no folder {folder}; make it, or name a file in another one")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("this user may not write in {folder}; name a file in another folder")
        }
        _ => format!("{shown} could not be made"),
    }
}

/// The command that copies such a database, without its password.
fn pg_dump(url: &PostgresUrl, path: &Path) -> String {
    let shown = reqwest::Url::parse(url.expose()).ok().and_then(|mut url| {
        url.set_password(None).ok()?;
        // Options of the driver may hold secrets too.
        url.set_query(None);
        Some(url.to_string())
    });
    let shown = shown.unwrap_or_else(|| "postgres://USER@HOST:5432/DATABASE".to_owned());
    format!(
        "pg_dump --format=custom --file='{}' '{shown}'",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_cannot_be_made_says_why_and_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let database = at("tandem.db");
        std::fs::write(&database, "it").expect("written");
        std::fs::write(at("kept"), "it").expect("written");
        let said = |path: &Path| format!("{:#}", make(path, &database).expect_err("refused"));
        for (path, part) in [
            (database.clone(), "is the database itself"),
            (at("kept"), "is there already and was kept"),
            (folder.path().to_owned(), "is a folder; name a file in it"),
            (at("missing/copy.db"), "there is no folder"),
        ] {
            let said = said(&path);
            assert!(
                said.contains(part) && said.starts_with("nothing was copied"),
                "{said}"
            );
        }
        let denied = refusal(Path::new("copy.db"), &database, ErrorKind::PermissionDenied);
        assert!(
            denied.starts_with("this user may not write in ."),
            "{denied}"
        );
        assert!(make(&at("copy.db"), &database).is_ok());
    }

    #[test]
    fn the_command_for_postgresql_holds_no_password() {
        let url = PostgresUrl::new(
            "postgres://tandem@db:5433/tandem?sslpassword=x",
            Some("s3cret"),
        );
        assert_eq!(
            pg_dump(&url, Path::new("copy.dump")),
            "pg_dump --format=custom --file='copy.dump' 'postgres://tandem@db:5433/tandem'"
        );
    }
}
