//! JSON in which one bad place does not cost the whole document.
//!
//! Systems that cut texts by UTF-16 units send halves of surrogate pairs, others send bytes that are no UTF-8, raw
//! control characters, `NaN`, numbers beyond all range, or nesting without measure. A parser refuses the page for it,
//! and with it the records that are fine. Here such a document is mended byte by byte before it is parsed a
//! second time: whatever cannot be read becomes [`DAMAGED`] in its place, so that who reads that value can
//! tell, and nobody else has to know. A sound document is parsed once and costs nothing.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// Stands where something could not be read: a noncharacter, which no text is meant to hold (Unicode, 23.7).
pub(crate) const DAMAGED: char = '\u{fdd0}';
/// What systems and people get to see instead.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// `serde_json` refuses nesting beyond 128.
const DEPTH_MAX: usize = 120;

/// How much is mended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Texts only.
    Texts,
    /// Numbers, words and nesting too.
    Everything,
}

/// Reads a document; what is bad in it is [`DAMAGED`] in its place.
///
/// # Errors
/// Why it is no JSON at all.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|error| match mended(bytes, Extent::Everything) {
        Some(mended) => serde_json::from_slice(&mended).map_err(|_| error),
        None => Err(error),
    })
}

/// The document with its texts mended; `None` when it does not begin as one.
pub(crate) fn with_sound_texts(bytes: &[u8]) -> Option<Vec<u8>> {
    mended(bytes, Extent::Texts)
}

/// What a document holds, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) values: usize,
    /// Those of them that are objects.
    pub(crate) objects: usize,
}

/// How many values a document holds, at most.
pub(crate) fn values_in(bytes: &[u8]) -> usize {
    counted(bytes).values
}

/// What a document holds: each value stands at the beginning, behind a comma, or first in a list or an object. Nothing
/// is parsed for it.
pub(crate) fn counted(bytes: &[u8]) -> Counted {
    let mut counted = Counted {
        values: 1,
        objects: 0,
    };
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
            }
            b',' | b'[' => counted.values += 1,
            b'{' => {
                counted.values += 1;
                counted.objects += 1;
            }
            _ => {}
        }
        at += 1;
    }
    counted
}

/// Whether something in this text could not be read.
pub(crate) fn is_damaged(text: &str) -> bool {
    text.contains(DAMAGED)
}

/// The text as others may see it: with the replacement character, and without NUL, which databases refuse.
pub(crate) fn presentable(text: &str) -> Cow<'_, str> {
    if text.contains([DAMAGED, '\0']) {
        Cow::Owned(text.replace(DAMAGED, "\u{fffd}").replace('\0', ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// Puts the replacement character wherever a document that is to be sent holds our own mark.
pub(crate) fn unmark(bytes: &mut [u8]) {
    let (mut mark, mut shown) = ([0; 3], [0; 3]);
    DAMAGED.encode_utf8(&mut mark);
    REPLACEMENT.encode_utf8(&mut shown);
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(3).position(|window| window == mark) {
        bytes[at + found..at + found + 3].copy_from_slice(&shown);
        at += found + 3;
    }
}

fn mended(bytes: &[u8], extent: Extent) -> Option<Vec<u8>> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
    matches!(first, b'{' | b'[').then(|| {
        let mut mender = Mender {
            bytes,
            at: 0,
            depth: 0,
            out: Vec::with_capacity(bytes.len() + 64),
        };
        mender.document(extent);
        mender.out
    })
}

struct Mender<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    out: Vec<u8>,
}

impl Mender<'_> {
    fn document(&mut self, extent: Extent) {
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match byte {
                b'"' => self.text(),
                b'[' | b'{' if extent == Extent::Everything && self.depth == DEPTH_MAX => {
                    self.skip_nested();
                    self.damaged_value();
                }
                b'[' | b'{' => {
                    self.depth += 1;
                    self.copy(1);
                }
                b']' | b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.copy(1);
                }
                b'-' | b'+' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
                    if extent == Extent::Everything =>
                {
                    self.word();
                }
                _ => self.copy(1),
            }
        }
    }

    fn copy(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.bytes.len());
        self.out.extend_from_slice(&self.bytes[self.at..end]);
        self.at = end;
    }

    fn damaged(&mut self) {
        self.out
            .extend_from_slice(DAMAGED.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn damaged_value(&mut self) {
        self.out.push(b'"');
        self.damaged();
        self.out.push(b'"');
    }

    /// A number, `true`, `NaN`: what cannot be a value of JSON is one that could not be read.
    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = rest.iter().take_while(|byte| is_part(byte)).count();
        let word = &rest[..length];
        let begins_as_number = word[0].is_ascii_digit() || b"+-.".contains(&word[0]);
        let known = [&b"NaN"[..], b"nan", b"Infinity", b"inf", b"undefined"].contains(&word);
        let readable = !begins_as_number || serde_json::from_slice::<Number>(word).is_ok();
        if readable && !known {
            self.copy(length);
        } else {
            self.damaged_value();
            self.at += length;
        }
    }

    /// Goes past a nested value without keeping it.
    fn skip_nested(&mut self) {
        let mut open = 0_usize;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match byte {
                b'"' => {
                    let kept = self.out.len();
                    self.text();
                    self.out.truncate(kept);
                    continue;
                }
                b'[' | b'{' => open += 1,
                b']' | b'}' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }

    /// One text, from its first quotation mark past its last.
    fn text(&mut self) {
        self.copy(1);
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match byte {
                b'"' => return self.copy(1),
                b'\\' => self.escape(),
                0..=0x1f => {
                    self.out
                        .extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    self.at += 1;
                }
                _ => self.plain(),
            }
        }
    }

    /// A run of characters that mean themselves.
    fn plain(&mut self) {
        let rest = &self.bytes[self.at..];
        let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        for chunk in rest[..length].utf8_chunks() {
            self.out.extend_from_slice(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                self.damaged();
            }
        }
        self.at += length;
    }

    fn escape(&mut self) {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.copy(2),
            Some(b'u') => self.unicode_escape(),
            Some(_) => {
                self.damaged();
                self.at += 2;
            }
            None => self.copy(1),
        }
    }

    fn unicode_escape(&mut self) {
        match self.unit(self.at) {
            Some(0xd800..=0xdbff) if matches!(self.unit(self.at + 6), Some(0xdc00..=0xdfff)) => {
                self.copy(12);
            }
            Some(0xd800..=0xdfff) => {
                self.damaged();
                self.at += 6;
            }
            Some(_) => self.copy(6),
            None => {
                self.damaged();
                self.at += 2;
            }
        }
    }

    /// The UTF-16 unit that is escaped at this place, if one is.
    fn unit(&self, at: usize) -> Option<u16> {
        let escape = self.bytes.get(at..at + 6)?;
        let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
        let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        all_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mends(text: &str, expected: Value) {
        let read = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn half_a_surrogate_pair_damages_its_text_alone() {
        mends(
            r#"{"a":"x\ud83d","b":"\ude00y","c":"\ud83d\ude00","d":"\ud83d\ud83d\ude00","e":["ok"]}"#,
            json!({"a": "x\u{fdd0}", "b": "\u{fdd0}y", "c": "😀", "d": "\u{fdd0}😀", "e": ["ok"]}),
        );
        mends(r#"{"a\udc00":1}"#, json!({"a\u{fdd0}": 1}));
        mends(r#"["\ud83d"]"#, json!(["\u{fdd0}"]));
    }

    #[test]
    fn bad_escapes_raw_controls_and_foreign_bytes_damage_their_text_alone() {
        mends(
            r#"{"a":"\x41","b":"\u12"}"#,
            json!({"a": "\u{fdd0}41", "b": "\u{fdd0}12"}),
        );
        mends("{\"a\":\"one\ntwo\"}", json!({"a": "one\ntwo"}));
        let latin = parse(b"{\"a\":\"caf\xe9\",\"b\":1}").expect("JSON");
        assert_eq!(latin, json!({"a": "caf\u{fdd0}", "b": 1}));
    }

    #[test]
    fn words_and_numbers_that_are_no_json_damage_their_value_alone() {
        mends(
            r#"[NaN,-Infinity,1e999,undefined,007,1.5,-2e3,true,null]"#,
            json!([
                "\u{fdd0}", "\u{fdd0}", "\u{fdd0}", "\u{fdd0}", "\u{fdd0}", 1.5, -2e3, true, null
            ]),
        );
    }

    #[test]
    fn nesting_without_measure_damages_the_value_that_is_nested() {
        let deep = format!("{}\"]\"{}", "[".repeat(500), "]".repeat(500));
        let read = parse(format!("{{\"a\":{deep},\"b\":1}}").as_bytes()).expect("JSON");
        assert_eq!(read["b"], 1);
        assert!(is_damaged(&read["a"].to_string()));
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for bad in [
            "",
            "OK",
            "<html>{}</html>",
            "{\"a\":1",
            "[1,2",
            "{\"a\":\"x",
            "{} {}",
            "[1,]",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn our_own_mark_is_never_shown_or_sent() {
        assert_eq!(presentable("a\u{fdd0}\0b"), "a\u{fffd}b");
        let mut body = json!({"a": "\u{fdd0}x\u{fdd0}"}).to_string().into_bytes();
        unmark(&mut body);
        assert_eq!(
            body,
            json!({"a": "\u{fffd}x\u{fffd}"}).to_string().into_bytes()
        );
    }

    proptest! {
        #[test]
        fn mending_a_sound_document_changes_nothing(texts in proptest::collection::vec(".*", 0..6), number: f64) {
            let number = if number.is_finite() { number } else { 0.0 };
            let document = json!({"texts": texts, "number": number, "nested": {"a": [true, null, -1]}});
            let bytes = document.to_string().into_bytes();
            prop_assert_eq!(mended(&bytes, Extent::Everything), Some(bytes.clone()));
        }

        #[test]
        fn whatever_comes_is_mended_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [b"{\"a\":".as_slice(), &bytes].concat();
            let _either = parse(&bytes);
        }
    }
}
