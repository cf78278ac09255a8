//! The record is the unit of failure: what cannot be read in one of them concerns neither the others nor those
//! who do not use it.

use std::sync::Arc;

use serde_json::json;
use tandem_connectors::{
    Connector, ConnectorError, Listing, Lookup, NeededFields, ReadOutcome, RemoteRecord,
    RestConnector, Write,
};
use tandem_domain::{ErrorCode, Fields, RecordId, Value};

use crate::server::{LIST, Server, WRITES, fields, items, json, manifest, verbatim};

/// Three records; the second one's name is `name`, as it stands in JSON, and so is its note, which nobody maps.
fn page(name: &str, note: &str) -> Vec<u8> {
    format!(
        r#"{{"data":[{{"id":"1","name":"Ada"}},{{"id":"2","name":{name},"note":{note}}},{{"id":"3","name":"Eve"}}]}}"#
    )
    .into_bytes()
}

/// The connector as a sync uses it that maps these fields.
fn needing(connector: RestConnector, fields: &[&str]) -> NeededFields {
    let fields = fields.iter().map(|name| (*name).to_owned()).collect();
    NeededFields::new(Arc::new(connector), "acme", fields)
}

async fn listed(body: Vec<u8>) -> (Vec<String>, Vec<(Option<String>, String)>) {
    let server = Server::start(move |_, _| verbatim(200, &body)).await;
    let connector = needing(server.connector(&manifest("", LIST, "")), &["name"]);
    let page = connector.list(&items(), &Listing::All, None).await;
    let page = page.unwrap_or_else(|error| panic!("{error}"));
    let ids = page.records.iter().map(|one| one.id.to_string()).collect();
    let rows = page.unreadable.into_iter();
    let rows = rows.map(|row| (row.id.map(|id| id.to_string()), row.reason));
    (ids, rows.collect())
}

#[tokio::test]
async fn a_bad_value_in_a_field_that_is_used_sets_one_record_aside_and_the_page_goes_on() {
    for bad in [
        r#""Ghent \ud83d""#,
        r#""\udc00""#,
        r#""\x""#,
        "NaN",
        "1e999",
    ] {
        let (ids, rows) = listed(page(bad, "null")).await;
        assert_eq!(ids, ["1", "3"], "{bad}");
        assert_eq!(rows[0].0.as_deref(), Some("2"), "{bad}");
        let reason = &rows[0].1;
        assert!(
            reason.contains("record 2") && reason.contains("`name`"),
            "{reason}"
        );
    }
    let foreign = page("\"caf?\"", "null");
    let foreign = foreign
        .into_iter()
        .map(|byte| if byte == b'?' { 0xe9 } else { byte });
    assert_eq!(listed(foreign.collect()).await.0, ["1", "3"]);
}

#[tokio::test]
async fn a_bad_value_in_a_field_that_nobody_uses_does_not_matter() {
    let deep = "[".repeat(500) + &"]".repeat(500);
    for bad in [r#""\ud83d""#, r#"{"deep":"\udfff"}"#, "Infinity", &deep] {
        let (ids, rows) = listed(page("\"Bob\"", bad)).await;
        assert_eq!((ids.len(), rows.len()), (3, 0), "{bad}");
    }
    // Named in the manifest, but not mapped by the sync.
    let body = br#"{"data":[{"id":"1","name":"Ada","price":"dear \ud83d"}]}"#;
    assert_eq!(listed(body.to_vec()).await.0, ["1"]);
}

#[tokio::test]
async fn a_word_that_the_manifest_does_not_know_sets_its_record_aside_and_says_which_word_of_which_field()
 {
    let worded = |list: &str| {
        let text = manifest("", list, "");
        text.replace(
            "name: { path: /name }",
            "name: { path: /name, values: { A: active, B: blocked } }",
        )
    };
    let body = page(r#""C""#, "null");
    let body = String::from_utf8(body)
        .expect("a text")
        .replace("Ada", "A")
        .replace("Eve", "B");
    let server = Server::start(move |_, _| verbatim(200, body.as_bytes())).await;
    let connector = server.connector(&worded(LIST));
    let listed = needing(connector, &["name"])
        .list(&items(), &Listing::All, None)
        .await;
    let page = listed.expect("the others go on");
    let known: Vec<_> = page
        .records
        .iter()
        .map(|one| one.fields["name"].clone())
        .collect();
    assert_eq!(
        known,
        ["active", "blocked"].map(|word| Value::Text(word.to_owned()))
    );
    assert_eq!(page.unreadable.len(), 1);
    let row = &page.unreadable[0];
    assert_eq!(row.id, Some(RecordId::new("2")));
    assert!(
        row.reason.contains("`name`") && row.reason.contains("\"C\" is none of"),
        "{}",
        row.reason
    );
    // Whoever does not map the field has all three.
    let unmapped = needing(server.connector(&worded(LIST)), &["price"]);
    let page = unmapped
        .list(&items(), &Listing::All, None)
        .await
        .expect("a page");
    assert_eq!((page.records.len(), page.unreadable.len()), (3, 0));
}

#[tokio::test]
async fn a_nul_is_left_out_of_a_text() {
    let server = Server::start(|_, _| verbatim(200, &page(r#""Gh\u0000ent""#, "null"))).await;
    let connector = server.connector(&manifest("", LIST, ""));
    let page = connector.list(&items(), &Listing::All, None).await;
    let page = page.expect("a page");
    assert_eq!(
        page.records[1].fields["name"],
        Value::Text("Ghent".to_owned())
    );
}

#[tokio::test]
async fn a_record_whose_id_cannot_be_read_is_a_row_of_its_own() {
    let body = br#"{"data":[{"id":"1","name":"Ada"},{"id":"2\ud83d","name":"Bob"}]}"#;
    let (ids, rows) = listed(body.to_vec()).await;
    assert_eq!(ids, ["1"]);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].0, None);
}

#[tokio::test]
async fn a_single_record_that_cannot_be_read_is_its_own_failure_and_not_the_systems() {
    let server = Server::start(|_, _| verbatim(200, br#"{"id":"7","name":"Ghent \ud83d"}"#)).await;
    let rest = server.connector(&manifest("", LIST, ""));
    let connector = needing(rest, &["name"]);
    let outcomes = connector.read(&items(), &[RecordId::new("7")]).await;
    let outcomes = outcomes.expect("it answers");
    assert!(
        matches!(&outcomes[0], ReadOutcome::Unreadable(reason) if reason.contains("`name`")),
        "{outcomes:?}"
    );
    let unmapped = needing(server.connector(&manifest("", LIST, "")), &["price"]);
    let outcomes = unmapped.read(&items(), &[RecordId::new("7")]).await;
    assert!(matches!(
        &outcomes.expect("it answers")[0],
        ReadOutcome::Found(_)
    ));
}

#[tokio::test]
async fn a_search_that_finds_an_unreadable_record_does_not_say_that_there_is_none() {
    let find = "find: [{ by: [name], request: { method: GET, path: /find }, records: /data }]";
    let server = Server::start(|_, _| verbatim(200, &page(r#""\ud83d""#, "null"))).await;
    let connector = needing(server.connector(&manifest("", LIST, find)), &["name"]);
    let value = Value::Text("Bob".to_owned());
    let lookup = Lookup::Field {
        name: "name",
        value: &value,
    };
    let error = connector
        .find(&items(), &lookup)
        .await
        .expect_err("it may be the one");
    assert_eq!(error.code(), ErrorCode::Unreadable);
    assert!(
        matches!(&error, ConnectorError::Unreadable { record, .. } if record.as_str() == "2"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_proxy_cut_off_is_still_no_page() {
    let whole = page("\"Bob\"", "null");
    let cut = whole[..whole.len() - 5].to_vec();
    let server = Server::start(move |_, _| verbatim(200, &cut)).await;
    let connector = server.connector(&manifest("", LIST, ""));
    let error = connector.list(&items(), &Listing::All, None).await;
    let error = error.expect_err("it is not whole");
    assert!(matches!(error, ConnectorError::Malformed { .. }), "{error}");
}

async fn checked(body: String) -> Result<usize, String> {
    let server = Server::start(move |_, _| verbatim(200, body.as_bytes())).await;
    let connector = server.connector(&manifest("", LIST, ""));
    let report = connector
        .check()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    report.streams[&items()].clone()
}

#[tokio::test]
async fn a_check_names_a_listing_that_is_no_list_and_one_without_a_row_that_can_be_read() {
    let long = format!(r#"[{{"id":"{}"}}]"#, "x".repeat(300));
    let cases = [
        (
            r#""x""#,
            "at `/data` there is a text, not a list of records",
        ),
        ("5", "at `/data` there is the number 5, not a list"),
        ("false", "at `/data` there is `false`, not a list"),
        (
            r#"{"a":1}"#,
            "at `/data` there is an object, not a list of records, and it has no id at `/id`",
        ),
        (
            r#"[{"a":1},7]"#,
            "none of the 2 rows of the first page can be read; the first: it has no id at `/id`",
        ),
        (
            &long,
            "no usable id: what stands at `/id` is too long: it has 300 bytes",
        ),
        (
            r#"[{"id":99999999999999999999}]"#,
            "no usable id: what stands at `/id` is a number that is not whole or beyond 64 bits",
        ),
    ];
    for (data, told) in cases {
        let refused = checked(format!(r#"{{"data":{data}}}"#)).await;
        let refused = refused.expect_err(data);
        assert!(refused.contains(told), "{data}: {refused}");
    }
    assert_eq!(checked(r#"{"data":[{"id":1},{}]}"#.to_owned()).await, Ok(1));
    assert_eq!(checked(r#"{"data":[]}"#.to_owned()).await, Ok(0));
}

#[tokio::test]
async fn what_a_search_shows_only_in_part_is_read_by_its_id() {
    let find = "find: [{ by: [name], request: { method: GET, path: /find }, records: /data }]";
    let server = Server::start(|seen, _| {
        if seen.path.starts_with("/find") {
            json(200, json!({"data": [{"id": "7", "name": "Bob"}]}))
        } else {
            json(200, json!({"id": "7", "name": "Bob", "price": 5}))
        }
    })
    .await;
    let value = Value::Text("Bob".to_owned());
    let lookup = Lookup::Field {
        name: "name",
        value: &value,
    };
    for (needed, requests, price) in [(&["name", "price"][..], 2, "5"), (&["name"][..], 1, "")] {
        let before = server.seen().len();
        let connector = needing(server.connector(&manifest("", LIST, find)), needed);
        let found = connector.find(&items(), &lookup).await;
        let found = found.expect("it answers").expect("it can be searched");
        assert_eq!(found[0].fields["price"].to_string(), price, "{needed:?}");
        assert_eq!(server.seen().len() - before, requests, "{needed:?}");
    }
}

#[tokio::test]
async fn an_answer_that_leaves_out_what_was_written_counts_as_one_without_the_record() {
    let more = WRITES.replace("update:\n", "update:\n  record: ''\n");
    let server = Server::start(|_, _| json(200, json!({"id": "7", "name": "Bob"}))).await;
    let connector = needing(
        server.connector(&manifest("", LIST, &more)),
        &["name", "price"],
    );
    let before = RemoteRecord {
        fields: fields(&[("name", "Rob"), ("price", "5")]),
        ..whole(&connector).await
    };
    let emptied = RemoteRecord {
        fields: fields(&[("name", "Rob")]),
        ..before.clone()
    };
    let priced = Fields::from([("price".to_owned(), Value::Null)]);
    for (current, written, is_whole) in [
        (&before, fields(&[("name", "Bob")]), false),
        (&before, priced, true),
        (&emptied, fields(&[("name", "Bob")]), true),
    ] {
        let write = Write {
            fields: &written,
            transaction: "txn",
            expected_version: None,
            current: Some(current),
        };
        let answer = connector
            .update(&items(), &RecordId::new("7"), &write)
            .await;
        assert_eq!(
            answer.expect("taken").record.is_some(),
            is_whole,
            "{written:?}"
        );
    }
}

async fn whole(connector: &NeededFields) -> RemoteRecord {
    let outcomes = connector.read(&items(), &[RecordId::new("7")]).await;
    match outcomes.expect("it answers").remove(0) {
        ReadOutcome::Found(record) => *record,
        other => panic!("{other:?}"),
    }
}

/// Every id that a system may give: some cannot be put into an address, and some only when they are written otherwise.
#[tokio::test]
async fn an_id_that_no_address_can_hold_is_the_failure_of_its_record_alone() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/items" => verbatim(
            200,
            br#"{"data":[{"id":"1"},{"id":""},{"id":"."},{"id":".."},{"id":"a/b?c"},{"id":"../x"}]}"#,
        ),
        "/items/a%2Fb%3Fc" => verbatim(200, br#"{"id":"a/b?c","name":"Bob"}"#),
        "/items/..%2Fx" => verbatim(200, br#"{"id":"../x","name":"Eve"}"#),
        _ => verbatim(200, br#"{"id":"1","name":"Ada"}"#),
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let page = connector.list(&items(), &Listing::All, None).await;
    let page = page.unwrap_or_else(|error| panic!("{error}"));
    let ids: Vec<&str> = page.records.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["1", "a/b?c", "../x"]);
    assert_eq!(page.unreadable.len(), 3);
    assert!(
        page.unreadable[2].reason.contains("`..` in an address"),
        "{:?}",
        page.unreadable
    );

    let asked = ["..", "1", ".", "a/b?c", "../x"].map(RecordId::new);
    let outcomes = connector.read(&items(), &asked).await;
    let told: Vec<String> = outcomes
        .unwrap_or_else(|error| panic!("{error}"))
        .into_iter()
        .map(|outcome| match outcome {
            ReadOutcome::Found(record) => record.id.to_string(),
            ReadOutcome::Missing => "missing".to_owned(),
            ReadOutcome::Unreadable(_) => "unreadable".to_owned(),
        })
        .collect();
    assert_eq!(told, ["unreadable", "1", "unreadable", "a/b?c", "../x"]);
}

/// Three records with the limits of `limits`; the second one's name has seven bytes.
async fn listed_within(limits: &str) -> (Vec<String>, Vec<(Option<String>, String)>) {
    let body = page("\"Zürich\"", "\"a note that nobody maps\"");
    let server = Server::start(move |_, _| verbatim(200, &body)).await;
    let top = format!("limits: {{ {limits} }}");
    let connector = needing(server.connector(&manifest(&top, LIST, "")), &["name"]);
    let page = connector.list(&items(), &Listing::All, None).await;
    let page = page.unwrap_or_else(|error| panic!("{error}"));
    let ids = page.records.iter().map(|one| one.id.to_string()).collect();
    let rows = page.unreadable.into_iter();
    let rows = rows.map(|row| (row.id.map(|id| id.to_string()), row.reason));
    (ids, rows.collect())
}

#[tokio::test]
async fn a_value_longer_than_its_limit_sets_its_record_aside_and_is_neither_cut_nor_empty() {
    for limits in ["value_bytes_max: 7", "record_bytes_max: 7"] {
        let (ids, rows) = listed_within(limits).await;
        assert_eq!((ids.len(), rows.len()), (3, 0), "{limits}: {rows:?}");
    }
    for (limits, told) in [
        (
            "value_bytes_max: 6",
            "record 2: field `name` at `/name`: it has 7 bytes, more than the 6 of `limits.value_bytes_max`",
        ),
        (
            "record_bytes_max: 6",
            "record 2: its mapped fields together have 7 bytes, more than the 6 of `limits.record_bytes_max`",
        ),
    ] {
        let (ids, rows) = listed_within(limits).await;
        assert_eq!(ids, ["1", "3"], "{limits}");
        assert_eq!(rows.len(), 1, "{limits}");
        assert_eq!(rows[0].0.as_deref(), Some("2"), "{limits}");
        assert!(rows[0].1.starts_with(told), "{}", rows[0].1);
        assert!(rows[0].1.contains("left as they are"), "{}", rows[0].1);
    }
}

#[tokio::test]
async fn a_record_that_is_read_by_its_id_and_is_too_long_is_unreadable() {
    let long = format!(r#"{{"id":"7","name":"{}"}}"#, "x".repeat(1024 * 1024 + 1));
    let server = Server::start(move |_, _| verbatim(200, long.as_bytes())).await;
    let connector = needing(server.connector(&manifest("", LIST, "")), &["name"]);
    let outcomes = connector.read(&items(), &[RecordId::new("7")]).await;
    let outcomes = outcomes.expect("it answers");
    assert!(
        matches!(&outcomes[0], ReadOutcome::Unreadable(reason) if reason.contains("1,048,577 bytes")),
        "{:?}",
        outcomes.len()
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_long_value_is_told_without_quoting_all_of_it() {
    let server = Server::start(|_, _| {
        let price = "x".repeat(100_000);
        json(
            200,
            json!({"data": [{"id": "1", "name": "Ada", "price": price}]}),
        )
    })
    .await;
    let connector = needing(server.connector(&manifest("", LIST, "")), &["price"]);
    let page = connector.list(&items(), &Listing::All, None).await;
    let reason = &page.expect("a page").unreadable[0].reason;
    assert!(reason.len() < 500, "{} bytes", reason.len());
    assert!(reason.contains("`price`"), "{reason}");
}
