//! A PostgreSQL of a test's own, to be stopped and started at will.

use std::path::PathBuf;

use super::binaries::PostgresBinaries;
use super::blocking;
use super::cluster::{Cluster, StopMode};
use super::guard::Guard;
use super::port::Port;

/// The script of the guard: end the server, then remove its folder, which is the first argument's.
const END: &str = "folder=$1; shift; \"$@\"; rm -rf -- \"$folder\"";

/// A private PostgreSQL with its own data folder and its own port of 127.0.0.1. Ended at once, and its
/// data removed, when this is dropped or the test process ends.
pub struct PostgresServer {
    cluster: Cluster,
    _guard: Guard,
    _port: Port,
}

/// What a private PostgreSQL is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Whether a commit waits for the disk, as in production. Off is faster and survives a stop of the
    /// server, but not of the machine.
    pub fsync: bool,
    /// Names and values for `postgresql.conf`; these win over everything else.
    pub settings: Vec<(String, String)>,
    /// In which folder the data folder is made: on the disk that is to be measured. PostgreSQL's account
    /// must be able to get there. Without one it is the system's folder for temporary files.
    pub folder: Option<PathBuf>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            fsync: true,
            settings: Vec::new(),
            folder: None,
        }
    }
}

impl PostgresServer {
    /// Starts a server as production has it: `fsync` and `synchronous_commit` on, 200 connections.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    pub async fn start() -> Self {
        Self::start_with(PostgresOptions::default()).await
    }

    /// Starts a server with other settings.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    pub async fn start_with(options: PostgresOptions) -> Self {
        blocking(move || Self::launch(&options)).await
    }

    fn launch(options: &PostgresOptions) -> Self {
        let fsync = if options.fsync { "on" } else { "off" };
        let mut settings = own(&[
            ("fsync", fsync),
            ("full_page_writes", fsync),
            ("synchronous_commit", "on"),
            ("max_connections", "200"),
            // A stop waits that long for a client that has just connected and says nothing: one that a
            // test has paused, say.
            ("authentication_timeout", "10s"),
        ]);
        settings.extend(options.settings.iter().cloned());
        let binaries = PostgresBinaries::find();
        let port = Port::reserve();
        let within = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        // PostgreSQL's programs run in another folder than we do.
        let within = std::path::absolute(within).expect("the folder has a name");
        let folder = tempfile::Builder::new()
            .prefix("tandem-postgres-")
            .tempdir_in(within)
            .expect("a temporary folder can be made")
            .keep();
        // Before the start: a test that is killed meanwhile leaves nothing either.
        let stopping = Cluster::stop_command(&binaries, &folder, StopMode::Immediate);
        let arguments = [folder.as_os_str(), stopping.get_program()];
        let guard = Guard::run_at_the_end(END, arguments.into_iter().chain(stopping.get_args()));
        let cluster = Cluster::create(binaries, &folder, port.number(), &settings);
        Self {
            cluster,
            _guard: guard,
            _port: port,
        }
    }

    /// Where to connect to a database of this server, as the role `tandem`, which is no superuser. The
    /// database `postgres` always exists.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.cluster.url(database)
    }

    /// Creates an empty database and says where to connect to it.
    ///
    /// # Panics
    /// When it exists, or the server is stopped.
    pub async fn create_database(&self, name: &str) -> String {
        let (cluster, database) = (self.cluster.clone(), name.to_owned());
        blocking(move || cluster.create_database(&database)).await;
        self.url(name)
    }

    #[cfg(test)]
    pub(super) async fn superuser_sql(&self, statement: &'static str) -> String {
        let cluster = self.cluster.clone();
        let answer = blocking(move || cluster.sql(statement)).await;
        answer.expect("a superuser may ask everything")
    }

    /// Returns when the server has ended.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub async fn stop(&mut self, mode: StopMode) {
        let cluster = self.cluster.clone();
        blocking(move || cluster.stop(mode)).await;
    }

    /// Starts the stopped server on its port with its data; returns when it accepts connections.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        let cluster = self.cluster.clone();
        blocking(move || cluster.start()).await;
    }
}

/// Settings as the configuration file takes them.
pub(super) fn own(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = settings.iter();
    owned
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
