//! A fleet of real processes: `tandem-api`, `tandem-scheduler` and as many `tandem-worker` as wanted, over
//! the servers of this run.
//!
//! Absent: starting again what has ended. A process that ends before it is told to fails the measurement.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{self, Connection};
use crate::pair::free_port;
use crate::servers::Database;

/// How often it is looked whether a process is ready.
const LOOK: Duration = Duration::from_millis(20);
const READY_MAX: Duration = Duration::from_secs(60);
/// Longer than a process gives its jobs to end.
const END_MAX: Duration = Duration::from_secs(40);
/// So much of a log is shown when something fails.
const LOG_LINES_MAX: usize = 20;

/// What a process is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Api,
    Scheduler,
    Worker,
}

impl Role {
    const ALL: [Self; 3] = [Self::Api, Self::Scheduler, Self::Worker];

    const fn program(self) -> &'static str {
        match self {
            Self::Api => "tandem-api",
            Self::Scheduler => "tandem-scheduler",
            Self::Worker => "tandem-worker",
        }
    }

    /// Beside `tandem`, which cargo builds for this benchmark.
    fn path(self) -> PathBuf {
        Path::new(env!("CARGO_BIN_EXE_tandem")).with_file_name(self.program())
    }
}

/// Says which programs are missing, and how to get them.
pub fn check_programs() -> anyhow::Result<()> {
    let missing: Vec<String> = Role::ALL
        .iter()
        .map(|role| role.path())
        .filter(|path| !path.is_file())
        .map(|path| path.display().to_string())
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "{} missing, and the figures of a fleet need them: run `cargo build --release --workspace --bins` first, as `make bench` does, or leave these figures out with --only",
        missing.join(", ")
    );
    Ok(())
}

/// What all processes are started with.
struct Site {
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Site {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let known = name.to_string_lossy();
            if known.starts_with("TANDEM_") || known.starts_with("OTEL_") || known == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Runs a command of an operator to its end.
    async fn operate(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_tandem")));
        let output = command.args(arguments).output().await?;
        anyhow::ensure!(
            output.status.success(),
            "tandem {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// The processes.
pub struct Fleet {
    site: Site,
    members: Vec<Member>,
    workers: usize,
}

impl Fleet {
    /// Stores the configuration in the database, and starts one api, which listens there, one scheduler,
    /// and so many workers. The folder is for the configuration and the logs.
    pub async fn start(
        folder: &Path,
        configuration: &str,
        secrets: &[(&'static str, String)],
        database: &Database,
        listen: SocketAddr,
        workers: usize,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("tandem.yaml");
        std::fs::write(&file, configuration).context("writing the configuration")?;
        let mut environment = secrets.to_vec();
        environment.extend([
            ("TANDEM_CONFIG", file.display().to_string()),
            ("TANDEM_DATABASE_URL", database.url.clone()),
            ("TANDEM_REDIS_URL", database.redis_url.clone()),
        ]);
        let site = Site {
            folder: folder.to_owned(),
            environment,
        };
        site.operate(&["apply"]).await?;
        let mut fleet = Self {
            site,
            members: Vec::new(),
            workers: 0,
        };
        fleet.add(Role::Api, listen)?;
        fleet.add(Role::Scheduler, loopback(free_port()?))?;
        fleet.set_workers(workers).await?;
        Ok(fleet)
    }

    /// Starts or ends workers until there are so many; returns when all processes are ready.
    pub async fn set_workers(&mut self, wanted: usize) -> anyhow::Result<()> {
        while self.workers < wanted {
            self.add(Role::Worker, loopback(free_port()?))?;
            self.workers += 1;
        }
        while self.workers > wanted
            && let Some(place) = self.members.iter().rposition(Member::is_worker)
        {
            self.members.remove(place).end().await?;
            self.workers -= 1;
        }
        for member in &mut self.members {
            member.ready().await?;
        }
        Ok(())
    }

    fn add(&mut self, role: Role, listen: SocketAddr) -> anyhow::Result<()> {
        let name = format!("{}-{}", role.program(), self.members.len());
        let log = self.site.folder.join(format!("{name}.log"));
        let mut command = self.site.command(&role.path());
        command
            .env("TANDEM_LISTEN", listen.to_string())
            .stderr(File::options().create(true).append(true).open(&log)?);
        self.members.push(Member {
            role,
            name,
            log,
            listen,
            child: command.spawn().context("starting a process")?,
        });
        Ok(())
    }

    /// Ends all processes in order: no work comes in, the work is finished, then the rest.
    pub async fn stop(self) -> anyhow::Result<()> {
        for member in self.members {
            member.end().await?;
        }
        Ok(())
    }
}

/// One process.
struct Member {
    role: Role,
    name: String,
    log: PathBuf,
    listen: SocketAddr,
    child: Child,
}

impl Member {
    fn is_worker(&self) -> bool {
        self.role == Role::Worker
    }

    /// Waits until it says that it is ready.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        while !self.is_ready().await {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&format!("ended at its start ({status})")));
            }
            if Instant::now() > deadline {
                return Err(self.failed("is not ready in time"));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        let asked = client::request("GET", "/health/ready", &[], b"");
        match Connection::open(self.listen).await {
            Ok(mut connection) => connection.exchange(&asked).await.is_ok(),
            Err(_) => false,
        }
    }

    /// Asks it to end, which it must do in good order.
    async fn end(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            return Err(self.failed("has ended by itself"));
        };
        kill_process(pid, Signal::TERM).context("asking a process to end")?;
        let ended = timeout(END_MAX, self.child.wait()).await;
        match ended {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => Err(self.failed(&format!("did not end well: {status:?}"))),
            Err(_) => Err(self.failed("did not end in time")),
        }
    }

    fn failed(&self, what: &str) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n");
        anyhow::anyhow!("{} {what}:\n{end}", self.name)
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
