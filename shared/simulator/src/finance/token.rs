//! OAuth 2.0 client credentials: `POST /connect/token`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use crate::chance::{Purpose, rng_for};
use crate::faults::locked;
use crate::server::json_answer;
use crate::sim::Sim;

/// Issues access tokens and remembers until when they live.
#[derive(Debug)]
pub(crate) struct TokenDesk {
    lifetime_secs: u64,
    issued: Mutex<Issued>,
}

#[derive(Debug)]
struct Issued {
    rng: StdRng,
    /// End of life of each token, in milliseconds since 1970.
    ends_ms: HashMap<String, i64>,
}

impl TokenDesk {
    pub(crate) fn new(seed: u64, lifetime_secs: u64) -> TokenDesk {
        let issued = Issued {
            rng: rng_for(seed, Purpose::Tokens, 0),
            ends_ms: HashMap::new(),
        };
        TokenDesk {
            lifetime_secs,
            issued: Mutex::new(issued),
        }
    }

    fn issue(&self, now_ms: i64) -> String {
        let mut issued = locked(&self.issued);
        issued.ends_ms.retain(|_, end_ms| *end_ms > now_ms);
        let token = format!(
            "{:032x}{:032x}",
            issued.rng.random::<u128>(),
            issued.rng.random::<u128>()
        );
        let lifetime_ms =
            i64::try_from(self.lifetime_secs.saturating_mul(1_000)).unwrap_or(i64::MAX);
        issued
            .ends_ms
            .insert(token.clone(), now_ms.saturating_add(lifetime_ms));
        token
    }

    pub(crate) fn is_alive(&self, token: &str, now_ms: i64) -> bool {
        locked(&self.issued)
            .ends_ms
            .get(token)
            .is_some_and(|end_ms| *end_ms > now_ms)
    }
}

pub(super) async fn issue(
    State(sim): State<Arc<Sim>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = String::from_utf8_lossy(&body);
    if !form
        .split('&')
        .any(|pair| pair == "grant_type=client_credentials")
    {
        return json_answer(
            StatusCode::BAD_REQUEST,
            json!({ "error": "unsupported_grant_type" }),
        );
    }
    let credentials = &sim.config.credentials;
    let expected = format!("{}:{}", credentials.client_id, credentials.client_secret);
    if basic(&headers).as_deref() != Some(expected.as_bytes()) {
        return json_answer(
            StatusCode::UNAUTHORIZED,
            json!({ "error": "invalid_client" }),
        );
    }
    let access_token = sim.tokens.issue(sim.clock.real_ms());
    let body = json!({
        "access_token": access_token,
        "expires_in": sim.config.token_lifetime_secs,
        "token_type": "Bearer",
    });
    json_answer(StatusCode::OK, body)
}

fn basic(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    STANDARD.decode(value.strip_prefix("Basic ")?).ok()
}
