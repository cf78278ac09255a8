//! How long a value may be. What is mapped is copied: into readings, bases, the journal, the change log, questions.
//! So one text of some megabytes in each of a few records would take gigabytes.
//!
//! A value beyond its limit is one that cannot be read: never cut, and never taken for empty.

use serde_json::Value as Json;
use tandem_domain::Value;

/// So much is told of what is wrong with a value, in characters: it may quote the value.
const REASON_CHARS_MAX: usize = 400;

/// How many bytes a value of the system has: a text those of the text, a list or an object those of its parts.
pub(super) fn bytes_of(json: &Json) -> usize {
    match json {
        Json::Null => 0,
        Json::Bool(_) | Json::Number(_) => Value::SHORT_BYTES,
        Json::String(text) => text.len(),
        Json::Array(elements) => elements.iter().map(bytes_of).sum(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + bytes_of(value))
            .sum(),
    }
}

/// What is said of a value that is too long.
pub(super) fn too_long(bytes: usize, bytes_max: usize) -> String {
    format!(
        "it has {} bytes, more than the {} of `limits.value_bytes_max`; the record and its pair are left as they are \
         until the value is shorter, or the limit in the manifest higher",
        grouped(bytes),
        grouped(bytes_max)
    )
}

/// What is said of a record whose mapped values are too long together.
pub(crate) fn too_long_together(bytes: usize, bytes_max: usize) -> String {
    format!(
        "its mapped fields together have {} bytes, more than the {} of `limits.record_bytes_max`; the record and its \
         pair are left as they are until they are shorter, or the limit in the manifest higher",
        grouped(bytes),
        grouped(bytes_max)
    )
}

/// What is wrong with a value, cut where it quotes too much of it.
pub(super) fn brief(reason: &str) -> String {
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        None => reason.to_owned(),
        Some((end, _)) => format!("{}\u{2026}", &reason[..end]),
    }
}

/// A number with its digits in threes.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_the_bytes_of_its_texts_wherever_they_stand() {
        for (value, bytes) in [
            (json!("Zürich"), 7),
            (json!(null), 0),
            (json!(12.5), Value::SHORT_BYTES),
            (json!([{ "text": "four" }, "five5"]), 13),
        ] {
            assert_eq!(bytes_of(&value), bytes, "{value}");
        }
    }

    #[test]
    fn numbers_are_told_with_their_digits_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (10_485_760, "10,485,760")] {
            assert_eq!(grouped(number), text);
        }
    }
}
