//! Writes that were taken, and of which nothing shows for a while, or only a part.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side};
use tandem_store::{Conflict, ConflictKind, ConflictState, EventKind};

use super::pairs::{PLAIN, just_linked, on_both, propagates, text};
use crate::world::World;
use crate::world::system::Fault;
use crate::world::system::oddities::{Form, Lag, Meanwhile, Oddities};

async fn pair_with(b: Oddities) -> (World, RecordId, RecordId) {
    on_both(&[], b).await
}

async fn open_about(world: &World, field: &str) -> Vec<Conflict> {
    let mut questions = world.questions().await;
    questions.retain(|one| {
        one.state == ConflictState::Open
            && matches!(&one.kind, ConflictKind::NotKept { field: name, .. } if name == field)
    });
    questions
}

#[tokio::test]
async fn a_dropped_value_of_a_record_that_hides_after_each_write_is_asked_once_and_not_written_for_ever()
 {
    let (world, here, _) = pair_with(Oddities {
        forms: vec![("note", Form::Dropped)],
        lag: Lag {
            by: Duration::from_secs(2),
            shows: Meanwhile::Missing,
        },
        updates_answer_nothing: true,
        ..Oddities::default()
    })
    .await;
    let before = world.b.writes();
    world.a.user_edits(&here, "note", "dropped by b");
    world.hear(Side::A, &here).await;
    world.rest().await;
    assert_eq!(world.dead().await, []);
    assert_eq!(world.b.writes() - before, 1, "one write, however it ends");
    assert_eq!(open_about(&world, "note").await.len(), 1);
    assert_eq!(text(&world, Side::A, &here, "note"), "dropped by b");
}

#[tokio::test]
async fn a_value_that_shows_late_in_another_form_is_asked_about() {
    let (world, here, there) = pair_with(Oddities {
        forms: vec![("note", Form::Upper)],
        lag: Lag {
            by: Duration::from_secs(2),
            shows: Meanwhile::Before,
        },
        updates_answer_nothing: true,
        ..Oddities::default()
    })
    .await;
    world.a.user_edits(&here, "note", "in small letters");
    world.hear(Side::A, &here).await;
    world.rest().await;
    assert_eq!(text(&world, Side::A, &here, "note"), "in small letters");
    assert_eq!(text(&world, Side::B, &there, "note"), "IN SMALL LETTERS");
    let asked = open_about(&world, "note").await;
    let [question] = &asked[..] else {
        panic!("asked once: {asked:?}")
    };
    let ConflictKind::NotKept { kept, .. } = &question.kind else {
        panic!("{question:?}")
    };
    assert_eq!(kept.to_string(), "IN SMALL LETTERS");
}

#[tokio::test]
async fn of_a_write_whose_answer_was_lost_the_dropped_field_and_the_form_of_another_are_both_asked_about()
 {
    let (world, here, there) = pair_with(Oddities {
        forms: vec![("note", Form::Dropped), ("city", Form::Upper)],
        ..Oddities::default()
    })
    .await;
    world.a.user_edits(&here, "note", "dropped by b");
    world.a.user_edits(&here, "city", "Ghent");
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &here).await;
    world.rest().await;
    assert_eq!(text(&world, Side::A, &here, "city"), "Ghent");
    assert_eq!(text(&world, Side::B, &there, "city"), "GHENT");
    assert_eq!(open_about(&world, "city").await.len(), 1);
    assert_eq!(open_about(&world, "note").await.len(), 1);
}

#[tokio::test]
async fn a_default_that_shows_after_a_value_was_taken_away_is_no_edit_though_the_answer_was_lost() {
    let (world, here, there) = pair_with(Oddities {
        defaults: vec![("note", "none")],
        ..Oddities::default()
    })
    .await;
    world.a.user_edits(&here, "note", "to go");
    world.hear(Side::A, &here).await;
    world.rest().await;
    assert_eq!(text(&world, Side::B, &there, "note"), "to go");
    world.a.user_edits(&here, "note", "");
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &here).await;
    world.rest().await;
    assert_eq!(
        text(&world, Side::A, &here, "note"),
        "",
        "nobody typed the default"
    );
    assert_eq!(text(&world, Side::B, &there, "note"), "none");
}

#[tokio::test]
async fn a_write_that_lands_over_a_later_edit_is_put_right_though_both_sides_were_written_meanwhile()
 {
    let (world, here, there) = pair_with(Oddities {
        lag: Lag {
            by: Duration::from_millis(1_900),
            shows: Meanwhile::Before,
        },
        updates_answer_nothing: true,
        ..Oddities::default()
    })
    .await;
    world.a.user_edits(&here, "note", "the earlier");
    // It lands when nobody waits for it any more, and the system shows it later still.
    world
        .b
        .go_wrong(&[Fault::Late(Duration::from_millis(3_500))]);
    world.hear(Side::A, &here).await;
    world.turn().await;
    world.b.user_edits(&there, "note", "the later");
    world.clock.advance(Duration::from_secs(2));
    world.hear(Side::B, &there).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    world.sweep().await;
    assert_eq!(text(&world, Side::B, &there, "note"), "the later");
    assert_eq!(text(&world, Side::A, &here, "note"), "the later");
}

#[tokio::test]
async fn who_sets_a_value_back_that_we_wrote_over_a_while_ago_has_edited() {
    let (world, here, there) = pair_with(Oddities::default()).await;
    for state in ["open", "closed"] {
        world.a.user_edits(&here, "note", state);
        world.hear(Side::A, &here).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(text(&world, Side::B, &there, "note"), "closed");
    world.clock.advance(Duration::from_secs(40));
    world.b.user_edits(&there, "note", "open");
    world.hear(Side::B, &there).await;
    world.rest().await;
    for (side, id) in [(Side::A, &here), (Side::B, &there)] {
        assert_eq!(text(&world, side, id, "note"), "open");
    }
}

#[tokio::test]
async fn what_shows_late_is_ours_whatever_it_looks_like() {
    let (world, here, there) = pair_with(Oddities {
        forms: vec![("note", Form::Word("Germany"))],
        lag: Lag {
            by: Duration::from_secs(1),
            shows: Meanwhile::Before,
        },
        updates_answer_nothing: true,
        ..Oddities::default()
    })
    .await;
    world.a.user_edits(&here, "note", "DE");
    world.hear(Side::A, &here).await;
    world.rest().await;
    assert_eq!(text(&world, Side::A, &here, "note"), "DE");
    assert_eq!(text(&world, Side::B, &there, "note"), "Germany");
    assert_eq!(open_about(&world, "note").await.len(), 1);
}

#[tokio::test]
async fn a_record_that_a_person_left_alone_is_no_partner_of_a_new_one() {
    let (world, here, there) = pair_with(Oddities::default()).await;
    world.take_apart(Side::A, &here).await;
    world.a.user_deletes(&here);
    let again = world.a.user_creates(&[
        ("name", "Ann"),
        ("email", "ann@x.example"),
        ("city", "Namur"),
    ]);
    world.hear(Side::A, &again).await;
    world.rest().await;
    assert_eq!(text(&world, Side::B, &there, "city"), "");
    let link = world.link_of(Side::A, &again).await;
    assert!(link.is_none_or(|link| link.b.id != Some(there)));
}

#[tokio::test]
async fn a_value_that_the_source_takes_back_before_it_shows_is_not_brought_back_when_it_does() {
    let (world, here, there) = pair_with(Oddities {
        lag: Lag {
            by: Duration::from_secs(12),
            shows: Meanwhile::Before,
        },
        updates_answer_nothing: true,
        ..Oddities::default()
    })
    .await;
    world.a.user_edits(&here, "note", "a slip");
    world.hear(Side::A, &here).await;
    world.turn().await;
    world.clock.advance(Duration::from_secs(4));
    world.a.user_edits(&here, "note", "");
    world.hear(Side::A, &here).await;
    world.turn().await;
    world.clock.advance(Duration::from_secs(30));
    world.hear(Side::B, &there).await;
    world.rest().await;
    for (side, id) in [(Side::A, &here), (Side::B, &there)] {
        assert_eq!(text(&world, side, id, "note"), "");
    }
}

#[tokio::test]
async fn a_write_that_a_system_refuses_because_it_has_it_already_and_does_not_show_it_is_logged() {
    let (world, here, there) = pair_with(Oddities {
        lag: Lag {
            by: Duration::from_millis(2_700),
            shows: Meanwhile::Before,
        },
        compares_versions: true,
        updates_answer_nothing: true,
        ..Oddities::default()
    })
    .await;
    world.b.user_edits(&there, "city", "Ghent");
    world.clock.advance(Duration::from_secs(10));
    world.a.user_edits(&here, "city", "Lyon");
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &here).await;
    world.rest().await;
    assert_eq!(text(&world, Side::B, &there, "city"), "Lyon");
    // Who lost is in the log.
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_that_our_write_went_over_and_that_shows_before_the_write_does_is_not_carried_over()
{
    let behind = Lag {
        by: Duration::from_secs(20),
        shows: Meanwhile::Before,
    };
    let (world, here, there) = on_both(
        &[("city", "Ghent")],
        Oddities {
            lag: behind,
            listing_lag: behind,
            updates_answer_nothing: true,
            ..Oddities::default()
        },
    )
    .await;
    world.clock.advance(Duration::from_secs(60));
    world.b.user_edits(&there, "city", "Turin");
    world.clock.advance(Duration::from_secs(5));
    world.a.user_edits(&here, "city", "Lyon");
    world.hear(Side::A, &here).await;
    world.rest().await;
    // The reading of now is from before the write, and shows the edit that it went over.
    world.clock.advance(Duration::from_secs(12));
    world.sweep().await;
    for (side, id) in [(Side::A, &here), (Side::B, &there)] {
        assert_eq!(text(&world, side, id, "city"), "Lyon");
    }
}

#[tokio::test]
async fn a_record_that_is_behind_has_as_long_for_each_event_as_for_the_first() {
    let (world, here, there) = on_both(
        &[("city", "Ghent"), ("note", "none yet")],
        Oddities {
            lag: Lag {
                by: Duration::from_secs(20),
                shows: Meanwhile::Before,
            },
            ..Oddities::default()
        },
    )
    .await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&here, "note", "typed in a");
    world.clock.advance(Duration::from_secs(1));
    for (city, later) in [("Turin", 0), ("Milan", 14), ("Rome", 14)] {
        world.clock.advance(Duration::from_secs(later));
        if city == "Rome" {
            world.a.user_edits(&here, "city", "Lyon, a moment before");
            world.clock.advance(Duration::from_secs(1));
        }
        world.b.user_edits(&there, "city", city);
        let at = world.clock.now();
        world.tell(Side::B, &there, EventKind::Updated, at).await;
        world.turn().await;
    }
    world.rest().await;
    world.sweep().await;
    for (side, id) in [(Side::A, &here), (Side::B, &there)] {
        assert_eq!(text(&world, side, id, "city"), "Rome");
        assert_eq!(text(&world, side, id, "note"), "typed in a");
    }
}

#[tokio::test]
async fn an_event_that_tells_of_a_time_to_come_holds_its_record_up_no_longer_than_any() {
    let (world, here, there) = pair_with(Oddities::default()).await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&here, "note", "typed in a");
    let began = world.clock.now();
    let ahead = began.plus(Duration::from_secs(140));
    world.tell(Side::A, &here, EventKind::Updated, ahead).await;
    world.rest().await;
    assert_eq!(text(&world, Side::B, &there, "note"), "typed in a");
    assert!(world.clock.now().since(began) < Duration::from_secs(60));
}

#[tokio::test]
async fn nor_does_it_hold_up_a_delete() {
    let plain = || (PLAIN, Oddities::default());
    let (world, here, there) = just_linked(propagates(), plain(), plain()).await;
    world.clock.advance(Duration::from_secs(60));
    let began = world.clock.now();
    let ahead = began.plus(Duration::from_secs(7_200));
    world.tell(Side::A, &here, EventKind::Updated, ahead).await;
    world.a.user_deletes(&here);
    world.rest().await;
    assert!(world.b.texts(&there).is_none(), "its partner is deleted");
    assert!(world.clock.now().since(began) < Duration::from_secs(120));
}

#[tokio::test]
async fn a_value_that_was_sent_twice_and_shows_late_has_gone_over_nothing() {
    let slow = Oddities {
        lag: Lag {
            by: Duration::from_secs(2),
            shows: Meanwhile::Before,
        },
        updates_answer_nothing: true,
        ..Oddities::default()
    };
    let (world, here, there) = on_both(&[("note", "the earlier")], slow).await;
    world.a.user_edits(&here, "note", "the later");
    world.b.go_wrong(&[Fault::LostRequest]);
    world.hear(Side::A, &here).await;
    world.rest().await;
    for (side, id) in [(Side::A, &here), (Side::B, &there)] {
        assert_eq!(text(&world, side, id, "note"), "the later");
    }
    assert_eq!(world.overwrites().await, []);
}
