//! `tandem up` as a process.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::process::{Child, Command};

use crate::http::{get, get_text, within};

/// It is up within this time, on a busy machine too.
const START_MAX: Duration = Duration::from_secs(30);
/// So much of its log is shown when a test fails.
const LOG_LINES_MAX: usize = 40;

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

    /// SIGKILL: it has no say in this.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// SIGTERM, and waits for its end; `None` when that takes too long.
    pub async fn terminate(mut self, limit: Duration) -> Option<ExitStatus> {
        let id = self.child.id().expect("it still runs");
        // The shell's own `kill`, as the program of that name is not on every machine.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status()
            .await;
        assert!(sent.expect("there is a shell").success());
        let ended = tokio::time::timeout(limit, self.child.wait()).await.ok()?;
        Some(ended.expect("it is waited for"))
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
    }
}

/// Jobs that wait or run; `None` while it does not answer.
pub fn open_jobs(status: &Json) -> Option<u64> {
    let queue = &status["queue"];
    Some(queue["available"].as_u64()? + queue["running"].as_u64()?)
}

/// Dead letters.
pub fn dead_jobs(status: &Json) -> Option<u64> {
    status["queue"]["dead"].as_u64()
}
