//! What a connection adds to its manifest: where the system is, as whom to sign in, how hard to push.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::budget::RateLimit;
use crate::percent::escape_segment;

/// Secrets shorter than this are not searched for in texts: too much harmless text would match.
const REDACTED_BYTES_MIN: usize = 5;

/// A secret. It never shows itself, neither in `{:?}` nor in errors.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for sending it and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The secrets of a connection, by the names that its manifest gives them.
pub type Credentials = BTreeMap<String, Secret>;

/// What a connection adds to its manifest. Where a limit is `None`, the manifest's applies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionSettings {
    /// The address of the system, without a trailing slash; the manifest's when `None`.
    pub base_url: Option<String>,
    /// The secrets.
    pub credentials: Credentials,
    /// Further secrets that no message may show, such as those that sign its webhooks.
    pub masked: Vec<Secret>,
    /// Values for the manifest's variables, such as the database or the tenant.
    pub variables: BTreeMap<String, String>,
    /// How long one request may take, from sending to the last byte of the answer, in seconds.
    pub timeout_secs: Option<u32>,
    /// How many requests may be under way at once.
    pub concurrency: Option<u32>,
    /// How many requests may start in a second, 0 for no limit; alone it also replaces the manifest's
    /// `rate_limit`.
    pub requests_per_second: Option<f64>,
    /// Buckets and daily budget, instead of the manifest's. Headers are always the manifest's.
    pub rate_limit: Option<RateLimit>,
}

/// The texts that must never appear in an error or a log line.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<String>);

impl Redactor {
    /// Takes note of a secret, in every form that a system may repeat it in.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= REDACTED_BYTES_MIN {
            forms(secret).into_iter().for_each(|form| self.note(form));
        }
    }

    /// Takes note of a header that is sent: of its last words where it lets in, or where it has a secret in it.
    pub(crate) fn add_header(&mut self, name: &HeaderName, value: &HeaderValue) {
        let Ok(value_text) = value.to_str() else {
            return;
        };
        let lets_in = value.is_sensitive()
            || [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
            || self.is_in(value_text);
        if !lets_in {
            return;
        }
        let words: Vec<&str> = value_text.split_whitespace().collect();
        // The first of several is the scheme, as in `Basic dXNlcjpwYXNz`.
        let scheme = usize::from(words.len() > 1);
        for word in &words[scheme..] {
            // A system may leave the padding away.
            self.add(word.trim_end_matches(['=', ';', ',']));
            self.add(word);
        }
    }

    /// Whether a text has a secret in it, also where a word of it is base64.
    fn is_in(&self, text: &str) -> bool {
        let known = |text: &str| self.0.iter().any(|form| text.contains(form.as_str()));
        let decoded = |word: &str| {
            let word = word.trim_end_matches('=');
            let bytes = STANDARD_NO_PAD
                .decode(word)
                .or_else(|_| URL_SAFE_NO_PAD.decode(word));
            bytes.is_ok_and(|bytes| known(&String::from_utf8_lossy(&bytes)))
        };
        known(text) || text.split_whitespace().any(decoded)
    }

    /// The longest first: a short one may be a part of it, and what is left of it would show.
    fn note(&mut self, form: String) {
        if form.len() >= REDACTED_BYTES_MIN && !self.0.contains(&form) {
            let place = self.0.partition_point(|known| known.len() >= form.len());
            self.0.insert(place, form);
        }
    }

    /// The text with every known secret replaced by `***`.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.0
            .iter()
            .filter(|secret| text.contains(secret.as_str()))
            .fold(None, |cleaned: Option<String>, secret| {
                Some(
                    cleaned
                        .as_deref()
                        .unwrap_or(text)
                        .replace(secret.as_str(), "***"),
                )
            })
            .unwrap_or_else(|| text.to_owned())
    }

    /// As [`Self::clean`], of a text that may have been cut: what is left of a secret at its end goes too.
    pub(crate) fn clean_beginning(&self, text: &str) -> String {
        let cleaned = self.clean(text);
        // Whoever cut it may have put an ellipsis or a closing quotation mark behind.
        let bare = cleaned.trim_end_matches(|c: char| !c.is_alphanumeric());
        let cut = [cleaned.as_str(), bare]
            .into_iter()
            .find_map(|text| Some(&text[..self.begun_at_end(text)?]));
        cut.map(|kept| format!("{kept}***")).unwrap_or(cleaned)
    }

    /// Where the beginning of a secret starts that the text ends with.
    fn begun_at_end(&self, text: &str) -> Option<usize> {
        let begins = |form: &String| {
            let longest = form.len().min(text.len());
            (REDACTED_BYTES_MIN..=longest)
                .rev()
                .filter(|length| form.is_char_boundary(*length))
                .find(|length| text.ends_with(&form[..*length]))
                .map(|length| text.len() - length)
        };
        self.0.iter().filter_map(begins).min()
    }
}

/// A secret, and the forms in which it travels: as JSON or HTML writes it, in base64, in hexadecimal, in a URL
/// once and twice escaped, in a form.
fn forms(secret: &str) -> Vec<String> {
    let escape = |text: &str| {
        let mut escaped = String::new();
        escape_segment(text, &mut escaped);
        escaped
    };
    let escaped = escape(secret);
    let in_json = serde_json::Value::from(secret).to_string();
    let mut forms = vec![
        secret.to_owned(),
        in_json.trim_matches('"').to_owned(),
        in_json.trim_matches('"').replace('/', "\\/"),
        in_html(secret, "&#39;"),
        in_html(secret, "&#x27;"),
        escape(&escaped),
        escape(&lower_escapes(&escaped)),
        lower_escapes(&escaped),
        escaped,
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
    ];
    for (digits, letters) in [
        (hex_lower as Hex, unit_lower as Hex),
        (hex_upper, unit_upper),
    ] {
        forms.push(secret.bytes().map(|byte| digits(byte.into())).collect());
        for is_plain in [
            (|_| false) as fn(char) -> bool,
            |c| c.is_ascii() && !c.is_ascii_control() && !"\"\\<>&'".contains(c),
            |c| c.is_ascii() && !c.is_ascii_control() && !"\"\\".contains(c),
        ] {
            forms.push(in_units(secret, is_plain, letters));
        }
    }
    for unpadded in [
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ] {
        let padding = "=".repeat((4 - unpadded.len() % 4) % 4);
        forms.extend([format!("{unpadded}{padding}"), unpadded]);
    }
    forms
}

type Hex = fn(u16) -> String;

fn hex_lower(byte: u16) -> String {
    format!("{byte:02x}")
}

fn hex_upper(byte: u16) -> String {
    format!("{byte:02X}")
}

fn unit_lower(unit: u16) -> String {
    format!("\\u{unit:04x}")
}

fn unit_upper(unit: u16) -> String {
    format!("\\u{unit:04X}")
}

/// As JSON may write it, with `\uXXXX` for all that is not plain.
fn in_units(secret: &str, is_plain: fn(char) -> bool, unit: Hex) -> String {
    let mut text = String::new();
    for letter in secret.chars() {
        match letter {
            plain if is_plain(plain) => text.push(plain),
            '"' | '\\' if is_plain('/') => text.extend(['\\', letter]),
            other => other
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|part| text.push_str(&unit(*part))),
        }
    }
    text
}

fn in_html(secret: &str, apostrophe: &str) -> String {
    secret
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', apostrophe)
}

/// With `%2f` for `%2F`.
fn lower_escapes(escaped: &str) -> String {
    let mut left = 0;
    let lower = |c: char| {
        if c == '%' {
            left = 2;
            return c;
        }
        let in_escape = left > 0;
        left = usize::saturating_sub(left, 1);
        if in_escape { c.to_ascii_lowercase() } else { c }
    };
    escaped.chars().map(lower).collect()
}

impl ConnectionSettings {
    pub(crate) fn timeout(&self, default_secs: u32) -> Duration {
        Duration::from_secs(u64::from(self.timeout_secs.unwrap_or(default_secs).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_and_are_taken_out_of_texts() {
        let settings = ConnectionSettings {
            credentials: Credentials::from([("token".to_owned(), Secret::new("tok_123456"))]),
            ..ConnectionSettings::default()
        };
        assert!(!format!("{settings:?}").contains("tok_123456"));
        let mut redactor = Redactor::default();
        redactor.add("tok_123456");
        assert_eq!(redactor.clean("bad token tok_123456!"), "bad token ***!");
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form_in_which_it_travels() {
        let mut redactor = Redactor::default();
        redactor.add("p/ss?w\u{f6}rd>>+\"1");
        for form in [
            "p/ss?w\u{f6}rd>>+\"1",
            "p/ss?w\u{f6}rd>>+\\\"1",
            "cC9zcz93w7ZyZD4+KyIx",
            "cC9zcz93w7ZyZD4-KyIx",
            "p%2Fss%3Fw%C3%B6rd%3E%3E%2B%221",
            "p%2fss%3fw%c3%b6rd%3e%3e%2b%221",
        ] {
            assert_eq!(
                redactor.clean(&format!("got {form}!")),
                "got ***!",
                "{form}"
            );
        }
        redactor.add("a/<\u{e9}>&'9");
        for form in [
            "a\\/<\u{e9}>&'9",
            "a/<\\u00e9>&'9",
            "a/\\u003C\\u00E9\\u003E\\u0026\\u00279",
            "\\u0061\\u002f\\u003c\\u00e9\\u003e\\u0026\\u0027\\u0039",
            "a/&lt;\u{e9}&gt;&amp;&#39;9",
            "612f3cc3a93e262739",
            "612F3CC3A93E262739",
            "a%252F%253C%25C3%25A9%253E%2526%25279",
            "a%252f%253c%25c3%25a9%253e%2526%25279",
        ] {
            let cleaned = redactor.clean(&format!("got {form}!"));
            assert_eq!(cleaned, "got ***!", "{form}");
        }
        redactor.add("tok_1234567");
        for form in ["dG9rXzEyMzQ1Njc=", "dG9rXzEyMzQ1Njc", "dG9rXzEyMzQ1Njc%3D"] {
            let cleaned = redactor.clean(&format!("got {form}"));
            assert!(!cleaned.contains("dG9r"), "{cleaned}");
        }
    }

    #[test]
    fn what_is_left_of_a_secret_at_the_end_of_a_cut_text_does_not_show() {
        let mut redactor = Redactor::default();
        redactor.add("tok_1234567/89");
        for end in [
            "tok_1",
            "tok_1234567/8",
            "tok_12345\u{2026}",
            "tok_1234567%2F8",
            "tok_123...\"}",
        ] {
            let cleaned = redactor.clean_beginning(&format!("got {end}"));
            assert_eq!(cleaned, "got ***", "{end}");
        }
        assert_eq!(redactor.clean_beginning("no token"), "no token");
    }

    #[test]
    fn of_a_header_the_value_that_lets_in_is_taken_out_and_no_other() {
        let mut redactor = Redactor::default();
        redactor.add("hunter22");
        let mut add = |name: &'static str, value: &'static str| {
            let value = HeaderValue::from_static(value);
            redactor.add_header(&HeaderName::from_static(name), &value);
        };
        add("authorization", "Basic YWRtaW46cGFzcw==");
        // `eve:hunter22`
        add("x-login", "ZXZlOmh1bnRlcjIy");
        add("accept", "application/json");
        let said = "got Basic YWRtaW46cGFzcw==, YWRtaW46cGFzcw, ZXZlOmh1bnRlcjIy, application/json";
        assert_eq!(
            redactor.clean(said),
            "got Basic ***, ***, ***, application/json"
        );
    }
}
