//! `tandem up` as a process.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value as Json;
use tokio::process::{Child, Command};

use crate::common::http::{get, get_text, within};
use crate::common::program;

/// It is up within this time, on a busy machine too.
const START_MAX: Duration = Duration::from_secs(30);

/// A running `tandem up`.
pub struct Tandem {
    child: Child,
    base_url: String,
    log: PathBuf,
}

impl Tandem {
    /// Starts it. Its log goes to the end of a file.
    pub fn spawn(mut command: Command, base_url: String, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.expect("the log can be written");
        command.arg("up").stdout(Stdio::null()).stderr(file);
        Self {
            child: command.spawn().expect("the program starts"),
            base_url,
            log: log.to_owned(),
        }
    }

    /// Waits until it is ready.
    pub async fn ready(self) -> Self {
        let url = format!("{}/health/ready", self.base_url);
        let ready = within(START_MAX, async || get_text(&url).await).await;
        assert!(
            ready.is_some(),
            "tandem is not up in time; its log:\n{}",
            self.log()
        );
        self
    }

    /// What it tells about itself, once it answers.
    pub async fn status(&self) -> Option<Json> {
        get(&format!("{}/api/v1/status", self.base_url)).await
    }

    /// What its API says of its jobs.
    pub async fn jobs(&self) -> Option<Json> {
        get(&format!("{}/api/v1/jobs", self.base_url)).await
    }

    /// SIGKILL: it has no say in this.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// SIGTERM, and waits for its end; `None` when that takes too long.
    pub async fn terminate(mut self, limit: Duration) -> Option<ExitStatus> {
        program::signal(&self.child, Signal::TERM);
        let ended = tokio::time::timeout(limit, self.child.wait()).await.ok()?;
        Some(ended.expect("it is waited for"))
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        program::tail(&self.log)
    }
}
