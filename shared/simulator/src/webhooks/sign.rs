//! Webhook signatures, written here from the vendors' descriptions and not shared with the product,
//! so that a mistake in the product's verification cannot hide behind the same mistake here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The escapes that HubSpot undoes in a query before signing, and no others.
const HUBSPOT_DECODED: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// `X-HubSpot-Signature-v3`: method, address, body and timestamp in milliseconds, one after the other.
pub(super) fn hubspot_v3(
    secret: &str,
    method: &str,
    url: &str,
    body: &[u8],
    timestamp_ms: &str,
) -> String {
    let url = hubspot_url(url);
    base64_hmac(
        secret,
        &[
            method.as_bytes(),
            url.as_bytes(),
            body,
            timestamp_ms.as_bytes(),
        ],
    )
}

/// `x-xero-signature`: the body alone; the key is used as text although it looks like base64.
pub(super) fn xero(key: &str, body: &[u8]) -> String {
    base64_hmac(key, &[body])
}

fn hubspot_url(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let decoded = HUBSPOT_DECODED
        .iter()
        .fold(query.to_owned(), |query, (escape, plain)| {
            query
                .replace(escape, plain)
                .replace(&escape.to_lowercase(), plain)
        });
    format!("{path}?{decoded}")
}

fn base64_hmac(key: &str, parts: &[&[u8]]) -> String {
    // HMAC hashes a key that is longer than a block and pads a shorter one: every length works.
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_that_of_rfc_4231_test_case_2() {
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let bytes: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(
            base64_hmac("Jefe", &[b"what do ya want ", b"for nothing?"]),
            STANDARD.encode(&bytes)
        );
    }

    #[test]
    fn hubspot_undoes_only_its_twelve_escapes_and_only_in_the_query() {
        assert_eq!(
            hubspot_url("http://h/a%2Fb?x=%3A%2f%20%26&y=%40"),
            "http://h/a%2Fb?x=:/%20%26&y=@"
        );
        assert_eq!(hubspot_url("http://h/a%2Fb"), "http://h/a%2Fb");
    }
}
