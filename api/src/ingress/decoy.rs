//! An address that does not exist does the work of one that does, so that timing does not tell them apart.

use std::sync::LazyLock;

use http::request::Parts;
use tandem_connectors::webhook::{
    Request as SignedRequest, Scheme, SchemeOptions, Secret, Verifier,
};
use tandem_domain::Timestamp;

use super::answer::{Answer, Reply};
use super::{header_pairs, signed_url};

/// The default header of the generic scheme; a request without it would be rejected before the hash.
const SIGNATURE_HEADER: &str = "x-webhook-signature";
const SIGNATURE: &[u8] = b"sha256=0000000000000000000000000000000000000000000000000000000000000000";

struct Decoy {
    verifier: Verifier,
    secrets: Vec<Secret>,
}

static DECOY: LazyLock<Decoy> = LazyLock::new(|| Decoy {
    verifier: Verifier::new(Scheme::GenericHmacSha256, &SchemeOptions::default())
        // Every option has a default; the tests of the schemes build this one.
        .expect("the generic scheme needs no options"),
    secrets: vec![Secret::new("nobody signs with this")],
});

/// Hashes the body as a check of its signature would, and answers 404 whatever comes of it.
pub fn answer(parts: &Parts, body: &[u8], now: Timestamp) -> Answer {
    let url = signed_url("", parts);
    let mut headers = header_pairs(&parts.headers);
    headers.retain(|(name, _)| *name != SIGNATURE_HEADER);
    headers.push((SIGNATURE_HEADER, SIGNATURE));
    let request = SignedRequest {
        method: parts.method.as_str(),
        url: &url,
        headers: &headers,
        body,
    };
    let _verdict = std::hint::black_box(DECOY.verifier.verify(
        &request,
        &DECOY.secrets,
        now.as_secs(),
    ));
    Answer::new(Reply::Unknown, "unknown")
}
