//! `webhook verify --jsonl` and `webhook sign`.

use serde_json::{Value as Json, json};

use crate::support::{finish, program};

/// A request that GitHub documents: the secret, the body and the signature are its own example
/// (<https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>).
fn github(id: &str, body: &str) -> Json {
    json!({
        "id": id,
        "scheme": "github",
        "secret": "It's a Secret to Everybody",
        "method": "POST",
        "url": "https://example.com/hooks/github",
        "headers": [["X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"]],
        "body": body,
        "body_encoding": "utf-8",
        "now": 1_700_000_000,
    })
}

#[tokio::test]
async fn one_verdict_a_line_is_printed_for_each_request() {
    let lines = [
        github("good", "Hello, World!").to_string(),
        github("forged", "Hello, World?").to_string(),
        "not JSON".to_owned(),
        String::new(),
        github("good-again", "Hello, World!").to_string(),
    ];
    let mut command = program();
    command.args(["webhook", "verify", "--jsonl"]);
    let answer = finish(command, &lines.join("\n")).await.expect(0);
    let verdicts: Vec<Json> = answer
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect();
    let told: Vec<(&Json, &Json)> = verdicts
        .iter()
        .map(|verdict| (&verdict["id"], &verdict["verdict"]))
        .collect();
    let expected = [
        (json!("good"), json!("accept")),
        (json!("forged"), json!("reject")),
        (Json::Null, json!("reject")),
        (json!("good-again"), json!("accept")),
    ];
    assert_eq!(
        told,
        expected
            .iter()
            .map(|(id, verdict)| (id, verdict))
            .collect::<Vec<_>>()
    );
    assert!(
        verdicts.iter().all(|verdict| verdict["reason"].is_string()),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn a_body_is_signed_with_a_secret_of_the_environment() {
    let mut command = program();
    command.args([
        "webhook",
        "sign",
        "--scheme",
        "github",
        "--secret-env",
        "HOOK",
        "--url",
        "https://example.com",
    ]);
    command
        .args(["--body", "Hello, World!"])
        .env("HOOK", "It's a Secret to Everybody");
    let answer = finish(command, "").await.expect(0);
    let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert!(
        answer
            .out
            .to_lowercase()
            .contains(&format!("x-hub-signature-256: {expected}")),
        "{answer:?}"
    );

    let mut command = program();
    command.args([
        "webhook",
        "sign",
        "--scheme",
        "github",
        "--secret-env",
        "NONE",
        "--url",
        "https://example.com",
    ]);
    let refused = finish(command, "").await.expect(3);
    assert!(
        refused
            .err
            .contains("the environment variable NONE is not set"),
        "{refused:?}"
    );
}
