//! Requests on this machine, and waiting for conditions.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// No answer on this machine takes longer.
pub const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Asks until there is an answer, for so long at most.
pub async fn within<T>(limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        sleep(LOOK).await;
    }
}

/// Gets a JSON document; `None` while nobody answers, or not with success.
pub async fn get<T: DeserializeOwned>(url: &str) -> Option<T> {
    serde_json::from_str(&get_text(url).await?).ok()
}

/// Gets a text; `None` while nobody answers, or not with success.
pub async fn get_text(url: &str) -> Option<String> {
    let response = client().get(url).timeout(ANSWER_MAX).send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    response.text().await.ok()
}

/// Posts a body, and gives the status code of the answer.
pub async fn post(url: &str, body: &str) -> u16 {
    let request = client().post(url).timeout(ANSWER_MAX);
    let request = request.header("content-type", "application/json");
    let response = request.body(body.to_owned()).send().await;
    response
        .unwrap_or_else(|error| panic!("POST {url}: {error}"))
        .status()
        .as_u16()
}

/// A client for one request: a kept connection to a process that was killed would only be in the way.
pub fn client() -> reqwest::Client {
    tandem_connectors::http_client().expect("an HTTP client can be built")
}
