//! The inbox.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{ConnectionName, EventId, RecordId, Side, StreamName, Timestamp};
use tandem_store::{DeliveryOutcome, EventState, JobState, JobTarget, Lane, NewDelivery, NewEvent};

use super::{Subject, claim, done, finish, job};
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

/// A delivery stores its events and their jobs.
pub async fn a_delivery_stores_its_events_and_their_jobs(store: Subject) {
    let make = Make::default();
    let stream: StreamName = "contacts".parse().expect("a name");
    let event = NewEvent {
        stream: Some(stream.clone()),
        occurred_at: Some(Timestamp::from_secs(5)),
        clock_offset: -2_000_000,
        ..make.event("k1", "a1")
    };
    let expected_job = event.targets[0].job;
    let delivery = NewDelivery {
        traceparent: Some("00-trace".to_owned()),
        ..make.delivery(vec![event.clone()])
    };
    let outcome = record(&store, &make, vec![delivery.clone()])
        .await
        .remove(0);
    assert_eq!(
        outcome,
        DeliveryOutcome {
            new_events: 1,
            duplicates: 0,
            quarantined: 0,
            jobs: vec![expected_job],
            coalesced: 0,
        }
    );
    let stored = store
        .event(event.id)
        .await
        .expect("event")
        .expect("it is there");
    assert_eq!(stored.delivery, delivery.id);
    assert_eq!(stored.connection, Make::crm());
    assert_eq!(stored.dedupe_key, "k1");
    assert_eq!(stored.stream, Some(stream));
    assert_eq!(stored.record, Some(RecordId::new("a1")));
    assert_eq!(stored.occurred_at, Some(Timestamp::from_secs(5)));
    assert_eq!(stored.said_at(), Some(Timestamp::from_secs(3)));
    assert_eq!(stored.received_at, make.now());
    assert_eq!(stored.state, EventState::Accepted);
    assert_eq!(stored.jobs, vec![expected_job]);
    assert_eq!(stored.headers, delivery.headers);
    let job = job(&store, expected_job).await;
    assert_eq!(job.kind, Make::reconcile(Side::A, "a1"));
    assert_eq!(job.traceparent.as_deref(), Some("00-trace"));
    assert_eq!(job.state, JobState::Available);
}

/// A delivery whose events come in parts is one delivery.
pub async fn a_delivery_whose_events_come_in_parts_is_one_delivery(store: Subject) {
    let make = Make::default();
    let first = make.delivery(vec![make.event("k1", "a1")]);
    let second = NewDelivery {
        events: vec![make.event("k1", "a1"), make.event("k2", "a2")],
        ..first.clone_without_events()
    };
    let outcome = record(&store, &make, vec![first.clone()]).await.remove(0);
    assert_eq!((outcome.new_events, outcome.duplicates), (1, 0));
    let outcome = record(&store, &make, vec![second.clone()]).await.remove(0);
    assert_eq!((outcome.new_events, outcome.duplicates), (1, 1));
    for id in [first.events[0].id, second.events[1].id] {
        let stored = store.event(id).await.expect("event").expect("it is there");
        assert_eq!(stored.delivery, first.id);
        assert_eq!(stored.body.as_deref(), Some(&*first.body));
    }
}

/// A duplicate within a call causes nothing.
pub async fn a_duplicate_within_a_call_causes_nothing(store: Subject) {
    let make = Make::default();
    let both = make.delivery(vec![make.event("k", "a1"), make.event("k", "a1")]);
    let again = make.delivery(vec![make.event("k", "a1")]);
    let outcomes = record(&store, &make, vec![both, again.clone()]).await;
    assert_eq!((outcomes[0].new_events, outcomes[0].duplicates), (1, 1));
    assert_eq!((outcomes[1].new_events, outcomes[1].duplicates), (0, 1));
    assert!(outcomes[1].jobs.is_empty());
    assert_eq!(claim(&store, &make, 9).await.len(), 1);
    assert!(
        store
            .event(again.events[0].id)
            .await
            .expect("event")
            .is_none()
    );
}

/// A key that does not tell two events apart loses no change: one that names another record, or comes in another body
/// than the one that is stored, has its record looked at again.
pub async fn an_event_of_a_known_key_that_may_say_something_else_has_its_record_looked_at_again(
    store: Subject,
) {
    let make = Make::default();
    let both = make.delivery(vec![make.event("k", "a1"), make.event("k", "a2")]);
    let outcome = record(&store, &make, vec![both]).await.remove(0);
    assert_eq!((outcome.new_events, outcome.duplicates), (1, 1));
    let running = claim(&store, &make, 9).await;
    assert_eq!(running.len(), 2, "another record in the same body");
    for job in &running {
        finish(&store, &make, job, done("looked at")).await;
    }
    let event = make.event("k", "a1");
    let (id, job_id) = (event.id, event.targets[0].job);
    let other = NewDelivery {
        body: Arc::from(&b"{\"id\":2}"[..]),
        traceparent: Some("00-trace".to_owned()),
        ..make.delivery(vec![event])
    };
    let same = make.delivery(vec![make.event("k", "a1")]);
    let outcomes = record(&store, &make, vec![same, other]).await;
    assert_eq!((outcomes[0].duplicates, outcomes[0].jobs.len()), (1, 0));
    assert_eq!((outcomes[1].new_events, outcomes[1].duplicates), (0, 1));
    assert_eq!(outcomes[1].jobs, [job_id]);
    assert_eq!(
        job(&store, job_id).await.kind,
        Make::reconcile(Side::A, "a1")
    );
    assert!(
        store.event(id).await.expect("event").is_none(),
        "it is told once"
    );
    assert_eq!(claim(&store, &make, 9).await.len(), 1);
    assert_eq!(store.duplicate_events().await.expect("count"), 3);
}

/// A duplicate of an earlier call causes nothing.
pub async fn a_duplicate_of_an_earlier_call_causes_nothing(store: Subject) {
    let make = Make::default();
    record_one(&store, &make, make.event("k", "a1")).await;
    let running = claim(&store, &make, 9).await;
    finish(&store, &make, &running[0], done("echo")).await;
    let outcome = record_one(&store, &make, make.event("k", "a1")).await;
    assert_eq!((outcome.new_events, outcome.duplicates), (0, 1));
    assert_eq!(claim(&store, &make, 9).await.len(), 0);
    assert_eq!(store.duplicate_events().await.expect("count"), 1);
}

/// The same key from another connection is no duplicate.
pub async fn the_same_key_from_another_connection_is_no_duplicate(store: Subject) {
    let make = Make::default();
    record_one(&store, &make, make.event("k", "a1")).await;
    let books: ConnectionName = "books".parse().expect("a name");
    let other = NewDelivery {
        connection: books,
        ..make.delivery(vec![make.event("k", "a1")])
    };
    assert_eq!(record(&store, &make, vec![other]).await[0].new_events, 1);
}

/// The outcomes are in the order of the deliveries.
pub async fn the_outcomes_are_in_the_order_of_the_deliveries(store: Subject) {
    let make = Make::default();
    let deliveries: Vec<NewDelivery> = (0..5)
        .map(|number| {
            make.delivery(vec![
                make.event(&format!("k{number}"), &format!("a{number}")),
            ])
        })
        .collect();
    let jobs: Vec<_> = deliveries
        .iter()
        .map(|delivery| vec![delivery.events[0].targets[0].job])
        .collect();
    let outcomes = record(&store, &make, deliveries).await;
    let answered: Vec<_> = outcomes.into_iter().map(|outcome| outcome.jobs).collect();
    assert_eq!(answered, jobs);
}

/// Events of one record coalesce into one job.
pub async fn events_of_one_record_coalesce_into_one_job(store: Subject) {
    let make = Make::default();
    let first = record_one(&store, &make, make.event("k1", "a1")).await;
    let delivery = make.delivery(vec![make.event("k2", "a1"), make.event("k3", "a1")]);
    let second = record(&store, &make, vec![delivery]).await.remove(0);
    assert_eq!(second.jobs, vec![first.jobs[0]; 2]);
    assert_eq!((first.coalesced, second.coalesced), (0, 2));
    let waiting = job(&store, first.jobs[0]).await;
    assert_eq!(waiting.merged, 2);
    assert_eq!(claim(&store, &make, 9).await.len(), 1);
}

/// An event that cannot be understood is quarantined and causes no job.
pub async fn an_event_that_cannot_be_understood_is_quarantined_and_causes_no_job(store: Subject) {
    let make = Make::default();
    let event = NewEvent {
        targets: vec![make.target(Make::customers())],
        ..make.unreadable_event("k1")
    };
    let outcome = record_one(&store, &make, event.clone()).await;
    assert_eq!((outcome.new_events, outcome.quarantined), (1, 1));
    assert!(outcome.jobs.is_empty());
    let stored = store
        .event(event.id)
        .await
        .expect("event")
        .expect("it is there");
    assert_eq!(stored.state, EventState::Quarantined);
    assert_eq!(stored.problem.as_deref(), Some("it is not JSON"));
    assert_eq!(claim(&store, &make, 9).await.len(), 0);
}

/// An event without a target is ignored.
pub async fn an_event_without_a_target_is_ignored(store: Subject) {
    let make = Make::default();
    let event = NewEvent {
        targets: Vec::new(),
        ..make.event("k1", "a1")
    };
    let outcome = record_one(&store, &make, event.clone()).await;
    assert_eq!(outcome.new_events, 1);
    assert!(outcome.jobs.is_empty());
    assert_eq!(state_of(&store, event.id).await, EventState::Ignored);
}

/// The raw body comes back byte by byte.
pub async fn the_raw_body_comes_back_byte_by_byte(store: Subject) {
    let make = Make::default();
    let bodies: [&[u8]; 3] = [b"\x00\xff\xfe{\"a\":1}", "été".as_bytes(), b"third"];
    let deliveries: Vec<NewDelivery> = bodies
        .iter()
        .enumerate()
        .map(|(number, body)| NewDelivery {
            body: Arc::from(*body),
            ..make.delivery(vec![make.event(&format!("k{number}"), "a1")])
        })
        .collect();
    let ids: Vec<EventId> = deliveries.iter().map(|one| one.events[0].id).collect();
    record(&store, &make, deliveries).await;
    for (id, body) in ids.into_iter().zip(bodies) {
        let event = store.event(id).await.expect("event").expect("it is there");
        assert_eq!(event.body.as_deref(), Some(body));
    }
}

/// An empty body and a large one come back.
pub async fn an_empty_body_and_a_large_one_come_back(store: Subject) {
    const LARGE_BYTES: usize = 5 * 1024 * 1024;
    let make = Make::default();
    let sizes = [0, LARGE_BYTES, 0, LARGE_BYTES];
    let deliveries: Vec<NewDelivery> = sizes
        .iter()
        .enumerate()
        .map(|(number, size)| NewDelivery {
            body: Arc::from(vec![7u8; *size]),
            ..make.delivery(vec![make.event(&format!("k{number}"), "a1")])
        })
        .collect();
    let ids: Vec<EventId> = deliveries.iter().map(|one| one.events[0].id).collect();
    record(&store, &make, deliveries).await;
    for (id, size) in ids.into_iter().zip(sizes) {
        let event = store.event(id).await.expect("event").expect("it is there");
        assert_eq!(event.body.map(|body| body.len()), Some(size));
    }
    let empty = make.delivery(vec![make.event("alone", "a1")]);
    let id = empty.events[0].id;
    let empty = NewDelivery {
        body: Arc::from(Vec::new()),
        ..empty
    };
    record(&store, &make, vec![empty]).await;
    let event = store.event(id).await.expect("event").expect("it is there");
    assert_eq!(event.body, Some(Vec::new()));
}

/// A quiet period defers the job.
pub async fn a_quiet_period_defers_the_job(store: Subject) {
    let make = Make::default();
    let target = JobTarget {
        run_at: make.after(30),
        ..make.target(Make::customers())
    };
    let event = NewEvent {
        targets: vec![target],
        ..make.event("k1", "a1")
    };
    record_one(&store, &make, event).await;
    assert_eq!(claim(&store, &make, 9).await.len(), 0);
    make.clock.advance(Duration::from_secs(30));
    assert_eq!(claim(&store, &make, 9).await.len(), 1);
}

/// The time of the edit becomes a hint of its side.
pub async fn the_time_of_the_edit_becomes_a_hint_of_its_side(store: Subject) {
    let make = Make::default();
    let at = |key: &str, secs| NewEvent {
        occurred_at: Some(Timestamp::from_secs(secs)),
        ..make.event(key, "a1")
    };
    let later = record_one(&store, &make, at("k1", 20)).await;
    record_one(&store, &make, at("k2", 10)).await;
    let waiting = job(&store, later.jobs[0]).await;
    assert_eq!(waiting.hints.edited_a, Some(Timestamp::from_secs(20)));
    assert_eq!(waiting.hints.edited_b, None);
}

/// An event of a linked record waits in the lane of the link.
pub async fn an_event_of_a_linked_record_waits_in_the_lane_of_the_link(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let outcome = record_one(&store, &make, make.event("k1", "a1")).await;
    assert_eq!(
        job(&store, outcome.jobs[0]).await.lane,
        Lane::of_link(link.id)
    );
}
