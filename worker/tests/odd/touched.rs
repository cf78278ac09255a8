//! A system that counts a reading as a change of the record, and tells of it at once.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side};
use tandem_store::Touched;

use super::pairs::{PLAIN, just_linked};
use crate::world::system::Fault;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const MOMENT: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3_600);

async fn pair() -> (World, RecordId, RecordId) {
    let plain = || (PLAIN, Oddities::default());
    just_linked(policy(), plain(), plain()).await
}

/// The record is read for its own webhook, and the reading causes the next one after this pause.
async fn tells_of_looks(world: &World, record: &RecordId, pause: Duration) {
    world.b.is_looked_at(record);
    world.hear(Side::B, record).await;
    world.rest().await;
    world.clock.advance(pause);
}

#[tokio::test]
async fn a_record_that_each_reading_changes_is_read_once_a_minute_in_the_end() {
    let (world, a, b) = pair().await;
    let (began, before) = (world.clock.now(), world.b.reads());
    while world.clock.now().since(began) < HOUR {
        tells_of_looks(&world, &b, MOMENT).await;
    }
    let reads = world.b.reads() - before;
    assert!((60..=100).contains(&reads), "{reads} reads in an hour");

    // An edit takes a minute at most, and is not lost.
    let typed_at = world.clock.now();
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.kept(&b, "city"), "Lyon");
    assert!(world.clock.now().since(typed_at) <= Duration::from_secs(61));
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_record_that_changes_now_and_then_in_what_is_not_mapped_is_read_each_time() {
    let (world, _, b) = pair().await;
    for _ in 0..2 * Touched::CHANCE {
        let (now, before) = (world.clock.now(), world.b.reads());
        tells_of_looks(&world, &b, Duration::from_secs(10)).await;
        assert_eq!(world.b.reads(), before + 1);
        let passed = world.clock.now().since(now);
        assert!(passed < Duration::from_secs(11), "it waited: {passed:?}");
    }
}

/// A write to b goes out, and lands so much later without an answer.
async fn goes_out(world: &World, lands_after: Duration) {
    world.b.go_wrong(&[Fault::Late(lands_after)]);
    while world.b.is_to_go_wrong() {
        if !world.turn().await {
            world.clock.advance(MOMENT);
        }
    }
}

#[tokio::test]
async fn a_record_that_a_write_of_ours_may_still_go_over_is_looked_at_at_once() {
    let (world, a, b) = pair().await;
    world.clock.advance(HOUR);
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    goes_out(&world, Duration::from_secs(3)).await;
    world.clock.advance(Duration::from_secs(1));
    goes_out(&world, Duration::from_secs(120)).await;
    while world.b.kept(&b, "city") != "Lyon" {
        world.turn().await;
        world.clock.advance(MOMENT);
    }
    for _ in 0..2 * Touched::CHANCE {
        world.b.is_looked_at(&b);
        world.hear(Side::B, &b).await;
        while world.turn().await {}
        world.clock.advance(MOMENT);
    }
    assert_eq!(world.b.under_way(), 1, "the second sending");
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    while world.b.under_way() > 0 {
        world.clock.advance(Duration::from_secs(1));
    }
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.sweep().await;
    assert_eq!(world.a.kept(&a, "city"), "Turin");
    assert_eq!(world.b.kept(&b, "city"), "Turin");
    world.judge(1).await;
}
