//! Listing, reading and searching turn answers into records, and doubt into errors.

use serde_json::json;
use tandem_connectors::{ClockState, Connector, ConnectorError, Listing, Lookup, ReadOutcome};
use tandem_domain::{FieldType, RecordId, Value};

use crate::server::{LIST, Server, html, items, json, manifest, with_header};

const BATCH: &str = "list: { request: { method: GET, path: /items }, records: /data }
read:
  max: 3
  request: { method: POST, path: /batch, body: { ids: =ids } }
  records: /data
  complete: =not body.errors";

fn found(outcomes: Vec<ReadOutcome>) -> Vec<Option<String>> {
    let id = |outcome| match outcome {
        ReadOutcome::Found(record) => Some(record.id.to_string()),
        ReadOutcome::Missing => None,
        ReadOutcome::Unreadable(reason) => panic!("{reason}"),
    };
    outcomes.into_iter().map(id).collect()
}

fn record_ids(ids: &[&str]) -> Vec<RecordId> {
    ids.iter().map(|id| RecordId::new(*id)).collect()
}

#[tokio::test]
async fn a_row_becomes_a_record_and_a_bad_row_does_not_stop_the_listing() {
    let server = Server::start(|_, _| {
        let good = json!({"id": 9_007_199_254_740_993_i64, "name": "", "price": "12.50", "version": 3,
                          "updated": "2026-01-01T00:00:00.5", "created": "2025-12-31T00:00:00Z", "reference": "txn_1"});
        json(200, json!({"data": [good, {"id": 2, "price": "dear"}, {"name": "nameless"}]}))
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let page = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect("a page");
    let record = &page.records[0];
    assert_eq!(record.id, RecordId::new("9007199254740993"));
    assert_eq!(record.fields["name"], Value::Null);
    assert_eq!(
        record.fields["price"],
        Value::parse(FieldType::Decimal, "12.5").expect("a decimal")
    );
    assert_eq!(record.version.as_deref(), Some("3"));
    assert_eq!(record.updated_at, "2026-01-01T00:00:00.5Z".parse().ok());
    assert_eq!(record.created_at, "2025-12-31T00:00:00Z".parse().ok());
    assert_eq!(record.reference.as_deref(), Some("txn_1"));
    assert_eq!(page.unreadable.len(), 1);
    assert!(page.unreadable[0].reason.contains("no id at `/id`"));
    let dear = &page.records[1];
    assert!(dear.unreadable["price"].contains("field `price` at `/price`"));
    assert!(!dear.fields.contains_key("price"));
}

#[tokio::test]
async fn a_local_time_is_that_of_the_zone_that_the_manifest_names_and_one_with_a_zone_keeps_it() {
    let server = Server::start(|_, _| {
        let rows = [
            "2026-11-27 10:00:00",
            "2026-07-01T10:00:00",
            "2026-07-01T10:00:00Z",
        ];
        let rows = rows.iter().enumerate();
        let rows: Vec<_> = rows
            .map(|(id, at)| json!({"id": id, "updated": at}))
            .collect();
        json(200, json!({"data": rows}))
    })
    .await;
    let here = "updated_at: { path: /updated";
    let zoned = format!("{here}, time_zone: Europe/Vienna");
    let connector = server.connector(&manifest("", LIST, "").replace(here, &zoned));
    let page = connector.list(&items(), &Listing::All, None).await;
    let page = page.expect("a page");
    let times = page.records.iter().map(|record| record.updated_at);
    let times: Vec<String> = times.map(|at| at.expect("a time").to_string()).collect();
    assert_eq!(
        times,
        [
            "2026-11-27T09:00:00Z",
            "2026-07-01T08:00:00Z",
            "2026-07-01T10:00:00Z"
        ]
    );
}

#[tokio::test]
async fn a_local_time_that_comes_twice_may_be_either_and_changes_are_asked_for_from_its_first_hour()
{
    let server = Server::start(|_, _| {
        let times = ["2026-10-25 02:00:07", "2026-10-25 02:00:07+01:00"];
        let rows = times.iter().enumerate();
        let rows: Vec<_> = rows
            .map(|(id, at)| json!({"id": id, "updated": at}))
            .collect();
        json(200, json!({"data": rows}))
    })
    .await;
    let here = "updated_at: { path: /updated";
    let zoned = format!("{here}, time_zone: Europe/Vienna");
    let since = r#"{{ since|time("%Y-%m-%d %H:%M:%S", "Europe/Vienna") }}"#;
    let more = format!(
        "changed_since: {{ request: {{ method: GET, path: /items, query: {{ since: '{since}' }} }}, records: /data }}"
    );
    let connector = server.connector(&manifest("", LIST, &more).replace(here, &zoned));
    let listing = Listing::Since("2026-10-25T00:59:38Z".parse().expect("an instant"));
    let page = connector.list(&items(), &listing, None).await;
    let records = page.expect("a page").records;
    let again = records.iter().map(|record| record.updated_again);
    let again: Vec<_> = again.map(|at| at.map(|at| at.to_string())).collect();
    assert_eq!(again, [Some("2026-10-25T01:00:07Z".to_owned()), None]);
    assert_eq!(records[0].updated_at, "2026-10-25T00:00:07Z".parse().ok());
    assert_eq!(server.seen()[0].query["since"], "2026-10-25 02:00:00");
}

#[tokio::test]
async fn a_page_without_its_array_is_an_error_not_an_empty_page() {
    let server = Server::start(|_, number| {
        json(
            200,
            if number == 0 {
                json!({"rows": []})
            } else {
                json!({"data": []})
            },
        )
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let error = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect_err("there is no `data`");
    assert!(matches!(error, ConnectorError::Malformed { .. }), "{error}");
    let page = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect("an empty page");
    assert!(page.records.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn a_batch_answers_in_the_order_asked_and_absence_is_missing() {
    let server = Server::start(|seen, _| {
        let ids = seen.body["ids"].as_array().expect("a list").clone();
        // Backwards, and without `b`.
        let rows: Vec<_> = ids
            .into_iter()
            .rev()
            .filter(|id| id != "b")
            .map(|id| json!({"id": id}))
            .collect();
        json(200, json!({"data": rows}))
    })
    .await;
    let connector = server.connector(&manifest("", BATCH, ""));
    let outcomes = connector
        .read(&items(), &record_ids(&["a", "b", "c", "d", "a"]))
        .await
        .expect("answers");
    let a = Some("a".to_owned());
    assert_eq!(
        found(outcomes),
        [
            a.clone(),
            None,
            Some("c".to_owned()),
            Some("d".to_owned()),
            a
        ]
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn one_record_of_a_batch_that_cannot_be_read_does_not_hide_the_others() {
    let server = Server::start(|_, _| {
        let bad = json!({"id": "b", "updated": "lately"});
        json(200, json!({"data": [{"id": "a"}, bad]}))
    })
    .await;
    let connector = server.connector(&manifest("", BATCH, ""));
    let outcomes = connector
        .read(&items(), &record_ids(&["a", "b", "c"]))
        .await
        .expect("answers");
    assert!(matches!(&outcomes[0], ReadOutcome::Found(record) if record.id.as_str() == "a"));
    assert!(matches!(&outcomes[1], ReadOutcome::Unreadable(reason) if reason.contains("lately")));
    assert_eq!(outcomes[2], ReadOutcome::Missing);
}

#[tokio::test]
async fn a_row_without_an_id_may_be_any_of_those_that_are_absent() {
    let server =
        Server::start(|_, _| json(200, json!({"data": [{"id": "a"}, {"name": "who?"}]}))).await;
    let connector = server.connector(&manifest("", BATCH, ""));
    let outcomes = connector
        .read(&items(), &record_ids(&["a", "b"]))
        .await
        .expect("answers");
    assert!(matches!(&outcomes[0], ReadOutcome::Found(_)));
    assert!(matches!(&outcomes[1], ReadOutcome::Unreadable(reason) if reason.contains("no id")));
}

#[tokio::test]
async fn an_incomplete_batch_proves_nothing_about_absent_ids() {
    let server =
        Server::start(|_, _| json(207, json!({"data": [{"id": "a"}], "errors": ["timeout"]})))
            .await;
    let connector = server.connector(&manifest("", BATCH, ""));
    let error = connector
        .read(&items(), &record_ids(&["a", "b"]))
        .await
        .expect_err("`b` may be there");
    assert!(matches!(error, ConnectorError::Malformed { .. }), "{error}");
    assert!(connector.read(&items(), &record_ids(&["a"])).await.is_ok());
}

#[tokio::test]
async fn only_the_systems_own_not_found_is_missing() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/items/gone" => json(404, json!({"code": "gone"})),
        "/items/proxy" => html(404),
        path => json(200, json!({"id": path.rsplit('/').next()})),
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    assert_eq!(
        found(
            connector
                .read(&items(), &record_ids(&["x", "gone"]))
                .await
                .expect("answers")
        ),
        [Some("x".to_owned()), None]
    );
    let error = connector
        .read(&items(), &record_ids(&["proxy"]))
        .await
        .expect_err("not certain");
    assert!(matches!(error, ConnectorError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path() {
    let server =
        Server::start(|seen, _| json(200, json!({"id": "a/b ?#%", "path": seen.path}))).await;
    let connector = server.connector(&manifest("", LIST, ""));
    connector
        .read(&items(), &record_ids(&["a/b ?#%"]))
        .await
        .expect("an answer");
    assert_eq!(server.seen()[0].path, "/items/a%2Fb%20%3F%23%25");
    for id in ["", "..", "."] {
        let outcomes = connector.read(&items(), &record_ids(&[id])).await;
        let outcomes = outcomes.expect("nothing is wrong with the system");
        assert!(
            matches!(&outcomes[..], [ReadOutcome::Unreadable(_)]),
            "{id}"
        );
    }
    assert_eq!(server.seen().len(), 1);
}

const FIND: &str = "find:
  - by: [reference]
    request: { method: GET, path: /items, query: { ref: =value } }
    records: /data
  - by: [name]
    request: { method: GET, path: /items, query: { q: =value } }
    records: /data
    fuzzy: true";

#[tokio::test]
async fn a_search_result_must_really_match() {
    let server = Server::start(|_, _| {
        let rows = json!([{"id": 1, "name": "ADA ", "reference": "txn_1"}, {"id": 2, "name": "Adalbert", "reference": "txn_11"}]);
        json(200, json!({"data": rows}))
    })
    .await;
    let connector = server.connector(&manifest("", LIST, FIND));
    let by_reference = connector
        .find(&items(), &Lookup::Reference("txn_1"))
        .await
        .expect("an answer");
    assert_eq!(by_reference.expect("it can be searched").len(), 1);
    let ada = Value::Text("ada".to_owned());
    let by_name = connector
        .find(
            &items(),
            &Lookup::Field {
                name: "name",
                value: &ada,
            },
        )
        .await
        .expect("an answer");
    assert_eq!(by_name.expect("it can be searched").len(), 1);
    let by_price = connector
        .find(
            &items(),
            &Lookup::Field {
                name: "price",
                value: &ada,
            },
        )
        .await
        .expect("an answer");
    assert_eq!(by_price, None);
}

#[tokio::test]
async fn a_check_reports_each_stream_latency_and_clock() {
    let server = Server::start(|_, _| {
        with_header(
            json(200, json!({"data": [{"id": 1}]})),
            "date",
            "Fri, 15 Jan 2027 08:01:30 GMT",
        )
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let report = connector.check().await.expect("it can be reached");
    assert_eq!(report.streams[&items()], Ok(1));
    // Our clock stands at 08:00:00; `Date` has whole seconds.
    assert_eq!(report.clock_offset_ms, Some(90_500));
    assert_eq!(connector.clock_offset_micros(), 90_500_000);
}

#[tokio::test]
async fn a_check_does_not_believe_a_clock_that_is_years_off_and_says_so() {
    let server = Server::start(|_, _| {
        let date = "Fri, 15 Jan 2021 08:00:00 GMT";
        with_header(json(200, json!({"data": [{"id": 1}]})), "date", date)
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let report = connector.check().await.expect("it can be reached");
    assert_eq!(report.streams[&items()], Ok(1));
    assert_eq!(report.clock_offset_ms, None);
    assert_eq!(connector.clock_offset_micros(), 0);
    let doubt = report.clock_doubt.expect("it is told");
    assert!(doubt.contains("2190 day(s) behind ours"), "{doubt}");
    assert!(!connector.clock_state().has_usable_times());
}

#[tokio::test]
async fn one_answer_settles_no_clock_and_a_few_do_which_are_asked_for_once() {
    let server = Server::start(|_, _| {
        let date = "Fri, 15 Jan 2027 08:01:30 GMT";
        with_header(json(200, json!({"data": [{"id": 1}]})), "date", date)
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let page = connector.list(&items(), &Listing::All, None).await;
    page.expect("a page");
    assert_eq!(connector.clock_state(), ClockState::Unsettled);
    assert_eq!(connector.clock_offset_micros(), 0);
    let both = futures::future::join(connector.settle_clock(), connector.settle_clock());
    both.await;
    assert_eq!(connector.clock_offset_micros(), 90_500_000);
    connector.settle_clock().await;
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn an_answer_that_a_cache_kept_tells_no_time_and_one_that_passed_it_at_once_does() {
    for (age, expected) in [("0", Some(90_500)), ("17", None)] {
        let server = Server::start(move |_, _| {
            let dated = with_header(
                json(200, json!({"data": [{"id": 1}]})),
                "date",
                "Fri, 15 Jan 2027 08:01:30 GMT",
            );
            with_header(dated, "age", age)
        })
        .await;
        let connector = server.connector(&manifest("", LIST, ""));
        let report = connector.check().await.expect("it can be reached");
        assert_eq!(report.clock_offset_ms, expected, "{age}");
        let said = report.clock_doubt.unwrap_or_default();
        assert_eq!(said.contains("cache"), expected.is_none(), "{said}");
    }
}

#[tokio::test]
async fn a_member_that_is_not_there_is_left_out_and_one_that_is_null_or_empty_is_not() {
    let server = Server::start(|_, _| {
        json(
            200,
            json!({"data": [{"id": 1, "name": null, "price": ""}, {"id": 2, "price": 1}]}),
        )
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let page = connector.list(&items(), &Listing::All, None).await;
    let records = page.expect("a page").records;
    let is_left_out = |row: usize, name: &str| records[row].left_out.contains(name);
    assert!(!is_left_out(0, "name") && !is_left_out(0, "price"));
    assert!(is_left_out(1, "name") && !is_left_out(1, "price"));
    assert_eq!(records[1].fields["name"], Value::Null);
}

#[tokio::test]
async fn a_record_that_was_merged_away_answers_with_the_one_that_is_left() {
    let server = Server::start(|_, _| json(200, json!({"id": "winner", "name": "Ann"}))).await;
    let connector = server.connector(&manifest("", LIST, ""));
    let read = connector.read(&items(), &record_ids(&["loser"])).await;
    let read = read.expect("it is an answer");
    assert_eq!(found(read), [Some("winner".to_owned())]);
}
