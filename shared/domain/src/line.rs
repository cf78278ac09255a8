//! Texts from outside on lines of ours. A name that a system gives can hold ends of lines, characters that steer a
//! terminal, and marks that turn the order of what is beside them around: printed as they are, such names forge lines
//! of a list or a log. Whatever prints for people passes them through `line`; JSON keeps the exact values, see [`json`].

use std::borrow::Cow;
use std::fmt::Write;

/// A text as a part of one line: what could end the line, steer a terminal or turn text around is written out, as
/// `\n` or `\u{202e}`.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe, as_rust)
}

/// A text of ours with several lines, whose parts went through `line`: its ends of lines and tabs stay.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_unsafe(c) && !matches!(c, '\n' | '\t'), as_rust)
}

/// A JSON document that means the same, in which no text can steer a terminal or turn text around.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    escaped(
        document,
        |c| is_unsafe(c) && !matches!(c, '\n' | '\t'),
        as_json,
    )
}

/// Whether a character does something to the text around it instead of being shown.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Ends of lines and paragraphs.
            '\u{2028}' | '\u{2029}'
            // Marks, embeddings, overrides and isolates of direction (Unicode UAX #9).
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Old switches of shaping, the mark of byte order, and what hides an annotation.
            | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // What shows nothing: with it two names that are not the same look so. What joins letters and signs stays.
            | '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(text: &str, is_meant: fn(char) -> bool, write: fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_meant) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_meant(c) {
            write(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn as_rust(out: &mut String, c: char) {
    out.extend(c.escape_default());
}

fn as_json(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a text does not fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_or_turns_text_around_is_written_out() {
        for (text, shown) in [
            (
                "Ada & Co. – Zürich 東京 مرحبا 👩‍🚀",
                "Ada & Co. – Zürich 東京 مرحبا 👩‍🚀",
            ),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[2Jx\u{7}\u{9b}1m", "\\u{1b}[2Jx\\u{7}\\u{9b}1m"),
            ("pay \u{202e}001\u{2066}", "pay \\u{202e}001\\u{2066}"),
            ("N0\u{200b}\u{e0041}", "N0\\u{200b}\\u{e0041}"),
            ("one\u{2028}two\u{85}three", "one\\u{2028}two\\u{85}three"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert!(matches!(line("plain"), Cow::Borrowed(_)));
        assert_eq!(lines("a\n\tb\r\u{202e}"), "a\n\tb\\r\\u{202e}");
    }

    #[test]
    fn json_means_the_same_and_holds_none_of_them() {
        let value = serde_json::json!({ "name": "a\n\u{202e}\u{9b}\u{2029}\u{7f}\u{e0041}" });
        let pretty = serde_json::to_string_pretty(&value).expect("JSON");
        let safe = json(&pretty);
        assert!(!safe.contains(|c| is_unsafe(c) && c != '\n'), "{safe}");
        let read: serde_json::Value = serde_json::from_str(&safe).expect("JSON");
        assert_eq!(read, value);
    }
}
