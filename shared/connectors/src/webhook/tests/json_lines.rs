//! The command's lines, judged by the same code.

use serde_json::{Value, json};

use super::super::jsonl::verify_line;
use super::*;

fn github_line() -> Value {
    json!({
        "id": "a1", "scheme": "github", "secret": SECRET, "method": "POST", "url": URL,
        "headers": [["x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"]],
        "body": "Hello, World!", "body_encoding": "utf-8", "now": NOW,
    })
}

fn changed(field: &str, value: Value) -> Value {
    let mut line = github_line();
    line[field] = value;
    verify_line(&line.to_string())
}

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["verdict"], "reject", "{answer}");
    answer["reason"].as_str().expect("a reason is text")
}

#[test]
fn a_right_signature_is_accepted() {
    assert_eq!(
        verify_line(&github_line().to_string()),
        json!({"id": "a1", "verdict": "accept", "reason": "ok"})
    );
}

#[test]
fn a_wrong_signature_is_rejected_with_its_reason() {
    let answer = changed("body", json!("Hello, World?"));
    assert_eq!(
        answer,
        json!({"id": "a1", "verdict": "reject", "reason": "wrong-signature"})
    );
}

#[test]
fn every_scheme_can_be_judged_from_a_line() {
    for scheme in Scheme::ALL {
        let sent = Sent::signed(scheme, SchemeOptions::default());
        let headers: Vec<[&str; 2]> = sent
            .headers
            .iter()
            .map(|(name, value)| [name.as_str(), std::str::from_utf8(value).expect("ASCII")])
            .collect();
        let line = json!({
            "id": 7, "scheme": scheme.name(), "secret": secret_for(scheme), "options": {}, "method": "POST",
            "url": sent.url, "headers": headers, "body": "SGVsbG8sIFdvcmxkIQ==", "body_encoding": "base64", "now": NOW,
        });
        assert_eq!(
            verify_line(&line.to_string()),
            json!({"id": 7, "verdict": "accept", "reason": "ok"}),
            "{scheme}"
        );
    }
}

#[test]
fn extra_secrets_count_and_null_means_none() {
    let mut line = github_line();
    line["secret"] = json!("new one");
    assert_eq!(reason(&verify_line(&line.to_string())), "wrong-signature");
    line["extra_secrets"] = json!([SECRET]);
    assert_eq!(verify_line(&line.to_string())["verdict"], "accept");
    line["extra_secrets"] = Value::Null;
    assert_eq!(reason(&verify_line(&line.to_string())), "wrong-signature");
    assert_eq!(reason(&changed("secret", json!(""))), "no-secret");
}

#[test]
fn options_reach_the_scheme() {
    let mut line = github_line();
    line["scheme"] = json!("generic-hmac-sha256");
    line["options"] =
        json!({"header": "X-Hub-Signature-256", "prefix": "sha256=", "encoding": "hex"});
    assert_eq!(verify_line(&line.to_string())["verdict"], "accept");
    line["options"] = json!({"header": "X-Hub-Signature-256", "encoding": "base64"});
    assert_eq!(
        reason(&verify_line(&line.to_string())),
        "malformed-signature"
    );
    line["options"] = json!({"heeder": "X-Hub-Signature-256"});
    assert!(
        reason(&verify_line(&line.to_string())).starts_with("bad-options: unknown field `heeder`")
    );
}

#[test]
fn a_fraction_of_now_is_cut_off() {
    assert_eq!(changed("now", json!(1_700_000_000.75))["verdict"], "accept");
}

#[test]
fn a_malformed_line_says_what_is_wrong() {
    for (field, value, expected) in [
        (
            "scheme",
            json!("hubspot-v9"),
            "unknown-scheme: unknown scheme \"hubspot-v9\"; the known ones are",
        ),
        (
            "scheme",
            json!(3),
            "malformed-line: field `scheme` must be a string",
        ),
        (
            "secret",
            json!(123),
            "malformed-line: field `secret` must be a string",
        ),
        (
            "extra_secrets",
            json!("x"),
            "malformed-line: field `extra_secrets` must be a list of strings",
        ),
        (
            "extra_secrets",
            json!([1]),
            "malformed-line: field `extra_secrets` must hold strings",
        ),
        (
            "options",
            json!([]),
            "malformed-line: field `options` must be an object",
        ),
        (
            "options",
            json!({"header": "X"}),
            "bad-options: scheme github takes no option `header`; it takes none",
        ),
        (
            "headers",
            json!({}),
            "malformed-line: field `headers` must be a list of [name, value] pairs",
        ),
        (
            "headers",
            json!([["a"]]),
            "malformed-line: field `headers` must be a list of [name, value] pairs",
        ),
        (
            "headers",
            json!([["a", 1]]),
            "malformed-line: field `headers` must be a list of [name, value] pairs",
        ),
        (
            "body",
            Value::Null,
            "malformed-line: field `body` must be a string",
        ),
        (
            "body_encoding",
            json!("hex"),
            "malformed-line: field `body_encoding` must be \"utf-8\" or \"base64\"",
        ),
        (
            "body_encoding",
            Value::Null,
            "malformed-line: field `body_encoding` must be",
        ),
        (
            "body_encoding",
            json!("base64"),
            "malformed-line: field `body` is not base64",
        ),
        (
            "now",
            json!("1700000000"),
            "malformed-line: field `now` must be Unix seconds as a number",
        ),
    ] {
        let answer = changed(field, value);
        assert!(reason(&answer).starts_with(expected), "{answer}");
        assert_eq!(answer["id"], "a1");
    }
}

#[test]
fn a_missing_field_is_named() {
    for field in [
        "scheme", "secret", "method", "url", "headers", "body", "now",
    ] {
        let mut line = github_line();
        line.as_object_mut().expect("an object").remove(field);
        assert_eq!(
            reason(&verify_line(&line.to_string())),
            format!("malformed-line: field `{field}` is missing")
        );
    }
}

#[test]
fn what_is_no_object_is_rejected_without_an_id() {
    for line in [
        "",
        "[]",
        "null",
        "{",
        "{\"id\":1",
        "\u{0}",
        "{\"id\":\"\\ud800\"}",
        &"[".repeat(10_000),
    ] {
        let answer = verify_line(line);
        assert!(reason(&answer).starts_with("malformed-line: "), "{answer}");
        assert_eq!(answer["id"], Value::Null);
    }
}

#[test]
fn no_answer_repeats_the_secret() {
    for value in [json!("hunter2"), json!({"hunter2": 1}), json!(["hunter2"])] {
        assert!(
            !changed("secret", value.clone())
                .to_string()
                .contains("hunter2")
        );
        assert!(
            !changed("extra_secrets", value)
                .to_string()
                .contains("hunter2")
        );
    }
}
