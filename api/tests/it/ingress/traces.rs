//! The trace that a webhook begins.

use tandem_connectors::webhook::Scheme;
use tandem_testkit::HeardSpans;
use tandem_trace::TraceContext;

use crate::support::client::post;
use crate::support::hooks::sign;
use crate::support::server::{TestServer, one_event, start};

const SENDER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Posts an event with a `traceparent`.
async fn post_traced(server: &TestServer, traceparent: &str) -> u16 {
    let body = one_event("e1");
    let mut headers = sign(Scheme::GenericHmacSha256, "/hooks/crm", body.as_bytes());
    headers.push(("traceparent".to_owned(), traceparent.to_owned()));
    let request = post("/hooks/crm", &headers, body.as_bytes());
    server.send(&request).await.status
}

fn stored(server: &TestServer) -> TraceContext {
    let deliveries = server.store.deliveries();
    let traceparent = deliveries[0].traceparent.as_deref().expect("it has one");
    traceparent.parse().expect("a context")
}

#[tokio::test]
async fn a_webhook_continues_its_senders_trace_and_leaves_its_own_context() {
    let heard = HeardSpans::listen();
    let server = start().await;
    assert_eq!(post_traced(&server, SENDER).await, 200);
    let webhook = heard.only("POST /hooks/{connection}");
    assert_eq!(webhook.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(webhook.parent_span_id, "00f067aa0ba902b7");
    assert_eq!(webhook.attributes["tandem.connection"], "crm");
    assert_eq!(webhook.attributes["tandem.outcome"], "accepted");
    assert_eq!(webhook.attributes["http.response.status_code"], "200");
    let stored = stored(&server);
    assert_eq!(stored.trace_hex(), webhook.trace_id);
    assert_eq!(format!("{:016x}", stored.span_id), webhook.span_id);
    assert_eq!(heard.only("commit").parent_span_id, webhook.span_id);
}

#[tokio::test]
async fn without_an_exporter_the_senders_context_is_stored_as_it_is() {
    let server = start().await;
    assert_eq!(post_traced(&server, SENDER).await, 200);
    assert_eq!(stored(&server).to_string(), SENDER);
}

#[tokio::test]
async fn a_rejected_webhook_is_seen_and_an_unknown_address_is_not() {
    let heard = HeardSpans::listen();
    let server = start().await;
    let body = one_event("e1");
    for path in ["/hooks/crm", "/hooks/guess"] {
        server.send(&post(path, &[], body.as_bytes())).await;
    }
    let webhook = heard.only("POST /hooks/{connection}");
    assert_eq!(webhook.attributes["tandem.outcome"], "rejected");
    assert!(!webhook.failed, "the sender's mistake is not the server's");
}
