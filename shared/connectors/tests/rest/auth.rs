//! Signing in: once for all, again when a session ends, and not at all after a refusal.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use futures::future::join_all;
use serde_json::json;
use tandem_connectors::{Connector, ConnectorError, Listing, Page, RestConnector};
use tandem_domain::RecordId;

use crate::server::{LIST, Seen, Server, items, json, manifest, with_header};

const LOGIN: &str = "auth:
  login:
    request:
      method: POST
      path: /login
      body: { user: admin, password: =credentials.key }
    session: { token: =body.token }
    headers: { Authorization: 'Session {{ (\"admin:\" ~ session.token)|base64 }}' }
errors:
  - { status: 403, when: =body.detail == 'session ended', class: unauthorized }";

const OAUTH: &str = "auth:
  oauth2_client_credentials:
    token_url: /token
    client_id: id
    client_secret: '{{ credentials.key }}'
    scope: contacts";

async fn list(connector: &RestConnector) -> Result<Page, ConnectorError> {
    connector.list(&items(), &Listing::All, None).await
}

fn empty() -> Response {
    json(200, json!({"data": []}))
}

fn logins(server: &Server) -> usize {
    server
        .seen()
        .iter()
        .filter(|seen| seen.path == "/login" || seen.path == "/token")
        .count()
}

#[tokio::test]
async fn many_requests_at_once_sign_in_once() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/login" => json(200, json!({"token": "t1"})),
        _ => empty(),
    })
    .await;
    let connector = server.connector(&manifest(LOGIN, LIST, ""));
    for outcome in join_all((0..8).map(|_| list(&connector))).await {
        outcome.expect("a page");
    }
    assert_eq!(logins(&server), 1);
    assert_eq!(
        server
            .seen()
            .last()
            .expect("requests")
            .header("authorization"),
        "Session YWRtaW46dDE="
    );
}

#[tokio::test]
async fn a_secret_in_a_header_of_all_requests_is_sent_with_each_and_never_said() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/items" => empty(),
        _ => json(
            403,
            json!({"message": format!("key {} is of no use", seen.header("x-tenant"))}),
        ),
    })
    .await;
    let top = "headers: { X-Tenant: 'tenant-{{ credentials.key }}' }";
    let connector = server.connector(&manifest(top, LIST, ""));
    list(&connector).await.expect("a page");
    let read = connector.read(&items(), &[RecordId::new("7")]).await;
    let error = read.expect_err("it is refused").to_string();
    let sent: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| seen.header("x-tenant").to_owned())
        .collect();
    assert_eq!(sent, ["tenant-s3cret-key"; 2]);
    assert!(
        error.contains("is of no use") && !error.contains("s3cret-key"),
        "{error}"
    );
}

/// Lets only the newest session in; `word` is what it says to an old one.
fn renewing(status: u16) -> impl Fn(&Seen, usize) -> Response + Send + Sync + 'static {
    let made = AtomicUsize::new(0);
    move |seen, number| {
        if seen.path == "/login" {
            return json(200, json!({"token": made.fetch_add(1, Ordering::SeqCst)}));
        }
        // The first session is refused after its first use.
        let old = seen.header("authorization") == "Session YWRtaW46MA==";
        if old && number > 1 {
            json(status, json!({"detail": "session ended"}))
        } else {
            empty()
        }
    }
}

#[tokio::test]
async fn a_session_that_ended_is_renewed_and_the_request_sent_again() {
    for status in [401, 403] {
        let server = Server::start(renewing(status)).await;
        let connector = server.connector(&manifest(LOGIN, LIST, ""));
        list(&connector).await.expect("a page");
        for outcome in join_all((0..6).map(|_| list(&connector))).await {
            outcome.unwrap_or_else(|error| panic!("{status}: {error}"));
        }
        assert_eq!(logins(&server), 2, "{status}");
    }
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_for_a_growing_while() {
    let server =
        Server::start(|_, _| json(401, json!({"message": "wrong password s3cret-key"}))).await;
    let connector = server.connector(&manifest(LOGIN, LIST, ""));
    for _ in 0..5 {
        let error = list(&connector).await.expect_err("a wrong password");
        assert!(
            matches!(error, ConnectorError::Unauthorized { .. }),
            "{error}"
        );
        assert!(!error.to_string().contains("s3cret-key"), "{error}");
    }
    assert_eq!(logins(&server), 1);
    server.clock.forward(61);
    for _ in 0..5 {
        list(&connector).await.expect_err("still wrong");
    }
    assert_eq!(logins(&server), 2);
    server.clock.forward(61);
    list(&connector)
        .await
        .expect_err("the second wait is two minutes");
    assert_eq!(logins(&server), 2);
    server.clock.forward(60);
    list(&connector).await.expect_err("still wrong");
    assert_eq!(logins(&server), 3);
}

#[tokio::test]
async fn a_fresh_session_that_is_refused_too_ends_the_attempts() {
    let server = Server::start(|seen, number| match seen.path.as_str() {
        "/login" => json(200, json!({"token": number})),
        _ => json(401, json!({})),
    })
    .await;
    let connector = server.connector(&manifest(LOGIN, LIST, ""));
    for _ in 0..4 {
        let error = list(&connector).await.expect_err("never let in");
        assert!(
            matches!(error, ConnectorError::Unauthorized { .. }),
            "{error}"
        );
    }
    assert_eq!(logins(&server), 2);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_login_that_is_slowed_down_waits_as_told() {
    let server =
        Server::start(|_, _| with_header(json(429, json!({})), "retry-after", "300")).await;
    let connector = server.connector(&manifest(LOGIN, LIST, ""));
    for _ in 0..3 {
        let error = list(&connector).await.expect_err("slowed down");
        assert!(
            matches!(error, ConnectorError::RateLimited { .. }),
            "{error}"
        );
    }
    assert_eq!(logins(&server), 1);
}

#[tokio::test]
async fn a_login_into_nowhere_is_unreachable_and_tried_again() {
    let server = Server::start(|seen, number| match (seen.path.as_str(), number) {
        ("/login", 0) => json(503, json!({})),
        ("/login", _) => json(200, json!({"token": "t"})),
        _ => empty(),
    })
    .await;
    let connector = server.connector(&manifest(LOGIN, LIST, ""));
    let error = list(&connector).await.expect_err("down");
    assert!(
        matches!(error, ConnectorError::Unreachable { .. }),
        "{error}"
    );
    list(&connector).await.expect("up again");
}

#[tokio::test]
async fn a_token_is_fetched_with_basic_and_renewed_before_it_ends() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/token" => json(
            200,
            json!({"access_token": "abc", "expires_in": 1800, "token_type": "Bearer"}),
        ),
        _ => empty(),
    })
    .await;
    let connector = server.connector(&manifest(OAUTH, LIST, ""));
    list(&connector).await.expect("a page");
    server.clock.forward(1_700);
    list(&connector).await.expect("a page");
    assert_eq!(logins(&server), 1);
    server.clock.forward(41);
    list(&connector).await.expect("a page");
    assert_eq!(logins(&server), 2);
    let token = &server.seen()[0];
    assert_eq!(token.header("authorization"), "Basic aWQ6czNjcmV0LWtleQ==");
    assert_eq!(token.text, "grant_type=client_credentials&scope=contacts");
    assert_eq!(server.seen()[1].header("authorization"), "Bearer abc");
}

#[tokio::test]
async fn a_fixed_key_that_is_refused_three_times_in_a_row_rests() {
    let server = Server::start(|_, _| json(401, json!({"message": "bad key"}))).await;
    let connector = server.connector(&manifest("", LIST, ""));
    for _ in 0..6 {
        list(&connector).await.expect_err("a bad key");
    }
    assert_eq!(server.seen().len(), 3);
    server.clock.forward(61);
    list(&connector).await.expect_err("still bad");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_system_that_repeats_what_it_was_sent_gives_nothing_away() {
    let basic = "auth: { basic: { user: '{{ credentials.key }}', password: 'x' } }";
    for (top, signs_in) in [
        (basic, false),
        (LOGIN, false),
        (OAUTH, false),
        (OAUTH, true),
    ] {
        let server = Server::start(move |seen, _| match seen.path.as_str() {
            "/login" => json(200, json!({"token": "session-token-1"})),
            "/token" if !signs_in => json(200, json!({"access_token": "session-token-1"})),
            _ => json(
                422,
                json!({"message": format!("no: Authorization: {}", seen.header("authorization"))}),
            ),
        })
        .await;
        let connector = server.connector(&manifest(top, LIST, ""));
        let error = list(&connector)
            .await
            .expect_err("it is refused")
            .to_string();
        let sent = server
            .seen()
            .last()
            .expect("requests")
            .header("authorization")
            .to_owned();
        let sent = sent.split_once(' ').expect("a scheme and more").1;
        assert!(!error.contains(sent.trim_end_matches('=')), "{error}");
        assert!(
            error.contains("***"),
            "the system's words are kept: {error}"
        );
    }
}

/// A page whose rows hold this where an instant, and an amount, should be.
fn repeating(secret: &str) -> Response {
    let stamp = format!("tok {secret}");
    let amount = format!("amt {}", &secret[9..]);
    json(
        200,
        json!({"data": [
            {"id": "1", "name": "a", "updated": stamp},
            {"id": "2", "name": "b", "price": amount},
        ]}),
    )
}

#[tokio::test]
async fn a_token_or_session_that_came_while_it_runs_is_not_shown_by_rows_that_repeat_it() {
    const SECRET: &str = "sess/ion+ID==0a1b2c3d4e5f6a7b";
    for auth in [LOGIN, OAUTH] {
        let server = Server::start(|seen, _| match seen.path.as_str() {
            "/login" => json(200, json!({"token": SECRET})),
            "/token" => json(200, json!({"access_token": SECRET, "expires_in": 3600})),
            _ => repeating(SECRET),
        })
        .await;
        let connector = server.connector(&manifest(auth, LIST, ""));
        let page = list(&connector).await.expect("a page");
        let masked = connector.masked(&format!("tok {SECRET}"));
        assert_eq!(masked, "tok ***", "in a webhook");
        let said = &page.unreadable[0].reason;
        assert!(said.contains("tok ***"), "{said}");
        let said = format!("{:?}", page.records[0].unreadable);
        assert!(said.contains("amt ***"), "{said}");
    }
}
