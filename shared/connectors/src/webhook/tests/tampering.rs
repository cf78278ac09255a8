//! No byte of what is signed, nor of the signature, can be changed, added or dropped.

use proptest::prelude::*;

use super::*;

/// What a scheme protects beside its own headers.
struct Covers {
    body: bool,
    method: bool,
    url: bool,
}

fn covers(scheme: Scheme) -> Covers {
    match scheme {
        Scheme::BasicAuth | Scheme::UrlToken | Scheme::HeaderToken => Covers {
            body: false,
            method: false,
            url: false,
        },
        Scheme::HubspotV2 | Scheme::HubspotV3 | Scheme::GenericHmacSha256 => Covers {
            body: true,
            method: true,
            url: true,
        },
        Scheme::Square => Covers {
            body: true,
            method: false,
            url: true,
        },
        Scheme::StandardWebhooksV1
        | Scheme::Svix
        | Scheme::HubspotV1
        | Scheme::Xero
        | Scheme::Intuit
        | Scheme::Stripe
        | Scheme::Shopify
        | Scheme::Github
        | Scheme::Slack
        | Scheme::Recurly
        | Scheme::ZohoPayments => Covers {
            body: true,
            method: false,
            url: false,
        },
    }
}

fn signed(scheme: Scheme, body: &[u8]) -> Sent {
    let mut sent = Sent::with_headers(scheme, &[]);
    if scheme == Scheme::GenericHmacSha256 {
        sent.verifier = verifier(scheme, full_template());
    }
    sent.body = body.to_vec();
    sent.sign_again();
    sent
}

fn any_scheme() -> impl Strategy<Value = Scheme> {
    proptest::sample::select(Scheme::ALL.to_vec())
}

proptest! {
    #[test]
    fn a_signed_body_of_any_bytes_is_accepted(
        scheme in any_scheme(),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert!(signed(scheme, &body).verdict().is_accepted());
    }

    #[test]
    fn a_changed_body_is_refused(
        scheme in any_scheme(),
        body in proptest::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        length in 0_usize..3,
    ) {
        prop_assume!(covers(scheme).body);
        let mut sent = signed(scheme, &body);
        match length {
            0 => sent.body[at.index(body.len())] ^= flip,
            1 => sent.body.push(flip),
            _ => { sent.body.pop(); }
        }
        prop_assert_eq!(sent.rejection(), Some(Reason::WrongSignature));
    }

    #[test]
    fn arbitrary_header_values_never_panic_and_are_never_accepted(
        scheme in any_scheme(),
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 4),
    ) {
        prop_assume!(scheme != Scheme::UrlToken);
        let mut sent = signed(scheme, BODY);
        for ((_, value), other) in sent.headers.iter_mut().zip(values) {
            *value = other;
        }
        prop_assert!(!sent.verdict().is_accepted());
    }

    #[test]
    fn arbitrary_urls_never_panic(scheme in any_scheme(), url in ".{0,40}") {
        let mut sent = signed(scheme, BODY);
        sent.url = url;
        let covered = covers(scheme).url || scheme == Scheme::UrlToken;
        prop_assert_eq!(sent.verdict().is_accepted(), !covered);
    }
}

/// Exhaustive rather than random: headers are short.
#[test]
fn no_byte_of_a_signing_header_can_be_changed() {
    for scheme in Scheme::ALL {
        let sent = signed(scheme, BODY);
        for index in 0..sent.headers.len() {
            if sent.headers[index].0 == "X-HubSpot-Signature-Version" {
                continue;
            }
            // The name of the basic scheme may be written in any case, so only what follows it is changed.
            let from = if scheme == Scheme::BasicAuth {
                "Basic ".len()
            } else {
                0
            };
            for at in from..sent.headers[index].1.len() {
                for other in b' '..=b'~' {
                    let mut tampered = sent.clone();
                    if std::mem::replace(&mut tampered.headers[index].1[at], other) == other {
                        continue;
                    }
                    assert!(
                        !tampered.verdict().is_accepted(),
                        "{scheme}: {:?}",
                        tampered.headers[index]
                    );
                }
            }
        }
    }
}

#[test]
fn a_covered_method_or_url_cannot_be_changed() {
    for scheme in Scheme::ALL {
        let covers = covers(scheme);
        let sent = signed(scheme, BODY);
        let other_method = Sent {
            method: "PUT".to_owned(),
            ..sent.clone()
        };
        assert_eq!(
            other_method.verdict().is_accepted(),
            !covers.method,
            "{scheme}"
        );
        let other_url = Sent {
            url: format!("{}&x=1", sent.url),
            ..sent
        };
        assert_eq!(other_url.verdict().is_accepted(), !covers.url, "{scheme}");
    }
}
