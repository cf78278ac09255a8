//! The same is entered on both sides at one moment, and neither system's search finds it by the key of the other: their
//! searches compare letter by letter, and their people type as they like.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::SyncPolicy;
use tandem_runtime::Archived;
use tandem_store::Conflict;

use super::pairs::PLAIN;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

/// So many orders in which two jobs may go on beside each other.
const ORDERS: u64 = 24;

fn by_name() -> SyncPolicy {
    SyncPolicy {
        match_keys: vec![vec!["name".into()]],
        ..policy()
    }
}

/// Two systems at work, and one customer on each, who is the same.
async fn entered(seed: u64) -> (World, RecordId, RecordId) {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(seed, by_name(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    world.clock.advance(Duration::from_secs(60));
    let a = world
        .a
        .user_creates(&[("name", "ACME"), ("email", "office@acme.example")]);
    let b = world
        .b
        .user_creates(&[("name", "Acme"), ("email", "sales@acme.example")]);
    (world, a, b)
}

/// Whether a question names them both.
fn names(question: &Conflict, records: [(Side, &RecordId); 2]) -> bool {
    records.iter().all(|(side, record)| {
        let mut shown = question.shown.iter();
        shown.any(|one| one.side == *side && one.id == **record)
    })
}

#[tokio::test]
async fn who_is_entered_on_both_sides_at_one_moment_is_linked_or_asked_about_whatever_the_searches_find()
 {
    let mut linked = 0;
    for seed in 0..ORDERS {
        let (world, a, b) = entered(seed).await;
        world.hear(Side::A, &a).await;
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        assert_eq!(world.dead().await, [], "{seed}");
        let open = world.open().await;
        if open.is_empty() {
            let link = world.link_of(Side::A, &a).await.expect("linked");
            assert_eq!(link.b.id, Some(b), "{seed}");
            assert_eq!([&world.a, &world.b].map(|it| it.ids().len()), [1, 1]);
            linked += 1;
        } else {
            let both = [(Side::A, &a), (Side::B, &b)];
            assert!(names(&open[0], both), "{seed}: {open:?}");
        }
    }
    assert!(linked > ORDERS / 2, "as a rule nobody has to ask: {linked}");
}

#[tokio::test]
async fn where_the_second_is_heard_of_too_late_for_that_a_person_is_asked_about_both() {
    let (world, a, b) = entered(1).await;
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.sweep().await;
    let open = world.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(names(&open[0], [(Side::A, &a), (Side::B, &b)]), "{open:?}");
    assert_eq!(world.a.ids(), [a]);
}
