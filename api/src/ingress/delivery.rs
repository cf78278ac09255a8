//! What of a verified request is kept.

use http::HeaderMap;
use tandem_connectors::webhook::Verifier;

/// Headers that say what a request is and where it came from, and that nobody puts a secret into. Those that are
/// not named here are not kept: there is no end of names under which credentials are sent.
const KEPT: [&str; 32] = [
    "content-length",
    "content-type",
    "date",
    "forwarded",
    "idempotency-key",
    "request-id",
    "traceparent",
    "user-agent",
    "x-atlassian-webhook-identifier",
    "x-correlation-id",
    "x-event-id",
    "x-event-type",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-request-id",
    "x-shopify-api-version",
    "x-shopify-event-id",
    "x-shopify-shop-domain",
    "x-shopify-topic",
    "x-shopify-triggered-at",
    "x-shopify-webhook-id",
    "x-slack-retry-num",
    "x-slack-retry-reason",
    "x-webhook-event",
    "x-webhook-id",
    "x-webhook-topic",
];

/// The headers to keep: those of a fixed list, and those by which the scheme of the connection was verified (a
/// signature is good for this body alone; where the secret itself is shown, it is not among them). Bytes that are
/// not UTF-8 are replaced.
pub fn kept_headers(headers: &HeaderMap, verifier: &Verifier) -> Vec<(String, String)> {
    let signed_by = verifier.signature_headers();
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            let signs = |known: &&str| known.eq_ignore_ascii_case(name);
            KEPT.contains(&name) || signed_by.iter().any(signs)
        })
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).replace('\0', "");
            (name.as_str().to_owned(), text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tandem_connectors::webhook::{Scheme, SchemeOptions};

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

    fn kept(scheme: Scheme, given: &[(&'static str, &'static str)]) -> Vec<String> {
        let options = SchemeOptions::default();
        let verifier = Verifier::new(scheme, &options).expect("it needs no options");
        let kept = kept_headers(&headers(given), &verifier);
        kept.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_is_not_known_to_be_harmless_is_not_kept() {
        let names = kept(
            Scheme::Github,
            &[
                ("authorization", "Basic x"),
                ("cookie", "a=b"),
                ("x-gitlab-token", "t"),
                ("x-auth", "t"),
                ("x-session-id", "t"),
                ("x-key", "t"),
                ("x-access-code", "t"),
                ("x-vendor-key", "t"),
                ("x-vendor-token", "t"),
                ("x-hub-signature-256", "sha256=00"),
                ("content-type", "application/json"),
            ],
        );
        assert_eq!(names, ["x-hub-signature-256", "content-type"]);
    }

    #[test]
    fn of_a_scheme_that_shows_its_secret_nothing_of_it_is_kept() {
        let given = [("authorization", "Basic x"), ("user-agent", "vendor")];
        assert_eq!(kept(Scheme::BasicAuth, &given), ["user-agent"]);
    }

    #[test]
    fn what_a_scheme_signs_by_is_kept_whole() {
        let given = [
            ("x-hubspot-signature-v3", "s"),
            ("x-hubspot-request-timestamp", "1"),
            ("x-hubspot-other", "o"),
        ];
        assert_eq!(
            kept(Scheme::HubspotV3, &given),
            ["x-hubspot-signature-v3", "x-hubspot-request-timestamp"]
        );
    }
}
