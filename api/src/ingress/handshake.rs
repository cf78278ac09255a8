//! Requests by which a vendor tries an address before it sends events to it.
//!
//! Slack wants a value back. Xero sends a request without events, rightly and wrongly signed: that needs
//! nothing of its own.

use serde::Deserialize;
use tandem_connectors::webhook::Scheme;

/// Slack's are about 60 characters.
const CHALLENGE_BYTES_MAX: usize = 1_024;
const URL_VERIFICATION: &str = "url_verification";

#[derive(Deserialize)]
struct UrlVerification {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
}

/// The value to send back, if a verified body asks for one.
pub fn challenge(scheme: Scheme, body: &[u8]) -> Option<String> {
    if scheme != Scheme::Slack {
        return None;
    }
    let request: UrlVerification = serde_json::from_slice(body).ok()?;
    let usable = request.kind == URL_VERIFICATION && request.challenge.len() <= CHALLENGE_BYTES_MAX;
    usable.then_some(request.challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_gets_its_challenge_back_and_others_do_not() {
        let body = br#"{"type":"url_verification","challenge":"abc","token":"t"}"#;
        assert_eq!(challenge(Scheme::Slack, body), Some("abc".to_owned()));
        assert_eq!(challenge(Scheme::Github, body), None);
        assert_eq!(
            challenge(Scheme::Slack, br#"{"type":"event_callback"}"#),
            None
        );
    }
}
