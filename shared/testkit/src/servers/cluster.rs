//! One PostgreSQL data folder: made, started, stopped, and asked for databases.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::binaries::{PostgresBinaries, run};
use super::random_name;

/// How long a start (with recovery) or a stop may take.
const START_STOP_SECS: &str = "60";
/// How often a database is asked for again while another session looks into the template.
const TEMPLATE_RETRIES: u32 = 50;
/// The first version that takes its collation from ICU.
const FIRST_WITH_ICU: u32 = 15;
/// The first version that can create a database through its log, and does unless told otherwise. Copying
/// the template's files takes a third of the processor's time (measured with version 15).
const FIRST_WITH_STRATEGY: u32 = 15;

/// How PostgreSQL is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Rolls back and closes what is open, then ends cleanly.
    Fast,
    /// Ends at once, as at a power failure: the next start recovers from the log.
    Immediate,
}

impl StopMode {
    fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// A data folder with its programs, port and secret.
///
/// The tests are the role `tandem`, which owns its databases and may create more, but is no superuser:
/// what needs one would fail in production too. Both roles have the same password, and it is required.
#[derive(Clone)]
pub(super) struct Cluster {
    binaries: PostgresBinaries,
    folder: PathBuf,
    port: u16,
    password: String,
}

impl Cluster {
    /// Makes a new data folder within `folder`, which exists and is empty, and starts it.
    pub(super) fn create(
        binaries: PostgresBinaries,
        folder: &Path,
        port: u16,
        settings: &[(String, String)],
    ) -> Self {
        let cluster = Self::known(binaries, folder, port, random_name());
        cluster.initialise();
        cluster.configure(settings);
        cluster.start();
        let role = format!(
            "CREATE ROLE tandem LOGIN CREATEDB PASSWORD '{}'",
            cluster.password
        );
        cluster.must(&role);
        cluster
    }

    /// One that was made before.
    pub(super) fn known(
        binaries: PostgresBinaries,
        folder: &Path,
        port: u16,
        password: String,
    ) -> Self {
        Self {
            binaries,
            folder: folder.to_owned(),
            port,
            password,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    pub(super) fn url(&self, database: &str) -> String {
        let Self { port, password, .. } = self;
        format!("postgres://tandem:{password}@127.0.0.1:{port}/{database}")
    }

    /// Text is ordered as in English, like in the official image and unlike in SQLite: a statement
    /// that silently relies on the order of bytes fails here, not in production.
    fn initialise(&self) {
        PostgresBinaries::give(&self.folder);
        let secret = self.folder.join("password");
        write_secret(&secret, &self.password).expect("the data folder can be written");
        PostgresBinaries::give(&secret);
        let mut initdb = self.binaries.server("initdb");
        initdb
            .arg("--pgdata")
            .arg(self.data())
            .arg("--pwfile")
            .arg(&secret)
            .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8"]);
        if self.binaries.major() >= FIRST_WITH_ICU {
            initdb.args(["--locale-provider=icu", "--icu-locale=en-US"]);
        }
        run(&mut initdb).unwrap_or_else(|error| panic!("no data folder can be made: {error}"));
        fs::remove_file(&secret).expect("what was just written can be removed");
    }

    /// The last setting of a name wins: `settings` override what comes before.
    fn configure(&self, settings: &[(String, String)]) {
        let mut lines = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nport = {}\n",
            self.port
        );
        for (name, value) in settings {
            lines.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        fs::OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .expect("initdb has written its configuration");
    }

    /// Returns when connections are accepted.
    pub(super) fn start(&self) {
        let mut start = control(&self.binaries, &self.folder, "start");
        start.arg("--log").arg(self.log());
        if let Err(error) = run(&mut start) {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            panic!("PostgreSQL does not start: {error}\n{log}");
        }
    }

    /// Returns when the server has ended.
    pub(super) fn stop(&self, mode: StopMode) {
        run(&mut Self::stop_command(&self.binaries, &self.folder, mode))
            .unwrap_or_else(|error| panic!("PostgreSQL does not stop: {error}"));
    }

    /// Stops the server that has its data within `folder`: for those who clean up, also before a start.
    pub(super) fn stop_command(
        binaries: &PostgresBinaries,
        folder: &Path,
        mode: StopMode,
    ) -> Command {
        let mut stop = control(binaries, folder, "stop");
        stop.args(["--mode", mode.name()]);
        stop
    }

    /// Whether the server's process lives and its port is listened on. Each alone could be another's
    /// after a crash or a restart of the machine.
    pub(super) fn runs(&self) -> bool {
        let lives = self
            .process_id()
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
        lives && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    pub(super) fn process_id(&self) -> Option<rustix::process::Pid> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        rustix::process::Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    pub(super) fn create_database(&self, name: &str) {
        let mut create = format!(
            "CREATE DATABASE {} OWNER tandem TEMPLATE template0",
            quoted(name)
        );
        if self.data_version() >= FIRST_WITH_STRATEGY {
            create.push_str(" STRATEGY file_copy");
        }
        for _ in 0..TEMPLATE_RETRIES {
            match self.sql(&create) {
                Ok(_) => return,
                Err(error) if error.contains("is being accessed by other users") => {}
                Err(error) => panic!("the database {name} cannot be created: {error}"),
            }
        }
        panic!("the database {name} cannot be created: the template is always in use");
    }

    fn data_version(&self) -> u32 {
        fs::read_to_string(self.data().join("PG_VERSION"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .expect("a data folder names its version")
    }

    /// Ends the sessions that still use it.
    pub(super) fn drop_database(&self, name: &str) -> Result<(), String> {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
        self.sql(&drop).map(|_| ())
    }

    fn must(&self, statement: &str) {
        self.sql(statement)
            .unwrap_or_else(|error| panic!("the test server refuses a statement: {error}"));
    }

    /// Runs one statement as superuser.
    pub(super) fn sql(&self, statement: &str) -> Result<String, String> {
        let mut psql = self.binaries.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["--no-password", "--set=ON_ERROR_STOP=1"])
            .args([
                "--host=127.0.0.1",
                "--username=postgres",
                "--dbname=postgres",
            ])
            .arg(format!("--port={}", self.port))
            .args(["--command", statement])
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", START_STOP_SECS);
        run(&mut psql)
    }

    fn data(&self) -> PathBuf {
        data_folder(&self.folder)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn control(binaries: &PostgresBinaries, folder: &Path, action: &str) -> Command {
    let mut command = binaries.server("pg_ctl");
    command
        .args([action, "--wait", "--silent", "--timeout", START_STOP_SECS])
        .arg("--pgdata")
        .arg(data_folder(folder));
    command
}

/// A file that only its owner reads.
pub(super) fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
