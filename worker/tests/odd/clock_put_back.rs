//! Systems that tell local times without an offset, in the night when clocks are put back: the times of an hour come twice.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side, Timestamp};
use tandem_runtime::Archived;
use tandem_store::{ChangeFilter, EventKind, JobKind};
use tandem_testkit::TestClock;

use super::pairs::{TALENTS, text};
use crate::world::system::FakeSystem;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const RECORDS: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Some pairs, of which side b tells local times. Its clock is put back in two hours.
async fn world() -> (World, Vec<RecordId>, Vec<RecordId>) {
    let begins = TestClock::default().now();
    let put_back = Oddities {
        clock_put_back: Some(begins.plus(2 * HOUR)),
        ..Oddities::default()
    };
    let plain = (TALENTS, Oddities::default());
    let world = World::odd(1, policy(), plain, (TALENTS, put_back), Archived::Gone).await;
    for number in 0..RECORDS {
        let (name, email) = (format!("P {number}"), format!("p{number}@x.example"));
        world
            .a
            .user_creates(&[("name", &name), ("email", &email), ("city", "Ghent")]);
    }
    world.first_sync().await;
    let about = |system: &FakeSystem| {
        let emails = (0..RECORDS).map(|number| format!("p{number}@x.example"));
        emails.flat_map(|email| system.about(&email)).collect()
    };
    let (a, b) = (about(&world.a), about(&world.b));
    advance_to(&world, begins.plus(HOUR));
    (world, a, b)
}

async fn poll(world: &World, side: Side) {
    let sync = world.sync.clone();
    world.enqueue(JobKind::Poll { sync, side }).await;
    world.rest().await;
}

fn advance_to(world: &World, at: Timestamp) {
    world.clock.advance(at.since(world.clock.now()));
}

/// Fifty minutes into the first of both hours all of side b are edited, and ten minutes into the second again.
async fn edited_twice(how: impl AsyncFn(&World, &RecordId)) {
    let (world, _, there) = world().await;
    let start = world.clock.now();
    for (minutes, field, value) in [(50, "city", "Lyon"), (70, "note", "typed later")] {
        advance_to(&world, start.plus(minutes * MINUTE));
        for id in &there {
            world.b.user_edits(id, field, value);
            how(&world, id).await;
        }
        poll(&world, Side::B).await;
        assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    }
    let contents = world.a.contents();
    let is_whole = |one: &&std::collections::BTreeMap<String, String>| {
        one["city"] == "Lyon" && one.get("note").is_some_and(|note| note == "typed later")
    };
    assert_eq!(contents.iter().filter(is_whole).count(), RECORDS);
    world.judge(1).await;
}

#[tokio::test]
async fn edits_in_the_hour_that_comes_twice_are_carried_over_and_no_restored_system() {
    edited_twice(async |world, id| {
        let at = world.clock.now();
        world.tell(Side::B, id, EventKind::Updated, at).await;
    })
    .await;
}

#[tokio::test]
async fn edits_in_the_hour_that_comes_twice_are_found_by_polls_alone() {
    edited_twice(async |_, _| ()).await;
}

/// The note of one record is edited on side b twenty minutes into the second hour, and on side a at this many minutes of
/// both hours. Returns what stands on both sides, and what the log says.
async fn contest(minutes: u32, is_told: bool, was_edited: bool) -> (String, String) {
    let (world, here, there) = world().await;
    let start = world.clock.now();
    if was_edited {
        advance_to(&world, start.plus(30 * MINUTE));
        world.b.user_edits(&there[0], "city", "Lyon");
        poll(&world, Side::B).await;
    }
    for (at, side) in in_order(minutes) {
        advance_to(&world, start.plus(at * MINUTE));
        match side {
            Side::A => world.a.user_edits(&here[0], "note", "typed in a"),
            Side::B => world.b.user_edits(&there[0], "note", "typed in b"),
        }
    }
    let at = start.plus(80 * MINUTE);
    if is_told {
        world.tell(Side::B, &there[0], EventKind::Updated, at).await;
    }
    poll(&world, Side::A).await;
    poll(&world, Side::B).await;
    let stands = text(&world, Side::A, &here[0], "note");
    assert_eq!(text(&world, Side::B, &there[0], "note"), stands);
    let filter = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world
        .store
        .changes(&filter)
        .await
        .expect("the storage answers");
    let reasons = changes.iter().flat_map(|change| &change.fields);
    let reason = reasons
        .filter(|field| field.field == "note" && field.lost.is_some())
        .map(|field| field.reason.clone())
        .next();
    (stands, reason.unwrap_or_default())
}

fn in_order(minutes: u32) -> Vec<(u32, Side)> {
    let mut both = vec![(80, Side::B), (minutes, Side::A)];
    both.sort_by_key(|(at, _)| *at);
    both
}

#[tokio::test]
async fn the_later_of_two_edits_wins_where_an_event_or_an_earlier_reading_tells_the_hour() {
    for (is_told, was_edited) in [(true, false), (false, true), (true, true)] {
        for (minutes, wins) in [(70, "typed in b"), (85, "typed in a")] {
            let (stands, reason) = contest(minutes, is_told, was_edited).await;
            assert_eq!(stands, wins, "{is_told} {was_edited}");
            assert!(reason.contains("the later edit wins"), "{reason}");
        }
    }
}

#[tokio::test]
async fn where_nothing_tells_the_hour_only_what_is_between_both_falls_back_and_the_log_says_so() {
    let (_, reason) = contest(70, false, false).await;
    assert!(reason.contains("no time of edit"), "{reason}");
    let (stands, reason) = contest(85, false, false).await;
    assert_eq!(stands, "typed in a");
    assert!(reason.contains("the later edit wins"), "{reason}");
}
