//! People who edit at exact moments of Tandem's own work.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{DeletePolicies, DeletePolicy, SyncPolicy};

use super::pairs::{TALENTS, just_linked};
use crate::world::system::FakeSystem;
use crate::world::system::faults::Moment;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

/// A world with one pair, of systems that compare versions or do not.
async fn one_pair(policy: SyncPolicy, compares_versions: bool) -> (World, RecordId, RecordId) {
    let kind = || {
        let oddities = Oddities {
            compares_versions,
            ..Oddities::default()
        };
        (TALENTS, oddities)
    };
    just_linked(policy, kind(), kind()).await
}

fn edits(
    id: &RecordId,
    field: &'static str,
    text: &'static str,
) -> impl FnOnce(&FakeSystem) + Send + 'static {
    let id = id.clone();
    move |system| system.user_edits(&id, field, text)
}

#[tokio::test]
async fn an_edit_before_the_target_is_read_is_a_contest_and_the_later_edit_wins() {
    let (world, a, b) = one_pair(policy(), false).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.clock.advance(Duration::from_secs(1));
    world
        .b
        .once(Moment::BeforeRead, &b, edits(&b, "city", "Turin"));
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.a.contents()[0]["city"], "Turin");
    world.judge(1).await;
}

#[tokio::test]
async fn where_versions_are_compared_an_edit_between_reading_and_writing_is_kept() {
    for moment in [Moment::AfterRead, Moment::BeforeWrite] {
        let (world, a, b) = one_pair(policy(), true).await;
        world.a.user_edits(&a, "city", "Lyon");
        world.clock.advance(Duration::from_secs(1));
        world.b.once(moment, &b, edits(&b, "city", "Turin"));
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(world.a.contents()[0]["city"], "Turin", "{moment:?}");
        world.judge(1).await;
    }
}

#[tokio::test]
async fn an_edit_after_the_write_is_an_edit_and_arrives() {
    let (world, a, b) = one_pair(policy(), false).await;
    world.a.user_edits(&a, "city", "Lyon");
    world
        .b
        .once(Moment::AfterWrite, &b, edits(&b, "city", "Turin"));
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(world.a.contents()[0]["city"], "Turin");
    world.judge(1).await;
}

#[tokio::test]
async fn where_versions_are_compared_a_record_that_is_edited_at_the_last_moment_is_not_deleted() {
    let mut policy = policy();
    policy.deletes = DeletePolicies {
        a_gone: DeletePolicy::Propagate,
        b_gone: DeletePolicy::Propagate,
    };
    let (world, a, b) = one_pair(policy, true).await;
    world.a.user_deletes(&a);
    world
        .b
        .once(Moment::BeforeWrite, &b, edits(&b, "city", "Turin"));
    world.sweep().await;
    world.clock.advance(Duration::from_secs(3_600));
    world.sweep().await;
    assert_eq!(world.b.ids(), [b]);
    assert_eq!(
        world.a.contents()[0]["city"],
        "Turin",
        "an edit beats a delete"
    );
}

#[tokio::test]
async fn our_own_write_to_another_field_does_not_make_that_side_the_later_one() {
    let (world, a, b) = one_pair(policy(), false).await;
    world.a.user_edits(&a, "name", "Anna");
    // While the name is on its way, both cities are edited, first on b and then on a. Then the name lands on b.
    let (of_a, a_id, b_id) = (Arc::clone(&world.a), a.clone(), b.clone());
    let clock = Arc::clone(&world.clock);
    world.b.once(Moment::BeforeWrite, &b, move |system| {
        system.user_edits(&b_id, "city", "Turin");
        clock.advance(Duration::from_secs(1));
        of_a.user_edits(&a_id, "city", "Lyon");
        clock.advance(Duration::from_secs(1));
    });
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.sweep().await;
    assert_eq!(world.a.contents()[0]["city"], "Lyon");
    world.judge(1).await;
}
