//! Contests of one field in records whose one time of change is that of something else.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::Side;
use tandem_runtime::Archived;

use super::pairs::{PLAIN, TALENTS, on_both, text};
use crate::world::system::faults::Moment;
use crate::world::system::oddities::{Form, Lag, Meanwhile, Oddities};
use crate::world::system::{Fault, Talents};
use crate::world::{World, policy};

const A_WHILE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_edit_of_what_a_lost_create_has_made_is_later_than_the_value_that_was_sent() {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let here = world.a.user_creates(&[
        ("name", "Ann"),
        ("email", "ann@x.example"),
        ("note", "first"),
    ]);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &here).await;
    world.turn().await;
    let there = world.b.about("ann@x.example").remove(0);
    world.clock.advance(Duration::from_secs(1));
    world.b.user_edits(&there, "note", "typed in b");
    world.clock.advance(A_WHILE);
    // Another field of its source is edited later still.
    world.a.user_edits(&here, "name", "Ann Peeters");
    world.hear(Side::B, &there).await;
    world.hear(Side::A, &here).await;
    world.rest().await;
    world.sweep().await;
    world.rest().await;
    for (side, id) in [(Side::A, &here), (Side::B, &there)] {
        assert_eq!(text(&world, side, id, "note"), "typed in b");
        assert_eq!(text(&world, side, id, "name"), "Ann Peeters");
    }
    assert_eq!(world.b.about("ann@x.example").len(), 1);
    world.judge(1).await;
}

#[tokio::test]
async fn a_write_that_shows_nothing_does_not_make_its_side_the_later_one() {
    let talents = Talents {
        answers_with_record: false,
        ..PLAIN
    };
    let drops = Oddities {
        forms: vec![("note", Form::Dropped)],
        ..Oddities::default()
    };
    let lags = Oddities {
        lag: Lag {
            by: Duration::from_secs(1),
            shows: Meanwhile::Before,
        },
        ..Oddities::default()
    };
    let world = World::odd(
        1,
        policy(),
        (talents, drops),
        (talents, lags),
        Archived::Gone,
    )
    .await;
    let a = world
        .a
        .user_creates(&[("name", "Ann"), ("email", "ann@x.example")]);
    world.clock.advance(A_WHILE);
    world.first_sync().await;
    let b = world.b.about("ann@x.example").remove(0);
    world.clock.advance(A_WHILE);
    world.rest().await;

    world.a.user_edits(&a, "name", "typed in a");
    world.b.user_edits(&b, "note", "for a, which drops it");
    world.clock.advance(A_WHILE);
    // The name is edited on the other side right before Tandem writes, and does not show yet; then the write is lost.
    let (other, clock, record) = (Arc::clone(&world.b), world.clock.clone(), b.clone());
    world.a.once(Moment::BeforeWrite, &a, move |_| {
        clock.advance(Duration::from_millis(20));
        other.user_edits(&record, "name", "typed in b, later");
        clock.advance(Duration::from_millis(20));
    });
    world.b.go_wrong(&[Fault::LostRequest]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.sweep().await;
    world.rest().await;
    for (side, id) in [(Side::A, &a), (Side::B, &b)] {
        assert_eq!(text(&world, side, id, "name"), "typed in b, later");
    }
    world.judge(1).await;
}

#[tokio::test]
async fn the_form_of_a_value_that_we_carried_over_is_no_edit_though_its_source_was_made_again() {
    let escapes = Oddities {
        forms: vec![("name", Form::Escaped)],
        ..Oddities::default()
    };
    let (world, here, there) = on_both(&[], escapes).await;
    world.a.user_edits(&here, "name", "Ann & Sons");
    world.clock.advance(A_WHILE);
    // A moment before our write goes out its source is deleted and made again.
    let (old, clock) = (here.clone(), world.clock.clone());
    world.a.once(Moment::AfterRead, &here, move |system| {
        system.user_deletes(&old);
        system.user_creates(&[("name", "Ann & Sons"), ("email", "ann@x.example")]);
        clock.advance(A_WHILE);
    });
    world.hear(Side::A, &here).await;
    world.rest().await;
    world.sweep().await;
    world.rest().await;
    let again = world.a.about("ann@x.example").remove(0);
    let link = world.link_of(Side::A, &again).await.expect("linked");
    assert_eq!(link.b.id, Some(there.clone()));
    assert_eq!(text(&world, Side::A, &again, "name"), "Ann & Sons");
    assert_eq!(text(&world, Side::B, &there, "name"), "Ann &amp; Sons");
    let asked = world.open().await;
    assert_eq!(asked.len(), 1, "the form is told of: {asked:?}");
}

#[tokio::test]
async fn what_a_create_that_landed_late_has_made_was_typed_before_it_was_sent() {
    for form in [None, Some(Form::Upper)] {
        let a = Oddities {
            forms: form.into_iter().map(|form| ("note", form)).collect(),
            ..Oddities::default()
        };
        let (a, b) = ((PLAIN, a), (PLAIN, Oddities::default()));
        let world = World::odd(1, policy(), a, b, Archived::Gone).await;
        world.first_sync().await;
        let ann = [("name", "Ann"), ("email", "ann@x.example")];
        let there = world
            .b
            .user_creates(&[&ann[..], &[("note", "first")]].concat());
        world.a.go_wrong(&[Fault::Late(Duration::from_secs(15))]);
        world.hear(Side::B, &there).await;
        world.turn().await;
        // Its source is deleted and made again, and edited before the create lands.
        world.b.user_deletes(&there);
        let again = world.b.user_creates(&ann);
        world.clock.advance(A_WHILE);
        world.b.user_edits(&again, "note", "typed anew");
        world.clock.advance(A_WHILE);
        world.hear(Side::B, &again).await;
        world.rest().await;
        world.clock.advance(A_WHILE * 6);
        world.sweep().await;
        let here = world.a.about("ann@x.example").remove(0);
        let typed = world.a.form_of("note", "typed anew");
        assert_eq!(text(&world, Side::A, &here, "note"), typed);
        assert_eq!(text(&world, Side::B, &again, "note"), "typed anew");
        world.judge(1).await;
    }
}

#[tokio::test]
async fn so_it_was_where_its_source_made_again_finds_it_before_the_job_that_sent_the_create() {
    let a = (TALENTS, Oddities::default());
    let world = World::odd(1, policy(), a.clone(), a, Archived::Gone).await;
    world.first_sync().await;
    let ann = [("name", "Ann"), ("email", "ann@x.example")];
    let there = world
        .b
        .user_creates(&[&ann[..], &[("note", "first")]].concat());
    world.a.go_wrong(&[Fault::Late(A_WHILE * 2)]);
    world.hear(Side::B, &there).await;
    while world.a.is_to_go_wrong() {
        assert!(world.turn().await, "it is sent");
    }
    world.b.user_deletes(&there);
    let again = world.b.user_creates(&ann);
    world.b.user_edits(&again, "note", "typed anew");
    // The pauses of the job that looks for it have grown by then.
    while world.a.about("ann@x.example").is_empty() {
        while world.turn().await {}
        world.clock.advance(Duration::from_millis(500));
    }
    world.hear(Side::B, &again).await;
    world.rest().await;
    world.sweep().await;
    let here = world.a.about("ann@x.example").remove(0);
    assert_eq!(text(&world, Side::A, &here, "note"), "typed anew");
    assert_eq!(text(&world, Side::B, &again, "note"), "typed anew");
    world.judge(1).await;
}

#[tokio::test]
async fn the_time_of_an_edit_beside_a_write_whose_answer_was_lost_is_that_of_the_edit() {
    let (world, a, b) = on_both(&[], Oddities::default()).await;
    world.b.user_edits(&b, "city", "Lyon");
    world.a.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::B, &b).await;
    world.turn().await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
    world.clock.advance(A_WHILE);
    world.b.user_edits(&b, "name", "typed in b");
    world.clock.advance(A_WHILE);
    world.a.user_edits(&a, "name", "typed in a, later");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.sweep().await;
    for (side, id) in [(Side::A, &a), (Side::B, &b)] {
        assert_eq!(text(&world, side, id, "name"), "typed in a, later");
        assert_eq!(text(&world, side, id, "city"), "Lyon");
    }
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_right_after_a_write_that_was_answered_is_not_dated_by_it_though_the_next_one_had_no_answer()
 {
    for first in [vec![], vec![Fault::LostRequest]] {
        let (world, a, b) = on_both(&[], Oddities::default()).await;
        world.a.user_edits(&a, "city", "Lyon");
        world.b.user_edits(&b, "note", "for a");
        // It may have been sent before, without an answer.
        world.a.go_wrong(&first);
        world.b.go_wrong(&[Fault::LostRequest]);
        world.hear(Side::B, &b).await;
        while world.b.is_to_go_wrong() || text(&world, Side::A, &a, "note") != "for a" {
            if !world.turn().await {
                world.clock.advance(Duration::from_millis(100));
            }
        }
        assert_eq!(text(&world, Side::A, &a, "note"), "for a");
        world.clock.advance(Duration::from_millis(100));
        world.b.user_edits(&b, "city", "Turin");
        world.clock.advance(Duration::from_millis(3_300));
        world.a.user_edits(&a, "city", "Nice");
        world.hear(Side::A, &a).await;
        world.rest().await;
        world.sweep().await;
        for (side, id) in [(Side::A, &a), (Side::B, &b)] {
            assert_eq!(text(&world, side, id, "city"), "Nice");
            assert_eq!(text(&world, side, id, "note"), "for a");
        }
        world.judge(1).await;
    }
}

#[tokio::test]
async fn a_value_of_ours_that_another_one_of_ours_has_replaced_was_typed_after_that_when_it_stands_again()
 {
    let (world, a, b) = on_both(&[("city", "Ghent")], Oddities::default()).await;
    for city in ["Lyon", "Turin"] {
        world.clock.advance(A_WHILE);
        world.b.user_edits(&b, "city", city);
        world.clock.advance(A_WHILE);
        world.hear(Side::B, &b).await;
        world.rest().await;
        assert_eq!(text(&world, Side::A, &a, "city"), city);
    }
    world.clock.advance(A_WHILE);
    world.b.user_deletes(&b);
    world.clock.advance(A_WHILE);
    let ann = [
        ("name", "Ann"),
        ("email", "ann@x.example"),
        ("city", "Bruges"),
    ];
    let again = world.b.user_creates(&ann);
    world.clock.advance(A_WHILE);
    world.a.user_edits(&a, "city", "Lyon");
    world.clock.advance(A_WHILE);
    for (side, id) in [(Side::B, &b), (Side::B, &again), (Side::A, &a)] {
        world.hear(side, id).await;
    }
    world.rest().await;
    world.sweep().await;
    assert_eq!(text(&world, Side::B, &again, "city"), "Lyon");
    assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
    world.judge(1).await;
}
