//! Signatures that others made are accepted, and signing reproduces them.

use super::*;

fn accepts(sent: &Sent) {
    assert!(
        sent.verdict().is_accepted(),
        "{:?}: {:?}",
        sent.verifier.scheme(),
        sent.verdict()
    );
}

#[test]
fn github_accepts_its_published_example() {
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    let mac = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    accepts(&Sent::with_headers(
        Scheme::Github,
        &[("X-Hub-Signature-256", mac)],
    ));
}

#[test]
fn standard_webhooks_accepts_the_vector_of_its_reference_library() {
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        (
            "webhook-signature",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ];
    let mut sent = Sent::with_headers(Scheme::StandardWebhooksV1, &headers);
    sent.body = br#"{"test": 2432232314}"#.to_vec();
    sent.now = 1_614_265_330;
    let expected = Verdict::Accepted {
        secret_index: 0,
        signed_timestamp: Some(1_614_265_330),
        signed_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned()),
    };
    assert_eq!(sent.verdict(), expected);

    sent.secrets = vec![Secret::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    assert_eq!(
        sent.verdict(),
        expected,
        "the prefix of the secret may be missing"
    );
}

#[test]
fn svix_accepts_the_vector_of_its_library_under_both_brands() {
    for brand in ["svix", "webhook"] {
        let [id, timestamp, signature] =
            ["id", "timestamp", "signature"].map(|role| format!("{brand}-{role}"));
        let headers = [
            (id.as_str(), "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            (timestamp.as_str(), "1649367553"),
            (
                signature.as_str(),
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ];
        let mut sent = Sent::with_headers(Scheme::Svix, &headers);
        sent.secrets = vec![Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")];
        sent.body = br#"{"email":"test@example.com","username":"test_user"}"#.to_vec();
        sent.now = 1_649_367_553;
        accepts(&sent);
    }
}

#[test]
fn standard_webhooks_does_not_read_the_headers_of_svix() {
    let mut sent = Sent::signed(Scheme::Svix, SchemeOptions::default());
    sent.verifier = verifier(Scheme::StandardWebhooksV1, SchemeOptions::default());
    assert_eq!(sent.rejection(), Some(Reason::MissingHeader));
}

const HUBSPOT_KEY: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
const HUBSPOT_URL: &str = "https://www.example.com/webhook_uri";

fn hubspot(scheme: Scheme, method: &str, body: &str, signature: &str) -> Sent {
    let mut sent = Sent::with_headers(scheme, &[("X-HubSpot-Signature", signature)]);
    sent.secrets = vec![Secret::new(HUBSPOT_KEY)];
    sent.method = method.to_owned();
    sent.url = HUBSPOT_URL.to_owned();
    sent.body = body.as_bytes().to_vec();
    sent
}

#[test]
fn hubspot_v1_accepts_the_vector_of_the_python_library() {
    let mac = "69fc6631a867edd4f9e9e627fc5c1148e3fbdd8b21837b6d2b8901c1fa57f750";
    accepts(&hubspot(
        Scheme::HubspotV1,
        "POST",
        "{'example_field':'example_value'}",
        mac,
    ));
}

#[test]
fn hubspot_v2_accepts_both_documented_examples() {
    // https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests
    let get = "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e";
    let post = "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900";
    accepts(&hubspot(Scheme::HubspotV2, "GET", "", get));
    accepts(&hubspot(
        Scheme::HubspotV2,
        "POST",
        r#"{"example_field":"example_value"}"#,
        post,
    ));
}

fn hubspot_v3(secret: &str, url: &str, timestamp: &str, body: &str, signature: &str) -> Sent {
    let headers = [
        ("X-HubSpot-Signature-v3", signature),
        ("X-HubSpot-Request-Timestamp", timestamp),
    ];
    let mut sent = Sent::with_headers(Scheme::HubspotV3, &headers);
    sent.secrets = vec![Secret::new(secret)];
    sent.url = url.to_owned();
    sent.body = body.as_bytes().to_vec();
    sent.now = timestamp.parse::<i64>().expect("digits") / 1000;
    sent
}

#[test]
fn hubspot_v3_accepts_the_documented_example_and_that_of_the_python_library() {
    let body = r#"[{"eventId":531833541,"subscriptionId":3923621,"portalId":48807704,"appId":16111050,"occurredAt":1752613920733,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":138017612137,"changeFlag":"CREATED","changeSource":"CRM_UI","sourceId":"userId:76023669"}]"#;
    accepts(&hubspot_v3(
        "cfc68c0b-4b4e-4ef8-b764-95350e4ea479",
        "https://webhook.site/335453f5-94b3-49d9-b684-a55354d4b8df",
        "1752613922216",
        body,
        "gbj1XPRvUt0noT7i7fXfTzOD4sLzQmf0VT28ZYq0EYg=",
    ));
    accepts(&hubspot_v3(
        HUBSPOT_KEY,
        HUBSPOT_URL,
        "1693657560000",
        "{'example_field':'example_value'}",
        "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
    ));
}

#[test]
fn hubspot_v3_decodes_the_twelve_listed_escapes_of_the_query_and_nothing_else() {
    // Signed over POSThttps://a.example/h%3Ak?q=:/?@!$'()*,;%20%26%3a%253A&r=1{}1700000000000
    accepts(&hubspot_v3(
        "secret",
        "https://a.example/h%3Ak?q=%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B%20%26%3a%253A&r=1",
        "1700000000000",
        "{}",
        "00l0Aghz95ng1b0kFy3fZpLCSDjsVaUA83cYF66PDZE=",
    ));
}

#[test]
fn slack_accepts_its_documented_example() {
    // https://docs.slack.dev/authentication/verifying-requests-from-slack
    let headers = [
        ("X-Slack-Request-Timestamp", "1531420618"),
        (
            "X-Slack-Signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
    ];
    let mut sent = Sent::with_headers(Scheme::Slack, &headers);
    sent.secrets = vec![Secret::new("8f742231b10e8888abcd99yyyzzz85a5")];
    sent.body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c".to_vec();
    sent.now = 1_531_420_618;
    accepts(&sent);
}

#[test]
fn square_accepts_its_documented_example() {
    // https://developer.squareup.com/docs/webhooks/step3validate
    let mac = "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=";
    let mut sent = Sent::with_headers(Scheme::Square, &[("X-Square-HmacSha256-Signature", mac)]);
    sent.secrets = vec![Secret::new("asdf1234")];
    sent.url = "https://example.com/webhook".to_owned();
    sent.body = br#"{"hello":"world"}"#.to_vec();
    accepts(&sent);
}

#[test]
fn plain_body_signatures_in_base64_are_accepted() {
    let mac = "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=";
    accepts(&Sent::with_headers(
        Scheme::Xero,
        &[("X-Xero-Signature", mac)],
    ));
    accepts(&Sent::with_headers(
        Scheme::Intuit,
        &[("intuit-signature", mac)],
    ));
    accepts(&Sent::with_headers(
        Scheme::Shopify,
        &[("X-Shopify-Hmac-SHA256", mac)],
    ));
    accepts(&Sent::with_headers(
        Scheme::Shopify,
        &[("shopify-hmac-sha256", mac)],
    ));
}

#[test]
fn bodies_need_not_be_utf_8() {
    let mut sent = Sent::with_headers(
        Scheme::Xero,
        &[(
            "x-xero-signature",
            "l44NoQuOT0lLMrNNxFN3gkD+vqi5ycYErr/QfKK2WCA=",
        )],
    );
    sent.body = vec![0xff, 0x00, 0xfe];
    accepts(&sent);
}

#[test]
fn stripe_uses_the_whole_text_of_the_secret_and_passes_over_other_fields() {
    let mac = "11c3f17d33ea13f13f0580b5e0529b2085ef6ed1fb9b963670d080558e6c1672";
    let old = "0".repeat(64);
    for value in [
        format!("t=1700000000,v1={mac}"),
        format!("v1={mac},t=1700000000"),
        format!("t=1700000000,v0={old},v1={old},v1={mac},x"),
        format!("t=1700000000,t=1700000000,v1={mac}"),
    ] {
        let mut sent = Sent::with_headers(Scheme::Stripe, &[("Stripe-Signature", &value)]);
        sent.secrets = vec![Secret::new("whsec_test_secret")];
        assert!(
            sent.verdict().is_accepted(),
            "{value}: {:?}",
            sent.verdict()
        );
    }
}

#[test]
fn the_form_of_stripe_is_accepted_under_another_header_name() {
    let options = SchemeOptions {
        header: Some("X-BottleCRM-Signature".to_owned()),
        ..SchemeOptions::default()
    };
    let sent = Sent::signed(Scheme::Stripe, options);
    assert_eq!(sent.headers[0].0, "X-BottleCRM-Signature");
    accepts(&sent);
}

#[test]
fn recurly_accepts_any_of_the_listed_signatures() {
    let mac = "7f010870601bd5f5651aed0a61b21bd18c364628e28aa29e4de865b141ef2811";
    let value = format!("1700000000123,{},{mac}", "a".repeat(64));
    let sent = Sent::with_headers(Scheme::Recurly, &[("recurly-signature", &value)]);
    let expected = Verdict::Accepted {
        secret_index: 0,
        signed_timestamp: Some(NOW),
        signed_id: None,
    };
    assert_eq!(sent.verdict(), expected);
}

#[test]
fn a_generic_template_covers_all_that_it_names() {
    let mac = "sha256=34c96ecfa8123430e12509ed3d690312a2c4dff0ec93cefa131a0437affef506";
    let headers = [
        ("x-webhook-signature", mac),
        ("x-webhook-timestamp", "1700000000"),
        ("x-webhook-id", "m1"),
    ];
    let mut sent = Sent::with_headers(Scheme::GenericHmacSha256, &headers);
    sent.verifier = verifier(Scheme::GenericHmacSha256, full_template());
    sent.url = "https://a.example/h".to_owned();
    let expected = Verdict::Accepted {
        secret_index: 0,
        signed_timestamp: Some(NOW),
        signed_id: Some("m1".to_owned()),
    };
    assert_eq!(sent.verdict(), expected);
}

#[test]
fn a_generic_signature_may_be_upper_case_throughout_but_not_mixed() {
    let mac = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mixed = mac.replacen('e', "E", 1);
    let with = |mac: &str| {
        let value = format!("sha256={mac}");
        Sent::with_headers(
            Scheme::GenericHmacSha256,
            &[("X-Webhook-Signature", &value)],
        )
        .rejection()
    };
    assert_eq!(with(mac), None);
    assert_eq!(with(&mac.to_uppercase()), None);
    assert_eq!(with(&mixed), Some(Reason::MalformedSignature));
}

#[test]
fn basic_authentication_takes_passwords_with_colons_and_any_case_of_its_name() {
    // base64 of user:pass:word
    for value in ["Basic dXNlcjpwYXNzOndvcmQ=", "bASIC  dXNlcjpwYXNzOndvcmQ="] {
        accepts(&Sent::with_headers(
            Scheme::BasicAuth,
            &[("AUTHORIZATION", value)],
        ));
    }
}

#[test]
fn what_is_signed_here_is_accepted_here_for_every_scheme() {
    for scheme in Scheme::ALL {
        accepts(&Sent::signed(scheme, SchemeOptions::default()));
    }
    accepts(&Sent::signed(Scheme::GenericHmacSha256, full_template()));
}

#[test]
fn a_token_is_added_to_any_url() {
    let verifier = verifier(Scheme::UrlToken, SchemeOptions::default());
    let signed_url = |url| {
        let outgoing = Outgoing {
            method: "POST",
            url,
            id: None,
            body: b"",
        };
        verifier
            .sign(&outgoing, &Secret::new("a+b c"), NOW)
            .expect("a token is text")
            .url
    };
    assert_eq!(
        signed_url("https://a.example/h"),
        "https://a.example/h?token=a%2Bb+c"
    );
    assert_eq!(
        signed_url("https://a.example/h?"),
        "https://a.example/h?token=a%2Bb+c"
    );
    assert_eq!(
        signed_url("https://a.example/h?x=1#top"),
        "https://a.example/h?x=1&token=a%2Bb+c#top"
    );
}
