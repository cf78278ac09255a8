//! Creates of ours that were sent again and landed twice.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_runtime::Archived;
use tandem_store::{ConflictKind, Fact, Resolution};

use super::pairs::{ANN, TALENTS, one_pair, propagates};
use crate::world::system::Fault;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

/// A world without match keys, in which a create landed long after its answer was given up, and again.
async fn doubled() -> (World, RecordId) {
    let mut policy = policy();
    policy.match_keys.clear();
    let plain = || (TALENTS, Oddities::default());
    let world = World::odd(1, policy, plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.b.go_wrong(&[Fault::Late(Duration::from_secs(900))]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(900));
    assert_eq!(world.b.contents().len(), 2, "both have landed");
    (world, a)
}

#[tokio::test]
async fn the_second_of_two_creates_that_both_landed_gets_no_partner_and_is_asked_about() {
    let (world, a) = doubled().await;
    world.sweep().await;
    assert_eq!(world.a.ids(), std::slice::from_ref(&a), "no third one");
    let link = world.link_of(Side::A, &a).await.expect("linked");
    let first = link.b.id.expect("its partner");
    let second = world.b.ids().into_iter().find(|id| *id != first);
    let second = second.expect("there are two");
    let asked = world.open().await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].record, second);
    let ConflictKind::Doubled {
        first: named,
        source,
        sent,
        ..
    } = &asked[0].kind
    else {
        panic!("{:?}", asked[0].kind);
    };
    assert_eq!((named, source.as_ref()), (&first, Some(&a)));
    assert_eq!(*sent, Some(2), "the journal knows how often it was sent");
    assert_eq!(asked[0].shown.len(), 3, "all three are shown");

    // It is asked once, and closes when the second is deleted.
    world.hear(Side::B, &second).await;
    world.sweep().await;
    assert_eq!(world.open().await.len(), 1);
    world.b.user_deletes(&second);
    world.hear(Side::B, &second).await;
    world.rest().await;
    assert_eq!(world.open().await, []);
    assert_eq!(world.a.ids(), [a]);
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_person_may_say_that_the_second_is_a_record_of_its_own() {
    let (world, _) = doubled().await;
    world.sweep().await;
    let asked = world.open().await;
    world.answer(&asked[0], Resolution::CreateNew).await;
    assert_eq!(world.a.ids().len(), 2);
    assert_eq!(world.open().await, []);
    world.sweep().await;
    assert_eq!(world.a.ids().len(), 2);
    assert_eq!(world.b.ids().len(), 2);
}

/// A world in which somebody has copied the record that our create made, with our reference; both records of side b.
async fn copied() -> (World, RecordId, RecordId) {
    let mut policy = policy();
    policy.match_keys.clear();
    let plain = || (TALENTS, Oddities::default());
    let world = World::odd(1, policy, plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let first = world.b.ids().remove(0);
    let copy = world.b.user_copies(&first);
    world.hear(Side::B, &copy).await;
    world.rest().await;
    (world, first, copy)
}

#[tokio::test]
async fn of_a_create_that_was_sent_once_nobody_is_told_that_it_was_sent_again() {
    let (world, _, copy) = copied().await;
    let asked = world.open().await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].record, copy);
    assert!(
        matches!(asked[0].kind, ConflictKind::Doubled { sent: Some(1), .. }),
        "{:?}",
        asked[0].kind
    );
}

#[tokio::test]
async fn the_question_closes_by_itself_when_the_other_of_the_two_is_gone() {
    let (world, first, copy) = copied().await;
    let question = world.open().await.remove(0);
    world.b.user_deletes(&first);
    world.hear(Side::B, &first).await;
    world.rest().await;
    world.hear(Side::B, &copy).await;
    world.rest().await;
    let closed = world.store.conflict(question.id).await.expect("asked");
    let closed = closed.expect("it is there");
    assert_eq!(
        closed.closed_because.as_deref(),
        Some(Fact::Alone.because())
    );
}

#[tokio::test]
async fn a_whole_comparison_links_no_record_that_an_open_question_names() {
    for policy in [policy(), propagates()] {
        let plain = (TALENTS, Oddities::default());
        let (world, a, b) = one_pair(policy, plain, Duration::from_secs(60)).await;
        let twin = [
            ("name", "Ann too"),
            ("email", "ann@x.example"),
            ("city", "Bruges"),
        ];
        let twin = world.b.user_creates(&twin);
        world.hear(Side::B, &twin).await;
        world.rest().await;
        assert_eq!(world.open().await.len(), 1, "it is asked about");
        world.a.user_deletes(&a);
        let again = world.a.user_creates(&ANN);
        for _ in 0..3 {
            world.first_sync().await;
            world.clock.advance(Duration::from_secs(20));
        }
        let partner = world.link_of(Side::A, &again).await.and_then(|it| it.b.id);
        assert_ne!(partner.as_ref(), Some(&twin), "nobody has said so");
        assert_eq!(world.b.kept(&twin, "city"), "Bruges");
        assert_eq!(world.b.kept(&b, "city"), "Ghent");
        assert_ne!(world.open().await, [], "it is still asked about");
    }
}
