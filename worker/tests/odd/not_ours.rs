//! What looks like the effect of a create of ours and is not; and what is created too early.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{ConflictPolicy, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{ChangeFilter, Operation};

use super::pairs::{ANN, PLAIN, TALENTS, text};
use crate::world::system::oddities::Oddities;
use crate::world::system::{Fault, Talents};
use crate::world::{World, policy};

/// A create is lost on the way, and meanwhile somebody makes the same company on the other side.
async fn made_by_a_person(b: Talents) -> (World, RecordId, RecordId) {
    let policy = SyncPolicy {
        conflict: ConflictPolicy::PreferA,
        ..policy()
    };
    let ends = ((TALENTS, Oddities::default()), (b, Oddities::default()));
    let world = World::odd(1, policy, ends.0, ends.1, Archived::Gone).await;
    world.first_sync().await;
    let here = world.a.user_creates(&ANN);
    world.b.go_wrong(&[Fault::LostRequest]);
    world.hear(Side::A, &here).await;
    world.turn().await;
    let there = world.b.user_creates(&[
        ("name", "Ann Peeters"),
        ("email", "ann@x.example"),
        ("city", "Bruges"),
        ("note", "typed in b"),
    ]);
    world.hear(Side::B, &there).await;
    world.rest().await;
    world.sweep().await;
    world.rest().await;
    (world, here, there)
}

async fn is_matched_by_policy(b: Talents) {
    let (world, here, there) = made_by_a_person(b).await;
    assert_eq!(world.b.ids(), std::slice::from_ref(&there), "no second one");
    let link = world.link_of(Side::A, &here).await.expect("linked");
    assert_eq!(link.b.id, Some(there.clone()));
    for (side, id) in [(Side::A, &here), (Side::B, &there)] {
        assert_eq!(
            text(&world, side, id, "city"),
            "Ghent",
            "side a is preferred"
        );
        assert_eq!(text(&world, side, id, "note"), "typed in b");
    }
    assert_eq!(world.open().await, []);
    let filter = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await.expect("changes");
    assert!(
        changes
            .iter()
            .all(|change| change.operation != Operation::Create),
        "it was not made by us: {changes:?}"
    );
}

#[tokio::test]
async fn a_record_that_a_person_made_while_a_create_was_lost_is_matched_like_any() {
    is_matched_by_policy(TALENTS).await;
}

#[tokio::test]
async fn so_it_is_in_a_system_that_keeps_no_reference() {
    is_matched_by_policy(PLAIN).await;
}

#[tokio::test]
async fn a_record_without_any_value_is_not_created_until_it_has_some() {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let there = world.b.user_creates(&[]);
    world.hear(Side::B, &there).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    world.sweep().await;
    assert_eq!(world.a.ids(), []);
    assert_eq!(world.dead().await, []);
    world.b.user_edits(&there, "name", "Newco");
    world.b.user_edits(&there, "email", "new@co.example");
    world.hear(Side::B, &there).await;
    world.rest().await;
    assert_eq!(world.a.about("new@co.example").len(), 1);
}
