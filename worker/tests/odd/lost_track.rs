//! Systems that lose track of a record: for a moment, until somebody restores it, or for good.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{DeletePolicies, DeletePolicy, SyncPolicy};
use tandem_runtime::Archived;

use crate::world::system::Talents;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const TALENTS: Talents = Talents {
    external_reference: true,
    idempotent_create: false,
    answers_with_record: true,
    changed_since: true,
};

fn plain() -> (Talents, Oddities) {
    (TALENTS, Oddities::default())
}

fn policies() -> [SyncPolicy; 2] {
    let mut propagates = policy();
    propagates.deletes = DeletePolicies {
        a_gone: DeletePolicy::Propagate,
        b_gone: DeletePolicy::Propagate,
    };
    [policy(), propagates]
}

async fn one_pair(policy: SyncPolicy, a: (Talents, Oddities)) -> (World, RecordId, RecordId) {
    let world = World::odd(1, policy, a, plain(), Archived::Gone).await;
    let ann = [
        ("name", "Ann"),
        ("email", "ann@x.example"),
        ("city", "Ghent"),
    ];
    let a = world.a.user_creates(&ann);
    world.first_sync().await;
    let b = world.b.ids().remove(0);
    (world, a, b)
}

#[tokio::test]
async fn a_new_record_that_cannot_be_read_yet_is_not_taken_for_deleted() {
    for policy in policies() {
        let (world, _, _) = one_pair(policy, plain()).await;
        let bob = world
            .a
            .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
        world.a.hides(&bob, Duration::from_secs(3));
        world.hear(Side::A, &bob).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(5));
        world.sweep().await;
        assert_eq!(world.b.ids().len(), 2);
        world.judge(1).await;
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_no_other_and_arrives_when_it_can() {
    let (world, a, _) = one_pair(policy(), plain()).await;
    let bad = world
        .a
        .user_creates(&[("name", "Bad"), ("email", "bad@x.example")]);
    world.a.garbles(&bad);
    world.a.user_edits(&a, "city", "Lyon");
    world.sweep().await;
    let b = world.b.about("ann@x.example").remove(0);
    assert_eq!(world.b.texts(&b).expect("she is there")["city"], "Lyon");
    world.a.sets_right(&bad);
    world.sweep().await;
    world.judge(1).await;
}
