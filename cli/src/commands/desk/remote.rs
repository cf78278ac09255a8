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
/// An answer is no longer than this, in bytes. What answers without end is no Tandem.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
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
        let parsed = address_of(address)?;
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
        let body = self.body(response).await?;
        String::from_utf8(body).with_context(|| self.broken())
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
            let advice = advice(&self.address, &error);
            anyhow!(error.without_url())
                .context(format!("no Tandem answers at {}: {advice}", self.address))
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
        let body = self.body(response).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) if status == StatusCode::NOT_FOUND && self.address.path() != "/" => {
                anyhow!(
                    "{}: {}; is the path `{}` of the address right?",
                    self.address,
                    problem.detail,
                    self.address.path()
                )
            }
            Ok(problem) => anyhow!("{}: {}", self.address, problem.detail),
            Err(_) => {
                let tls = match self.address.scheme() {
                    "http" => ", and does it speak TLS (https://)?",
                    _ => "?",
                };
                anyhow!(
                    "{} answered {status}, and not as the API of a Tandem does: is this its address{tls}",
                    self.address
                )
            }
        }
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        let body = self.body(response).await?;
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "{} answered something that this version of the command line does not understand",
                self.address
            )
        })
    }

    /// All of an answer, as long as it has a length that is one.
    async fn body(&self, mut response: Response) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.with_context(|| self.broken())? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                bail!(
                    "{} answers with more than {} MiB, and not as the API of a Tandem does: is this its address?",
                    self.address,
                    ANSWER_BYTES_MAX / 1024 / 1024
                );
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn broken(&self) -> String {
        format!("the answer of {} broke off", self.address)
    }
}

/// The address under which the API lies.
fn address_of(text: &str) -> anyhow::Result<Url> {
    let Some((scheme, rest)) = text.split_once("://") else {
        bail!(
            "the address `{text}` does not say how it is spoken to: write http://{text}, or https://{text} where it \
             speaks TLS"
        );
    };
    if !matches!(scheme, "http" | "https") {
        bail!("`{scheme}` is not spoken: write an address such as https://tandem.example.com");
    }
    let mut url: Url = text.parse().map_err(|error| {
        // It may hold a password.
        anyhow!("the address after {scheme}:// cannot be read: {error}; write one such as https://tandem.example.com")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        bail!(
            "the address names a user or a password, which the API does not take: leave them out, and give its token \
             with --api-token-file FILE or TANDEM_API_TOKEN"
        );
    }
    if rest.contains(['?', '#']) {
        bail!("the address `{text}` has more than a path: leave out what begins with `?` or `#`");
    }
    // What people copy is often the address of a verb.
    if let Some(base) = url.path().trim_end_matches('/').strip_suffix("/api/v1") {
        let base = base.to_owned();
        url.set_path(&base);
    }
    Ok(url)
}

/// What to do where nothing answers.
fn advice(address: &Url, error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let mut speaks_no_tls = false;
    while let Some(one) = cause {
        speaks_no_tls |= one.to_string().contains("InvalidContentType");
        cause = one.source();
    }
    if address.scheme() == "https" && speaks_no_tls {
        return "what answers there does not speak TLS; write http:// instead of https://";
    }
    if error.is_timeout() {
        return "it took too long; is it overloaded, or something else at this address?";
    }
    "is it running, and is this its address and port?"
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
        for (wrong, part) in [
            ("localhost:8080", "write http://localhost:8080, or https://"),
            ("tandem", "write http://tandem"),
            ("ftp://x", "`ftp` is not spoken"),
            ("mailto:a@b.example", "does not say how"),
            ("http://", "cannot be read"),
            ("http://ann:secret@x", "leave them out"),
            ("http://x/?y=1", "leave out what begins with `?`"),
        ] {
            let Err(error) = Remote::new(wrong, None) else {
                panic!("{wrong} is taken");
            };
            let said = error.to_string();
            assert!(
                said.contains(part) && !said.contains("secret"),
                "{wrong}: {said}"
            );
        }
        for (copied, base) in [
            ("http://x/api/v1/", "http://x/"),
            ("https://x/t/api/v1", "https://x/t"),
        ] {
            let url = address_of(copied).expect("an address");
            assert_eq!(url.as_str(), base);
        }
    }
}
