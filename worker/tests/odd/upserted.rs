//! Systems that answer a create with a record which a person made there a moment before, and which they have updated.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side, Timestamp};
use tandem_runtime::Archived;
use tandem_store::{Conflict, ConflictKind, ConflictState, EventKind};
use tandem_testkit::TestClock;

use super::pairs::{PLAIN, text};
use crate::world::system::oddities::Oddities;
use crate::world::system::{Fault, Talents};
use crate::world::{World, policy};

const BOB: [(&str, &str); 2] = [("name", "Bob"), ("email", "bob@x.example")];

/// A search does not find a new record for so long.
const INDEXED_AFTER: Duration = Duration::from_secs(20);

fn upserts() -> Oddities {
    Oddities {
        joins_by: Some("email"),
        ..Oddities::default()
    }
}

fn without_birth() -> Oddities {
    Oddities {
        hides_birth: true,
        ..upserts()
    }
}

/// Two systems at work, of which `b` upserts.
async fn at_work(talents: Talents, b: Oddities) -> World {
    let ends = ((talents, Oddities::default()), (talents, b));
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
    world.first_sync().await;
    world.clock.advance(Duration::from_millis(60_123));
    world
}

/// Somebody types Bob on b, where a search does not find him yet, and `earlier` before that is done on a.
fn typed_on_both(world: &World, earlier: Duration) -> (RecordId, RecordId, Timestamp) {
    let fields = [&BOB[..], &[("city", "Ghent"), ("note", "from b")]].concat();
    let there = world.b.user_creates(&fields);
    let typed = world.clock.now();
    world.b.hides(&there, INDEXED_AFTER);
    world.clock.advance(earlier);
    let here = world
        .a
        .user_creates(&[&BOB[..], &[("city", "Lyon")]].concat());
    (here, there, typed)
}

async fn come_to_rest(world: &World) {
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    world.sweep().await;
}

/// That our values went over those of b is told once, and what a had nothing for is carried over to it.
async fn is_told_and_carried_over(world: &World, pair: (&RecordId, &RecordId)) -> Conflict {
    let asked = world.asked("overwritten").await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    let ConflictKind::Overwritten {
        written,
        met: Some(_),
        ..
    } = &asked[0].kind
    else {
        panic!("{asked:?}");
    };
    assert_eq!(written["city"].to_string(), "Lyon");
    assert!(!written.contains_key("note"), "{written:?}");
    let logged = world.overwrites().await;
    assert_eq!(logged.len(), 1);
    let said = logged[0].error.as_deref().unwrap_or_default();
    let names_all = [pair.1.as_str(), "stood there before", "city"];
    assert!(names_all.iter().all(|name| said.contains(name)), "{said}");
    for (side, id) in [(Side::A, pair.0), (Side::B, pair.1)] {
        assert_eq!(text(world, side, id, "note"), "from b");
        assert_eq!(text(world, side, id, "city"), "Lyon");
    }
    let questions = world.asked("not_kept").await;
    let open = |question: &&Conflict| question.state == ConflictState::Open;
    assert_eq!(questions.iter().find(open), None);
    asked.into_iter().next().expect("one")
}

#[tokio::test]
async fn a_record_that_a_create_met_is_known_by_when_it_was_made() {
    let id_alone = Oddities {
        creates_answer_id_alone: true,
        finds_what_it_hides: false,
        ..upserts()
    };
    for odd in [upserts(), id_alone] {
        let world = at_work(PLAIN, odd).await;
        let (here, there, typed) = typed_on_both(&world, Duration::from_millis(5_017));
        world.hear(Side::A, &here).await;
        come_to_rest(&world).await;
        let asked = is_told_and_carried_over(&world, (&here, &there)).await;
        let ConflictKind::Overwritten { edited_at, .. } = asked.kind else {
            panic!("{asked:?}");
        };
        assert_eq!(edited_at, Some(typed));
    }
}

#[tokio::test]
async fn so_it_is_where_the_answer_to_the_create_was_lost() {
    let world = at_work(PLAIN, upserts()).await;
    let (here, there, _) = typed_on_both(&world, Duration::from_millis(5_017));
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &here).await;
    come_to_rest(&world).await;
    is_told_and_carried_over(&world, (&here, &there)).await;
}

#[tokio::test]
async fn so_it_is_in_the_hour_that_a_system_without_offsets_tells_twice() {
    // Its clock was put back a moment before all of this: the change is told as if the record had not been made yet.
    for fault in [None, Some(Fault::LostResponse)] {
        let odd = Oddities {
            clock_put_back: Some(TestClock::default().now()),
            creates_answer_id_alone: true,
            ..upserts()
        };
        let world = at_work(PLAIN, odd).await;
        let (here, there, _) = typed_on_both(&world, Duration::from_millis(5_017));
        world.b.go_wrong(fault.as_slice());
        world.hear(Side::A, &here).await;
        come_to_rest(&world).await;
        is_told_and_carried_over(&world, (&here, &there)).await;
    }
}

#[tokio::test]
async fn a_record_that_a_create_met_is_known_by_an_event_that_was_heard_before() {
    let world = at_work(PLAIN, without_birth()).await;
    let (here, there, typed) = typed_on_both(&world, Duration::from_millis(17));
    world.tell(Side::B, &there, EventKind::Created, typed).await;
    world.clock.advance(Duration::from_millis(17));
    world.hear(Side::A, &here).await;
    come_to_rest(&world).await;
    is_told_and_carried_over(&world, (&here, &there)).await;
}

#[tokio::test]
async fn a_record_that_a_create_met_is_known_by_an_event_that_is_heard_afterwards() {
    let world = at_work(PLAIN, without_birth()).await;
    let (here, there, typed) = typed_on_both(&world, Duration::from_millis(5_017));
    world.hear(Side::A, &here).await;
    let ours = world.clock.now();
    world.turn().await;
    world.tell(Side::B, &there, EventKind::Created, typed).await;
    world.tell_b(&there, &[ours, ours]).await;
    come_to_rest(&world).await;
    is_told_and_carried_over(&world, (&here, &there)).await;
}

#[tokio::test]
async fn where_nothing_tells_a_default_from_a_record_that_stood_there_the_question_says_both() {
    let world = at_work(PLAIN, without_birth()).await;
    let (here, _, _) = typed_on_both(&world, Duration::from_millis(17));
    world.hear(Side::A, &here).await;
    come_to_rest(&world).await;
    assert_eq!(world.asked("overwritten").await, []);
    assert_eq!(text(&world, Side::A, &here, "note"), "");
    let asked = world.asked("not_kept").await;
    assert_eq!(asked.len(), 1);
    let ConflictKind::NotKept { field, beside, .. } = &asked[0].kind else {
        panic!("{asked:?}");
    };
    assert_eq!(field, "note");
    assert_eq!(beside["city"].to_string(), "Lyon");
}

#[tokio::test]
async fn a_default_in_what_we_make_is_no_record_that_stood_there() {
    let odd = Oddities {
        defaults: vec![("note", "none")],
        ..upserts()
    };
    let world = at_work(PLAIN, odd).await;
    for number in 0..3 {
        let email = format!("new{number}@x.example");
        let here = world
            .a
            .user_creates(&[("name", &format!("New {number}")), ("email", &email)]);
        world.hear(Side::A, &here).await;
        let ours = world.clock.now();
        world.rest().await;
        let there = world.b.about(&email).remove(0);
        world.tell(Side::B, &there, EventKind::Created, ours).await;
        world.rest().await;
        assert_eq!(text(&world, Side::A, &here, "note"), "");
    }
    assert_eq!(world.asked("overwritten").await, []);
    assert_eq!(world.overwrites().await, []);
}

#[tokio::test]
async fn a_default_that_others_were_made_without_is_no_record_that_stood_there() {
    let world = at_work(PLAIN, without_birth()).await;
    let ann = world
        .a
        .user_creates(&[("name", "Ann"), ("email", "ann@x.example")]);
    world.hear(Side::A, &ann).await;
    come_to_rest(&world).await;
    let (here, _, _) = typed_on_both(&world, Duration::from_millis(17));
    world.hear(Side::A, &here).await;
    come_to_rest(&world).await;
    assert_eq!(world.asked("overwritten").await, []);
    assert_eq!(world.asked("not_kept").await.len(), 1);
}
