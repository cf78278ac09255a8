//! Percent-encoding of one segment of a path (RFC 3986, 2.1).

/// Encodes all but the unreserved characters, so that a value stays one path segment.
pub(crate) fn escape_segment(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The bytes that a segment stands for; what is no escape stands for itself.
pub(crate) fn unescape(segment: &str) -> Vec<u8> {
    let mut rest = segment.as_bytes();
    let mut plain = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => value(*high).zip(value(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                plain.push(high * 16 + low);
                rest = &after[2..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_back() {
        for text in ["plain-1._~", "a b/c?d#e", "sécret%2F", "100%", ""] {
            let mut escaped = String::new();
            escape_segment(text, &mut escaped);
            assert!(!escaped.contains(['/', '?', '#', ' ']), "{escaped}");
            assert_eq!(unescape(&escaped), text.as_bytes());
        }
        assert_eq!(unescape("100%+%zz%4"), b"100%+%zz%4");
    }
}
