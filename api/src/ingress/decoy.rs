//! An address that does not exist does the work of one whose token is wrong, so that timing does not tell them
//! apart. Both are refused by their heads, and their bodies are passed over.

use std::sync::LazyLock;

use http::request::Parts;
use tandem_connectors::webhook::{Scheme, SchemeOptions, Secret, Verifier};
use tandem_domain::Timestamp;

use super::answer::{Answer, Reply};
use super::{header_pairs, signed_request, signed_url};

struct Decoy {
    verifier: Verifier,
    secrets: Vec<Secret>,
}

static DECOY: LazyLock<Decoy> = LazyLock::new(|| Decoy {
    verifier: Verifier::new(Scheme::UrlToken, &SchemeOptions::default())
        // Every option has a default; the tests of the schemes build this one.
        .expect("the scheme needs no options"),
    secrets: vec![Secret::new("nobody shows this")],
});

/// Looks for a token as an address that has one would, and answers 404 whatever comes of it.
pub fn answer(parts: &Parts, now: Timestamp) -> Answer {
    let (url, headers) = (signed_url("", parts), header_pairs(&parts.headers));
    let request = signed_request(parts, &url, &headers, &[]);
    let verdict = DECOY
        .verifier
        .check_head(&request, &DECOY.secrets, now.as_secs());
    let _verdict = std::hint::black_box(verdict);
    Answer::new(Reply::Unknown, "unknown")
}
