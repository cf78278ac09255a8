//! Every kind of paging reaches every record once.

use serde_json::{Value as Json, json};
use tandem_connectors::{Connector, ConnectorError, Listing, Page, RestConnector};

use crate::server::{Seen, Server, items, json, manifest, with_header};

pub const READ: &str = "read: { request: { method: GET, path: '/items/{{ id }}' }, records: '' }";

fn row(id: usize) -> Json {
    json!({"id": id, "name": format!("n{id}")})
}

pub fn rows(from: usize, to: usize) -> Vec<Json> {
    (from..to).map(row).collect()
}

/// Reads pages to the end, with a bound so that a fault ends the test.
pub async fn pages(connector: &RestConnector, listing: &Listing) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    for _ in 0..50 {
        let token = pages.last().and_then(|page| page.next.clone());
        let page = connector
            .list(&items(), listing, token.as_ref())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let ended = page.next.is_none();
        pages.push(page);
        if ended {
            return pages;
        }
    }
    panic!("the listing does not end");
}

pub fn ids(pages: &[Page]) -> Vec<usize> {
    let records = pages.iter().flat_map(|page| &page.records);
    records
        .map(|record| record.id.as_str().parse().expect("a number"))
        .collect()
}

#[tokio::test]
async fn a_cursor_in_the_body_is_followed_to_the_end() {
    let server = Server::start(|seen, _| {
        let from = seen.number("after");
        let next = (from + 2 < 5).then(|| json!({"next": {"after": from + 2}}));
        json(
            200,
            json!({"data": rows(from, (from + 2).min(5)), "paging": next}),
        )
    })
    .await;
    let list = "list:
  request: { method: GET, path: /items, query: { after: '=cursor|default(omit)', limit: =limit } }
  records: /data
  paging: { cursor: { next: /paging/next/after, size: 2 } }";
    let connector = server.connector(&manifest("", list, READ));
    assert_eq!(
        ids(&pages(&connector, &Listing::All).await),
        [0, 1, 2, 3, 4]
    );
    let asked: Vec<Option<String>> = server
        .seen()
        .iter()
        .map(|seen| seen.query.get("after").cloned())
        .collect();
    assert_eq!(asked, [None, Some("2".to_owned()), Some("4".to_owned())]);
}

#[tokio::test]
async fn an_offset_may_be_a_positional_parameter_of_json_rpc() {
    let server = Server::start(|seen, _| {
        let params = &seen.body["params"];
        let offset = params[1].as_u64().expect("a number, not a text") as usize;
        let limit = params[2].as_u64().expect("a number") as usize;
        json(
            200,
            json!({"result": rows(offset.min(5), (offset + limit).min(5))}),
        )
    })
    .await;
    let list = "list:
  request: { method: POST, path: /rpc, body: { method: search, params: [[], =offset, =limit] } }
  records: /result
  paging: { offset: { size: 2 } }";
    let connector = server.connector(&manifest("", list, READ));
    assert_eq!(
        ids(&pages(&connector, &Listing::All).await),
        [0, 1, 2, 3, 4]
    );
}

const OFFSET: &str = "list:
  request: { method: GET, path: /items, query: { offset: =offset, limit: =limit } }
  records: [/open, /closed]
  paging: { offset: { size: 2, total: [/open_count, /closed_count] } }";

#[tokio::test]
async fn two_arrays_of_a_page_share_the_offset_and_the_total_says_where_it_ends() {
    let server = Server::start(|seen, _| {
        let from = seen.number("offset");
        let open = rows(from.min(5), (from + 2).min(5));
        let closed = if from == 0 {
            rows(100, 101)
        } else {
            Vec::new()
        };
        json(
            200,
            json!({"open": open, "closed": closed, "open_count": 5, "closed_count": 1}),
        )
    })
    .await;
    let connector = server.connector(&manifest("", OFFSET, READ));
    assert_eq!(
        ids(&pages(&connector, &Listing::All).await),
        [0, 1, 100, 2, 3, 4]
    );
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_listing_by_offset_starts_afresh_when_rows_come_or_go_meanwhile() {
    // Row 0 is removed after the first page: row 2 moves onto the page already read.
    let server = Server::start(|seen, number| {
        let all = if number == 0 { rows(0, 5) } else { rows(1, 5) };
        let from = seen.number("offset").min(all.len());
        let page = &all[from..(from + 2).min(all.len())];
        json(
            200,
            json!({"open": page, "closed": [], "open_count": all.len(), "closed_count": 0}),
        )
    })
    .await;
    let connector = server.connector(&manifest("", OFFSET, READ));
    let mut seen = ids(&pages(&connector, &Listing::All).await);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_listing_that_never_comes_to_rest_ends_all_the_same() {
    let server = Server::start(|seen, number| {
        let from = seen.number("offset");
        json(200, json!({"open": rows(from.min(6), (from + 2).min(6)), "closed": [], "open_count": 6 + number % 2, "closed_count": 0}))
    })
    .await;
    let connector = server.connector(&manifest("", OFFSET, READ));
    assert!(pages(&connector, &Listing::All).await.len() < 12);
}

#[tokio::test]
async fn pages_overlap_where_the_manifest_says_so() {
    let server = Server::start(|seen, _| {
        let from = seen.number("offset").min(7);
        json(
            200,
            json!({"data": rows(from, (from + 4).min(7)), "total": 7}),
        )
    })
    .await;
    let list = "list:
  request: { method: GET, path: /items, query: { offset: =offset } }
  records: /data
  paging: { offset: { size: 4, total: /total, overlap: 1 } }";
    let connector = server.connector(&manifest("", list, READ));
    assert_eq!(
        ids(&pages(&connector, &Listing::All).await),
        [0, 1, 2, 3, 3, 4, 5, 6]
    );
}

#[tokio::test]
async fn numbered_pages_are_read_until_an_empty_one() {
    let server = Server::start(|seen, _| {
        let from = (seen.number("page") - 1) * 2;
        json(200, json!({"data": rows(from.min(3), (from + 2).min(3))}))
    })
    .await;
    let list = "list:
  request: { method: GET, path: /items, query: { page: =page } }
  records: /data
  paging: { page: { size: 2 } }";
    let connector = server.connector(&manifest("", list, READ));
    assert_eq!(ids(&pages(&connector, &Listing::All).await), [0, 1, 2]);
}

const LINK: &str = "list:
  request: { method: GET, path: /items }
  records: ''
  paging: { link: {} }";

fn linked(seen: &Seen, target: &str) -> axum::response::Response {
    let host = seen.header("host").to_owned();
    match seen.query.get("after").map(String::as_str) {
        None => with_header(
            json(200, json!(rows(0, 2))),
            "link",
            &format!(
                "<http://{host}/items?first=1>; rel=\"first\", <{}>; rel=\"next\"",
                target.replace("HOST", &host)
            ),
        ),
        Some(_) => json(200, json!(rows(2, 3))),
    }
}

#[tokio::test]
async fn the_link_header_is_followed_with_the_credentials() {
    let server = Server::start(|seen, _| linked(seen, "http://HOST/items?after=2")).await;
    let connector = server.connector(&manifest("", LINK, READ));
    assert_eq!(ids(&pages(&connector, &Listing::All).await), [0, 1, 2]);
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("x-key") == "s3cret-key")
    );
}

#[tokio::test]
async fn a_link_that_leads_to_another_host_is_not_followed() {
    let server = Server::start(|seen, _| linked(seen, "http://evil.example/items?after=2")).await;
    let connector = server.connector(&manifest("", LINK, READ));
    let page = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect("the first page");
    let error = connector
        .list(&items(), &Listing::All, page.next.as_ref())
        .await
        .expect_err("it leads away");
    assert!(matches!(error, ConnectorError::Malformed { .. }), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_keyset_goes_on_after_the_last_row_within_one_instant() {
    // All rows bear the same instant; rows appear while the listing is under way.
    let server = Server::start(|seen, number| {
        let last = seen
            .query
            .get("last")
            .map_or(0, |text| text.parse::<usize>().expect("a number") + 1);
        let end = if number == 0 { 5 } else { 6 };
        let page: Vec<Json> = (last..end)
            .take(2)
            .map(|id| json!({"id": id, "updated": "2026-01-01T00:00:00Z"}))
            .collect();
        json(200, json!({"data": page}))
    })
    .await;
    let more = format!("{READ}\nchanged_since:
  request:
    method: GET
    path: /items
    query: {{ since: '{{{{ since|epoch_ms }}}}', last: '=last.id|default(omit) if last is defined else omit' }}
  records: /data
  paging: {{ keyset: {{ size: 2, last: {{ id: /id }} }} }}");
    let list = "list: { request: { method: GET, path: /items }, records: /data }";
    let connector = server.connector(&manifest("", list, &more));
    let since = Listing::Since("2026-01-01T00:00:00Z".parse().expect("an instant"));
    assert_eq!(ids(&pages(&connector, &since).await), [0, 1, 2, 3, 4, 5]);
    assert_eq!(server.seen()[0].query["since"], "1767225600000");
}

#[tokio::test]
async fn a_cursor_that_does_not_move_is_an_error_and_not_an_endless_loop() {
    let server = Server::start(|_, _| json(200, json!({"data": rows(0, 1), "next": "same"}))).await;
    let list = "list:
  request: { method: GET, path: /items, query: { after: '=cursor|default(omit)' } }
  records: /data
  paging: { cursor: { next: /next } }";
    let connector = server.connector(&manifest("", list, READ));
    let page = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect("the first page");
    let error = connector
        .list(&items(), &Listing::All, page.next.as_ref())
        .await
        .expect_err("the same page again");
    assert!(error.to_string().contains("the same page again"), "{error}");
    assert!(matches!(error, ConnectorError::Endless { .. }), "{error}");
}

#[tokio::test]
async fn a_token_of_another_listing_is_refused() {
    let server = Server::start(|_, _| {
        json(
            200,
            json!({"open": rows(0, 2), "closed": [], "open_count": 9, "closed_count": 0}),
        )
    })
    .await;
    let offset = server.connector(&manifest("", OFFSET, READ));
    let token = offset
        .list(&items(), &Listing::All, None)
        .await
        .expect("the first page")
        .next;
    let link = server.connector(&manifest("", LINK, READ));
    let error = link
        .list(&items(), &Listing::All, token.as_ref())
        .await
        .expect_err("another kind of token");
    assert!(
        matches!(error, ConnectorError::Misconfigured { .. }),
        "{error}"
    );
}
