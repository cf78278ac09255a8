//! Names and options of schemes, and what cannot be signed.

use super::super::{SchemeError, SignError, TimestampUnit, TokenPlace};
use super::*;

fn error(scheme: Scheme, options: &SchemeOptions) -> SchemeError {
    Verifier::new(scheme, options).expect_err("these options are wrong")
}

fn generic(options: SchemeOptions) -> String {
    error(Scheme::GenericHmacSha256, &options).to_string()
}

fn template(text: &str) -> SchemeOptions {
    SchemeOptions {
        template: Some(text.to_owned()),
        ..SchemeOptions::default()
    }
}

#[test]
fn every_scheme_has_the_same_name_everywhere() {
    for scheme in Scheme::ALL {
        assert_eq!(serde_json::to_value(scheme).expect("a name"), scheme.name());
        assert_eq!(scheme.name().parse(), Ok(scheme));
        assert_eq!(scheme.to_string(), scheme.name());
    }
    let error = "hubspot"
        .parse::<Scheme>()
        .expect_err("no such scheme")
        .to_string();
    assert!(
        error.starts_with(
            "unknown scheme \"hubspot\"; the known ones are standard-webhooks-v1, svix,"
        )
    );
}

#[test]
fn an_option_that_a_scheme_does_not_take_is_refused() {
    let header = SchemeOptions {
        header: Some("X-Sig".to_owned()),
        ..SchemeOptions::default()
    };
    assert_eq!(
        error(Scheme::Github, &header),
        SchemeError::OptionNotTaken {
            scheme: Scheme::Github,
            option: "header"
        }
    );
    let tolerance = SchemeOptions {
        tolerance_secs: Some(60),
        ..SchemeOptions::default()
    };
    assert_eq!(
        error(Scheme::UrlToken, &tolerance).to_string(),
        "scheme url-token takes no option `tolerance_secs`; it takes place, parameter"
    );
}

#[test]
fn options_are_read_strictly_from_configuration() {
    let options: SchemeOptions =
        serde_json::from_str(r#"{"header":"X-Sig","prefix":"","encoding":"base64"}"#)
            .expect("these options exist");
    assert!(Verifier::new(Scheme::GenericHmacSha256, &options).is_ok());
    assert_eq!(
        serde_json::to_string(&SchemeOptions::default()).expect("an object"),
        "{}"
    );
    assert!(serde_json::from_str::<SchemeOptions>(r#"{"heeder":"X-Sig"}"#).is_err());
    assert!(serde_json::from_str::<SchemeOptions>(r#"{"encoding":"base32"}"#).is_err());
}

#[test]
fn a_template_must_be_sound_and_sign_the_body() {
    assert!(generic(template("{timestamp}")).contains("must contain {body}"));
    assert!(generic(template("")).contains("must contain {body}"));
    assert!(generic(template("{Body}")).contains("{Body} is unknown"));
    assert!(generic(template("ü{body")).contains("the brace at character 2"));
    assert!(generic(template("{body}}")).contains("the brace at character 7"));
}

#[test]
fn options_without_effect_are_refused() {
    for (options, placeholder) in [
        (
            SchemeOptions {
                timestamp_header: Some("X-Time".to_owned()),
                ..SchemeOptions::default()
            },
            "{timestamp}",
        ),
        (
            SchemeOptions {
                timestamp_unit: Some(TimestampUnit::Seconds),
                ..SchemeOptions::default()
            },
            "{timestamp}",
        ),
        (
            SchemeOptions {
                tolerance_secs: Some(5),
                ..SchemeOptions::default()
            },
            "{timestamp}",
        ),
        (
            SchemeOptions {
                id_header: Some("X-Id".to_owned()),
                ..SchemeOptions::default()
            },
            "{id}",
        ),
    ] {
        assert!(generic(options).contains(placeholder));
    }
}

#[test]
fn header_names_prefixes_tolerances_and_parameters_are_checked() {
    let header = SchemeOptions {
        header: Some("no good".to_owned()),
        ..SchemeOptions::default()
    };
    assert!(matches!(
        error(Scheme::Stripe, &header),
        SchemeError::BadHeaderName {
            option: "header",
            ..
        }
    ));
    let prefix = SchemeOptions {
        prefix: Some("a\nb".to_owned()),
        ..SchemeOptions::default()
    };
    assert_eq!(
        error(Scheme::GenericHmacSha256, &prefix),
        SchemeError::BadPrefix
    );
    for secs in [0, 86_401] {
        let tolerance = SchemeOptions {
            tolerance_secs: Some(secs),
            ..SchemeOptions::default()
        };
        assert_eq!(error(Scheme::Stripe, &tolerance), SchemeError::BadTolerance);
    }
    let parameter = SchemeOptions {
        parameter: Some(String::new()),
        ..SchemeOptions::default()
    };
    assert_eq!(
        error(Scheme::UrlToken, &parameter),
        SchemeError::EmptyParameter
    );
}

#[test]
fn the_tolerance_and_the_unit_can_be_set() {
    let options = SchemeOptions {
        template: Some("{timestamp}.{body}".to_owned()),
        timestamp_header: Some("X-Time".to_owned()),
        timestamp_unit: Some(TimestampUnit::Milliseconds),
        tolerance_secs: Some(10),
        ..SchemeOptions::default()
    };
    let mut sent = Sent::signed(Scheme::GenericHmacSha256, options);
    assert_eq!(sent.header("x-time"), b"1700000000000");
    assert_eq!(
        Sent {
            now: NOW + 10,
            ..sent.clone()
        }
        .rejection(),
        None
    );
    assert_eq!(
        Sent {
            now: NOW + 11,
            ..sent
        }
        .rejection(),
        Some(Reason::StaleTimestamp)
    );
}

#[test]
fn another_parameter_can_hold_the_token() {
    let options = SchemeOptions {
        parameter: Some("key".to_owned()),
        ..SchemeOptions::default()
    };
    let sent = Sent::signed(Scheme::UrlToken, options);
    assert!(
        sent.url.ends_with("&key=It%27s+a+Secret+to+Everybody"),
        "{}",
        sent.url
    );
    assert_eq!(sent.rejection(), None);
}

#[test]
fn the_last_segment_of_the_path_can_hold_the_token() {
    let options = SchemeOptions {
        place: Some(TokenPlace::Path),
        ..SchemeOptions::default()
    };
    let mut sent = Sent::signed(Scheme::UrlToken, options.clone());
    assert!(sent.verifier.reads_path());
    assert_eq!(sent.rejection(), None, "{}", sent.url);
    let mut given = |url: &str, secret: &str| {
        sent.url = url.to_owned();
        sent.secrets = vec![Secret::new(secret)];
        sent.rejection()
    };
    let secret = "s\u{e9}cret 1";
    assert_eq!(
        given("https://a.example/hooks/crm/s%C3%A9cret%201?x=1", secret),
        None
    );
    for (url, reason) in [
        ("https://a.example/hooks/crm/", Reason::MissingParameter),
        ("https://a.example/hooks/crm", Reason::WrongCredentials),
        (
            "https://a.example/hooks/crm/s%C3%A9cret+1",
            Reason::WrongCredentials,
        ),
        (
            "https://a.example/hooks/s%C3%A9cret%201/x",
            Reason::WrongCredentials,
        ),
        (
            "https://a.example/hooks/crm/x?token=s%C3%A9cret%201",
            Reason::WrongCredentials,
        ),
        (
            "https://a.example/hooks/crm/x#/s%C3%A9cret%201",
            Reason::WrongCredentials,
        ),
    ] {
        assert_eq!(given(url, secret), Some(reason), "{url}");
    }
    let both = SchemeOptions {
        parameter: Some("key".to_owned()),
        ..options
    };
    assert_eq!(error(Scheme::UrlToken, &both), SchemeError::ParameterInPath);
}

#[test]
fn a_secret_that_could_verify_nothing_or_everything_shows_when_the_configuration_is_read() {
    for (scheme, secret, good) in [
        (Scheme::BasicAuth, "user:password", true),
        (Scheme::BasicAuth, ":password", true),
        (Scheme::BasicAuth, "user:", false),
        (Scheme::BasicAuth, "user:  ", false),
        (Scheme::BasicAuth, ":", false),
        (Scheme::BasicAuth, "", false),
        (Scheme::Svix, "whsec_", false),
        (Scheme::Github, "", false),
        (Scheme::BasicAuth, "somebody:pass", false),
        (Scheme::Svix, "whsec_eHg=", false),
        (Scheme::Github, "x", false),
        (Scheme::Github, "          ", false),
        (Scheme::Github, "1234567    ", false),
        (Scheme::Github, "12345678", true),
        (Scheme::UrlToken, "x", false),
    ] {
        let checked = verifier(scheme, SchemeOptions::default()).check_secret(&Secret::new(secret));
        assert_eq!(checked.is_ok(), good, "{scheme} {secret:?}: {checked:?}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let outgoing = Outgoing {
        method: "POST",
        url: URL,
        id: None,
        body: BODY,
    };
    let good = Secret::new(secret_for(Scheme::Svix));
    let svix = verifier(Scheme::Svix, SchemeOptions::default());
    assert_eq!(svix.sign(&outgoing, &good, NOW), Err(SignError::MissingId));
    assert_eq!(
        svix.sign(
            &Outgoing {
                id: Some("\n"),
                ..outgoing
            },
            &good,
            NOW
        ),
        Err(SignError::BadId)
    );
    let named = Outgoing {
        id: Some(ID),
        ..outgoing
    };
    assert_eq!(svix.sign(&named, &good, -1), Err(SignError::BadTime(-1)));
    assert_eq!(
        svix.sign(&named, &Secret::new(""), NOW),
        Err(SignError::NoSecret)
    );
    assert_eq!(
        svix.sign(&named, &Secret::new("whsec_!"), NOW),
        Err(SignError::BadSecret)
    );
    let token = verifier(Scheme::UrlToken, SchemeOptions::default());
    assert_eq!(
        token.sign(&outgoing, &Secret::new([0xff_u8]), NOW),
        Err(SignError::BadSecret)
    );
}
