//! What an operator does: commands, and questions to the API.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::process::Command;

use crate::common::http::{ANSWER_MAX, client};
use crate::site::API_TOKEN;

/// A command has ended within this time, unless it waits for others.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// How a command has ended.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// Insists on success.
    pub fn succeed(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// Runs a program to its end.
pub async fn finish(mut command: Command) -> Answer {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = tokio::time::timeout(COMMAND_MAX, command.output()).await;
    let ended = ended
        .expect("the program ends")
        .expect("the program starts");
    Answer {
        code: ended.status.code(),
        out: String::from_utf8_lossy(&ended.stdout).into_owned(),
        err: String::from_utf8_lossy(&ended.stderr).into_owned(),
    }
}

/// What the fleet tells about itself; `None` when nobody answers with success.
pub async fn status(base_url: &str) -> Option<Json> {
    let request = client()
        .get(format!("{base_url}/api/v1/status"))
        .bearer_auth(API_TOKEN)
        .timeout(ANSWER_MAX);
    let answer = request.send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    serde_json::from_str(&answer.text().await.ok()?).ok()
}
