//! Signature headers that are not written as their scheme writes them.

use super::*;

fn plain(scheme: Scheme) -> Sent {
    Sent::signed(scheme, SchemeOptions::default())
}

#[test]
fn malformed_base64_signatures_are_refused() {
    let good = "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=";
    let url_safe = good.replace('/', "_");
    let stray_bits = good.replace("hc=", "hd=");
    for value in [
        &url_safe,
        &stray_bits,
        good.trim_end_matches('='),
        "=",
        "short",
        "dXEH6g==",
        &format!("{good}="),
        &format!(" {good}"),
        &format!("{good}\n"),
        &good.repeat(1000),
        "ü",
    ] {
        let sent = Sent::with_headers(Scheme::Xero, &[("x-xero-signature", value)]);
        assert_eq!(
            sent.rejection(),
            Some(Reason::MalformedSignature),
            "{value}"
        );
    }
}

#[test]
fn malformed_hex_signatures_are_refused() {
    let good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    for value in [
        good.to_owned(),
        format!("sha1={good}"),
        format!("SHA256={good}"),
        format!("sha256={}", good.to_uppercase()),
        format!("sha256={}", &good[2..]),
        format!("sha256={good}00"),
        format!("sha256= {good}"),
        format!("sha256={}", good.replace('7', "g")),
        "sha256=".to_owned(),
    ] {
        let sent = Sent::with_headers(Scheme::Github, &[("X-Hub-Signature-256", &value)]);
        assert_eq!(
            sent.rejection(),
            Some(Reason::MalformedSignature),
            "{value}"
        );
    }
}

#[test]
fn versioned_signatures_pass_over_what_they_do_not_know() {
    let signed = String::from_utf8(
        plain(Scheme::StandardWebhooksV1)
            .header("webhook-signature")
            .clone(),
    )
    .expect("ASCII");
    let mac = signed.trim_start_matches("v1,").to_owned();
    let with = |value: &str| {
        let mut sent = plain(Scheme::StandardWebhooksV1);
        sent.set("webhook-signature", value);
        sent.rejection()
    };
    let other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    assert_eq!(
        with(&format!("{other} v2,{mac} v1a,abc  {signed} {other}")),
        None
    );
    assert_eq!(with(&format!("v1,rubbish {signed}")), None);
    assert_eq!(with(other), Some(Reason::WrongSignature));
    assert_eq!(
        with(&format!("v1a,{mac}")),
        Some(Reason::NoSupportedSignature)
    );
    assert_eq!(
        with(&format!("V1,{mac}")),
        Some(Reason::NoSupportedSignature)
    );
    assert_eq!(with(&mac), Some(Reason::NoSupportedSignature));
    assert_eq!(with("v1,"), Some(Reason::MalformedSignature));
    assert_eq!(
        with(&format!("{signed},x")),
        Some(Reason::MalformedSignature)
    );
    assert_eq!(with(&signed[..11]), Some(Reason::MalformedSignature));
}

#[test]
fn at_most_64_signatures_are_read() {
    let mut versioned = plain(Scheme::StandardWebhooksV1);
    let signed = versioned.header("webhook-signature").clone();
    let signed = String::from_utf8(signed).expect("ASCII");
    versioned.set(
        "webhook-signature",
        &format!("{}{signed}", "v1a,x ".repeat(63)),
    );
    assert_eq!(versioned.rejection(), None);
    versioned.set(
        "webhook-signature",
        &format!("{}{signed}", "v1a,x ".repeat(64)),
    );
    assert_eq!(versioned.rejection(), Some(Reason::TooManySignatures));

    for (scheme, header, filler) in [
        (Scheme::Stripe, "Stripe-Signature", ",v1=0"),
        (Scheme::Recurly, "recurly-signature", ",0"),
    ] {
        let mut sent = plain(scheme);
        let signed = String::from_utf8(sent.header(header).clone()).expect("ASCII");
        sent.set(header, &format!("{signed}{}", filler.repeat(63)));
        assert_eq!(sent.rejection(), None, "{scheme}");
        sent.set(header, &format!("{signed}{}", filler.repeat(64)));
        assert_eq!(
            sent.rejection(),
            Some(Reason::TooManySignatures),
            "{scheme}"
        );
    }
}

#[test]
fn stripe_headers_without_one_time_and_one_known_signature_are_refused() {
    let mac = "0".repeat(64);
    for (value, reason) in [
        (
            format!("t=1700000000,t=1700000001,v1={mac}"),
            Reason::ConflictingHeaders,
        ),
        (format!("v1={mac}"), Reason::MalformedSignature),
        ("rubbish".to_owned(), Reason::MalformedSignature),
        ("t=1700000000".to_owned(), Reason::NoSupportedSignature),
        (
            format!("t=1700000000,v0={mac}"),
            Reason::NoSupportedSignature,
        ),
        (
            format!("t=1700000000, v1={mac}"),
            Reason::NoSupportedSignature,
        ),
        ("t=1700000000,v1=".to_owned(), Reason::MalformedSignature),
        (
            format!("t=1700000000,v1={}", "A".repeat(64)),
            Reason::MalformedSignature,
        ),
        (format!("t=1700000000,v1={mac}"), Reason::WrongSignature),
    ] {
        let sent = Sent::with_headers(Scheme::Stripe, &[("Stripe-Signature", &value)]);
        assert_eq!(sent.rejection(), Some(reason), "{value}");
    }
}

#[test]
fn recurly_headers_without_a_signature_are_refused() {
    for value in ["1700000000000", "1700000000000,", "1700000000000,abc", ","] {
        let sent = Sent::with_headers(Scheme::Recurly, &[("recurly-signature", value)]);
        assert_eq!(
            sent.rejection(),
            Some(Reason::MalformedSignature),
            "{value}"
        );
    }
}
