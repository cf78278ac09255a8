//! Creating, changing, deleting: what is sent, and what comes of it.

use serde_json::json;
use tandem_connectors::{Connector, ConnectorError, Delete, Listing, RemoteRecord, Write};
use tandem_domain::{ErrorCode, Fields, RecordId, Value};

use crate::server::{LIST, Server, WRITES, deletion, fields, items, json, manifest};

fn write<'a>(fields: &'a Fields, current: Option<&'a RemoteRecord>) -> Write<'a> {
    Write {
        fields,
        transaction: "txn_1",
        expected_version: current.and_then(|record| record.version.as_deref()),
        current,
    }
}

async fn first_record(connector: &tandem_connectors::RestConnector) -> RemoteRecord {
    let mut page = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect("a page");
    page.records.remove(0)
}

#[tokio::test]
async fn a_create_carries_idempotency_key_and_reference_and_leaves_empty_fields_out() {
    let server = Server::start(|_, _| json(201, json!({"id": 7}))).await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    let mut wanted = fields(&[("name", "Ada")]);
    wanted.insert("price".to_owned(), Value::Null);
    let written = connector
        .create(&items(), &write(&wanted, None))
        .await
        .expect("created");
    assert_eq!(written.id, RecordId::new("7"));
    assert_eq!(written.record, None);
    let seen = &server.seen()[0];
    assert_eq!(seen.header("idempotency-key"), "txn_1");
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.body, json!({"name": "Ada", "reference": "txn_1"}));
    let capabilities = connector.stream(&items()).expect("the stream").capabilities;
    assert!(
        capabilities.idempotent_create
            && capabilities.expected_version
            && !capabilities.changed_since
    );
}

#[tokio::test]
async fn an_update_sends_only_its_fields_empties_with_null_and_names_the_version() {
    let server = Server::start(|seen, _| match seen.method.as_str() {
        "GET" => json(
            200,
            json!({"data": [{"id": 7, "name": "Ada", "version": "v9"}]}),
        ),
        _ => json(200, json!({})),
    })
    .await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    let current = first_record(&connector).await;
    let wanted: Fields = [("price".to_owned(), Value::Null)].into();
    connector
        .update(&items(), &current.id, &write(&wanted, Some(&current)))
        .await
        .expect("changed");
    let seen = server.seen().pop().expect("a request");
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("PATCH", "/items/7")
    );
    assert_eq!(seen.header("if-match"), "v9");
    assert_eq!(seen.body, json!({"price": null}));
}

#[tokio::test]
async fn deleting_what_is_gone_is_a_success_and_changing_it_is_not() {
    let server = Server::start(|_, _| json(404, json!({"message": "no such item"}))).await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    let id = RecordId::new("7");
    connector
        .delete(&items(), &id, &deletion("txn_1"))
        .await
        .expect("it is gone");
    let wanted = fields(&[("name", "Ada")]);
    let error = connector
        .update(&items(), &id, &write(&wanted, None))
        .await
        .expect_err("it is gone");
    assert!(matches!(error, ConnectorError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_deletion_names_the_version_it_expects_and_another_one_is_a_conflict() {
    let server = Server::start(|seen, _| match seen.header("if-match") {
        "v9" => json(200, json!({})),
        _ => json(412, json!({"message": "it has changed"})),
    })
    .await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    let capabilities = connector.stream(&items()).expect("the stream").capabilities;
    assert!(capabilities.guarded_delete);
    let id = RecordId::new("7");
    let expecting = |version| Delete {
        expected_version: Some(version),
        ..deletion("txn_1")
    };
    connector
        .delete(&items(), &id, &expecting("v9"))
        .await
        .expect("deleted");
    let error = connector
        .delete(&items(), &id, &expecting("v8"))
        .await
        .expect_err("it is at v9");
    assert!(
        matches!(error, ConnectorError::VersionConflict { .. }),
        "{error}"
    );
    assert_eq!(error.code(), ErrorCode::VersionConflict);
}

#[tokio::test]
async fn a_field_that_is_not_in_the_manifest_is_never_sent() {
    let server = Server::start(|_, _| json(201, json!({"id": 7}))).await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    let error = connector
        .create(&items(), &write(&fields(&[("nmae", "Ada")]), None))
        .await
        .expect_err("a mistake");
    assert!(error.to_string().contains("no field `nmae`"), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_holds_the_record_spares_reading_it_back() {
    let server = Server::start(|_, _| {
        json(
            201,
            json!({"items": [{"id": 7, "name": "Ada", "version": 2}]}),
        )
    })
    .await;
    let writes = "create:
  request: { method: POST, path: /items, body: { items: [=record] } }
  id: /items/0/id
  record: /items/0";
    let connector = server.connector(&manifest("", LIST, writes));
    let written = connector
        .create(&items(), &write(&fields(&[("name", "Ada")]), None))
        .await
        .expect("created");
    assert_eq!(
        written.record.expect("the record").version.as_deref(),
        Some("2")
    );
}

const STEPS: &str = "update:
  let:
    old: =current.name
  before:
    - when: \"='name' in fields\"
      request: { method: GET, path: /names, query: { q: =fields.name } }
      keep: { name_id: /found/0 }
      refuse: there is no name {{ fields.name }}
  request:
    method: PATCH
    path: /items/{{ id }}
    body: { name_id: =kept.name_id, was: =let.old }";

#[tokio::test]
async fn a_step_before_a_write_looks_up_what_it_needs_or_refuses_it() {
    let server = Server::start(|seen, _| {
        match (seen.path.as_str(), seen.query.get("q").map(String::as_str)) {
            ("/items", _) => json(200, json!({"data": [{"id": 7, "name": "Old"}]})),
            ("/names", Some("Ada")) => json(200, json!({"found": [42]})),
            ("/names", _) => json(200, json!({"found": []})),
            _ => json(200, json!({})),
        }
    })
    .await;
    let connector = server.connector(&manifest("", LIST, STEPS));
    let current = first_record(&connector).await;
    connector
        .update(
            &items(),
            &current.id,
            &write(&fields(&[("name", "Ada")]), Some(&current)),
        )
        .await
        .expect("changed");
    assert_eq!(
        server.seen().pop().expect("a request").body,
        json!({"name_id": 42, "was": "Old"})
    );
    let error = connector
        .update(
            &items(),
            &current.id,
            &write(&fields(&[("name", "Eve")]), Some(&current)),
        )
        .await;
    let error = error.expect_err("there is no such name");
    assert!(
        matches!(&error, ConnectorError::Refused { message, .. } if message == "there is no name Eve"),
        "{error}"
    );
}

#[tokio::test]
async fn a_text_kept_in_two_parts_is_read_as_one_and_written_as_two() {
    let row = json!({"id": 7, "first": "Jean Paul ", "last": "Sartre", "version": "v1"});
    let server = Server::start(move |seen, _| match seen.method.as_str() {
        "GET" => json(200, json!({"data": [row]})),
        "POST" => json(201, json!({"id": 8})),
        _ => json(200, json!({})),
    })
    .await;
    let two_parts = manifest("", LIST, WRITES).replace("path: /name", "path: /first, rest: /last");
    let connector = server.connector(&two_parts);
    let current = first_record(&connector).await;
    assert_eq!(
        current.fields["name"],
        Value::Text("Jean Paul Sartre".to_owned())
    );
    let wanted = fields(&[("name", "Jean Paul van der Berg")]);
    connector
        .update(&items(), &current.id, &write(&wanted, Some(&current)))
        .await
        .expect("changed");
    connector
        .create(&items(), &write(&wanted, None))
        .await
        .expect("created");
    let seen = server.seen();
    assert_eq!(
        seen[1].body,
        json!({"first": "Jean Paul", "last": "van der Berg"})
    );
    assert_eq!(
        seen[2].body,
        json!({"first": "Jean", "last": "Paul van der Berg", "reference": "txn_1"})
    );
}

const KIND: &str = "update:
  request: { method: PATCH, path: '/items/{{ id }}', body: =record }";

#[tokio::test]
async fn a_value_without_a_word_in_the_system_is_refused_for_its_field_and_nothing_is_sent() {
    let server = Server::start(|_, _| json(200, json!({}))).await;
    let text = manifest("", LIST, KIND).replace(
        "price: { path: /price, type: decimal }",
        "kind: { path: /kind, values: { LEAD: lead } }",
    );
    let connector = server.connector(&text);
    let wanted = fields(&[("kind", "client"), ("name", "Ada")]);
    let error = connector
        .update(&items(), &RecordId::new("7"), &write(&wanted, None))
        .await
        .expect_err("there is no word for it");
    assert!(
        matches!(&error, ConnectorError::Refused { field: Some(field), message, .. }
            if field == "kind" && message.contains("`client`") && message.contains("`lead`")),
        "{error}"
    );
    assert!(server.seen().is_empty());
}
