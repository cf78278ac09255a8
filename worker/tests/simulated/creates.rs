//! Creates whose answers are lost, whose processes go away, or that somebody else makes at the same time.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_store::{RunFilter, RunState};

use crate::world::system::Fault;
use crate::world::{World, policy};
use crate::{KEYED, PLAIN, RICH};

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_not_repeated() {
    for talents in [PLAIN, RICH, KEYED] {
        for fault in [
            Fault::LostResponse,
            Fault::CrashAfter,
            Fault::LostRequest,
            Fault::CrashBefore,
        ] {
            let world = World::new(1, policy(), PLAIN, talents).await;
            let id = world
                .a
                .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
            world.b.go_wrong(&[fault]);
            world.hear(Side::A, &id).await;
            world.rest().await;
            assert_eq!(world.b.ids().len(), 1, "{talents:?} {fault:?}");
            world.assert_agreement(1);
        }
    }
}

#[tokio::test]
async fn a_worker_that_goes_on_after_its_lease_sends_nothing() {
    let world = World::new(1, policy(), PLAIN, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.hear(Side::A, &id).await;
    world.turn_of_the_late().await;
    assert_eq!(world.b.writes(), 0);
    world.rest().await;
    assert_eq!(world.b.writes(), 1);
    assert_eq!(world.dead().await, []);
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_first_sync_whose_process_went_away_begins_again_and_ends() {
    let world = World::before_first_sync(1, policy(), PLAIN, RICH).await;
    world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.leave_a_first_sync_in_the_middle().await;
    world.first_sync().await;
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_process_that_stood_still_begins_no_first_sync_beside_the_one_that_has_the_job() {
    let world = World::before_first_sync(1, policy(), PLAIN, RICH).await;
    let ann = [("name", "Acme"), ("email", "a@acme.example")];
    world.a.user_creates(&ann);
    world.begin_first_sync().await;
    let late = world.stands_still_with_a_job().await;
    let late = late.expect("the job is due");
    world.rest().await;
    world.assert_agreement(1);
    world.goes_on_with(late).await;
    let all = RunFilter {
        limit: 10,
        ..RunFilter::default()
    };
    let runs = world.store.runs(&all).await.expect("the storage answers");
    let ends: Vec<RunState> = runs.iter().map(|run| run.state).collect();
    assert_eq!(ends, [RunState::Succeeded]);
}

#[tokio::test]
async fn before_the_first_sync_has_ended_nothing_is_created() {
    let world = World::before_first_sync(1, policy(), PLAIN, RICH).await;
    // The other system finds no other spelling; only comparing all of both sides does.
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world
        .b
        .user_creates(&[("name", "ACME"), ("email", "A@Acme.example")]);
    world.hear(Side::A, &a).await;
    for _ in 0..10 {
        world.turn().await;
        world.clock.advance(Duration::from_secs(5));
    }
    world.leave_a_first_sync_in_the_middle().await;
    world.turn().await;
    assert_eq!(world.b.ids().len(), 1, "nothing is created yet");
    world.first_sync().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    world.assert_agreement(1);
}

#[tokio::test]
async fn the_echo_of_our_own_create_creates_nothing_even_before_the_link_is_saved() {
    let world = World::new(2, policy(), RICH, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &id).await;
    world.turn().await;
    let made = world.b.ids();
    assert_eq!(made.len(), 1, "the create had its effect");
    world.hear(Side::B, &made[0]).await;
    world.rest().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    world.assert_agreement(2);
}

#[tokio::test]
async fn the_echo_of_our_own_create_asks_nothing_when_the_link_is_saved_while_it_is_read() {
    let world = World::new(2, policy(), RICH, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.hear(Side::A, &id).await;
    world.hear(Side::B, &RecordId::new("b0001")).await;
    let reading = world.b.slow_reads.write().await;
    let linked = async {
        while world.link_of(Side::A, &id).await.is_none() {
            tokio::task::yield_now().await;
        }
        drop(reading);
    };
    tokio::join!(world.turn(), linked);
    world.rest().await;
    assert_eq!(world.questions().await, []);
    world.assert_agreement(2);
}

#[tokio::test]
async fn the_same_company_entered_on_both_sides_at_once_is_linked_not_crossed() {
    let world = World::new(3, policy(), PLAIN, PLAIN).await;
    let a = world.a.user_creates(&[
        ("name", "Acme"),
        ("email", "a@acme.example"),
        ("city", "Ghent"),
    ]);
    let b = world
        .b
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.hear(Side::A, &a).await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    world.assert_agreement(3);
}

#[tokio::test]
async fn a_system_that_is_down_costs_no_attempts() {
    let world = World::new(10, policy(), RICH, RICH).await;
    let id = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@acme.example")]);
    world.b.go_wrong(&[Fault::Down; 40]);
    world.hear(Side::A, &id).await;
    world.rest().await;
    assert_eq!(world.dead().await, []);
    world.assert_agreement(10);
}
