use std::sync::Arc;

use tandem_domain::{EventId, RecordId};
use tandem_operator::{EventQuery, OperatorError};
use tandem_store::{EventState, NewDelivery, NewEvent};

use crate::support::{World, world};

/// Stores a body as one quarantined event under this key.
async fn quarantined(world: &World, key: &str, body: &[u8]) -> EventId {
    let event = world.make.unreadable_event(key);
    store(world, event, body).await
}

async fn store(world: &World, event: NewEvent, body: &[u8]) -> EventId {
    let id = event.id;
    let delivery = NewDelivery {
        body: Arc::from(body),
        ..world.make.delivery(vec![event])
    };
    world
        .store
        .record_deliveries(vec![delivery], world.make.now())
        .await
        .expect("it is stored");
    id
}

#[tokio::test]
async fn a_quarantined_event_is_read_again_and_put_to_work() {
    let world = world().await;
    world.add_hook();
    let id = quarantined(&world, "k1", b"k1 7").await;
    let jobs = world
        .operator
        .replay_event(id)
        .await
        .expect("it is understood now");
    assert_eq!(world.bell.rung(), jobs);
    let event = world.operator.event(id).await.expect("it is there").event;
    assert_eq!(event.state, EventState::Accepted);
    assert_eq!(event.record, Some(RecordId::new("7")));
}

#[tokio::test]
async fn a_body_that_could_not_be_taken_apart_becomes_the_events_in_it() {
    let world = world().await;
    world.add_hook();
    let id = quarantined(&world, "body:0", b"k1 7\nk2 8").await;
    let jobs = world
        .operator
        .replay_event(id)
        .await
        .expect("it is understood now");
    assert_eq!(jobs.len(), 2);
    let events = world
        .operator
        .events(EventQuery::default())
        .await
        .expect("it lists")
        .items;
    let accepted = events
        .iter()
        .filter(|event| event.state == EventState::Accepted)
        .count();
    assert_eq!(accepted, 2);
    let whole = world.operator.event(id).await.expect("it is there").event;
    assert_eq!(whole.state, EventState::Discarded);
}

#[tokio::test]
async fn what_still_cannot_be_understood_stays_as_it_was() {
    let world = world().await;
    world.add_hook();
    let id = quarantined(&world, "k1", b"k1").await;
    let refused = world
        .operator
        .replay_event(id)
        .await
        .expect_err("it has no record");
    assert!(refused.to_string().contains("no record"), "{refused}");
    let event = world.operator.event(id).await.expect("it is there").event;
    assert_eq!(event.state, EventState::Quarantined);
}

#[tokio::test]
async fn without_a_hook_nothing_can_be_read_again() {
    let world = world().await;
    let id = quarantined(&world, "k1", b"k1 7").await;
    let refused = world.operator.replay_event(id).await;
    assert!(matches!(refused, Err(OperatorError::NotNow { .. })));
}

#[tokio::test]
async fn an_event_is_shown_with_its_raw_body() {
    let world = world().await;
    let id = quarantined(&world, "k1", b"\xff\x00").await;
    let detail = world.operator.event(id).await.expect("it is there");
    assert_eq!(detail.body_base64, "/wA=");
    assert_eq!(detail.body_text, None);
    let text = quarantined(&world, "k2", b"{}").await;
    let detail = world.operator.event(text).await.expect("it is there");
    assert_eq!(detail.body_text.as_deref(), Some("{}"));
}
