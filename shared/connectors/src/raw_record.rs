//! A record as its system answered it, for as long as a job about it takes.

use std::borrow::Cow;

use serde_json::Value as Json;

/// A longer one is kept as text: parsed it may take thirty times as much, and many jobs hold some at once.
pub(crate) const LONG_BYTES: usize = 32 * 1024;

/// A record as answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawRecord(Kept);

#[derive(Clone, Debug, Default, PartialEq)]
enum Kept {
    #[default]
    Nothing,
    Parsed(Json),
    Text(Box<str>),
}

impl RawRecord {
    /// Keeps it as text if that is longer than so many bytes.
    pub(crate) fn as_text_beyond(bytes: usize, json: Json) -> Self {
        match serde_json::to_string(&json) {
            Ok(text) if text.len() > bytes => Self(Kept::Text(text.into())),
            Ok(_) | Err(_) => Self(Kept::Parsed(json)),
        }
    }

    /// The record; null where it was not kept.
    #[must_use]
    pub fn json(&self) -> Cow<'_, Json> {
        match &self.0 {
            Kept::Nothing => Cow::Owned(Json::Null),
            Kept::Parsed(json) => Cow::Borrowed(json),
            // It was written by us, and reads back.
            Kept::Text(text) => Cow::Owned(serde_json::from_str(text).unwrap_or(Json::Null)),
        }
    }
}

impl From<Json> for RawRecord {
    fn from(json: Json) -> Self {
        Self(Kept::Parsed(json))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_reads_back_the_same_however_it_is_kept() {
        let long = json!({ "id": "7", "values": vec![1; LONG_BYTES], "share": 0.1 });
        let kept = RawRecord::as_text_beyond(LONG_BYTES, long.clone());
        assert!(matches!(kept.0, Kept::Text(_)));
        assert_eq!(*kept.json(), long);
        let short = json!({ "id": "7" });
        let kept = RawRecord::as_text_beyond(LONG_BYTES, short.clone());
        assert!(matches!(kept.0, Kept::Parsed(_)));
        assert_eq!(*kept.json(), short);
        assert_eq!(*RawRecord::default().json(), Json::Null);
    }
}
