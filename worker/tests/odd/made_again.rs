//! Records that somebody deletes and makes again: the system gives them another id.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Value};
use tandem_engine::SyncPolicy;
use tandem_runtime::Archived;
use tandem_store::{Conflict, ConflictKind, ConflictState, LinkState, Resolution};

use super::pairs::{ANN, PLAIN, TALENTS, just_linked, propagates};
use crate::world::system::Fault;
use crate::world::system::oddities::{Lag, Meanwhile, Oddities};
use crate::world::{World, policy};

fn policies() -> [SyncPolicy; 2] {
    [policy(), propagates()]
}

async fn one_pair(policy: SyncPolicy) -> (World, RecordId, RecordId) {
    let plain = || (PLAIN, Oddities::default());
    just_linked(policy, plain(), plain()).await
}

async fn is_held_again(world: &World, again: &RecordId, b: &RecordId) {
    assert_eq!(
        world.b.ids(),
        std::slice::from_ref(b),
        "neither deleted nor doubled"
    );
    let link = world.link_of(Side::A, again).await.expect("linked");
    assert_eq!(link.b.id.as_ref(), Some(b));
    world.a.user_edits(again, "note", "made again");
    world.hear(Side::A, again).await;
    world.rest().await;
    assert_eq!(world.b.contents()[0]["note"], "made again");
    let questions = world.questions().await;
    let open = questions
        .iter()
        .filter(|one| one.state == ConflictState::Open);
    assert_eq!(open.count(), 0, "{questions:?}");
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_record_that_was_made_again_under_another_id_takes_the_place_of_the_old_one() {
    for policy in policies() {
        for new_is_heard_first in [false, true] {
            let (world, a, b) = one_pair(policy.clone()).await;
            world.a.user_deletes(&a);
            let again = world.a.user_creates(&ANN);
            let heard = if new_is_heard_first {
                [&again, &a]
            } else {
                [&a, &again]
            };
            for record in heard {
                world.hear(Side::A, record).await;
            }
            world.rest().await;
            is_held_again(&world, &again, &b).await;
        }
    }
}

#[tokio::test]
async fn so_it_does_where_nobody_hears_of_either_and_what_is_left_was_edited() {
    for policy in policies() {
        let (world, a, b) = one_pair(policy).await;
        world.a.user_deletes(&a);
        world.b.user_edits(&b, "city", "Bruges");
        world.clock.advance(Duration::from_secs(60));
        let again = world.a.user_creates(&ANN[..2]);
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        assert_eq!(
            world.a.ids(),
            std::slice::from_ref(&again),
            "it is not made a third time"
        );
        assert_eq!(world.a.contents()[0]["city"], "Bruges");
        is_held_again(&world, &again, &b).await;
    }
}

#[tokio::test]
async fn a_delete_of_one_of_two_that_share_no_key_is_carried_over() {
    let [_, propagates] = policies();
    let (world, a, _) = one_pair(propagates).await;
    let other = world
        .a
        .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.hear(Side::A, &other).await;
    world.rest().await;
    let names = world.b.contents();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0]["name"], "Bob");
}

#[tokio::test]
async fn a_record_that_is_deleted_before_it_could_be_read_back_leaves_nobody_waiting() {
    let slow = Oddities {
        lag: Lag {
            by: Duration::from_secs(2),
            shows: Meanwhile::Missing,
        },
        creates_answer_id_alone: true,
        ..Oddities::default()
    };
    let ends = ((PLAIN, Oddities::default()), (PLAIN, slow));
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.hear(Side::A, &a).await;
    world.turn().await;
    let made = world.b.ids().remove(0);
    world.b.user_deletes(&made);
    let again = world.b.user_creates(&ANN);
    world.hear(Side::B, &again).await;
    world.rest().await;
    assert_eq!(world.dead().await, []);
    assert_eq!(world.b.ids(), std::slice::from_ref(&again));
    let link = world.link_of(Side::A, &a).await.expect("linked");
    assert_eq!(link.b.id, Some(again));
}

#[tokio::test]
async fn a_create_without_an_answer_is_not_sent_again_when_its_source_was_made_again() {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &a).await;
    world.turn().await;
    let made = world.b.ids().remove(0);
    world.a.user_deletes(&a);
    let again = world.a.user_creates(&ANN);
    world.hear(Side::A, &again).await;
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.ids(), std::slice::from_ref(&made));
    let link = world.link_of(Side::A, &again).await.expect("linked");
    assert_eq!(link.b.id, Some(made));
    assert_eq!(world.dead().await, []);
}

/// A pair is known to both sides from the moment that a create without an answer is found to have made it.
#[tokio::test]
async fn the_source_of_a_create_without_an_answer_is_not_made_again_while_it_hides() {
    for hides_at_once in [false, true] {
        let plain = || (PLAIN, Oddities::default());
        let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
        world.first_sync().await;
        let a = world.a.user_creates(&ANN);
        world.b.go_wrong(&[Fault::LostResponse]);
        world.hear(Side::A, &a).await;
        while world.link_of(Side::A, &a).await.is_none() {
            if !world.turn().await {
                world.clock.advance(Duration::from_secs(1));
            }
        }
        let made = world.b.ids().remove(0);
        world.b.user_deletes(&made);
        let again = world.b.user_creates(&ANN);
        if hides_at_once {
            world.a.hides(&a, Duration::from_secs(3));
        }
        // The pair is looked at for the first time, and its other record is missed.
        world.turn().await;
        world.a.hides(&a, Duration::from_secs(3));
        world.hear(Side::B, &again).await;
        world.rest().await;
        assert_eq!(world.a.ids(), std::slice::from_ref(&a), "it is not doubled");
        let link = world.link_of(Side::A, &a).await.expect("linked");
        assert_eq!(link.b.id, Some(again));
        assert_eq!(world.dead().await, []);
    }
}

#[tokio::test]
async fn a_pair_is_not_given_another_record_while_our_delete_of_the_first_may_land() {
    let [_, propagates] = policies();
    let (world, a, b) = one_pair(propagates).await;
    world.a.user_deletes(&a);
    world.b.go_wrong(&[Fault::Late(Duration::from_secs(15))]);
    world.hear(Side::A, &a).await;
    // The delete is sent, and nobody hears of it.
    while world.b.under_way() == 0 {
        assert!(world.b.ids().contains(&b));
        if !world.turn().await {
            world.clock.advance(Duration::from_secs(5));
        }
    }
    let again = world.a.user_creates(&ANN);
    world.hear(Side::A, &again).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    world.sweep().await;
    assert_eq!(
        world.a.ids(),
        std::slice::from_ref(&again),
        "nobody deleted it"
    );
    let link = world.link_of(Side::A, &again).await.expect("linked");
    assert_eq!(link.b.id, world.b.ids().pop());
    assert_eq!(world.b.ids().len(), 1);
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_record_that_was_made_again_and_shows_in_listings_alone_is_waited_for() {
    let [_, propagates] = policies();
    let (world, a, b) = one_pair(propagates).await;
    world.a.user_deletes(&a);
    let again = world.a.user_creates(&ANN);
    world.a.hides(&again, Duration::from_secs(50));
    world.sweep().await;
    world.rest().await;
    is_held_again(&world, &again, &b).await;
}

#[tokio::test]
async fn a_record_that_was_made_again_is_known_when_it_hides_for_a_moment_after_it_was_found() {
    let (world, a, b) = one_pair(policy()).await;
    world.a.user_deletes(&a);
    let again = world.a.user_creates(&ANN);
    world.b.user_edits(&b, "city", "Lyon");
    world.hear(Side::B, &b).await;
    let is_held = async || {
        let link = world.link_of(Side::B, &b).await;
        link.is_some_and(|link| link.state == LinkState::Active)
    };
    while is_held().await {
        if !world.turn().await {
            world.clock.advance(Duration::from_secs(1));
        }
    }
    world.a.hides(&again, Duration::from_secs(3));
    world.rest().await;
    assert_eq!(world.a.ids(), [again]);
    world.judge(1).await;
}

/// A person takes a record out of use: it stays there, archived.
fn archive(world: &World, id: &RecordId) {
    world.a.user_edits(id, "active", "false");
}

async fn is_partner_of(world: &World, again: &RecordId, b: &RecordId) {
    assert_eq!(world.b.ids(), std::slice::from_ref(b), "it is not deleted");
    let link = world.link_of(Side::A, again).await.expect("linked");
    assert_eq!(link.state, LinkState::Active);
    assert_eq!(link.b.id.as_ref(), Some(b));
    assert_eq!(world.open().await, []);
    assert_eq!(world.dead().await, []);
    world.a.user_edits(again, "note", "made again");
    world.hear(Side::A, again).await;
    world.rest().await;
    assert_eq!(world.b.contents()[0]["note"], "made again");
}

#[tokio::test]
async fn a_record_that_was_entered_anew_and_then_archived_hands_its_partner_to_the_new_one() {
    for policy in policies() {
        let (world, a, b) = one_pair(policy).await;
        let again = world.a.user_creates(&ANN);
        world.hear(Side::A, &again).await;
        // Both are in use for a moment: a person is asked which of them it is.
        while world.turn().await {}
        assert_eq!(world.open().await.len(), 1);
        archive(&world, &a);
        world.hear(Side::A, &a).await;
        world.rest().await;
        is_partner_of(&world, &again, &b).await;
    }
}

#[tokio::test]
async fn so_does_one_that_was_archived_first_whichever_is_heard_first() {
    for policy in policies() {
        for new_is_heard_first in [false, true] {
            let (world, a, b) = one_pair(policy.clone()).await;
            archive(&world, &a);
            let again = world.a.user_creates(&ANN);
            let heard = if new_is_heard_first {
                [&again, &a]
            } else {
                [&a, &again]
            };
            for record in heard {
                world.hear(Side::A, record).await;
            }
            world.rest().await;
            is_partner_of(&world, &again, &b).await;
        }
    }
}

#[tokio::test]
async fn the_archive_of_one_of_two_that_share_no_key_is_carried_over() {
    let [_, propagates] = policies();
    let (world, a, _) = one_pair(propagates).await;
    let other = world
        .a
        .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
    archive(&world, &a);
    world.hear(Side::A, &a).await;
    world.hear(Side::A, &other).await;
    world.rest().await;
    let names = world.b.contents();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0]["name"], "Bob");
}

/// A pair, and a copy of its record of side b that a person is asked about. No match key says which belongs to which.
async fn asked_about_a_copy() -> (World, RecordId, RecordId, RecordId) {
    let mut policy = propagates();
    policy.match_keys.clear();
    let plain = || (TALENTS, Oddities::default());
    let (world, a, first) = just_linked(policy, plain(), plain()).await;
    let copy = world.b.user_copies(&first);
    world.hear(Side::B, &copy).await;
    world.rest().await;
    assert_eq!(world.open().await.len(), 1);
    (world, a, first, copy)
}

fn held(open: &[Conflict]) -> Option<&Conflict> {
    let mut open = open.iter();
    open.find(|asked| matches!(asked.kind, ConflictKind::DeleteHeld { .. }))
}

#[tokio::test]
async fn what_an_open_question_names_is_not_deleted_before_a_person_has_answered() {
    for archives in [false, true] {
        let (world, a, first, copy) = asked_about_a_copy().await;
        if archives {
            world.b.user_edits(&first, "active", "false");
        } else {
            world.b.user_deletes(&first);
        }
        world.hear(Side::B, &first).await;
        world.rest().await;
        assert_eq!(world.a.ids(), std::slice::from_ref(&a));
        let open = world.open().await;
        let asked = held(&open).expect("a person is asked");
        let ConflictKind::DeleteHeld { reason, .. } = &asked.kind else {
            panic!("{:?}", asked.kind);
        };
        assert!(
            reason.contains(&format!("record {copy} of b")),
            "it names the other: {reason}"
        );
        world.answer(asked, Resolution::Approve).await;
        assert!(!world.a.ids().contains(&a), "a person has said so");
    }
}

#[tokio::test]
async fn a_question_about_a_record_that_is_gone_by_now_holds_no_delete() {
    let (world, a, first, copy) = asked_about_a_copy().await;
    // Nobody hears of it.
    world.b.user_deletes(&copy);
    world.b.user_deletes(&first);
    world.hear(Side::B, &first).await;
    world.rest().await;
    assert!(!world.a.ids().contains(&a));
}

/// A system that archives the row that is written to.
fn archives_what_is_written() -> Oddities {
    let out_of_use = Value::Text("false".to_owned());
    Oddities {
        side_effects: vec![("city", "active", out_of_use)],
        ..Oddities::default()
    }
}

#[tokio::test]
async fn what_goes_out_of_use_with_a_write_of_ours_takes_nothing_with_it_unasked() {
    let b = (PLAIN, archives_what_is_written());
    let (world, a, _) = just_linked(propagates(), (PLAIN, Oddities::default()), b).await;
    world.a.user_edits(&a, "city", "Bruges");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.sweep().await;
    assert_eq!(world.a.ids(), [a]);
    let open = world.open().await;
    let asked = held(&open).expect("a person is asked");
    let ConflictKind::DeleteHeld { reason, .. } = &asked.kind else {
        panic!("{:?}", asked.kind);
    };
    assert!(reason.contains("right after we wrote to it"), "{reason}");
}

#[tokio::test]
async fn what_is_archived_long_after_a_write_of_ours_is_deleted_on_the_other_side() {
    let plain = || (PLAIN, Oddities::default());
    let (world, a, b) = just_linked(propagates(), plain(), plain()).await;
    world.a.user_edits(&a, "city", "Bruges");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(10));
    world.b.user_edits(&b, "active", "false");
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(world.a.ids(), Vec::<RecordId>::new());
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn a_system_that_makes_a_new_record_of_each_write_keeps_its_partner() {
    let b = (PLAIN, archives_what_is_written());
    let (world, a, old) = just_linked(propagates(), (PLAIN, Oddities::default()), b).await;
    world.a.user_edits(&a, "city", "Bruges");
    world.hear(Side::A, &a).await;
    // The moment at which our write lands.
    while world.b.kept(&old, "city") != "Bruges" {
        assert!(world.turn().await, "it is written");
    }
    let [name, email, _] = ANN;
    let new = world.b.user_creates(&[name, email, ("city", "Bruges")]);
    world.hear(Side::B, &new).await;
    world.hear(Side::B, &old).await;
    world.rest().await;
    assert_eq!(world.a.ids(), std::slice::from_ref(&a));
    let link = world.link_of(Side::A, &a).await.expect("linked");
    assert_eq!((link.state, link.b.id), (LinkState::Active, Some(new)));
    assert_eq!(held(&world.open().await), None);
}
