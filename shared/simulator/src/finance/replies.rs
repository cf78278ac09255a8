//! Answers kept under their `Idempotency-Key`, so that a repeated write is answered and not repeated.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use crate::faults::locked;

/// Newest keys kept; the real system forgets them after a while, too.
const KEYS_KEPT_MAX: usize = 200_000;

/// Fingerprint of the request that a key was first used with.
pub(super) type Fingerprint = [u8; 32];

#[derive(Debug, Default)]
pub(crate) struct Replies(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<String, Reply>,
    oldest_first: VecDeque<String>,
}

#[derive(Debug, Clone)]
struct Reply {
    fingerprint: Fingerprint,
    body: Bytes,
}

/// What is known of a key.
pub(super) enum Lookup {
    Unused,
    /// The same request was answered before, with this.
    Replay(Response),
    /// The key was used with another request.
    Mismatch,
}

pub(super) fn fingerprint(path: &str, body: &[u8]) -> Fingerprint {
    Sha256::new()
        .chain_update(path)
        .chain_update([0])
        .chain_update(body)
        .finalize()
        .into()
}

impl Replies {
    pub(super) fn look_up(&self, key: &str, fingerprint: &Fingerprint) -> Lookup {
        match locked(&self.0).by_key.get(key) {
            None => Lookup::Unused,
            Some(reply) if reply.fingerprint != *fingerprint => Lookup::Mismatch,
            Some(reply) => Lookup::Replay(success(reply.body.clone())),
        }
    }

    pub(super) fn keep(&self, key: &str, fingerprint: Fingerprint, body: Bytes) {
        let mut kept = locked(&self.0);
        if kept.by_key.len() == KEYS_KEPT_MAX
            && let Some(oldest) = kept.oldest_first.pop_front()
        {
            kept.by_key.remove(&oldest);
        }
        kept.oldest_first.push_back(key.to_owned());
        kept.by_key
            .insert(key.to_owned(), Reply { fingerprint, body });
    }
}

/// A successful JSON answer from a body that is written already.
pub(super) fn success(body: Bytes) -> Response {
    (
        StatusCode::OK,
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body,
    )
        .into_response()
}
