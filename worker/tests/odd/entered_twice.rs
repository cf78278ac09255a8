//! The same is entered on both sides at one moment, and neither system's search finds it by the key of the other: their
//! searches compare letter by letter, and their people type as they like.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::SyncPolicy;
use tandem_runtime::Archived;
use tandem_store::{Alike, Conflict, ConflictKind, JobKind, LinkState};
use tandem_worker::compare;

use super::pairs::{PLAIN, TALENTS};
use crate::world::system::Talents;
use crate::world::system::oddities::{Lag, Meanwhile, Oddities};
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

/// A system that shows what is new after so long, by no answer but the one to the create.
fn slow_to_show() -> Oddities {
    let lag = Lag {
        by: Duration::from_secs(50),
        shows: Meanwhile::Missing,
    };
    Oddities {
        lag,
        listing_lag: lag,
        search_lag: lag,
        ..Oddities::default()
    }
}

/// One customer was entered on both sides, and the system of side b showed it when our create had been there for so long
/// that it was taken for gone, and its pair had ended. What was entered there by a person, and what we made.
async fn made_beside_what_was_hidden(talents: Talents) -> (World, RecordId, RecordId) {
    let ends = ((talents, Oddities::default()), (talents, slow_to_show()));
    let world = World::odd(1, by_name(), ends.0, ends.1, Archived::Gone).await;
    world.first_sync().await;
    world.clock.advance(Duration::from_secs(600));
    let acme = [("name", "Acme"), ("email", "office@acme.example")];
    let typed = world.b.user_creates(&acme);
    let a = world.a.user_creates(&acme);
    world.clock.advance(Duration::from_secs(12));
    world.hear(Side::A, &a).await;
    for _ in 0..50 {
        // Somebody goes on with it.
        world.hear(Side::A, &a).await;
        let (sync, side) = (world.sync.clone(), Side::B);
        world.enqueue(JobKind::Poll { sync, side }).await;
        for _ in 0..10 {
            world.turn().await;
        }
        world.clock.advance(Duration::from_secs(2));
    }
    world.rest().await;
    world.sweep().await;
    let made = world.b.ids().into_iter().find(|id| *id != typed);
    (world, typed, made.expect("our create was sent"))
}

#[tokio::test]
async fn what_our_create_made_beside_what_was_hidden_is_asked_about_once_with_both() {
    for talents in [PLAIN, TALENTS] {
        let (world, typed, made) = made_beside_what_was_hidden(talents).await;
        let link = world.link_of(Side::B, &typed).await;
        let link = link.expect("linked");
        assert_eq!(link.state, LinkState::Active);
        for record in [&typed, &made] {
            world.hear(Side::B, record).await;
            world.sweep().await;
        }
        let open = world.open().await;
        assert_eq!(open.len(), 1, "{open:?}");
        assert!(names(&open[0], [(Side::B, &typed), (Side::B, &made)]));
        let ConflictKind::Doubled { first, alike, .. } = &open[0].kind else {
            panic!("{open:?}");
        };
        assert_eq!((&open[0].record, first), (&made, &typed));
        let key = "name:acme".to_owned();
        assert_eq!(
            *alike,
            Some(Alike {
                key,
                made: made.clone()
            })
        );
        let sync = &world.topology.syncs[&world.sync];
        let compared = compare(world.store.shared().as_ref(), sync, &[], &|_, _| ()).await;
        let compared = compared.expect("both sides are listed");
        assert_eq!((compared.unclear, compared.retired_b), (1, 0));

        world.b.user_deletes(&made);
        world.hear(Side::B, &made).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(60));
        world.sweep().await;
        assert_eq!(world.open().await, [], "it closes by itself");
        assert_eq!((world.a.ids().len(), world.b.ids()), (1, vec![typed]));
    }
}

#[tokio::test]
async fn the_question_about_two_that_are_alike_closes_when_the_other_of_them_is_gone() {
    let (world, typed, made) = made_beside_what_was_hidden(TALENTS).await;
    world.b.user_deletes(&typed);
    for _ in 0..3 {
        world.hear(Side::B, &typed).await;
        world.hear(Side::B, &made).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(60));
    }
    world.sweep().await;
    let link = world.link_of(Side::B, &made).await.expect("linked");
    assert_eq!(link.state, LinkState::Active);
    assert_eq!(world.open().await, []);
    assert_eq!([&world.a, &world.b].map(|it| it.ids().len()), [1, 1]);
}
