//! Events about records that nothing ever showed: wrong ids, and records that the credentials may not read.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side};
use tandem_runtime::Archived;
use tandem_store::{EventKind, JobClass, JobFilter, JobKind, JobState};

use super::pairs::{ANN, PLAIN, propagates};
use crate::world::World;
use crate::world::system::oddities::Oddities;

async fn empty_world() -> World {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, propagates(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    world
}

/// Tells of a record that is nowhere, and gives how often it was read until nothing is left to do, and for how long.
async fn looks(world: &World, kind: EventKind) -> (usize, u64) {
    let (before, since) = (world.a.reads(), world.clock.now());
    let record = RecordId::new(format!("none-{kind:?}"));
    world.tell(Side::A, &record, kind, world.clock.now()).await;
    world.rest().await;
    let took = world.clock.now().since(since).as_secs();
    (world.a.reads() - before, took)
}

#[tokio::test]
async fn a_record_that_was_never_seen_is_looked_for_a_few_times() {
    let world = empty_world().await;
    assert_eq!(looks(&world, EventKind::Updated).await, (3, 10));
    assert_eq!(looks(&world, EventKind::Other).await, (3, 10));
    assert_eq!(looks(&world, EventKind::Deleted).await, (3, 5));
    // What was made a moment ago is what replicas are behind with.
    assert_eq!(looks(&world, EventKind::Created).await, (4, 30));
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn looks_that_come_late_are_counted_by_the_time_that_has_passed() {
    let world = empty_world().await;
    let record = RecordId::new("none");
    world.hear(Side::A, &record).await;
    while world.turn().await {}
    world.clock.advance(Duration::from_secs(60));
    while world.turn().await {}
    assert_eq!(world.a.reads(), 2);
    assert_eq!(world.store.next_due().await.expect("the storage"), None);
}

#[tokio::test]
async fn a_record_that_shows_late_gets_its_partner_all_the_same() {
    let world = empty_world().await;
    let record = world.a.user_creates(&ANN);
    world.a.hides(&record, Duration::from_secs(20));
    world
        .tell(Side::A, &record, EventKind::Created, world.clock.now())
        .await;
    world.rest().await;
    assert!(world.link_of(Side::A, &record).await.is_some());
    world.assert_agreement(1);
}

#[tokio::test]
async fn what_waits_for_a_missing_record_says_so_and_stands_behind_fresh_work() {
    let world = empty_world().await;
    let record = RecordId::new("none");
    world.hear(Side::A, &record).await;
    while world.turn().await {}
    let filter = JobFilter {
        state: Some(JobState::Available),
        limit: 10,
        ..JobFilter::default()
    };
    let jobs = world.store.jobs(&filter).await.expect("the storage");
    let of_record =
        |kind: &JobKind| matches!(kind, JobKind::Reconcile { record: one, .. } if *one == record);
    let job = jobs
        .iter()
        .find(|job| of_record(&job.kind))
        .expect("it waits");
    assert_eq!(job.class, JobClass::Poll);
    let reason = job.waits.reason.expect("it waits for something");
    assert_eq!(reason.describe(), "the record to show in its system");
}
