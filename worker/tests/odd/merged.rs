//! Records that were merged into others, with which their system answers from then on.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Value};
use tandem_engine::{Filter, SyncPolicy};
use tandem_store::{ConflictKind, Resolution};

use super::pairs::{ANN, TALENTS, just_linked, propagates};
use crate::world::system::Fault;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

async fn one_pair(policy: SyncPolicy) -> (World, RecordId, RecordId) {
    let plain = (TALENTS, Oddities::default());
    just_linked(policy, plain.clone(), plain).await
}

/// Three pairs beside that of the winner, whose records of side a are merged into it.
pub(super) async fn three_merged() -> (World, Vec<RecordId>) {
    let (world, winner, _) = one_pair(propagates()).await;
    let mut merged = Vec::new();
    for (name, email) in [
        ("Bo", "bo@x.example"),
        ("Cy", "cy@x.example"),
        ("Di", "di@x.example"),
    ] {
        let id = world
            .a
            .user_creates(&[("name", name), ("email", email), ("city", "Lyon")]);
        world.hear(Side::A, &id).await;
        world.rest().await;
        merged.push(id);
    }
    world.clock.advance(Duration::from_secs(3_600));
    for id in &merged {
        world.a.user_merges(id, &winner);
        world.hear(Side::A, id).await;
        world.rest().await;
    }
    (world, merged)
}

#[tokio::test]
async fn a_create_without_an_answer_is_not_sent_again_for_a_record_that_was_merged_into_another() {
    let (world, winner, _) = one_pair(policy()).await;
    let bert = [("name", "Bert"), ("email", "bert@x.example")];
    let loser = world.a.user_creates(&bert);
    world.b.go_wrong(&[Fault::LostRequest]);
    world.hear(Side::A, &loser).await;
    while world.b.is_to_go_wrong() {
        world.turn().await;
    }
    world.a.user_merges(&loser, &winner);
    world.rest().await;
    assert_eq!(world.b.ids().len(), 1, "nothing is made for it");
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_pair_does_not_rest_because_its_record_was_merged_into_one_that_the_filters_leave_out() {
    let filter = Filter {
        side: Side::A,
        field: "city".into(),
        any_of: vec![Value::Text("Ghent".to_owned())],
    };
    let filtered = SyncPolicy {
        filters: vec![filter],
        ..policy()
    };
    let (world, a, _) = one_pair(filtered).await;
    let out = world
        .a
        .user_creates(&[("name", "Bo"), ("email", "bo@x.example"), ("city", "Lyon")]);
    world.a.user_merges(&a, &out);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let asked = world.open().await;
    let [asked] = &*asked else {
        panic!("a person is asked: {asked:?}");
    };
    assert!(
        matches!(asked.kind, ConflictKind::Replaced { .. }),
        "{asked:?}"
    );
    assert_eq!(asked.record, a);
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.a.memory.filtered, None, "the reason of another record");
}

#[tokio::test]
async fn three_merges_do_not_say_that_a_system_was_set_back() {
    let (world, merged) = three_merged().await;
    let asked = world.open().await;
    let singly = |one: &&tandem_store::Conflict| matches!(one.kind, ConflictKind::Replaced { .. });
    assert_eq!(
        asked.iter().filter(singly).count(),
        merged.len(),
        "{asked:?}"
    );
    assert_eq!(asked.len(), merged.len(), "{asked:?}");
    // Nor is a delete doubted because of them, or a create held.
    let fay = world
        .a
        .user_creates(&[("name", "Fay"), ("email", "fay@x.example")]);
    world.hear(Side::A, &fay).await;
    world.rest().await;
    assert_eq!(world.b.about("fay@x.example").len(), 1);
    world.a.user_deletes(&fay);
    world.hear(Side::A, &fay).await;
    world.rest().await;
    assert_eq!(world.b.about("fay@x.example").len(), 0);
    assert_eq!(world.open().await.len(), merged.len());
}

#[tokio::test]
async fn no_answer_about_a_merged_record_writes_to_another_or_over_its_partner() {
    for answer in [
        Resolution::Take { side: Side::A },
        Resolution::Take { side: Side::B },
        Resolution::Approve,
    ] {
        let (world, merged) = three_merged().await;
        let (a, b) = (world.a.contents(), world.b.contents());
        for question in world.open().await {
            world.answer(&question, answer.clone()).await;
        }
        for id in &merged {
            world.hear(Side::A, id).await;
        }
        world.rest().await;
        world.sweep().await;
        assert_eq!(
            (world.a.contents(), world.b.contents()),
            (a, b),
            "{answer:?}"
        );
        assert_eq!(world.dead().await, [], "{answer:?}");
        assert_eq!(world.open().await, [], "{answer:?}");
    }
}

#[tokio::test]
async fn who_takes_the_pair_of_a_merged_record_apart_has_its_partner_looked_at_alone() {
    let (world, loser) = {
        let (world, merged) = three_merged().await;
        (world, merged[0].clone())
    };
    let asked = world.open().await;
    let question = asked.iter().find(|one| one.record == loser).expect("asked");
    let ann = world.a.about(ANN[1].1).remove(0);
    let before = world.a.texts(&ann);
    world.answer(question, Resolution::Reject).await;
    assert_eq!(world.a.texts(&ann), before, "the other one is left alone");
    assert_eq!(world.b.about("bo@x.example").len(), 1);
    assert_eq!(world.dead().await, []);
}
