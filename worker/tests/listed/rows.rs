//! Records that cannot be read, and records that are dated in the future.

use std::time::Duration;

use tandem_domain::{Clock, Side};
use tandem_engine::SyncPolicy;
use tandem_runtime::Archived;
use tandem_store::{JobKind, LinkState, Run, RunFilter, RunKind, RunState};

use super::PLAIN;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

pub async fn newest(world: &World, kind: RunKind, side: Option<Side>) -> Run {
    let filter = RunFilter {
        kind: Some(kind),
        limit: 10,
        ..RunFilter::default()
    };
    let runs = world
        .store
        .runs(&filter)
        .await
        .expect("the storage answers");
    let mut of_side = runs.into_iter().filter(|run| run.side == side);
    of_side.next().expect("there is one")
}

pub async fn poll(world: &World, side: Side) -> Run {
    world
        .enqueue(JobKind::Poll {
            sync: world.sync.clone(),
            side,
        })
        .await;
    world.rest().await;
    newest(world, RunKind::Poll, Some(side)).await
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept_with_the_run_and_the_others_go_on() {
    let world = World::before_first_sync(1, policy(), PLAIN, PLAIN).await;
    let bad = world
        .a
        .user_creates(&[("name", "Bad"), ("email", "bad@x.example")]);
    world
        .a
        .user_creates(&[("name", "Good"), ("email", "good@x.example")]);
    world.a.garbles(&bad);
    world.first_sync().await;
    let run = newest(&world, RunKind::Backfill, None).await;
    assert_eq!((run.state, run.progress.unreadable), (RunState::Partial, 1));
    let error = &run.progress.row_errors[0];
    assert_eq!((error.side, error.record.as_ref()), (Side::A, Some(&bad)));
    assert_eq!(error.reason, "half a character");
    assert_eq!(world.b.ids().len(), 1, "the good one went over");

    world.a.sets_right(&bad);
    world.first_sync().await;
    let run = newest(&world, RunKind::Backfill, None).await;
    assert_eq!(
        (run.state, run.progress.unreadable),
        (RunState::Succeeded, 0)
    );
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_has_not_vanished() {
    let world = World::new(1, policy(), PLAIN, PLAIN).await;
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@x.example")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.a.garbles(&a);
    world.sweep().await;
    let run = newest(&world, RunKind::Sweep, Some(Side::A)).await;
    assert_eq!((run.progress.unreadable, run.progress.vanished), (1, 0));
    world.first_sync().await;
    let run = newest(&world, RunKind::Backfill, None).await;
    assert_eq!((run.progress.unreadable, run.progress.vanished), (1, 0));
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.state, LinkState::Active);
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_record_dated_in_the_future_hides_no_later_change_and_is_told() {
    let world = World::new(1, policy(), PLAIN, PLAIN).await;
    let odd = world
        .a
        .user_creates(&[("name", "Odd"), ("email", "odd@x.example")]);
    let other = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@x.example")]);
    world
        .a
        .dates_ahead(&odd, Duration::from_secs(400 * 24 * 3_600));
    let run = poll(&world, Side::A).await;
    assert_eq!(run.state, RunState::Succeeded);
    let told = run.progress.problems.join("; ");
    assert!(
        told.contains(&format!("record {odd} of a is dated")),
        "{told}"
    );

    world.clock.advance(Duration::from_secs(3_600));
    world.a.user_edits(&other, "city", "Ghent");
    let run = poll(&world, Side::A).await;
    assert_eq!(run.progress.queued, 1);
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_cursor_that_was_stored_ahead_of_the_clock_hides_nothing_any_more() {
    let world = World::new(1, policy(), PLAIN, PLAIN).await;
    let ahead = world
        .clock
        .now()
        .plus(Duration::from_secs(400 * 24 * 3_600));
    world.store_cursor(Side::A, ahead).await;
    world.clock.advance(Duration::from_secs(3_600));
    world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@x.example")]);
    let run = poll(&world, Side::A).await;
    assert_eq!(run.progress.queued, 1);
    world.assert_agreement(1);
}

#[tokio::test]
async fn where_a_system_tells_no_times_prefer_decides_and_not_when_a_change_was_found() {
    let timeless = Oddities {
        hides_times: true,
        ..Oddities::default()
    };
    let prefers_b = SyncPolicy {
        prefer: Side::B,
        ..policy()
    };
    let plain = (PLAIN, Oddities::default());
    let world = World::odd(1, prefers_b, (PLAIN, timeless), plain, Archived::Gone).await;
    let a = world
        .a
        .user_creates(&[("name", "Ann"), ("email", "ann@x.example")]);
    world.first_sync().await;
    world.sweep().await;
    assert_eq!(world.dead().await, []);
    let b = world.b.ids().remove(0);
    for (system, id, city) in [(&world.b, &b, "Lyon"), (&world.a, &a, "Ghent")] {
        world.clock.advance(Duration::from_secs(60));
        system.user_edits(id, "city", city);
    }
    world.clock.advance(Duration::from_secs(60));
    world.sweep().await;
    assert_eq!(world.a.kept(&a, "city"), "Lyon");
    assert_eq!(world.b.kept(&b, "city"), "Lyon");
}
