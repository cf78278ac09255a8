//! Each way to be refused.

use super::*;

fn standard() -> Sent {
    Sent::signed(Scheme::StandardWebhooksV1, SchemeOptions::default())
}

fn plain(scheme: Scheme) -> Sent {
    Sent::signed(scheme, SchemeOptions::default())
}

#[test]
fn without_a_secret_nothing_is_accepted() {
    for scheme in Scheme::ALL {
        for secrets in [
            vec![],
            vec![Secret::new("")],
            vec![Secret::new(""), Secret::new("")],
        ] {
            let sent = Sent {
                secrets,
                ..plain(scheme)
            };
            assert_eq!(sent.rejection(), Some(Reason::NoSecret), "{scheme}");
        }
    }
    assert!(Reason::NoSecret.is_misconfiguration() && Reason::BadSecret.is_misconfiguration());
    assert!(!Reason::WrongSignature.is_misconfiguration());
}

#[test]
fn secrets_of_the_wrong_form_are_a_configuration_fault() {
    for (scheme, secret) in [
        (Scheme::StandardWebhooksV1, "whsec_not base64!"),
        (Scheme::Svix, "whsec_"),
        (Scheme::BasicAuth, "only-a-password"),
        (Scheme::BasicAuth, ":"),
        (Scheme::BasicAuth, "user:"),
    ] {
        let sent = Sent {
            secrets: vec![Secret::new(secret)],
            ..plain(scheme)
        };
        assert_eq!(
            sent.rejection(),
            Some(Reason::BadSecret),
            "{scheme} {secret}"
        );
    }
}

#[test]
fn a_broken_secret_beside_a_good_one_does_no_harm() {
    let mut sent = standard();
    sent.secrets.insert(0, Secret::new("whsec_!"));
    assert!(matches!(
        sent.verdict(),
        Verdict::Accepted {
            secret_index: 1,
            ..
        }
    ));
}

#[test]
fn during_a_rotation_both_secrets_are_accepted_and_the_match_is_named() {
    for scheme in Scheme::ALL {
        let (old, new) = match scheme {
            Scheme::StandardWebhooksV1 | Scheme::Svix => {
                ("whsec_b2xkIHNlY3JldA==", "whsec_bmV3IHNlY3JldA==")
            }
            _ => ("user:old", "user:new"),
        };
        for (index, secret) in [new, old].into_iter().enumerate() {
            let mut sent = Sent {
                secrets: vec![Secret::new(secret)],
                ..Sent::with_headers(scheme, &[])
            };
            sent.sign_again();
            sent.secrets = vec![Secret::new(new), Secret::new(old)];
            let Verdict::Accepted { secret_index, .. } = sent.verdict() else {
                panic!("{scheme}: {secret}")
            };
            assert_eq!(secret_index, index, "{scheme}");
            sent.secrets = vec![Secret::new("dXNlcjpvdGhlcg==:")];
            assert!(!sent.verdict().is_accepted(), "{scheme}");
        }
    }
}

#[test]
fn a_missing_or_empty_header_is_named_missing() {
    for scheme in Scheme::ALL
        .into_iter()
        .filter(|scheme| *scheme != Scheme::UrlToken)
    {
        let sent = plain(scheme);
        for (name, _) in &sent.headers {
            if name == "X-HubSpot-Signature-Version" {
                continue;
            }
            assert_eq!(
                sent.clone().without(name).rejection(),
                Some(Reason::MissingHeader),
                "{scheme} {name}"
            );
            let mut emptied = sent.clone();
            emptied.set(name, "");
            assert_eq!(
                emptied.rejection(),
                Some(Reason::MissingHeader),
                "{scheme} {name}"
            );
        }
    }
}

#[test]
fn a_header_repeated_with_another_value_is_refused_in_either_order() {
    for scheme in Scheme::ALL
        .into_iter()
        .filter(|scheme| *scheme != Scheme::UrlToken)
    {
        let sent = plain(scheme);
        for (name, _) in &sent.headers {
            if name == "X-HubSpot-Signature-Version" {
                continue;
            }
            for at in [0, sent.headers.len()] {
                let mut doubled = sent.clone();
                doubled
                    .headers
                    .insert(at, (name.to_uppercase(), b"other".to_vec()));
                assert_eq!(
                    doubled.rejection(),
                    Some(Reason::ConflictingHeaders),
                    "{scheme} {name}"
                );
            }
        }
    }
}

#[test]
fn a_header_repeated_with_the_same_value_is_accepted() {
    for scheme in Scheme::ALL {
        let mut sent = plain(scheme);
        sent.headers.extend(sent.headers.clone());
        assert_eq!(sent.rejection(), None, "{scheme}");
    }
}

#[test]
fn the_two_brands_of_one_scheme_must_not_contradict_each_other() {
    let mut svix = plain(Scheme::Svix);
    svix.add("webhook-id", "another");
    assert_eq!(svix.rejection(), Some(Reason::ConflictingHeaders));
    svix.set("webhook-id", ID);
    assert_eq!(svix.rejection(), None);

    let mut shopify = plain(Scheme::Shopify);
    shopify.add("shopify-hmac-sha256", "other");
    assert_eq!(shopify.rejection(), Some(Reason::ConflictingHeaders));
}

#[test]
fn the_window_reaches_equally_far_into_past_and_future() {
    let timestamped = [
        Scheme::StandardWebhooksV1,
        Scheme::Svix,
        Scheme::HubspotV3,
        Scheme::Stripe,
        Scheme::Slack,
        Scheme::Recurly,
        Scheme::ZohoPayments,
    ];
    for scheme in timestamped {
        let judged_at = |now| {
            Sent {
                now,
                ..plain(scheme)
            }
            .rejection()
        };
        assert_eq!(judged_at(NOW + 300), None, "{scheme}");
        assert_eq!(judged_at(NOW - 300), None, "{scheme}");
        assert_eq!(
            judged_at(NOW + 301),
            Some(Reason::StaleTimestamp),
            "{scheme}"
        );
        assert_eq!(
            judged_at(NOW - 301),
            Some(Reason::FutureTimestamp),
            "{scheme}"
        );
        assert_eq!(
            judged_at(i64::MAX),
            Some(Reason::StaleTimestamp),
            "{scheme}"
        );
        assert_eq!(
            judged_at(i64::MIN),
            Some(Reason::FutureTimestamp),
            "{scheme}"
        );
    }
}

#[test]
fn milliseconds_count_in_the_window() {
    let mut sent = plain(Scheme::HubspotV3);
    sent.set("X-HubSpot-Request-Timestamp", "1699999699999");
    assert_eq!(sent.rejection(), Some(Reason::StaleTimestamp));
    sent.set("X-HubSpot-Request-Timestamp", "1700000300001");
    assert_eq!(sent.rejection(), Some(Reason::FutureTimestamp));
}

#[test]
fn the_wrong_unit_is_outside_the_window() {
    let mut seconds = plain(Scheme::HubspotV3);
    seconds.set("X-HubSpot-Request-Timestamp", "1700000000");
    assert_eq!(seconds.rejection(), Some(Reason::StaleTimestamp));
    let mut millis = standard();
    millis.set("webhook-timestamp", "1700000000000");
    assert_eq!(millis.rejection(), Some(Reason::FutureTimestamp));
}

#[test]
fn only_plain_digits_are_a_timestamp() {
    let long = "1".repeat(400);
    for text in [
        "+1700000000",
        "-1700000000",
        " 1700000000",
        "1700000000 ",
        "1700000000.0",
        "1.7e9",
        "01700000000",
        "NaN",
        "0x6553f100",
        "1700000000,",
        "１７０００",
        "1_700_000_000",
        &long,
    ] {
        let mut sent = standard();
        sent.set("webhook-timestamp", text);
        assert_eq!(sent.rejection(), Some(Reason::BadTimestamp), "{text}");
    }
    let mut stripe = plain(Scheme::Stripe);
    let mac = "0".repeat(64);
    stripe.set("Stripe-Signature", &format!("t=,v1={mac}"));
    assert_eq!(stripe.rejection(), Some(Reason::BadTimestamp));
}

#[test]
fn an_id_must_be_printable_ascii_of_sane_length() {
    for id in ["caf\u{e9}", "a\u{7f}", &"x".repeat(1025)] {
        let mut sent = standard();
        sent.set("webhook-id", id);
        assert_eq!(sent.rejection(), Some(Reason::BadId), "{id}");
    }
}

#[test]
fn basic_credentials_must_be_well_formed_and_right() {
    for (value, reason) in [
        ("Basic", Reason::MalformedCredentials),
        ("Basic ", Reason::MalformedCredentials),
        ("BasicdXNlcjpwYXNzOndvcmQ=", Reason::MalformedCredentials),
        ("Bearer dXNlcjpwYXNzOndvcmQ=", Reason::MalformedCredentials),
        ("Basic dXNlcjpwYXNzOndvcmQ", Reason::MalformedCredentials),
        ("Basic dXNlcjpwYXNzOndvcmR=", Reason::MalformedCredentials),
        ("Basic user:pass:word", Reason::MalformedCredentials),
        ("Basic dXNlcg==", Reason::MalformedCredentials),
        ("Basic dXNlcjpwYXNz", Reason::WrongCredentials),
        ("Basic Og==", Reason::WrongCredentials),
    ] {
        let sent = Sent::with_headers(Scheme::BasicAuth, &[("Authorization", value)]);
        assert_eq!(sent.rejection(), Some(reason), "{value}");
    }
}

#[test]
fn hubspots_version_header_must_name_the_version_of_the_scheme() {
    for (scheme, own, other) in [
        (Scheme::HubspotV1, "v1", "v2"),
        (Scheme::HubspotV2, "v2", "v1"),
    ] {
        let name = "X-HubSpot-Signature-Version";
        let mut sent = plain(scheme);
        assert_eq!(sent.header(name), own.as_bytes());
        assert_eq!(sent.rejection(), None);
        sent.set(name, other);
        assert_eq!(sent.rejection(), Some(Reason::NoSupportedSignature));
        sent.set(name, own);
        sent.add(name, other);
        assert_eq!(sent.rejection(), Some(Reason::ConflictingHeaders));
    }
    // The header speaks of the older signature that HubSpot sends along, not of this one.
    let mut third = plain(Scheme::HubspotV3);
    third.add("X-HubSpot-Signature-Version", "v1");
    assert_eq!(third.rejection(), None);
}

#[test]
fn a_token_in_a_header_must_be_right_behind_its_prefix() {
    let options = SchemeOptions {
        header: Some("Authorization".to_owned()),
        prefix: Some("Bearer ".to_owned()),
        ..SchemeOptions::default()
    };
    let mut sent = Sent::signed(Scheme::HeaderToken, options);
    assert_eq!(
        sent.header("authorization"),
        format!("Bearer {SECRET}").as_bytes()
    );
    assert_eq!(sent.rejection(), None);
    for (value, reason) in [
        (SECRET, Reason::MalformedCredentials),
        ("Bearer ", Reason::MalformedCredentials),
        ("Bearer other", Reason::WrongCredentials),
        ("", Reason::MissingHeader),
    ] {
        sent.set("Authorization", value);
        assert_eq!(sent.rejection(), Some(reason), "{value}");
    }
}

#[test]
fn a_token_in_the_url_must_be_there_once_and_right() {
    for (url, reason) in [
        ("https://a.example/h?token=s%C3%A9cret+1", None),
        (
            "https://a.example/h?x=1&token=s%C3%A9cret%201&token=s%C3%A9cret%201#token=x",
            None,
        ),
        ("https://a.example/h", Some(Reason::MissingParameter)),
        ("https://a.example/h?token=", Some(Reason::MissingParameter)),
        (
            "https://a.example/h?Token=s%C3%A9cret+1",
            Some(Reason::MissingParameter),
        ),
        (
            "https://a.example/h#?token=s%C3%A9cret+1",
            Some(Reason::MissingParameter),
        ),
        (
            "https://a.example/h?token=other",
            Some(Reason::WrongCredentials),
        ),
        (
            "https://a.example/h?token=s%C3%A9cret+1&token=other",
            Some(Reason::ConflictingHeaders),
        ),
    ] {
        let mut sent = Sent::with_headers(Scheme::UrlToken, &[]);
        sent.secrets = vec![Secret::new("s\u{e9}cret 1")];
        sent.url = url.to_owned();
        assert_eq!(sent.rejection(), reason, "{url}");
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(hidden)");
}
