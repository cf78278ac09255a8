//! The inbox as an operator sees it: listing, replaying, discarding, pruning.

use std::time::Duration;

use tandem_domain::{EventId, RecordId, Side};
use tandem_store::{
    DeliveryOutcome, EventFilter, EventState, JobKind, NewDelivery, NewEvent, StoreError,
};

use super::{Subject, claim, claimed, done, finish, job};
use crate::Make;

async fn record(
    store: &Subject,
    make: &Make,
    deliveries: Vec<NewDelivery>,
) -> Vec<DeliveryOutcome> {
    store
        .record_deliveries(deliveries, make.now())
        .await
        .expect("record_deliveries")
}

async fn record_one(store: &Subject, make: &Make, event: NewEvent) -> DeliveryOutcome {
    record(store, make, vec![make.delivery(vec![event])])
        .await
        .remove(0)
}

async fn state_of(store: &Subject, id: EventId) -> EventState {
    store
        .event(id)
        .await
        .expect("event")
        .expect("the event is there")
        .state
}

/// Events are listed newest first by page.
pub async fn events_are_listed_newest_first_by_page(store: Subject) {
    let make = Make::default();
    let mut ids = Vec::new();
    for number in 0..5 {
        let event = make.event(&format!("k{number}"), "a1");
        ids.push(event.id);
        record_one(&store, &make, event).await;
    }
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let filter = EventFilter {
            before,
            limit: 2,
            ..EventFilter::default()
        };
        let page = store.events(&filter).await.expect("events");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        assert!(page.iter().all(|event| event.body.is_none()));
        listed.extend(page.into_iter().map(|event| event.id));
    }
    ids.reverse();
    assert_eq!(listed, ids);
}

/// Events are filtered by connection, state and record.
pub async fn events_are_filtered_by_connection_state_and_record(store: Subject) {
    let make = Make::default();
    let good = make.event("k1", "a1");
    let bad = make.unreadable_event("k2");
    let other = make.event("k3", "a2");
    for event in [good.clone(), bad.clone(), other.clone()] {
        record_one(&store, &make, event).await;
    }
    let list = async |filter: EventFilter| -> Vec<EventId> {
        let filter = EventFilter {
            limit: 10,
            ..filter
        };
        let events = store.events(&filter).await.expect("events");
        events.into_iter().map(|event| event.id).collect()
    };
    let quarantined = EventFilter {
        state: Some(EventState::Quarantined),
        ..EventFilter::default()
    };
    assert_eq!(list(quarantined).await, vec![bad.id]);
    let accepted = EventFilter {
        state: Some(EventState::Accepted),
        ..EventFilter::default()
    };
    assert_eq!(list(accepted).await, vec![other.id, good.id]);
    let of_record = EventFilter {
        record: Some(RecordId::new("a1")),
        ..EventFilter::default()
    };
    assert_eq!(list(of_record).await, vec![good.id]);
    let of_crm = EventFilter {
        connection: Some(Make::crm()),
        ..EventFilter::default()
    };
    assert_eq!(list(of_crm).await.len(), 3);
    let books = EventFilter {
        connection: "books".parse().ok(),
        ..EventFilter::default()
    };
    assert_eq!(list(books).await.len(), 0);
}

/// A quarantined event is replayed after a fix.
pub async fn a_quarantined_event_is_replayed_after_a_fix(store: Subject) {
    let make = Make::default();
    let bad = make.unreadable_event("k1");
    record_one(&store, &make, bad.clone()).await;
    let fixed = NewEvent {
        id: bad.id,
        ..make.event("k1", "a1")
    };
    let jobs = store
        .replay_event(fixed.clone(), make.now())
        .await
        .expect("replay");
    assert_eq!(jobs, vec![fixed.targets[0].job]);
    let stored = store
        .event(bad.id)
        .await
        .expect("event")
        .expect("it is there");
    assert_eq!(stored.state, EventState::Accepted);
    assert_eq!(stored.problem, None);
    assert_eq!(stored.record, Some(RecordId::new("a1")));
    assert_eq!(stored.jobs, jobs);
    let kind = JobKind::Reconcile {
        sync: Make::customers(),
        side: Side::A,
        record: RecordId::new("a1"),
    };
    assert_eq!(job(&store, jobs[0]).await.kind, kind);
}

/// An accepted event is replayed and keeps its earlier jobs.
pub async fn an_accepted_event_is_replayed_and_keeps_its_earlier_jobs(store: Subject) {
    let make = Make::default();
    let event = make.event("k1", "a1");
    let first = record_one(&store, &make, event.clone()).await.jobs[0];
    let running = claim(&store, &make, 1).await;
    finish(&store, &make, &running[0], done("echo")).await;
    let again = NewEvent {
        targets: vec![make.target(Make::customers())],
        ..event.clone()
    };
    let jobs = store.replay_event(again, make.now()).await.expect("replay");
    let stored = store
        .event(event.id)
        .await
        .expect("event")
        .expect("it is there");
    assert_eq!(stored.jobs, vec![first, jobs[0]]);
}

/// Replaying an unknown event is refused.
pub async fn replaying_an_unknown_event_is_refused(store: Subject) {
    let make = Make::default();
    let refused = store.replay_event(make.event("k1", "a1"), make.now()).await;
    assert!(matches!(
        refused,
        Err(StoreError::NotFound { what: "event", .. })
    ));
    assert_eq!(claim(&store, &make, 1).await.len(), 0);
}

/// Only quarantined events are discarded, and the reason is kept.
pub async fn only_quarantined_events_are_discarded(store: Subject) {
    let make = Make::default();
    let (good, bad) = (make.event("k1", "a1"), make.unreadable_event("k2"));
    record_one(&store, &make, good.clone()).await;
    record_one(&store, &make, bad.clone()).await;
    let count = store
        .discard_events(&[good.id, bad.id], Some("a test call"), make.now())
        .await
        .expect("discard");
    assert_eq!(count, 1);
    assert_eq!(state_of(&store, good.id).await, EventState::Accepted);
    assert_eq!(state_of(&store, bad.id).await, EventState::Discarded);
    for (id, because) in [(good.id, None), (bad.id, Some("a test call"))] {
        let kept = store.event(id).await.expect("event").expect("it is there");
        assert_eq!(kept.discarded_because.as_deref(), because);
    }
}

/// Pruning keeps what is quarantined, waiting, running or young.
pub async fn pruning_keeps_what_is_quarantined_waiting_running_or_young(store: Subject) {
    let make = Make::default();
    let old_and_done = make.event("k1", "a1");
    record_one(&store, &make, old_and_done.clone()).await;
    let running = claim(&store, &make, 1).await;
    finish(&store, &make, &running[0], done("echo")).await;
    let kept_running = make.event("k2", "a2");
    record_one(&store, &make, kept_running.clone()).await;
    claim(&store, &make, 1).await;
    let kept_waiting = make.event("k3", "a3");
    let kept_quarantined = make.unreadable_event("k4");
    record_one(&store, &make, kept_waiting.clone()).await;
    record_one(&store, &make, kept_quarantined.clone()).await;
    make.clock.advance(Duration::from_secs(100));
    let young = NewEvent {
        targets: Vec::new(),
        ..make.event("k5", "a5")
    };
    record_one(&store, &make, young.clone()).await;
    let pruned = store.prune_events(make.now(), 10).await.expect("prune");
    assert_eq!(pruned, 1);
    assert!(store.event(old_and_done.id).await.expect("event").is_none());
    for kept in [kept_running, kept_waiting, kept_quarantined, young] {
        assert!(
            store.event(kept.id).await.expect("event").is_some(),
            "{}",
            kept.dedupe_key
        );
    }
}

/// Pruning removes at most the limit.
pub async fn pruning_removes_at_most_the_limit(store: Subject) {
    let make = Make::default();
    for number in 0..3 {
        let event = NewEvent {
            targets: Vec::new(),
            ..make.event(&format!("k{number}"), "a1")
        };
        record_one(&store, &make, event).await;
    }
    let one_waits = claimed(&store, &make, "other").await;
    assert!(finish(&store, &make, &one_waits, done("echo")).await);
    let before = make.after(1);
    assert_eq!(store.prune_events(before, 2).await.expect("prune"), 2);
    assert_eq!(store.prune_events(before, 2).await.expect("prune"), 1);
}
