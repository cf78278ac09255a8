//! What holds requests to a system up: it asked to wait, or does not answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tandem_connectors::{Connector, ConnectorError, Listing};
use tandem_domain::Clock;

use crate::server::{LIST, Server, TestClock, connector, items, json, manifest, with_header};

#[tokio::test]
async fn a_long_wait_is_believed_for_five_minutes_and_forgotten_when_an_operator_says_so() {
    let server = Server::start(|_, number| match number {
        0..2 => with_header(json(429, json!({})), "retry-after", "3000"),
        _ => json(200, json!({ "data": [] })),
    })
    .await;
    let connector = server.connector(&manifest("", LIST, ""));
    let list = async || connector.list(&items(), &Listing::All, None).await;
    let waits = async || match list().await {
        Err(ConnectorError::RateLimited { retry_after, .. }) => retry_after.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits().await, 300);
    let until = connector.hold_up().asked_until;
    assert_eq!(
        until,
        Some(server.clock.now().plus(Duration::from_secs(300)))
    );
    assert_eq!(waits().await, 300, "nothing is sent before");
    assert_eq!(server.seen().len(), 1);

    server.clock.forward(300);
    assert_eq!(connector.hold_up().asked_until, None);
    assert_eq!(waits().await, 600, "it says so again");
    connector.try_again().await;
    assert_eq!(connector.hold_up().asked_until, None);
    list().await.expect("it is asked at once");
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_is_known_while_it_is_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let clock = Arc::new(TestClock::default());
    let sent = clock.now();
    let connector = connector(&url, &manifest("", LIST, ""), Arc::clone(&clock) as _);
    assert_eq!(connector.hold_up().unanswered_since, None);
    let stream = items();
    let asking = connector.list(&stream, &Listing::All, None);
    let looking = async {
        // It accepts, and never answers.
        let _held = listener.accept().await.expect("it is asked");
        clock.forward(20);
        connector.hold_up().unanswered_since
    };
    let (answer, seen) = tokio::join!(asking, looking);
    assert_eq!(seen, Some(sent));
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(connector.hold_up().unanswered_since, None);
}
