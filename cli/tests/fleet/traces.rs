//! One trace from the webhook to the write, whatever processes have a part in it.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_testkit::{OtlpReceiver, ReceivedSpan};

use crate::common::http::{post, within};
use crate::common::system::System;
use crate::edits::create;
use crate::fleet::{END_MAX, Fleet, Plan};
use crate::member::After;
use crate::site::Role;

/// Work begins within this time.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_webhook_through_two_workers_to_the_write() {
    let collector = OtlpReceiver::start().await;
    let mut fleet = Fleet::start(Plan {
        collector: Some(collector.endpoint()),
        ..Plan::without_polls(0)
    })
    .await;
    fleet.first_sync().await;

    // The first worker asks the finance system, and has no answer for as long as it lives: so it has begun,
    // and cannot have written.
    let books = fleet.pair.books.base_url();
    let before = requests(&fleet.books).await;
    hold(&books, true).await;
    create(&fleet.pair.crm.base_url(), 1, "BE0123456789").await;
    let asks = within(PATIENCE, async || {
        (requests(&fleet.books).await > before).then_some(())
    });
    assert!(asks.await.is_some(), "no worker has the job");
    // It hands the job back, and another worker goes on with it.
    let code = fleet.workers[0].terminate(After::StayDown, END_MAX).await;
    assert_eq!(code, Some(0), "{}", fleet.workers[0].log());
    hold(&books, false).await;
    fleet.add(Role::Worker);

    let spans = collector
        .wait_for(|spans| write(spans).is_some_and(|write| root(spans, write).is_some()))
        .await;
    let write = write(&spans).expect("waited for");
    let webhook = root(&spans, write).expect("waited for");
    assert_eq!(write.service, "tandem-worker");
    assert_eq!(webhook.service, "tandem-api");
    assert_eq!(webhook.name, "POST /hooks/{connection}");
    assert_eq!(webhook.attributes["tandem.connection"], "crm");

    let of_trace = spans.iter().filter(|span| span.trace_id == write.trace_id);
    let processes: BTreeSet<&str> = of_trace
        .filter(|span| root(&spans, span) == Some(webhook))
        .map(|span| span.attributes["resource.service.instance.id"].as_str())
        .collect();
    assert_eq!(processes.len(), 3, "{processes:?} of {spans:#?}");
}

/// How many API requests have come to a system.
async fn requests(system: &System) -> u64 {
    system.state().await.counters.requests
}

/// Keeps the API requests to the system at this address waiting from now on, or lets all of them go on.
async fn hold(base_url: &str, held: bool) {
    let body = serde_json::json!({ "held": held }).to_string();
    assert_eq!(post(&format!("{base_url}/_sim/hold"), &body).await, 200);
}

/// The write to the finance system that was carried out.
fn write(spans: &[ReceivedSpan]) -> Option<&ReceivedSpan> {
    spans
        .iter()
        .find(|span| span.name == "create books contacts" && !span.failed)
}

/// Where the way up through the parents ends; `None` while a parent has not come yet.
fn root<'a>(spans: &'a [ReceivedSpan], span: &'a ReceivedSpan) -> Option<&'a ReceivedSpan> {
    let mut here = span;
    while !here.parent_span_id.is_empty() {
        here = spans.iter().find(|candidate| {
            candidate.trace_id == here.trace_id && candidate.span_id == here.parent_span_id
        })?;
    }
    Some(here)
}
