//! Speaks to the HTTP API of a Tandem elsewhere. What it refuses is told in its own words, and with its address.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tandem_connectors::http_client;
use tandem_domain::JobId;

/// An answer takes no longer than this: some verbs read from the connected systems first.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Under which path the API lies.
const PREFIX: [&str; 2] = ["api", "v1"];

/// A Tandem elsewhere.
pub struct Remote {
    client: reqwest::Client,
    address: Url,
    token: Option<String>,
}

/// A list that is never long.
#[derive(Deserialize)]
pub(super) struct Items<T> {
    pub items: Vec<T>,
}

/// What was started.
#[derive(Deserialize)]
pub(super) struct Started {
    pub job: JobId,
}

/// The part of a problem document (RFC 9457) that a person reads.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// The parts of a path, for the percent-encoding of each.
pub(super) fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

impl Remote {
    /// The Tandem at this address, with the token that its API asks for.
    pub fn new(address: &str, token: Option<String>) -> anyhow::Result<Self> {
        let parsed: Url = address.parse().with_context(|| {
            format!("`{address}` is no address such as https://tandem.example.com")
        })?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.cannot_be_a_base() {
            bail!("`{address}` is no address such as https://tandem.example.com");
        }
        Ok(Self {
            client: http_client().map_err(|error| anyhow!("the HTTP client: {error}"))?,
            address: parsed,
            token,
        })
    }

    /// Asks for a document.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        at: Vec<String>,
        query: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self.client.get(self.url(&at, query)?);
        self.read(self.send(request).await?).await
    }

    /// Asks for a text.
    pub(super) async fn get_text(
        &self,
        at: Vec<String>,
        query: &impl Serialize,
    ) -> anyhow::Result<String> {
        let request = self.client.get(self.url(&at, query)?);
        let response = self.send(request).await?;
        response.text().await.with_context(|| self.broken())
    }

    /// Tells it to do something.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        at: Vec<String>,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body).context("making JSON of the request")?;
        let request = self
            .client
            .post(self.url(&at, &Json::Null)?)
            .header("content-type", "application/json")
            .body(body);
        self.read(self.send(request).await?).await
    }

    fn url(&self, at: &[String], query: &impl Serialize) -> anyhow::Result<Url> {
        let mut url = self.address.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} takes no path", self.address))?
            .pop_if_empty()
            .extend(PREFIX)
            .extend(at);
        let query = serde_json::to_value(query).context("making a query of what was asked for")?;
        let pairs = query.as_object().into_iter().flatten();
        for (name, value) in pairs.filter(|(_, value)| !value.is_null()) {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            url.query_pairs_mut().append_pair(name, &text);
        }
        Ok(url)
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.timeout(TIMEOUT).send().await.map_err(|error| {
            anyhow!(error.without_url()).context(format!(
                "no Tandem answers at {}: is it running, and is this its address?",
                self.address
            ))
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> anyhow::Error {
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            let advice = if self.token.is_some() {
                "it does not accept the token"
            } else {
                "it asks for a token"
            };
            return anyhow!(
                "{} refused ({status}): {advice}; give that of the API with --api-token-file FILE or \
                 TANDEM_API_TOKEN",
                self.address
            );
        }
        let text = response.text().await.unwrap_or_default();
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => anyhow!("{}: {}", self.address, problem.detail),
            Err(_) => anyhow!(
                "{} answered {status}, and not as the API of a Tandem does: is this its address?",
                self.address
            ),
        }
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        let body = response.bytes().await.with_context(|| self.broken())?;
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "{} answered something that this version of the command line does not understand",
                self.address
            )
        })
    }

    fn broken(&self) -> String {
        format!("the answer of {} broke off", self.address)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_a_path_and_a_query_are_encoded() {
        let remote = Remote::new("http://tandem.example:8080/base/", None).expect("an address");
        let query = json!({ "record": "a b&c", "limit": 5, "side": null });
        let url = remote
            .url(&path(&["syncs", "x/y", "explain"]), &query)
            .expect("it has a path");
        assert_eq!(
            url.as_str(),
            "http://tandem.example:8080/base/api/v1/syncs/x%2Fy/explain?limit=5&record=a+b%26c"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in ["localhost:8080", "tandem", "ftp://x", "mailto:a@b.example"] {
            assert!(Remote::new(wrong, None).is_err(), "{wrong}");
        }
    }
}
