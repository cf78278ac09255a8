//! Where the machine keeps its servers, and how they are run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian and its relatives keep PostgreSQL, outside `PATH`: one folder for each version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// What must be in one folder, of one version: links to single programs are common.
const POSTGRES_PROGRAMS: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];

/// The account that runs PostgreSQL when the tests run as root, which PostgreSQL refuses. Debian's
/// package makes it.
const POSTGRES_ACCOUNT: &str = "postgres";

/// The programs of one version of PostgreSQL.
#[derive(Clone)]
pub(super) struct PostgresBinaries {
    folder: PathBuf,
}

impl PostgresBinaries {
    /// In `PATH`, else Debian's newest, else where `pg_config` says.
    pub(super) fn find() -> Self {
        let folder = in_path(&POSTGRES_PROGRAMS)
            .or_else(newest_of_debian)
            .or_else(named_by_pg_config)
            .unwrap_or_else(|| missing("PostgreSQL (initdb, pg_ctl)"));
        Self { folder }
    }

    /// The first number of the version.
    pub(super) fn major(&self) -> u32 {
        let version = run(self.client("postgres").arg("--version"))
            .unwrap_or_else(|error| panic!("PostgreSQL tells no version: {error}"));
        major_version(&version)
            .unwrap_or_else(|| panic!("PostgreSQL tells an unknown version: {version}"))
    }

    /// A program that only connects: run by ourselves.
    pub(super) fn client(&self, program: &str) -> Command {
        plain_environment(Command::new(self.folder.join(program)))
    }

    /// A program that touches the data folder: run by an account that is not root.
    pub(super) fn server(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        if is_root() {
            command = Command::new("setpriv");
            command
                .arg(format!("--reuid={POSTGRES_ACCOUNT}"))
                .arg(format!("--regid={POSTGRES_ACCOUNT}"))
                .arg("--clear-groups")
                .arg(self.folder.join(program));
        }
        // Our own working folder may be closed to the other account.
        command.current_dir("/");
        plain_environment(command)
    }

    /// Makes the account of [`Self::server`] the owner of a file or folder.
    pub(super) fn give(path: &Path) {
        if is_root() {
            run(Command::new("chown").arg(POSTGRES_ACCOUNT).arg(path)).unwrap_or_else(|error| {
                panic!("PostgreSQL does not run as root, and its own account is missing: {error}")
            });
        }
    }
}

/// The path of `redis-server` or `redis-cli`.
pub(super) fn redis_binary(program: &str) -> PathBuf {
    in_path(&[program]).map_or_else(
        || missing(&format!("Redis ({program})")),
        |folder| folder.join(program),
    )
}

/// Runs a command to its end. The error is for people: the command's name and what it wrote.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(written);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{program}: {}: {complaint}{written}",
        output.status
    ))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// English messages, and none of the variables by which a person names their everyday server.
fn plain_environment(mut command: Command) -> Command {
    command.env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}

/// The first folder of `PATH` that holds all the programs.
fn in_path(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| holds(folder, programs))
}

fn holds(folder: &Path, programs: &[&str]) -> bool {
    programs
        .iter()
        .all(|program| folder.join(program).is_file())
}

fn newest_of_debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN_POSTGRES).ok()?;
    versions
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path().join("bin");
            holds(&folder, &POSTGRES_PROGRAMS).then_some((version, folder))
        })
        .max()
        .map(|(_, folder)| folder)
}

fn named_by_pg_config() -> Option<PathBuf> {
    let named = run(Command::new("pg_config").arg("--bindir")).ok()?;
    let folder = PathBuf::from(named.trim());
    holds(&folder, &POSTGRES_PROGRAMS).then_some(folder)
}

/// From `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, or `17beta1`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn missing(what: &str) -> ! {
    panic!(
        "the tests need {what}, and it is not on this machine: install the Debian packages \
         `postgresql` and `redis-server`, or run `make test`, which installs them"
    )
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn the_version_is_read_from_what_postgres_says_of_itself() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_version(debian), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("postgres"), None);
    }
}
