//! `tandem db backup`: a copy of the database file, while it is in use.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use tandem_runtime::process::{PostgresUrl, Storage};
use tandem_store_sqlite::upkeep;

use crate::commands::options::{API_TOKEN_FILE, DataOptions};
use crate::commands::output::{say, say_json};

/// Where the copy goes.
#[derive(Args)]
pub struct Target {
    /// The file to make.
    path: PathBuf,
    /// Put the copy in the place of a file that is there, once it is whole.
    #[arg(long)]
    replace: bool,
}

/// Makes the copy, and looks it through.
pub async fn run(target: &Target, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let path = &target.path;
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
    let unfinished = Unfinished::begin(target, &file)?;
    let copied = async {
        upkeep::copy(&file, &unfinished.part).await?;
        upkeep::examine(&unfinished.part).await
    };
    let report = match copied.await {
        Ok(report) => report,
        Err(error) => {
            unfinished.drop_it();
            return Err(error).with_context(|| format!("{} was not copied", file.display()));
        }
    };
    if let Some(damage) = report.damage.first() {
        bail!(
            "the copy is damaged, because the database is: {damage}. See `tandem db check`. The copy is kept at {}, and {} was \
             not touched",
            unfinished.part.display(),
            path.display()
        );
    }
    let bytes = unfinished.finish(target)?;
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

/// A copy that is being made, under a name of its own beside the one that it is to have: whoever finds the final name finds a
/// whole copy, whenever this ends.
struct Unfinished {
    part: PathBuf,
    /// Locked while the copy is made.
    file: File,
}

impl Unfinished {
    /// An empty file, the owner's alone. What an earlier one that was killed has left of the name is made empty.
    fn begin(target: &Target, database: &Path) -> anyhow::Result<Self> {
        let path = &target.path;
        let refused =
            |kind| anyhow::anyhow!("nothing was copied: {}", refusal(path, database, kind));
        if path.is_dir() || is_of_data(path, database) || (path.exists() && !target.replace) {
            return Err(refused(ErrorKind::AlreadyExists));
        }
        let name = path
            .file_name()
            .ok_or_else(|| refused(ErrorKind::InvalidInput))?;
        let mut name = name.to_owned();
        name.push(".unfinished");
        let part = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let file = options.open(&part).map_err(|error| {
            let refused = refused(error.kind());
            anyhow::Error::from(error).context(refused)
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "nothing was copied: another process is making {} just now",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", part.display()));
            }
        }
        if !has_name(&file, &part)? {
            bail!(
                "nothing was copied: another process has made {} just now",
                path.display()
            );
        }
        file.set_len(0)
            .with_context(|| format!("emptying {}", part.display()))?;
        Ok(Self { part, file })
    }

    /// Gives the copy its name, once it is on the disk. Returns how many bytes it has.
    fn finish(self, target: &Target) -> anyhow::Result<u64> {
        let path = &target.path;
        self.file
            .sync_all()
            .context("writing the copy to the disk")?;
        let bytes = self.file.metadata().context("looking at the copy")?.len();
        if path.exists() && !target.replace {
            bail!(
                "{} was made meanwhile and was kept; the copy is at {}",
                path.display(),
                self.part.display()
            );
        }
        std::fs::rename(&self.part, path).with_context(|| {
            format!(
                "the copy is whole, and could not be named {}; it is at {}",
                path.display(),
                self.part.display()
            )
        })?;
        // The name is on the disk only when the folder is.
        #[cfg(unix)]
        File::open(folder_of(path))
            .and_then(|folder| folder.sync_all())
            .context("writing the name of the copy to the disk")?;
        Ok(bytes)
    }

    /// What is half a copy is of no use to anybody.
    fn drop_it(self) {
        let _ = std::fs::remove_file(self.part);
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Whether an open file still has its name: who waited for the lock of an unfinished copy may hold the finished one.
fn has_name(file: &File, name: &Path) -> anyhow::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let held = file.metadata().context("looking at the copy")?;
        let named = match std::fs::metadata(name) {
            Ok(named) => named,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).context("looking at the copy"),
        };
        Ok((held.dev(), held.ino()) == (named.dev(), named.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(name.exists())
    }
}

/// Whether this is the name of the database or of a file that Tandem keeps beside it, be it there or not: a copy in its place
/// would cut the log that the database needs, or lock everybody out.
fn is_of_data(path: &Path, database: &Path) -> bool {
    let whole = |path: &Path| {
        let there = path.canonicalize();
        there.or_else(|_| {
            Ok(folder_of(path)
                .canonicalize()?
                .join(path.file_name().unwrap_or_default()))
        })
    };
    let beside = ["", "-wal", "-shm", "-journal", ".lock"].map(|end| {
        let mut name = database.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    });
    let token = database.with_file_name(API_TOKEN_FILE);
    let path: std::io::Result<PathBuf> = whole(path);
    path.is_ok_and(|path| {
        let mut kept = beside.iter().chain([&token]);
        kept.any(|kept| whole(kept).is_ok_and(|kept| kept == path))
    })
}

/// Why the file of the copy could not be made, and what to do.
fn refusal(path: &Path, database: &Path, kind: ErrorKind) -> String {
    let shown = path.display();
    let folder = folder_of(path).display();
    match kind {
        ErrorKind::AlreadyExists if path.is_dir() => {
            format!("{shown} is a folder; name a file in it, such as {shown}/tandem-backup.db")
        }
        ErrorKind::AlreadyExists if is_of_data(path, database) => {
            format!("{shown} is a file that Tandem works with; give the copy another name")
        }
        ErrorKind::AlreadyExists => {
            format!(
                "{shown} is there already and was kept; give another name, or say --replace to have the copy take its place"
            )
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

    fn target(path: PathBuf) -> Target {
        let replace = false;
        Target { path, replace }
    }

    #[test]
    fn a_copy_that_cannot_be_made_says_why_and_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let database = at("tandem.db");
        std::fs::write(&database, "it").expect("written");
        std::fs::write(at("kept"), "it").expect("written");
        let begin = |target: &Target| Unfinished::begin(target, &database);
        let said = |target: &Target| match begin(target) {
            Ok(_) => panic!("{} is refused", target.path.display()),
            Err(error) => format!("{error:#}"),
        };
        for (path, part) in [
            (database.clone(), "is a file that Tandem works with"),
            (at("kept"), "is there already and was kept"),
            (folder.path().to_owned(), "is a folder; name a file in it"),
            (at("missing/copy.db"), "there is no folder"),
        ] {
            let said = said(&target(path));
            assert!(
                said.contains(part) && said.starts_with("nothing was copied"),
                "{said}"
            );
        }
        for path in [database.clone(), folder.path().to_owned()] {
            let replace = true;
            said(&Target { path, replace });
        }
        let denied = refusal(Path::new("copy.db"), &database, ErrorKind::PermissionDenied);
        assert!(
            denied.starts_with("this user may not write in ."),
            "{denied}"
        );
        let copy = target(at("copy.db"));
        let one = begin(&copy).expect("it can be made");
        assert!(said(&copy).contains("another process is making"));
        one.drop_it();
        assert!(
            !at("copy.db").exists(),
            "nothing has its name before it is whole"
        );
    }

    #[test]
    fn a_copy_takes_over_what_a_killed_one_left_and_replaces_a_file_only_when_that_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("copy.db.unfinished"), "half of an earlier one").expect("written");
        let copy = target(at("copy.db"));
        let one = Unfinished::begin(&copy, &at("tandem.db")).expect("it can be made");
        std::fs::write(&one.part, "whole").expect("written");
        assert_eq!(one.finish(&copy).expect("it is named"), 5);
        let read = || std::fs::read_to_string(at("copy.db")).expect("the copy");
        assert_eq!(read(), "whole");
        let again = Target {
            replace: true,
            ..copy
        };
        let one = Unfinished::begin(&again, &at("tandem.db")).expect("it may");
        std::fs::write(&one.part, "newer").expect("written");
        assert_eq!(
            read(),
            "whole",
            "the older one stays until the newer one is whole"
        );
        one.finish(&again).expect("it is named");
        assert_eq!(read(), "newer");
        let left = std::fs::read_dir(folder.path())
            .expect("the folder")
            .count();
        assert_eq!(left, 1);
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
