//! Webhooks to several api processes.

use std::time::Duration;

use futures::future::join_all;
use tandem_connectors::webhook::{Outgoing, Scheme, SchemeOptions, Secret, Verifier};

use crate::common::http::{ANSWER_MAX, client, within};
use crate::common::pair::{BOOKS_HOOK_SECRET, Pair, hook};
use crate::edits::create;
use crate::fleet::{Fleet, Plan};
use crate::member::After;

/// Both sides agree within this time.
const AGREE_MAX: Duration = Duration::from_secs(60);
const COPIES: usize = 100;
/// The scheme signs no time.
const ANY_TIME_SECS: i64 = 0;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_webhooks_to_two_processes_are_one_event_and_one_job() {
    let fleet = Fleet::start(Plan {
        apis: 2,
        // So that the one job stays, and what it does causes no further events.
        workers: 0,
        ..Plan::without_polls(5)
    })
    .await;
    let record = &fleet.initial.books.records[0].id;
    let body = serde_json::json!({
        "events": [{
            "resourceUrl": format!("{}/api.xro/2.0/Contacts/{record}", fleet.pair.books.base_url()),
            "resourceId": record, "eventDateUtc": "2026-03-01T10:00:00.000", "eventType": "UPDATE",
            "eventCategory": "CONTACT", "tenantId": "any", "tenantType": "ORGANISATION",
        }],
        "firstEventSequence": 1, "lastEventSequence": 1, "entropy": "S0M3",
    })
    .to_string();

    let sent = (0..COPIES).map(|copy| {
        let api = &fleet.apis[copy % fleet.apis.len()];
        send(hook(api.base_url(), "books"), &body)
    });
    assert_eq!(join_all(sent).await, [200; COPIES]);
    assert_eq!(fleet.database.events().await, 1);
    assert_eq!(fleet.database.reconcile_jobs().await, 1);
    let status = fleet.status().await.expect("the API answers");
    assert_eq!(status["queue"]["available"], 1, "{status:#}");
    assert_eq!(status["duplicate_events"], COPIES - 1, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_crosses_over_while_one_of_two_processes_is_down() {
    let fleet = Fleet::start(Plan {
        apis: 2,
        ..Plan::small(10)
    })
    .await;
    fleet.must_agree(AGREE_MAX).await;
    fleet.apis[0].kill(After::StayDown).await;
    for number in 1..=4 {
        create(&fleet.pair.crm.base_url(), number, "BE0123").await;
    }
    fleet.must_agree(AGREE_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_dated_by_the_clock_that_the_workers_have_measured() {
    let mut pair = Pair::new(5, 1);
    pair.books.skew_secs = -95;
    let fleet = Fleet::start(Plan {
        pair,
        ..Plan::without_polls(5)
    })
    .await;
    // The process that takes the webhooks asks the systems nothing; it reads now and then what is known.
    let mut number = 0;
    let dated = within(AGREE_MAX, async || {
        number += 1;
        create(&fleet.pair.books.base_url(), number, "BE0123").await;
        let late = fleet.database.newest_event_late_by("books").await?;
        (late.abs() < 10.0).then_some(())
    });
    assert!(dated.await.is_some(), "events are 95 s too early");
}

/// As the finance system signs; gives the status of the answer.
async fn send(url: String, body: &str) -> u16 {
    let scheme: Scheme = "xero".parse().expect("a known scheme");
    let verifier = Verifier::new(scheme, &SchemeOptions::default()).expect("it needs no options");
    let outgoing = Outgoing {
        method: "POST",
        url: &url,
        id: None,
        body: body.as_bytes(),
    };
    let secret = Secret::new(BOOKS_HOOK_SECRET);
    let signed = verifier.sign(&outgoing, &secret, ANY_TIME_SECS);
    let signed = signed.expect("it can be signed");
    let mut request = client().post(signed.url).timeout(ANSWER_MAX);
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    let answer = request.body(body.to_owned()).send().await;
    answer.expect("it is answered").status().as_u16()
}
