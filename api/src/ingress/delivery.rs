//! What of a verified request is kept.

use http::HeaderMap;
use tandem_domain::Entropy;

const TRACEPARENT: &str = "traceparent";
/// `00-` trace id `-` parent id `-` flags.
const TRACEPARENT_BYTES: usize = 55;
/// Headers whose names hold one of these carry credentials, and are not kept.
const CREDENTIAL_WORDS: [&str; 6] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "api-key",
];

/// The headers to keep: all but those that carry credentials. Bytes that are not UTF-8 are replaced.
pub fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| {
            !CREDENTIAL_WORDS
                .iter()
                .any(|word| name.as_str().contains(word))
        })
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).replace('\0', "");
            (name.as_str().to_owned(), text)
        })
        .collect()
}

/// The sender's trace context (W3C Trace Context, version 00) if it is valid, or else a new one.
pub fn traceparent(headers: &HeaderMap, entropy: &dyn Entropy) -> String {
    headers
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .filter(|text| is_traceparent(text))
        .map_or_else(|| new_traceparent(entropy), str::to_owned)
}

fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else {
        return false;
    };
    let hex = |part: &str, digits: usize| {
        part.len() == digits
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    text.len() == TRACEPARENT_BYTES
        && *version == "00"
        && hex(trace, 32)
        && set(trace)
        && hex(parent, 16)
        && set(parent)
        && hex(flags, 2)
}

fn new_traceparent(entropy: &dyn Entropy) -> String {
    // All zeros would not be valid.
    let parent = entropy.next_u64() | 1;
    format!(
        "00-{:016x}{:016x}-{parent:016x}-01",
        entropy.next_u64() | 1,
        entropy.next_u64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Entropy for Sevens {
        fn next_u64(&self) -> u64 {
            0x7777_7777_7777_7777
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_valid_trace_context_of_the_sender_is_continued() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            traceparent(&headers(&[(TRACEPARENT, given)]), &Sevens),
            given
        );
    }

    #[test]
    fn an_invalid_trace_context_is_replaced_by_a_new_one() {
        for bad in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "",
        ] {
            let made = traceparent(&headers(&[(TRACEPARENT, bad)]), &Sevens);
            assert_ne!(made, bad);
            assert!(is_traceparent(&made), "{made}");
        }
    }

    #[test]
    fn credentials_are_not_kept() {
        let kept = kept_headers(&headers(&[
            ("authorization", "Basic x"),
            ("cookie", "a=b"),
            ("x-gitlab-token", "t"),
            ("x-hub-signature-256", "sha256=00"),
            ("content-type", "application/json"),
        ]));
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-hub-signature-256", "content-type"]);
    }
}
