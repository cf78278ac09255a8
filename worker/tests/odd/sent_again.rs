//! A create whose answer is lost is sent again, and the second sending has no effect for certain, while the first one
//! lands long after it could. Nobody takes the create for failed: its record is found, and no other is made.

use std::time::Duration;

use tandem_domain::{Clock as _, JobId, RecordId, Side};
use tandem_runtime::Archived;
use tandem_store::{IntentState, LinkState};

use super::pairs::{ANN, PLAIN, TALENTS, text};
use crate::world::system::oddities::Oddities;
use crate::world::system::{Fault, Talents};
use crate::world::{World, policy};

/// Longer than anything is waited for before a create is sent again.
const LATE: Duration = Duration::from_secs(60);

const NO_EFFECT: [Fault; 3] = [Fault::Refused, Fault::Misconfigured, Fault::NotSent];

/// The second sending has met this, and the first has not landed yet.
async fn second_meets(talents: Talents, fault: Fault) -> (World, RecordId) {
    let ends = (
        (TALENTS, Oddities::default()),
        (talents, Oddities::default()),
    );
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.b.go_wrong(&[Fault::Late(LATE), fault]);
    world.hear(Side::A, &a).await;
    while world.b.is_to_go_wrong() {
        if !world.turn().await {
            world.clock.advance(Duration::from_secs(1));
        }
    }
    assert_eq!((world.b.under_way(), world.b.ids()), (1, vec![]));
    (world, a)
}

/// Replays what waits for a person.
async fn replay(world: &World) {
    let dead: Vec<JobId> = world.dead().await.iter().map(|job| job.id).collect();
    let replayed = world.store.replay_jobs(&dead, world.clock.now()).await;
    assert_eq!(replayed.expect("the storage answers").len(), dead.len());
}

/// The record is once on each side, as one pair, and held equal.
async fn is_one_pair(world: &World, a: &RecordId, how: &str) {
    let b = world.b.ids();
    assert_eq!(b.len(), 1, "{how}: {b:?}");
    let link = world.link_of(Side::A, a).await.expect("it is linked");
    assert_eq!(link.state, LinkState::Active, "{how}");
    assert_eq!(link.b.id.as_ref(), b.first(), "{how}");
    let open = world.store.intents_of(&world.sync, a).await;
    let mut open = open.expect("the storage answers");
    open.retain(|intent| intent.state.is_open());
    assert_eq!(open, [], "{how}");
    world.a.user_edits(a, "city", "Lyon");
    world.hear(Side::A, a).await;
    world.rest().await;
    assert_eq!(text(world, Side::B, &b[0], "city"), "Lyon", "{how}");
    let left = (world.questions().await, world.dead().await);
    assert_eq!(left, (vec![], vec![]), "{how}");
}

#[tokio::test]
async fn a_create_whose_second_sending_had_no_effect_is_not_taken_for_failed() {
    for talents in [PLAIN, TALENTS] {
        for fault in NO_EFFECT {
            let (world, a) = second_meets(talents, fault).await;
            let intents = world.store.intents_of(&world.sync, &a).await;
            let intents = intents.expect("the storage answers");
            let states: Vec<IntentState> = intents.iter().map(|one| one.state).collect();
            assert_eq!(states, [IntentState::Unknown], "{fault:?}");
            assert_eq!(
                world.dead().await.len(),
                usize::from(fault != Fault::NotSent)
            );
        }
    }
}

#[tokio::test]
async fn who_replays_it_before_the_first_has_landed_has_it_linked_and_not_doubled() {
    for talents in [PLAIN, TALENTS] {
        for fault in NO_EFFECT {
            let (world, a) = second_meets(talents, fault).await;
            replay(&world).await;
            world.rest().await;
            world.clock.advance(LATE);
            is_one_pair(&world, &a, &format!("{fault:?}")).await;
        }
    }
}

#[tokio::test]
async fn the_record_is_found_by_its_own_event_when_the_first_lands_and_ends_the_dead_letter() {
    for talents in [PLAIN, TALENTS] {
        for fault in NO_EFFECT {
            let (world, a) = second_meets(talents, fault).await;
            world.rest().await;
            world.clock.advance(LATE);
            let made = world.b.ids().remove(0);
            world.hear(Side::B, &made).await;
            world.rest().await;
            world.clock.advance(LATE);
            world.sweep().await;
            is_one_pair(&world, &a, &format!("{fault:?}")).await;
        }
    }
}
