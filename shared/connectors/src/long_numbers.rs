//! Numbers with more digits than the usual representation holds. Two ids that differ in the thirtieth digit would
//! become one there, and the later event would be taken for a repetition of the first.
//!
//! Such a number is put between quotes before the document is read, so that it is a text with all its digits. Others
//! stay numbers, and what is no JSON stays none.

use std::borrow::Cow;

/// A double tells decimals of so many significant digits apart.
const DECIMAL_DIGITS_MAX: usize = 17;
/// No shorter number needs a look.
const DIGITS_MIN: usize = 17;

/// The document with long numbers as texts.
pub(crate) fn quoted(document: &[u8]) -> Cow<'_, [u8]> {
    let mut result = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while at < document.len() {
        match document[at] {
            b'"' => at = end_of_text(document, at),
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(document, at);
                let number = &document[at..end];
                if is_long(number) && !is_name(document, end) {
                    result.extend_from_slice(&document[copied..at]);
                    result.push(b'"');
                    result.extend_from_slice(number);
                    result.push(b'"');
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(document);
    }
    result.extend_from_slice(&document[copied..]);
    Cow::Owned(result)
}

/// Behind the quote that ends the text which begins at `start`.
fn end_of_text(document: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < document.len() {
        match document[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    document.len()
}

fn end_of_number(document: &[u8], start: usize) -> usize {
    let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let rest = &document[start..];
    start + rest.iter().take_while(|byte| in_number(byte)).count()
}

/// A number where a name belongs is no JSON; between quotes it would be.
fn is_name(document: &[u8], end: usize) -> bool {
    let next = document[end..]
        .iter()
        .find(|byte| !byte.is_ascii_whitespace());
    next == Some(&b':')
}

/// Whether it is a number of JSON with more digits than its usual representation.
fn is_long(number: &[u8]) -> bool {
    if number.len() < DIGITS_MIN {
        return false;
    }
    let Ok(text) = std::str::from_utf8(number) else {
        return false;
    };
    // Also what JSON does not allow, such as zeros in front, is left to whoever reads the document.
    if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
        return false;
    }
    let is_whole = number.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
    if is_whole {
        text.parse::<i64>().is_err() && text.parse::<u64>().is_err()
    } else {
        significant_digits(number) > DECIMAL_DIGITS_MAX
    }
}

fn significant_digits(number: &[u8]) -> usize {
    let mantissa = number
        .iter()
        .take_while(|byte| !matches!(byte, b'e' | b'E'));
    let digits = mantissa.filter(|byte| byte.is_ascii_digit());
    digits.skip_while(|byte| **byte == b'0').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: &str) -> String {
        String::from_utf8(quoted(document.as_bytes()).into_owned()).expect("it was UTF-8")
    }

    #[test]
    fn a_number_keeps_all_its_digits_as_a_text() {
        assert_eq!(
            text(r#"{"id":123456789012345678901234567890,"at":[-99999999999999999999, 7]}"#),
            r#"{"id":"123456789012345678901234567890","at":["-99999999999999999999", 7]}"#
        );
        assert_eq!(text("0.1234567890123456789"), r#""0.1234567890123456789""#);
    }

    #[test]
    fn what_fits_and_what_is_in_a_text_stays() {
        for document in [
            r#"{"id":18446744073709551615,"min":-9223372036854775808,"x":1752613920733.25}"#,
            r#"{"text":"123456789012345678901234567890 \" 123456789012345678901234567890"}"#,
            r#""half a text \"#,
            "",
        ] {
            assert_eq!(text(document), document);
        }
    }

    #[test]
    fn what_is_no_json_does_not_become_some() {
        for document in [
            "00000000000000000000000000000001",
            "{123456789012345678901234567890:1}",
            "{123456789012345678901234567890 : 1}",
            "12345678901234567890123-4567890",
            "1234567890123456789012345678e",
        ] {
            assert_eq!(text(document), document);
        }
    }
}
