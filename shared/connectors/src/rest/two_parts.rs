//! One text that a system keeps in two parts, such as a name kept as first and last name.
//!
//! Whatever the split, joining gives back the text that was split, so a text that crosses over does not
//! change; only the number of spaces at the seam is not kept.

use serde_json::Value as Json;
use tandem_domain::Value;

use crate::value_form::scalar_text;

/// Both parts as one text; nothing when both are empty.
pub(super) fn join(first: Option<&Json>, rest: Option<&Json>) -> Value {
    let parts = [first, rest];
    let parts = parts.iter().filter_map(|part| scalar_text((*part)?));
    let parts: Vec<String> = parts
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() {
        return Value::Null;
    }
    Value::Text(parts.join(" "))
}

/// Splits at the first space; but a first part of several words, which the record has already, stays.
pub(super) fn split<'t>(text: &'t str, first_now: Option<&str>) -> (&'t str, &'t str) {
    let text = text.trim();
    let kept = first_now.map(str::trim).filter(|first| !first.is_empty());
    if let Some(rest) = kept.and_then(|first| text.strip_prefix(first)?.strip_prefix(' ')) {
        let first = &text[..text.len() - rest.len()];
        return (first.trim(), rest.trim());
    }
    text.split_once(' ')
        .map_or((text, ""), |(first, rest)| (first, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_split_joins_to_the_same_text() {
        for text in [
            "Ada Byron",
            "Anna van der Berg",
            "Jean Paul Sartre",
            "Plato",
        ] {
            for first_now in [None, Some("Jean Paul"), Some("Anna"), Some("Ann"), Some("")] {
                let (first, rest) = split(text, first_now);
                let joined = join(Some(&json!(first)), Some(&json!(rest)));
                assert_eq!(joined, Value::Text(text.to_owned()), "{first_now:?}");
            }
        }
    }

    #[test]
    fn a_first_name_of_two_words_stays_when_only_the_rest_changes() {
        assert_eq!(
            split("Jean Paul Belmondo", Some("Jean Paul")),
            ("Jean Paul", "Belmondo")
        );
        assert_eq!(
            split("Jean Paul Belmondo", Some("Ada")),
            ("Jean", "Paul Belmondo")
        );
        assert_eq!(split("Annabel Lee", Some("Ann")), ("Annabel", "Lee"));
    }

    #[test]
    fn two_empty_parts_are_no_text() {
        assert_eq!(join(Some(&json!("")), Some(&Json::Null)), Value::Null);
        assert_eq!(
            join(Some(&json!("Ada")), None),
            Value::Text("Ada".to_owned())
        );
    }
}
