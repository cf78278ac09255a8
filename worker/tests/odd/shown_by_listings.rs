//! Creates whose answer was lost on a system whose search is minutes behind what its listings and addresses show.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_store::{JobKind, Resolution};

use super::pairs::{PLAIN, TALENTS, one_pair};
use crate::world::system::oddities::{Lag, Oddities};
use crate::world::system::{Fault, Talents};
use crate::world::{World, policy};

/// The search of side b is behind by so long: long after a create without an answer is sent again.
const BEHIND: Duration = Duration::from_secs(600);

/// How what was made is seen.
#[derive(Clone, Copy, Debug)]
enum Seen {
    ByPolls,
    ByItsWebhook,
}

/// A record of side a whose create on side b has landed and was not answered, seen there in this way.
async fn lost(talents: Talents, seen: Seen) -> (World, RecordId) {
    let odd = Oddities {
        search_lag: Lag {
            by: BEHIND,
            ..Lag::default()
        },
        ..Oddities::default()
    };
    let (world, ..) = one_pair(policy(), (talents, odd), BEHIND * 2).await;
    let bert = [("name", "Bert"), ("email", "bert@x.example")];
    let a = world.a.user_creates(&bert);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &a).await;
    while world.b.is_to_go_wrong() {
        world.turn().await;
    }
    match seen {
        Seen::ByItsWebhook => {
            let made = world.b.about("bert@x.example").remove(0);
            world.hear(Side::B, &made).await;
        }
        Seen::ByPolls => {
            let (sync, side) = (world.sync.clone(), Side::B);
            world.enqueue(JobKind::Poll { sync, side }).await;
        }
    }
    world.rest().await;
    (world, a)
}

#[tokio::test]
async fn a_create_without_an_answer_is_not_sent_again_where_a_poll_or_a_webhook_has_shown_what_it_made()
 {
    for talents in [TALENTS, PLAIN] {
        for seen in [Seen::ByPolls, Seen::ByItsWebhook] {
            let (world, a) = lost(talents, seen).await;
            let made = world.b.about("bert@x.example");
            let told = format!("{seen:?}, {talents:?}");
            assert_eq!(made.len(), 1, "{told}: it is made once");
            let link = world.link_of(Side::A, &a).await.expect("linked");
            assert_eq!(link.b.id.as_ref(), made.first(), "{told}");
            world.sweep().await;
            assert_eq!([&world.a, &world.b].map(|it| it.ids().len()), [2, 2]);
            assert_eq!(world.open().await, [], "{told}");
            assert_eq!(world.dead().await, [], "{told}");
        }
    }
}

#[tokio::test]
async fn what_a_poll_has_shown_and_nobody_can_read_now_is_waited_for_and_not_made_again() {
    let odd = Oddities {
        search_lag: Lag {
            by: BEHIND,
            ..Lag::default()
        },
        ..Oddities::default()
    };
    let (world, ..) = one_pair(policy(), (TALENTS, odd), BEHIND * 2).await;
    let bert = [("name", "Bert"), ("email", "bert@x.example")];
    let a = world.a.user_creates(&bert);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &a).await;
    while world.b.is_to_go_wrong() {
        world.turn().await;
    }
    let made = world.b.about("bert@x.example").remove(0);
    world.b.hides(&made, Duration::from_secs(200));
    let (sync, side) = (world.sync.clone(), Side::B);
    world.enqueue(JobKind::Poll { sync, side }).await;
    world.rest().await;
    world.sweep().await;
    assert_eq!(world.b.about("bert@x.example").len(), 1);
    let link = world.link_of(Side::A, &a).await.expect("linked");
    assert_eq!(link.b.id, Some(made));
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn what_a_poll_has_shown_and_nobody_can_read_is_asked_for_again_under_its_key_where_creates_are_idempotent()
 {
    let talents = Talents {
        idempotent_create: true,
        ..TALENTS
    };
    let odd = Oddities {
        search_lag: Lag {
            by: BEHIND * 4,
            ..Lag::default()
        },
        ..Oddities::default()
    };
    let (world, ..) = one_pair(policy(), (talents, odd), BEHIND * 8).await;
    let bert = [("name", "Bert"), ("email", "bert@x.example")];
    let a = world.a.user_creates(&bert);
    world.b.go_wrong(&[Fault::LostResponse]);
    let (sync, side) = (world.sync.clone(), Side::B);
    world.hear(Side::A, &a).await;
    while world.b.is_to_go_wrong() {
        world.turn().await;
    }
    let made = world.b.about("bert@x.example").remove(0);
    world.b.hides(&made, BEHIND * 3);
    world.enqueue(JobKind::Poll { sync, side }).await;
    world.rest().await;
    let link = world.link_of(Side::A, &a).await.expect("linked");
    assert_eq!(link.b.id.as_ref(), Some(&made));
    assert_eq!(world.b.about("bert@x.example"), [made]);
}

/// Side b, without references, holds records like one of side a; a create for that one never arrives there.
#[tokio::test]
async fn a_record_that_is_archived_or_that_a_person_found_to_be_another_is_no_effect_of_a_create() {
    for is_archived in [true, false] {
        let (world, ..) = one_pair(policy(), (PLAIN, Oddities::default()), BEHIND).await;
        let bert = [("name", "Bert"), ("email", "bert@x.example")];
        let like = world.b.user_creates(&bert);
        if is_archived {
            world.b.user_edits(&like, "active", "false");
            world.sweep().await;
        } else {
            // Two of them, so that a person is asked.
            world.b.user_creates(&bert);
        }
        let a = world.a.user_creates(&bert);
        if is_archived {
            world.b.go_wrong(&[Fault::LostRequest]);
            world.hear(Side::A, &a).await;
            world.rest().await;
        } else {
            world.hear(Side::A, &a).await;
            world.rest().await;
            let asked = world.open().await;
            let question = asked.iter().find(|one| one.record == a).expect("asked");
            world.b.go_wrong(&[Fault::LostRequest]);
            world.answer(question, Resolution::CreateNew).await;
        }
        let link = world.link_of(Side::A, &a).await.expect("linked");
        assert_ne!(link.b.id, Some(like.clone()), "archived: {is_archived}");
        let made = if is_archived { 2 } else { 3 };
        assert_eq!(
            world.b.about("bert@x.example").len(),
            made,
            "archived: {is_archived}"
        );
        assert!(world.a.ids().contains(&a));
    }
}
