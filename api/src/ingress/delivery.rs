//! What of a verified request is kept.

use http::HeaderMap;

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

#[cfg(test)]
mod tests {
    use super::*;

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
