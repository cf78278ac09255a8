//! Commit first, answer second, and many commits at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tandem_api::{IngressLimits, ServerLimits};
use tokio::sync::Semaphore;

use crate::support::server::{SHORT, TestServer, one_event, start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_webhooks_at_once_are_one_event_and_one_job() {
    let server = start().await;
    let body = one_event("e1");
    let replies = join_all((0..100).map(|_| server.post_crm(&body))).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(server.store.events().len(), 1);
    assert_eq!(server.store.jobs().len(), 1);
    assert_eq!(server.doorbell.rung().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_during_a_commit_shares_the_next_one() {
    let limits = IngressLimits {
        commit_timeout: Duration::from_secs(10),
        ..IngressLimits::default()
    };
    let server = start_with(limits, ServerLimits::default()).await;
    let gate = Arc::new(Semaphore::new(0));
    server.store.hold(Arc::clone(&gate));
    let bodies: Vec<String> = (0..50)
        .map(|number| one_event(&number.to_string()))
        .collect();
    let requests = join_all(bodies.iter().map(|body| server.post_crm(body)));
    let open_when_all_are_waiting = async {
        while server.parses.count() < bodies.len() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(bodies.len());
    };
    let (replies, ()) = tokio::join!(requests, open_when_all_are_waiting);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(server.store.events().len(), 50);
    assert!(
        server.store.calls() <= 5,
        "{} commits",
        server.store.calls()
    );
}

#[tokio::test]
async fn a_storage_that_is_down_is_503_and_the_repetition_is_taken() {
    let server = start().await;
    server.store.fail(true);
    let refused = server.post_crm(&one_event("e1")).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    server.store.fail(false);
    assert_eq!(server.post_crm(&one_event("e1")).await.status, 200);
    assert_eq!(server.store.events().len(), 1);
}

#[tokio::test]
async fn a_storage_that_panics_is_503_and_the_next_commit_goes_on() {
    let server = start().await;
    server.store.panic(true);
    assert_eq!(server.post_crm(&one_event("e1")).await.status, 503);
    server.store.panic(false);
    assert_eq!(server.post_crm(&one_event("e1")).await.status, 200);
}

#[tokio::test]
async fn a_commit_that_takes_too_long_is_503_and_its_repetition_is_a_duplicate() {
    let limits = IngressLimits {
        commit_timeout: SHORT,
        ..IngressLimits::default()
    };
    let server = start_with(limits, ServerLimits::default()).await;
    let gate = Arc::new(Semaphore::new(0));
    server.store.hold(Arc::clone(&gate));
    let late = server.post_crm(&one_event("e1")).await;
    assert_eq!(late.status, 503);
    assert!(late.header("retry-after").is_some());
    gate.add_permits(2);
    assert_eq!(server.post_crm(&one_event("e1")).await.status, 200);
    assert_eq!(
        server.store.events().len(),
        1,
        "the first was stored after all"
    );
    assert_eq!(server.doorbell.rung().len(), 1);
}

#[tokio::test]
async fn a_full_queue_is_503_at_once() {
    let limits = IngressLimits {
        queued_deliveries_max: 1,
        commit_timeout: Duration::from_secs(10),
        ..IngressLimits::default()
    };
    let server = Arc::new(start_with(limits, ServerLimits::default()).await);
    let gate = Arc::new(Semaphore::new(0));
    server.store.hold(Arc::clone(&gate));
    // One in each of two commits, one in the queue; the fourth has no place.
    let mut taken = Vec::new();
    for commits in 1..=2 {
        taken.push(tokio::spawn(post(&server, &commits.to_string())));
        while server.store.calls() < commits {
            tokio::task::yield_now().await;
        }
    }
    taken.push(tokio::spawn(post(&server, "3")));
    while server.parses.count() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&server, "4").await, 503);
    gate.add_permits(3);
    for one in taken {
        assert_eq!(one.await.expect("no panic"), 200);
    }
}

fn post(server: &Arc<TestServer>, key: &str) -> impl Future<Output = u16> + use<> {
    let (server, body) = (Arc::clone(server), one_event(key));
    async move { server.post_crm(&body).await.status }
}
