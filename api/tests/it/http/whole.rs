//! From a signed webhook to what an operator sees of it, over SQLite.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tandem_api::{follow_clocks, follow_connections};
use tandem_domain::MeasuredOffset;
use tandem_operator::hooks::{HookRegistry, HookState, KeptClocks};
use tandem_testkit::Make;
use tokio_util::sync::CancellationToken;

use crate::support::hooks::{Parses, table};

use crate::support::server::one_event;
use crate::support::site::start;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_webhooks_at_once_are_one_event_and_one_job() {
    let site = start().await;
    let body = one_event("e1");
    let replies = join_all((0..100).map(|_| site.webhook(&body))).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(
        site.get("/api/v1/events").await["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        site.get("/api/v1/jobs").await["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(site.get("/api/v1/status").await["duplicate_events"], 99);
}

#[tokio::test]
async fn a_webhook_is_seen_as_an_event_with_its_body_and_its_job() {
    let site = start().await;
    let body = one_event("e1");
    assert_eq!(site.webhook(&body).await.status, 200);
    let events = site
        .get("/api/v1/events?connection=crm&state=accepted")
        .await;
    let id = events["items"][0]["id"].as_str().expect("an id").to_owned();
    let event = site.get(&format!("/api/v1/events/{id}")).await;
    assert_eq!(event["body_text"], body);
    let job = event["jobs"][0].as_str().expect("a job").to_owned();
    let job = site.get(&format!("/api/v1/jobs/{job}")).await;
    assert_eq!(
        (&job["kind"], &job["record"]),
        (&json!("reconcile"), &json!("7"))
    );
    assert!(job["traceparent"].is_string());
    let replayed = site
        .post(&format!("/api/v1/events/{id}/replay"), None)
        .await;
    assert_eq!(replayed["jobs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_poison_webhook_waits_with_the_dead_letters() {
    let site = start().await;
    assert_eq!(site.webhook("{ not json").await.status, 200);
    let letters = site.get("/api/v1/dead-letters").await;
    let letter = &letters["items"][0];
    assert_eq!(letter["code"], "unreadable");
    let id = letter["id"].as_str().expect("an id").to_owned();
    let shown = site.get(&format!("/api/v1/dead-letters/{id}")).await;
    assert_eq!(shown["event"]["body_text"], "{ not json");
    let refused = site
        .call("POST", &format!("/api/v1/dead-letters/{id}/replay"), None)
        .await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.body.contains("still cannot be understood"),
        "{}",
        refused.body
    );
    let body = json!({"reason": "a test of theirs"});
    site.post(&format!("/api/v1/dead-letters/{id}/discard"), Some(body))
        .await;
    assert_eq!(site.get("/api/v1/dead-letters").await["items"], json!([]));
}

#[tokio::test]
async fn a_pause_that_another_process_stored_reaches_the_hook() {
    let site = start().await;
    let hooks = Arc::new(table(&Arc::new(Parses::default())));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(follow_connections(
        hooks.clone(),
        site.store.shared(),
        Duration::from_millis(1),
        shutdown.clone(),
    ));
    let now = site.make.now();
    site.store
        .pause_connection(&Make::crm(), Some("by hand"), now)
        .await
        .expect("it is stored");
    while !matches!(hooks.lookup("crm"), Some(HookState::Paused(_))) {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    task.await.expect("it ends");
}

#[tokio::test]
async fn how_far_a_clock_is_off_by_what_another_process_stored_is_learned() {
    let site = start().await;
    let clocks = Arc::new(KeptClocks::default());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(follow_clocks(
        clocks.clone(),
        site.store.shared(),
        Duration::from_millis(1),
        shutdown.clone(),
    ));
    let (crm, now) = (Make::crm(), site.make.now());
    let measured = MeasuredOffset {
        micros: -95_000_000,
        at: now,
    };
    let kept = site.store.keep_clock_offset(&crm, measured).await;
    kept.expect("it is stored");
    while clocks.offset_micros(&crm, None, now) != measured.micros {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    task.await.expect("it ends");
}
