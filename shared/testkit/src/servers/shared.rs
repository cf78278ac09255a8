//! One PostgreSQL for all test processes, and a database of its own for each test.
//!
//! Nextest runs each test as a process, so the server belongs to none of them: the first that needs it
//! starts it, and a small shell script, the reaper, ends it when no process has used it for a while.
//! They agree by locks on files, which the kernel lets go when a process ends, however it ends:
//!
//! | file | held by |
//! | --- | --- |
//! | `start.lock` | whoever starts or ends the server, for that long |
//! | `users.lock` | every test process that uses the server, shared, for its life |
//! | `reaper.lock` | the reaper, for its life |
//!
//! The lock files stay where they are for ever: a lock on a removed file excludes nobody.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::binaries::PostgresBinaries;
use super::cluster::{Cluster, StopMode, write_secret};
use super::port::Port;
use super::postgres::own;
use super::{blocking, random_name};

/// How often the reaper looks whether the server is used. Found unused twice in a row, it is ended.
const REAPER_SECS: &str = "3";

/// From what size on the system's folder in memory is used: the server takes some 500 MB, and containers
/// have 64 MB unless told otherwise.
const MEMORY_BYTES_MIN: u64 = 2 << 30;

/// Only correctness is tested here, and nothing need survive: the disk is never waited for. Statistics are
/// gathered only when a test says so, lest a plan depend on the hour.
const SETTINGS: [(&str, &str); 7] = [
    ("autovacuum", "off"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("max_connections", "300"),
    ("shared_buffers", "128MB"),
    ("max_wal_size", "256MB"),
];

/// See the module for the locks. `$1` is the folder, `$2` the seconds between two looks, and the rest the
/// command that stops the server.
const REAPER: &str = r#"
trap '' HUP INT
base=$1; pause=$2; shift 2
exec 9>"$base/reaper.lock"
flock -n 9 || exit 0
idle=0
while [ "$idle" -lt 2 ]; do
    sleep "$pause"
    exec 7>"$base/start.lock"
    flock 7
    exec 8>"$base/users.lock"
    if flock -n 8; then idle=$((idle + 1)); else idle=0; fi
    exec 8>&-
    if [ "$idle" -ge 2 ]; then
        "$@"
        rm -rf "$base/server" "$base/address"
        # Before the start is free again: the next server needs a reaper of its own.
        exec 9>&-
    fi
    exec 7>&-
done
"#;

/// An empty database on the server that all tests share; dropped with this.
pub struct TestDatabase {
    cluster: Cluster,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Where to connect, as the owner of the database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A database that stays takes some disk until the server ends, and fails nothing.
        let _dropped = self.cluster.drop_database(&self.name);
    }
}

/// Creates a database on the shared server, which is started when it does not run.
///
/// # Panics
/// When PostgreSQL is missing or does not start.
pub async fn shared_database() -> TestDatabase {
    static SERVER: OnceLock<SharedServer> = OnceLock::new();
    blocking(|| {
        let server = SERVER.get_or_init(|| {
            let binaries = PostgresBinaries::find();
            SharedServer::join(binaries, &default_folder(), REAPER_SECS)
        });
        server.database()
    })
    .await
}

/// One for each user: they cannot use each other's.
fn default_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    quick_folder().join(format!("tandem-test-postgres-{user}"))
}

/// In memory where there is room for it: a database is some 300 files, and ext4 takes 200 ms to create
/// them after others were removed, where memory takes 15.
pub(super) fn quick_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let size = rustix::fs::statvfs(memory).map_or(0, |system| system.f_blocks * system.f_frsize);
    if size >= MEMORY_BYTES_MIN {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// The server, and this process's claim that it is in use.
pub(super) struct SharedServer {
    cluster: Cluster,
    _in_use: File,
}

impl SharedServer {
    /// Starts the server of this folder unless it runs, and keeps it running as long as this lives.
    pub(super) fn join(binaries: PostgresBinaries, base: &Path, reaper_secs: &str) -> Self {
        make_folder(base);
        let starting = open_lock(base, "start.lock");
        starting.lock().expect("a file of ours can be locked");
        let in_use = open_lock(base, "users.lock");
        in_use.lock_shared().expect("a file of ours can be locked");
        // Before the start: one that fails half-way is cleaned up too.
        let reaper = open_lock(base, "reaper.lock");
        if reaper.try_lock().is_ok() {
            drop(reaper);
            let server = base.join("server");
            let stop = Cluster::stop_command(&binaries, &server, StopMode::Immediate);
            spawn_reaper(base, reaper_secs, &stop);
        }
        let running = recall(&binaries, base).filter(Cluster::runs);
        let cluster = running.unwrap_or_else(|| start_afresh(binaries, base));
        Self {
            cluster,
            _in_use: in_use,
        }
    }

    pub(super) fn database(&self) -> TestDatabase {
        let name = format!("test_{}", random_name());
        self.cluster.create_database(&name);
        TestDatabase {
            url: self.cluster.url(&name),
            cluster: self.cluster.clone(),
            name,
        }
    }

    #[cfg(test)]
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

/// Others may pass through to the server's own folder, whose account may be another, and read nothing.
fn make_folder(base: &Path) {
    match fs::DirBuilder::new().mode(0o711).create(base) {
        Ok(()) => fs::set_permissions(base, fs::Permissions::from_mode(0o711)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .unwrap_or_else(|error| panic!("{} cannot be made: {error}", base.display()));
    let owner = fs::symlink_metadata(base).expect("the folder exists").uid();
    assert_eq!(
        owner,
        rustix::process::geteuid().as_raw(),
        "{} belongs to another user: remove it",
        base.display()
    );
}

fn open_lock(base: &Path, name: &str) -> File {
    File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(base.join(name))
        .expect("our own folder can be written")
}

/// The server that was started last in this folder: its port and password, a line each.
fn recall(binaries: &PostgresBinaries, base: &Path) -> Option<Cluster> {
    let address = fs::read_to_string(base.join("address")).ok()?;
    let (port, password) = address.split_once('\n')?;
    let port = port.parse().ok()?;
    let folder = base.join("server");
    Some(Cluster::known(
        binaries.clone(),
        &folder,
        port,
        password.to_owned(),
    ))
}

/// Whatever an earlier run left is worth nothing. A server half alive loses its files, and ends by that.
fn start_afresh(binaries: PostgresBinaries, base: &Path) -> Cluster {
    let folder = base.join("server");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            panic!("{} cannot be removed: {error}", folder.display())
        }
        Ok(()) | Err(_) => {}
    }
    let mut builder = fs::DirBuilder::new();
    builder
        .mode(0o700)
        .create(&folder)
        .expect("our own folder can be written");
    let port = Port::reserve();
    let cluster = Cluster::create(binaries, &folder, port.number(), &own(&SETTINGS));
    let address = format!("{}\n{}", cluster.port(), cluster.password());
    write_secret(&base.join("address"), &address).expect("our own folder can be written");
    cluster
}

/// Outlives this process and its group, and holds none of its outputs.
fn spawn_reaper(base: &Path, reaper_secs: &str, stop: &Command) {
    Command::new("setsid")
        .args(["--fork", "sh", "-c", REAPER, "sh"])
        .arg(base)
        .arg(reaper_secs)
        .arg(stop.get_program())
        .args(stop.get_args())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("a shell can be started");
}
