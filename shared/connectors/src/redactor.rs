//! Takes secrets out of texts that a system gave: it may repeat them in an error or in the address of a redirect, as
//! they are, encoded, in other letters, or cut.
//!
//! A secret is looked for in each form in which it may travel. Whether a letter is large or small does not count, nor
//! how it is escaped (module `letters`); and of a form that is cut, its beginning is taken out, and so is every longer
//! part of it (module `parts`).

mod letters;
mod other_bases;
mod parts;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderName, HeaderValue};

use crate::percent::escape_segment;
use letters::one_letter;
use parts::Parts;

/// Secrets shorter than this are not searched for in texts: too much harmless text would match.
const REDACTED_BYTES_MIN: usize = 5;
/// So many characters of the beginning of a secret are enough to be taken out.
const BEGINNING_CHARS_MAX: usize = 8;
/// So many characters are taken out from wherever in a secret they are: half of them, as far as that is between these.
/// Fewer are words that are in many a text.
const PART_CHARS: std::ops::RangeInclusive<usize> = 6..=8;

/// The texts that must never appear in an error or a log line.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<Form>);

/// A secret as it may be written.
#[derive(Clone, Debug)]
struct Form {
    text: String,
    /// So many of its characters are enough where it is cut.
    beginning: usize,
    /// So many of them from its middle or its end.
    part: usize,
}

impl Redactor {
    /// Takes note of a secret, in every form that a system may repeat it in.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= REDACTED_BYTES_MIN {
            let letters = secret.chars().count();
            let part = (letters / 2).clamp(*PART_CHARS.start(), *PART_CHARS.end());
            for text in forms(secret) {
                // Encoded, more characters stand for as many of the secret.
                let of_form = |least: usize| {
                    let as_many = (text.chars().count() * least).div_ceil(letters);
                    as_many.max(least)
                };
                self.note(Form {
                    beginning: of_form(BEGINNING_CHARS_MAX.min(part)),
                    part: of_form(part),
                    text,
                });
            }
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
        let starts = |text: &str| {
            let mut found = self.0.iter().filter_map(|form| form.at_start(text));
            found.any(|found| found.is_whole)
        };
        let known = |text: &str| text.char_indices().any(|(at, _)| starts(&text[at..]));
        let decoded = |word: &str| {
            let word = word.trim_end_matches('=');
            let bytes = STANDARD_NO_PAD
                .decode(word)
                .or_else(|_| URL_SAFE_NO_PAD.decode(word));
            bytes.is_ok_and(|bytes| known(&String::from_utf8_lossy(&bytes)))
        };
        known(text) || text.split_whitespace().any(decoded)
    }

    fn note(&mut self, form: Form) {
        let is_new = self.0.iter().all(|known| known.text != form.text);
        if form.text.len() >= REDACTED_BYTES_MIN && is_new {
            self.0.push(form);
        }
    }

    /// The text with every known secret replaced by `***`.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut cleaned = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            // The longest: a short one may be a part of it, and what is left of it would show.
            let found = self.0.iter().filter_map(|form| form.at_start(rest));
            match found.map(|found| found.bytes).max() {
                Some(bytes) => {
                    cleaned.push_str("***");
                    rest = &rest[bytes..];
                }
                None => {
                    cleaned.push(letter);
                    rest = &rest[letter.len_utf8()..];
                }
            }
        }
        let forms = self.0.iter().map(|form| (form.text.as_str(), form.part));
        Parts::of(forms).taken_out_of(cleaned)
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
        let begins = |form: &Form| {
            let (form, bytes) = (&form.text, text.as_bytes());
            let longest = form.len().min(bytes.len());
            (REDACTED_BYTES_MIN..=longest)
                .rev()
                .filter(|length| form.is_char_boundary(*length))
                .map(|length| (&form.as_bytes()[..length], bytes.len() - length))
                .find(|(begun, at)| begun.eq_ignore_ascii_case(&bytes[*at..]))
                .map(|(_, at)| at)
        };
        let found = self.0.iter().filter_map(begins).min();
        found.filter(|at| text.is_char_boundary(*at))
    }
}

/// A secret, or its beginning, at the start of a text.
struct Found {
    /// How much of the text it is.
    bytes: usize,
    is_whole: bool,
}

impl Form {
    /// The form at the start of a text, or as much of it as may not show.
    fn at_start(&self, text: &str) -> Option<Found> {
        let (mut bytes, mut letters) = (0, 0);
        for wanted in self.text.chars() {
            match one_letter(wanted, &text[bytes..]) {
                Some(taken) => bytes += taken,
                None if letters >= self.beginning => {
                    return Some(Found {
                        bytes,
                        is_whole: false,
                    });
                }
                None => return None,
            }
            letters += 1;
        }
        Some(Found {
            bytes,
            is_whole: true,
        })
    }
}

/// A secret, and the forms in which it travels: as JSON or HTML writes it, in base64, in hexadecimal, in a URL
/// once and twice escaped, in a form, in base32 and base85.
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
    forms.extend(within_base64(secret));
    forms.extend(other_bases::forms(secret.as_bytes()));
    forms
}

/// The secret in the middle of something longer that is base64, such as `user:secret`: what stands for it alone, at
/// each of the three places where it may begin.
fn within_base64(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 1..=2_usize {
        let longer = [&vec![0; before], secret.as_bytes()].concat();
        // A character stands for six bits: those that share some with what is before or behind are left away.
        let from = (before * 8).div_ceil(6);
        let to = longer.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.extend(engine.encode(&longer).get(from..to).map(str::to_owned));
        }
    }
    let to = secret.len() * 8 / 6;
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.extend(engine.encode(secret).get(..to).map(str::to_owned));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_out_of_a_text() {
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
            // What whoever cut it put behind may stay.
            let cleaned = cleaned.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '*');
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

    #[test]
    fn large_and_small_letters_and_what_is_encoded_in_part_make_no_difference() {
        let mut redactor = Redactor::default();
        redactor.add("Ab12/CdEf?89");
        for form in [
            "ab12/cdef?89",
            "AB12/CDEF?89",
            "Ab12%2FCdEf?89",
            "ab12%2fcdef%3F89",
            "%41%62%31%32%2f%43%64%45%66%3f%38%39",
            "%2541b12/CdEf%253f89",
            // In base64.
            "QWIxMi9DZEVmPzg5",
        ] {
            let cleaned = redactor.clean(&format!("got {form}!"));
            assert_eq!(cleaned, "got ***!", "{form}");
        }
        for user in ["u", "us", "use", "user"] {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let sent = engine.encode(format!("{user}:Ab12/CdEf?89"));
                let cleaned = redactor.clean(&format!("got Basic {sent}"));
                let left = cleaned.replace("***", "");
                assert!(cleaned.contains("***"), "{user}: {cleaned}");
                assert!(left.len() <= "got Basic ".len() + 10, "{user}: {cleaned}");
            }
        }
    }

    #[test]
    fn a_secret_is_taken_out_however_each_of_its_letters_is_escaped() {
        let mut redactor = Redactor::default();
        let secret = "Zq7+SecretTOKEN/x9=K4vW2pm==";
        redactor.add(secret);
        let each = |form: fn(u32) -> String| secret.chars().map(|c| form(c.into())).collect();
        let signs = |form: fn(u32) -> String| {
            let one = |c: char| match c.is_alphanumeric() {
                true => c.to_string(),
                false => form(c.into()),
            };
            secret.chars().map(one).collect()
        };
        let ways: [fn(u32) -> String; 6] = [
            |c| format!("&#{c};"),
            |c| format!("&#0{c};"),
            |c| format!("&#x{c:x};"),
            |c| format!("&#X{c:04X};"),
            |c| format!("\\u{c:04X}"),
            |c| format!("\\x{c:02x}"),
        ];
        let forms: Vec<String> = ways
            .into_iter()
            .flat_map(|way| [each(way), signs(way)])
            .collect();
        for form in forms {
            let cleaned = redactor.clean(&format!("got {form}!"));
            assert_eq!(cleaned, "got ***!", "{form}");
        }
    }

    #[test]
    fn a_part_of_a_secret_is_taken_out_wherever_in_it_the_part_is_from() {
        let mut redactor = Redactor::default();
        redactor.add("tok_1234567890/abcdefghij");
        for (said, shown) in [
            ("key ...7890/abcdefg... is wrong", "key ...***... is wrong"),
            ("key ...0/ABCDEFGHIJ", "key ...***"),
            ("key ...0%2Fabcdefghij", "key ...***"),
            ("key ...0&#47;abcdefghij", "key ...***"),
            ("key ...cdefghij", "key ...***"),
            ("key ...34567890...", "key ...***..."),
            // Less of it is no secret.
            ("key ...defghij", "key ...defghij"),
        ] {
            assert_eq!(redactor.clean(said), shown, "{said}");
        }
        let encoded = STANDARD_NO_PAD.encode("tok_1234567890/abcdefghij");
        let cleaned = redactor.clean(&format!("key ...{}", &encoded[9..]));
        assert_eq!(cleaned, "key ...***");
    }

    #[test]
    fn of_a_short_secret_half_is_taken_out_wherever_it_is_from() {
        for (secret, said, shown) in [
            ("Kx7#qPz2", "got ..7#qPz2", "got ..***"),
            ("Kx7#qPz2", "got Kx7#qP..", "got ***.."),
            ("Kx7#qPz2mW9v", "got ..#qPz2m..", "got ..***.."),
            ("Kx7#qPz2mW9vB4c", "got ..qPz2mW9..", "got ..***.."),
            ("Kx7#qPz2mW9vB4c", "got ..QPZ2MW9..", "got ..***.."),
            ("Kx7#qPz2mW9vB4cD", "got ..qPz2mW9v..", "got ..***.."),
            // Less of it is no secret.
            ("Kx7#qPz2mW9v", "got ..#qPz2..", "got ..#qPz2.."),
        ] {
            let mut redactor = Redactor::default();
            redactor.add(secret);
            assert_eq!(redactor.clean(said), shown, "{secret}: {said}");
        }
    }

    #[test]
    fn the_beginning_of_a_secret_is_taken_out_wherever_it_stands() {
        let mut redactor = Redactor::default();
        redactor.add("tok_1234567890abcdef");
        for (said, shown) in [
            ("key tok_1234567... is wrong", "key ***... is wrong"),
            (
                "key TOK_1234567890\u{2026} is wrong",
                "key ***\u{2026} is wrong",
            ),
            ("key tok%5F12345678 is wrong", "key *** is wrong"),
            // Less of it is no secret.
            ("key tok_123 is wrong", "key tok_123 is wrong"),
        ] {
            assert_eq!(redactor.clean(said), shown, "{said}");
        }
        let encoded = STANDARD_NO_PAD.encode("tok_1234567890abcdef");
        let cleaned = redactor.clean(&format!("key {}... is wrong", &encoded[..14]));
        assert_eq!(cleaned, "key ***... is wrong");
    }
}
