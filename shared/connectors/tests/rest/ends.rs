//! However a system ends its listings, every record comes once and the listing ends; where it cannot be told
//! from one that never ends, it fails with its reason.

use axum::response::Response;
use serde_json::json;
use tandem_connectors::{Connector, ConnectorError, Listing, PageToken, RestConnector};

use crate::paging::{READ, ids, pages, rows};
use crate::server::{Seen, Server, html, items, json, manifest};

const CURSOR: &str = "list:
  request: { method: GET, path: /items, query: { at: '=cursor|default(omit)' } }
  records: /data
  paging: { cursor: { next: /next } }";

/// Numbered pages of four, which end as `ends` says.
fn numbered(ends: &str) -> String {
    format!(
        "list:
  request: {{ method: GET, path: /items, query: {{ page: =page, size: =limit }} }}
  records: /data
  paging: {{ page: {{ size: 4 }} }}
{ends}"
    )
}

/// Lists until the end or the failure, with a bound so that a fault ends the test.
async fn failure(connector: &RestConnector) -> ConnectorError {
    let mut token: Option<PageToken> = None;
    for _ in 0..50 {
        let page = connector
            .list(&items(), &Listing::All, token.as_ref())
            .await;
        match page.map(|page| page.next) {
            Ok(None) => panic!("the listing ended as if it were whole"),
            Ok(next) => token = next,
            Err(error) => return error,
        }
    }
    panic!("the listing does not end");
}

async fn all(server: &Server, list: &str) -> Vec<usize> {
    let connector = server.connector(&manifest("", list, READ));
    ids(&pages(&connector, &Listing::All).await)
}

fn from_to(seen: &Seen, size: usize, count: usize) -> (usize, usize) {
    let from = (seen.number("page").max(1) - 1) * size;
    (from.min(count), (from + size).min(count))
}

#[tokio::test]
async fn a_last_page_that_names_its_own_cursor_is_the_last() {
    let server = Server::start(|seen, _| {
        let from = seen.number("at");
        let next = if from + 2 < 5 { from + 2 } else { from };
        json(
            200,
            json!({"data": rows(from, (from + 2).min(5)), "next": next.to_string()}),
        )
    })
    .await;
    assert_eq!(all(&server, CURSOR).await, [0, 1, 2, 3, 4]);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn an_empty_page_with_the_same_token_is_the_end() {
    let server = Server::start(|seen, _| {
        let from = seen.number("at");
        let to = (from + 2).min(5);
        json(200, json!({"data": rows(from, to), "next": to.to_string()}))
    })
    .await;
    assert_eq!(all(&server, CURSOR).await, [0, 1, 2, 3, 4]);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn tokens_in_a_circle_fail_after_few_requests() {
    let server = Server::start(|seen, _| {
        let from = seen.number("at");
        let next = if from + 2 < 6 { from + 2 } else { 2 };
        json(
            200,
            json!({"data": rows(from, from + 2), "next": next.to_string()}),
        )
    })
    .await;
    let error = failure(&server.connector(&manifest("", CURSOR, READ))).await;
    assert!(matches!(error, ConnectorError::Endless { .. }), "{error}");
    assert!(error.to_string().contains("go in a circle"), "{error}");
    assert!(server.seen().len() < 10);
}

#[tokio::test]
async fn empty_pages_that_always_name_a_new_token_fail() {
    let server =
        Server::start(|_, number| json(200, json!({"data": [], "next": number.to_string()}))).await;
    let connector = server.connector(&manifest("", CURSOR, READ));
    let mut token = None;
    let error = loop {
        match connector
            .list(&items(), &Listing::All, token.as_ref())
            .await
        {
            Ok(page) => token = page.next,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("empty pages"), "{error}");
    assert!(server.seen().len() < 150);
}

#[tokio::test]
async fn a_last_page_that_is_given_again_for_every_later_number_is_the_end() {
    let server = Server::start(|seen, _| {
        let page = seen.number("page").min(3);
        json(200, json!({"data": rows((page - 1) * 4, page * 4)}))
    })
    .await;
    assert_eq!(
        all(&server, &numbered("")).await.len(),
        16,
        "the last page comes twice"
    );
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_system_that_does_not_heed_the_number_is_not_taken_for_listed() {
    let server = Server::start(|_, _| json(200, json!({"data": rows(0, 4)}))).await;
    let error = failure(&server.connector(&manifest("", &numbered(""), READ))).await;
    let said = error.to_string();
    assert!(
        said.contains("does not heed") && said.contains("repeats: true"),
        "{said}"
    );
    assert_eq!(server.seen().len(), 2);
    let all = all(&server, &numbered("  ends: { repeats: true }")).await;
    assert_eq!(all.len(), 8);
}

#[tokio::test]
async fn a_system_without_pages_has_all_on_one_that_is_not_full() {
    let server = Server::start(|_, _| json(200, json!({"data": rows(0, 3)}))).await;
    assert_eq!(all(&server, &numbered("")).await.len(), 6);
}

fn not_found_past(seen: &Seen, count: usize) -> Response {
    match from_to(seen, 4, count) {
        (from, to) if from < to => json(200, json!({"data": rows(from, to)})),
        _ => json(404, json!({"message": "Invalid page."})),
    }
}

#[tokio::test]
async fn not_found_after_a_page_that_was_not_full_is_the_end_when_it_is_said_twice() {
    let server = Server::start(|seen, _| not_found_past(seen, 6)).await;
    assert_eq!(all(&server, &numbered("")).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn not_found_once_is_a_hiccup() {
    let server = Server::start(|seen, number| match number {
        1 => json(404, json!({"message": "no route"})),
        _ => {
            let (from, to) = from_to(seen, 2, 3);
            json(200, json!({"data": rows(from, to)}))
        }
    })
    .await;
    assert_eq!(all(&server, &numbered("")).await, [0, 1, 2]);
}

#[tokio::test]
async fn not_found_after_a_full_page_is_the_end_only_if_the_manifest_says_so() {
    let server = Server::start(|seen, _| not_found_past(seen, 8)).await;
    let error = failure(&server.connector(&manifest("", &numbered(""), READ))).await;
    assert!(matches!(error, ConnectorError::Malformed { .. }), "{error}");
    let said = numbered("  ends: { status: 404 }");
    assert_eq!(all(&server, &said).await.len(), 8);
    let refused = Server::start(|_, _| json(404, json!({"message": "no such path"}))).await;
    let error = failure(&refused.connector(&manifest("", &said, READ))).await;
    assert!(
        matches!(error, ConnectorError::Malformed { .. }),
        "the first page is never past the end: {error}"
    );
}

#[tokio::test]
async fn a_gateways_page_is_never_the_end() {
    let server = Server::start(|seen, _| match seen.number("page") {
        1 => json(200, json!({"data": rows(0, 3)})),
        _ => html(404),
    })
    .await;
    let error = failure(&server.connector(&manifest("", &numbered(""), READ))).await;
    assert!(matches!(error, ConnectorError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_manifest_can_say_what_the_last_page_looks_like() {
    let server = Server::start(|seen, _| {
        let (from, to) = from_to(seen, 4, 8);
        json(200, json!({"data": rows(from, to), "more": to < 8}))
    })
    .await;
    let flag = numbered("  ends: { when: =not body.more }");
    assert_eq!(all(&server, &flag).await.len(), 8);
    assert_eq!(server.seen().len(), 2);
    let server = Server::start(|seen, _| {
        let (from, to) = from_to(seen, 4, 6);
        json(200, json!({"data": rows(from, to)}))
    })
    .await;
    let short = numbered("  ends: { when: =rows < limit }");
    assert_eq!(all(&server, &short).await.len(), 6);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_keyset_that_asks_for_the_last_row_again_ends_with_that_row_alone() {
    let list = "list:
  request: { method: GET, path: /items, query: { at: '=last.id if last is defined else omit' } }
  records: /data
  paging: { keyset: { size: 3, last: { id: /id } } }";
    let server = Server::start(|seen, _| {
        let from = seen.number("at");
        json(200, json!({"data": rows(from, (from + 3).min(5))}))
    })
    .await;
    assert_eq!(all(&server, list).await, [0, 1, 2, 2, 3, 4, 4]);
    let tied = Server::start(|_, number| {
        let mut page = rows(number * 3, number * 3 + 3);
        page.iter_mut().for_each(|row| row["at"] = json!("noon"));
        json(200, json!({"data": page}))
    })
    .await;
    let by_time = list.replace("id: /id", "id: /at");
    let error = failure(&tied.connector(&manifest("", &by_time, READ))).await;
    assert!(error.to_string().contains("the same key"), "{error}");
}

#[tokio::test]
async fn a_listing_goes_on_from_a_token_of_an_earlier_version() {
    let server = Server::start(|seen, _| {
        let (from, to) = from_to(seen, 2, 5);
        json(200, json!({"data": rows(from, to)}))
    })
    .await;
    let connector = server.connector(&manifest("", &numbered(""), READ));
    let token = PageToken(json!({"page": 3}));
    let page = connector.list(&items(), &Listing::All, Some(&token)).await;
    assert_eq!(page.expect("the third page").records.len(), 1);
}
