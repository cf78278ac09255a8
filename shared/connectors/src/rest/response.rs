//! An answer: status, headers, and a body that may or may not be JSON.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use minijinja::value::Value;
use serde_json::Value as Json;

use super::answer_memory::{AnswerMemory, Held};
use crate::raw_record::LONG_BYTES;
use crate::redactor::Redactor;
use crate::template::Scope;
use crate::{json_view, lenient_json};

/// How much of a body that is not JSON is quoted in errors, in characters.
const EXCERPT_CHARS_MAX: usize = 200;
/// How much of a text is looked at for an excerpt, in bytes.
const LOOKED_AT_BYTES_MAX: usize = 4_096;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Whether the predicate given with the operation held, so that the answer was not judged further.
    pub(super) accepted: bool,
    /// Whether the body is so long that records in it may be.
    is_long: bool,
    /// Its part of the memory for answers.
    held: Held,
}

/// A body that is taken apart, with its part of the memory for answers.
pub(super) struct Whole {
    pub(super) json: Json,
    /// What becomes of the answer as its records are kept.
    pub(super) is_long: bool,
    /// Given back when the records are made.
    _held: Held,
}

/// What an answer holds.
#[derive(Debug)]
pub(super) enum Body {
    Empty,
    Json(Arc<Json>),
    /// Something else, such as a proxy's HTML: its beginning as it came.
    Other(String),
}

impl Answer {
    pub(super) fn new(status: u16, headers: HeaderMap, bytes: &[u8], held: Held) -> Self {
        let body = if bytes.is_empty() {
            Body::Empty
        } else {
            lenient_json::parse(bytes).map_or_else(
                |_| Body::Other(beginning(bytes)),
                |json| Body::Json(Arc::new(json)),
            )
        };
        Self {
            status,
            headers,
            body,
            accepted: false,
            is_long: bytes.len() > LONG_BYTES,
            held,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn json(&self) -> Option<&Json> {
        match &self.body {
            Body::Json(json) => Some(json),
            Body::Empty | Body::Other(_) => None,
        }
    }

    /// The body for taking it apart; null when it is not JSON.
    pub(super) fn into_whole(self) -> Whole {
        let json = match self.body {
            // Views of the body are gone by now, so this does not copy.
            Body::Json(json) => Arc::try_unwrap(json).unwrap_or_else(|shared| (*shared).clone()),
            Body::Empty | Body::Other(_) => Json::Null,
        };
        Whole {
            json,
            is_long: self.is_long,
            _held: self.held,
        }
    }

    /// What expressions about an answer can see.
    pub(super) fn scope(&self) -> Value {
        self.parts().value()
    }

    /// The same, for adding to it.
    pub(super) fn parts(&self) -> Scope {
        let headers = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = match &self.body {
            Body::Json(json) => json_view::view(Arc::clone(json)),
            Body::Empty | Body::Other(_) => Value::from(()),
        };
        Scope::default()
            .with("status", self.status)
            .with("headers", Value::from_pairs(headers))
            .with("body", body)
    }

    /// The system's own words, as far as they can be found, without secrets.
    pub(super) fn message(&self, redactor: &Redactor) -> String {
        match &self.body {
            Body::Empty => format!("HTTP {} without a body", self.status),
            Body::Other(text) => {
                // A secret may have a `<` in it, so tags are removed after it.
                let plain =
                    without_tags(&redactor.clean_beginning(&lenient_json::presentable(text)));
                format!(
                    "HTTP {}, not JSON: {}",
                    self.status,
                    shortened(&plain, redactor)
                )
            }
            Body::Json(json) => {
                let words = [
                    "message",
                    "error_description",
                    "detail",
                    "error",
                    "title",
                    "errors",
                ]
                .into_iter()
                .filter_map(|name| json.get(name))
                .find_map(|value| match value {
                    Json::String(text) if !text.is_empty() => Some(text.clone()),
                    Json::Object(_) | Json::Array(_) => Some(value.to_string()),
                    _ => None,
                });
                let words = words.unwrap_or_else(|| json.to_string());
                format!("HTTP {}: {}", self.status, shortened(&words, redactor))
            }
        }
    }
}

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    TooLong(usize),
    Broken(reqwest::Error),
}

/// Why a body is not to be parsed: of many small values it would take many times its size in memory.
pub(super) fn too_many_values(body: &[u8], limit: usize) -> Option<String> {
    // Each value but the first stands behind a byte that counts here, so a short body cannot have too many.
    if body.len() < limit {
        return None;
    }
    let values = lenient_json::values_in(body);
    (values > limit).then(|| {
        format!(
            "the answer holds {values} values, and {limit} are the most that are taken; ask for smaller pages, or raise \
             `limits.response_values_max` in the manifest"
        )
    })
}

/// Reads a body up to a limit. A long one waits for its part of the memory before it is read on.
pub(super) async fn read_body(
    mut response: reqwest::Response,
    limit: usize,
    memory: &'static AnswerMemory,
) -> Result<(Bytes, Held), BodyError> {
    let length = response.content_length();
    if length.is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLong(limit));
    }
    let most = length.map_or(limit, |length| usize::try_from(length).unwrap_or(limit));
    let mut held = None;
    let Some(first) = response.chunk().await.map_err(BodyError::Broken)? else {
        return Ok((Bytes::new(), held));
    };
    let Some(second) = response.chunk().await.map_err(BodyError::Broken)? else {
        return if first.len() > limit {
            Err(BodyError::TooLong(limit))
        } else {
            Ok((first, held))
        };
    };
    let mut whole = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if whole.len() + chunk.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        if held.is_none() && !AnswerMemory::is_short(whole.len() + chunk.len()) {
            held = memory.body(most).await;
        }
        whole.extend_from_slice(&chunk);
        next = response.chunk().await.map_err(BodyError::Broken)?;
    }
    Ok((whole.freeze(), held))
}

fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_AT_BYTES_MAX)]).into_owned()
}

/// A text without HTML tags and runs of blanks.
fn without_tags(text: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for letter in text.chars() {
        match letter {
            '<' => inside = true,
            '>' => {
                inside = false;
                plain.push(' ');
            }
            _ if !inside => plain.push(letter),
            _ => {}
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a text of the system. Secrets are taken out before it is cut: of one that straddles the cut,
/// a part would be left that nobody knows again.
pub(super) fn shortened(text: &str, redactor: &Redactor) -> String {
    let looked_at = &text[..text.floor_char_boundary(LOOKED_AT_BYTES_MAX)];
    let mut text = redactor.clean_beginning(&lenient_json::presentable(looked_at));
    if let Some((end, _)) = text.char_indices().nth(EXCERPT_CHARS_MAX) {
        text.truncate(end);
        text.push('\u{2026}');
    }
    text
}
