//! What a configuration makes, and what is said of one that cannot work.

mod addresses;
mod mistakes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{Clock, FieldType, Side, Timestamp, Value};
use tandem_engine::{ConflictPolicy, Creates, DeletePolicy, Direction, Equality, Transform};
use tandem_runtime::config::{Built, Environment};
use tandem_runtime::{ConfigError, Configuration};
use tandem_store::{ConnectionRow, SyncRow};

struct Noon;
impl Clock for Noon {
    fn now(&self) -> Timestamp {
        noon()
    }
}

fn noon() -> Timestamp {
    Timestamp::from_secs(1_767_268_800)
}

fn environment(name: &str) -> Option<String> {
    ["CRM_TOKEN", "CRM_HOOK", "BOOKS_KEY"]
        .contains(&name)
        .then(|| format!("value of {name}"))
}

const CONNECTIONS: &str = "\
connections:
  crm:
    connector: tests/manifests/crm.yaml
    credentials: { token: { env: CRM_TOKEN } }
    webhook: { secrets: [ { env: CRM_HOOK } ], public_url: https://tandem.example/ }
  books:
    connector: tests/manifests/books.yaml
    base_url: http://127.0.0.1:9000
    credentials: { key: { env: BOOKS_KEY } }
    variables: { tenant: acme }
";

const SYNC: &str = "\
syncs:
  customers:
    a: { connection: crm, stream: companies }
    b: { connection: books, stream: contacts }
";

fn build_with(text: &str, environment: &Environment<'_>) -> Result<Built, ConfigError> {
    Configuration::parse(Path::new("tandem.yaml"), text)?.build(environment, Arc::new(Noon))
}

fn refusal(text: &str) -> String {
    match build_with(text, &environment) {
        Ok(_) => panic!("it was not refused:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The text of a whole and correct mapping.
const MAPPING: &str = "    match: [email, [name, phone]]
    fields:
      name: {}
      email: { equality: folded }
      phone: { conflict: prefer_b, transforms: [phone] }
      number: { a: phone, direction: a_to_b }
      credit_limit: { equality: { decimals: 2 }, direction: b_to_a }
";

#[test]
fn a_whole_configuration_builds() {
    let rest = "    create: b
    conflict: prefer_b
    prefer: b
    deletes: { b_gone: propagate, brake: { count: 3, percent: 5 } }
    filters: [ { side: a, field: active, any_of: [true] } ]
    quiet_secs: 2
    schedule: { poll_a: every 30 seconds, full: daily at 02:00, time_zone: Europe/Brussels }
";
    let text = format!("{CONNECTIONS}{SYNC}{MAPPING}{rest}");
    let built = build_with(&text, &environment).unwrap_or_else(|error| panic!("{error}"));
    let sync = &built.topology.syncs["customers"];
    let policy = &sync.policy;
    assert_eq!(policy.creates, Creates::B);
    assert_eq!(
        (policy.conflict, policy.prefer),
        (ConflictPolicy::PreferB, Side::B)
    );
    assert_eq!(policy.deletes.a_gone, DeletePolicy::Ignore);
    assert_eq!(policy.deletes.b_gone, DeletePolicy::Propagate);
    assert_eq!(policy.match_keys, [vec!["email"], vec!["name", "phone"]]);
    assert_eq!(policy.filters[0].any_of, [Value::Boolean(true)]);
    assert_eq!((sync.brake.count, sync.brake.percent), (3, 5));
    assert_eq!(sync.quiet, Duration::from_secs(2));
    assert_eq!(
        (sync.overlap, sync.concurrency),
        (Duration::from_secs(120), 32)
    );
    let rule = |name: &str| {
        policy
            .fields
            .iter()
            .find(|rule| rule.name == name)
            .expect(name)
    };
    assert_eq!(rule("email").equality, Equality::Folded);
    assert_eq!(rule("phone").transforms, [Transform::Phone]);
    assert_eq!(
        (rule("number").a.as_str(), rule("number").b.as_str()),
        ("phone", "number")
    );
    assert_eq!(rule("credit_limit").field_type, FieldType::Decimal);
    assert_eq!(rule("credit_limit").direction, Direction::BToA);
}

#[test]
fn a_webhook_is_set_up_with_its_secrets_and_address() {
    let built = build_with(CONNECTIONS, &environment).unwrap_or_else(|error| panic!("{error}"));
    let webhook = built.connections["crm"]
        .webhook
        .as_ref()
        .expect("it has one");
    assert_eq!(
        webhook.public_url.as_deref(),
        Some("https://tandem.example")
    );
    assert_eq!(
        (webhook.secrets.len(), webhook.body_bytes_max),
        (1, 1_048_576)
    );
    assert!(built.connections["books"].webhook.is_none());
    assert_eq!(built.topology.connectors.len(), 2);
}

#[test]
fn schedules_have_defaults_and_a_side_that_tells_no_changes_is_swept() {
    let text = format!("{CONNECTIONS}{SYNC}{MAPPING}");
    let built = build_with(&text, &environment).unwrap_or_else(|error| panic!("{error}"));
    let rows: Vec<(&str, &str, Option<Timestamp>)> = built
        .schedules
        .iter()
        .map(|row| (row.key.purpose.as_str(), row.spec.as_str(), row.next_at))
        .collect();
    let in_5_minutes = Some(noon().plus(Duration::from_secs(300)));
    assert_eq!(
        rows,
        [
            ("poll_a", "every 5 minutes", in_5_minutes),
            ("poll_b", "every 5 minutes", in_5_minutes),
            ("full", "every 4 hours", Some(noon())),
        ]
    );
    let swept: Vec<&str> = built
        .sweeping
        .iter()
        .map(|key| key.purpose.as_str())
        .collect();
    assert_eq!(swept, ["poll_b"]);
}

#[test]
fn a_side_that_cannot_be_written_is_only_read() {
    let text = format!(
        "{CONNECTIONS}{SYNC}    match: [name]\n    fields: {{ name: {{}}, email: {{}} }}\n"
    );
    let text = text.replace("stream: contacts", "stream: archive");
    let built = build_with(&text, &environment).unwrap_or_else(|error| panic!("{error}"));
    let policy = &built.topology.syncs["customers"].policy;
    assert_eq!(policy.creates, Creates::A);
    assert!(
        policy
            .fields
            .iter()
            .all(|rule| rule.direction == Direction::BToA)
    );
}

#[test]
fn what_the_store_keeps_builds_the_same_and_holds_no_secret() {
    let text = format!("{CONNECTIONS}{SYNC}{MAPPING}");
    let configuration = Configuration::parse(Path::new("tandem.yaml"), &text).expect("it is fine");
    let documents = configuration.documents();
    let shown = serde_json::to_string(&documents.connections).expect("JSON");
    assert!(
        shown.contains(r#"{"env":"CRM_TOKEN"}"#) && !shown.contains("value of"),
        "{shown}"
    );
    let connections: Vec<ConnectionRow> = documents
        .connections
        .iter()
        .map(|(name, document)| ConnectionRow {
            name: name.clone(),
            document: document.clone(),
            version: 1,
            pause: None,
            linked_to: None,
            deleted_at: None,
            reset_at: None,
        })
        .collect();
    let syncs: Vec<SyncRow> = documents
        .syncs
        .iter()
        .map(|(name, document)| SyncRow {
            name: name.clone(),
            document: document.clone(),
            version: 1,
            pause: None,
            deleted_at: None,
        })
        .collect();
    let loaded = Configuration::from_store(&connections, &syncs).expect("it reads back");
    assert_eq!(loaded.connections, configuration.connections);
    assert_eq!(loaded.syncs, configuration.syncs);
    assert_eq!(loaded.documents(), documents);
    assert!(loaded.build(&environment, Arc::new(Noon)).is_ok());
    let error = loaded
        .build(&|_| None, Arc::new(Noon))
        .err()
        .expect("nothing is set");
    assert!(
        error.to_string().starts_with(
            "connections.books.credentials.key: the environment variable BOOKS_KEY is not set"
        ),
        "{error}"
    );
}

#[test]
fn a_stored_document_of_another_version_is_named() {
    let row = SyncRow {
        name: "customers".parse().expect("a name"),
        document: serde_json::json!({ "from_the_future": true }),
        version: 1,
        pause: None,
        deleted_at: None,
    };
    let error = Configuration::from_store(&[], &[row]).expect_err("it cannot be read");
    assert_eq!(
        error.to_string().split(": ").next(),
        Some("syncs.customers"),
        "{error}"
    );
}

#[test]
fn limits_on_requests_can_be_a_connections_own_and_are_checked() {
    let with = |limits: &str| {
        let books = "    variables: { tenant: acme }\n";
        let connections = CONNECTIONS.replace(books, &format!("{books}    limits: {limits}\n"));
        format!("{connections}{SYNC}{MAPPING}")
    };
    let good = "{ rate_limit: { buckets: [ { name: minute, requests: 30, per_secs: 60 } ], daily: { requests: 9000 } } }";
    assert!(build_with(&with(good), &environment).is_ok());
    for (limits, expected) in [
        (
            "{ requests_per_second: -3 }",
            "tandem.yaml:11:36: connections.books.limits.requests_per_second: -3 is out of range: write 0 to 100000 requests a second; 0 is no limit",
        ),
        (
            "{ timeout_secs: 0, concurrency: 0 }",
            "tandem.yaml:11:29: connections.books.limits.timeout_secs: 0 is out of range: write 1 to 3600 seconds\n\
             tandem.yaml:11:45: connections.books.limits.concurrency: 0 is out of range: write 1 to 10000 requests",
        ),
    ] {
        assert_eq!(refusal(&with(limits)), expected);
    }
    let bad = "{ rate_limit: { buckets: [ { name: day, requests: 9000, per_secs: 86400 } ] } }";
    assert_eq!(
        refusal(&with(bad)),
        "tandem.yaml:11:15: connections.books.limits.rate_limit: bucket `day`: `per_secs` must be 1 to 3600; longer limits belong in `daily`"
    );
}
