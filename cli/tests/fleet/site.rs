//! What the processes of a fleet are started with: its programs, configuration, secrets and servers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::common::pair::{Pair, Settings, with_secrets};
use crate::common::program;

/// The token of the API.
pub const API_TOKEN: &str = "fleet-test-token-0123456789";
/// What the configuration gives a process to end in, in seconds.
pub const SHUTDOWN_SECS: u64 = 5;

/// What a process of the fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Api,
    Scheduler,
    Worker,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Api, Self::Scheduler, Self::Worker];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
        }
    }
}

/// What a program is started with. Each part may be replaced to see what becomes of it.
#[derive(Clone, Debug)]
pub struct Site {
    pub config: PathBuf,
    pub database_url: String,
    pub redis_url: Option<String>,
    /// Where traces go.
    pub collector: Option<String>,
}

impl Site {
    /// Writes the configuration into a folder. `lease_secs` is after how long a dead worker's job is taken over.
    pub fn write_config(
        folder: &Path,
        pair: &Pair,
        hooks: &str,
        settings: &Settings,
        lease_secs: u32,
    ) -> PathBuf {
        let file = folder.join("tandem.yaml");
        let text = format!(
            "server: {{ shutdown_secs: {SHUTDOWN_SECS} }}\n\
             worker: {{ lease_secs: {lease_secs}, shutdown_secs: {SHUTDOWN_SECS}, concurrency: 8 }}\n{}",
            pair.configuration(hooks, settings)
        );
        std::fs::write(&file, text).expect("the configuration can be written");
        file
    }

    /// A process of the fleet that listens there.
    pub fn process(&self, role: Role, listen: SocketAddr) -> Command {
        let mut command = program::bare(&program_of(role));
        self.environment(&mut command)
            .env("TANDEM_LISTEN", listen.to_string());
        if let Some(url) = &self.redis_url {
            command.env("TANDEM_REDIS_URL", url);
        }
        if let Some(url) = &self.collector {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
        }
        command
    }

    /// `tandem`, as an operator of this fleet runs it.
    pub fn operator(&self) -> Command {
        let mut command = program::tandem();
        self.environment(&mut command);
        command
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        with_secrets(command)
            .env("TANDEM_CONFIG", &self.config)
            .env("TANDEM_DATABASE_URL", &self.database_url)
            .env("TANDEM_API_TOKEN", API_TOKEN)
            .env("TANDEM_LOG_FORMAT", "human")
    }
}

/// The program beside `tandem`.
fn program_of(role: Role) -> PathBuf {
    let tandem = Path::new(env!("CARGO_BIN_EXE_tandem"));
    let file = tandem.with_file_name(format!("tandem-{}", role.name()));
    assert!(
        file.is_file(),
        "{} is missing: run `cargo build --workspace --bins`, as `make test` does",
        file.display()
    );
    file
}
