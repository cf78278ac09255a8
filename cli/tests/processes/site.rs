//! Two simulated systems, a configuration file as a user writes it, and a data folder that stays.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::process::Command;

use crate::common::pair::{Pair, Settings, with_secrets};
use crate::common::program;
use crate::common::system::free_port;
use crate::tandem::Tandem;

/// Where everything is.
pub struct Site {
    folder: TempDir,
    pub pair: Pair,
    port: u16,
}

impl Site {
    /// Chooses ports, and writes the configuration; nothing runs yet.
    pub fn new(records: usize, seed: u64, settings: &Settings) -> Self {
        let site = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            pair: Pair::new(records, seed),
            port: free_port(),
        };
        std::fs::write(site.config(), site.configuration(settings))
            .expect("the configuration can be written");
        site
    }

    /// Has the configuration say something else about the server, in one line.
    pub fn replace_server(&self, line: &str) {
        let text = std::fs::read_to_string(self.config()).expect("it was written");
        let rest = text.split_once('\n').expect("it has lines").1;
        std::fs::write(self.config(), format!("{line}\n{rest}")).expect("it can be written");
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("tandem.yaml")
    }

    fn configuration(&self, settings: &Settings) -> String {
        format!(
            "server: {{ listen: \"127.0.0.1:{port}\", shutdown_secs: 5 }}\nworker: {{ shutdown_secs: 5 }}\n{pair}",
            port = self.port,
            pair = self.pair.configuration(&self.base_url(), settings),
        )
    }

    /// The address of Tandem.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Has both systems tell Tandem what changes.
    pub fn with_webhooks(mut self) -> Self {
        let tandem = self.base_url();
        self.pair.tell(&tandem);
        self
    }

    /// `tandem` with the configuration, the data folder and the secrets in its environment.
    pub fn command(&self) -> Command {
        let mut command = program::tandem();
        with_secrets(&mut command)
            .env("TANDEM_CONFIG", self.config())
            .env("TANDEM_DATA", self.data());
        command
    }

    /// What a command says beside whatever runs, on both streams.
    pub async fn shown(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().await;
        let output = output.expect("it is started");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Starts `tandem up`; it need not be ready.
    pub fn spawn(&self) -> Tandem {
        let log = self.folder.path().join("tandem.log");
        Tandem::spawn(self.command(), self.base_url(), &log)
    }

    /// Starts `tandem up`, no file of which may be longer than so many blocks of 512 bytes.
    pub fn spawn_with_file_limit(&self, blocks: u32) -> Tandem {
        let plain = self.command();
        let plain = plain.as_std();
        let mut limited = Command::new("sh");
        limited
            .arg("-c")
            .arg(format!("ulimit -f {blocks}; exec \"$0\" \"$@\""))
            .arg(plain.get_program())
            .kill_on_drop(true);
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                limited.env(name, value);
            }
        }
        let log = self.folder.path().join("tandem.log");
        Tandem::spawn(limited, self.base_url(), &log)
    }

    /// Starts `tandem up`, and waits until it is ready.
    pub async fn up(&self) -> Tandem {
        self.spawn().ready().await
    }

    /// Leaves the data folder and the log for a person to look at.
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}
