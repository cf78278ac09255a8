//! Systems in which a record goes back to what it held before our write, though nobody wants it to: writes that were answered
//! and lost, carried out in another order, or answered with nothing at all.

use std::time::Duration;

use tandem_domain::{Clock, JobId, RecordId, Side};
use tandem_store::{ChangeFilter, Conflict, ConflictKind, ConflictState, FieldChange, Resolution};
use tandem_testkit::SeededEntropy;

use super::pairs::{on_both, text};
use crate::world::World;
use crate::world::system::Fault;
use crate::world::system::oddities::Oddities;

async fn pair(b: Oddities) -> (World, RecordId, RecordId) {
    on_both(&[("city", "Ghent"), ("note", "pays late")], b).await
}

async fn edited(world: &World, side: Side, id: &RecordId, field: &str, value: &str) {
    world.system(side).user_edits(id, field, value);
    world.hear(side, id).await;
    world.rest().await;
}

async fn comes_to_rest(world: &World) {
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(60));
        world.sweep().await;
    }
}

fn both(world: &World, (a, b): (&RecordId, &RecordId), field: &str) -> [String; 2] {
    [
        text(world, Side::A, a, field),
        text(world, Side::B, b, field),
    ]
}

#[tokio::test]
async fn what_may_be_a_stale_form_saved_with_an_edit_of_another_field_is_asked_about_and_overwrites_nothing()
 {
    for updates_answer_nothing in [false, true] {
        let odd = Oddities {
            updates_answer_nothing,
            ..Oddities::default()
        };
        let (world, a, b) = pair(odd).await;
        edited(&world, Side::A, &a, "city", "Bruges").await;
        world.clock.advance(Duration::from_secs(30));
        // Somebody had the record open since before.
        world.b.user_edits(&b, "city", "Ghent");
        edited(&world, Side::B, &b, "note", "pays at once").await;
        comes_to_rest(&world).await;
        assert_eq!(both(&world, (&a, &b), "city"), ["Bruges", "Ghent"]);
        assert_eq!(
            both(&world, (&a, &b), "note"),
            ["pays at once", "pays at once"]
        );
        let asked = open(&world).await;
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(matches!(&asked[0].kind, ConflictKind::NotKept { field, .. } if field == "city"));
    }
}

async fn open(world: &World) -> Vec<Conflict> {
    let mut questions = world.questions().await;
    questions.retain(|one| one.state == ConflictState::Open);
    questions
}

/// A system that says yes, with the record as it was told and the time of now.
fn echoes() -> Oddities {
    Oddities {
        echoes: true,
        ..Oddities::default()
    }
}

#[tokio::test]
async fn a_write_that_was_answered_and_lost_is_sent_again_and_takes_nothing_back_in_the_source() {
    let (world, a, b) = pair(echoes()).await;
    edited(&world, Side::B, &b, "note", "pays at once").await;
    world.clock.advance(Duration::from_secs(1));
    world.b.go_wrong(&[Fault::Ignored]);
    edited(&world, Side::A, &a, "city", "Bruges").await;
    world.clock.advance(Duration::from_secs(1));
    world.hear(Side::B, &b).await;
    world.rest().await;
    comes_to_rest(&world).await;
    assert_eq!(both(&world, (&a, &b), "city"), ["Bruges", "Bruges"]);
    assert_eq!(world.questions().await, []);
    let filter = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await;
    let changes = changes.expect("the storage answers");
    let mut fields = changes.iter().flat_map(|change| &change.fields);
    let is_told = |field: &FieldChange| field.reason.contains("stood there before our last write");
    assert!(fields.any(is_told), "{changes:#?}");
}

#[tokio::test]
async fn where_that_shows_long_after_the_time_that_it_had_a_person_is_asked_what_it_is() {
    let (world, a, b) = pair(echoes()).await;
    world.b.go_wrong(&[Fault::Ignored]);
    edited(&world, Side::A, &a, "city", "Bruges").await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    comes_to_rest(&world).await;
    assert_eq!(both(&world, (&a, &b), "city"), ["Bruges", "Ghent"]);
    assert_eq!(world.questions().await.len(), 1);

    // Who says that the older state counts gets it.
    let asked = open(&world).await.pop().expect("it is asked");
    let now = world.clock.now();
    let job = JobId::new(now, &SeededEntropy::new(7));
    let resolved = world
        .store
        .resolve_conflict(asked.id, Resolution::Approve, job, now)
        .await;
    assert!(resolved.expect("the storage answers").is_some());
    comes_to_rest(&world).await;
    assert_eq!(both(&world, (&a, &b), "city"), ["Ghent", "Ghent"]);
}

#[tokio::test]
async fn one_that_is_lost_each_time_ends_with_a_question() {
    let (world, a, b) = pair(echoes()).await;
    world.b.go_wrong(&[Fault::Ignored; 200]);
    edited(&world, Side::A, &a, "city", "Bruges").await;
    for _ in 0..100 {
        world.clock.advance(Duration::from_secs(120));
        world.sweep().await;
    }
    assert_eq!(text(&world, Side::A, &a, "city"), "Bruges");
    assert_eq!(text(&world, Side::B, &b, "city"), "Ghent");
    let questions = open(&world).await;
    assert_eq!(questions.len(), 1, "{questions:?}");
    assert!(world.b.writes() < 20, "{} writes", world.b.writes());
}

#[tokio::test]
async fn who_takes_our_value_back_and_changes_nothing_else_has_edited() {
    let (world, a, b) = pair(Oddities::default()).await;
    edited(&world, Side::A, &a, "city", "Bruges").await;
    world.clock.advance(Duration::from_secs(30));
    edited(&world, Side::B, &b, "city", "Ghent").await;
    comes_to_rest(&world).await;
    assert_eq!(both(&world, (&a, &b), "city"), ["Ghent", "Ghent"]);
}

#[tokio::test]
async fn who_takes_it_back_with_an_edit_of_another_field_long_after_has_edited_both() {
    let (world, a, b) = pair(Oddities::default()).await;
    edited(&world, Side::A, &a, "city", "Bruges").await;
    world.clock.advance(Duration::from_secs(3_600));
    world.b.user_edits(&b, "city", "Ghent");
    edited(&world, Side::B, &b, "note", "pays at once").await;
    comes_to_rest(&world).await;
    assert_eq!(both(&world, (&a, &b), "city"), ["Ghent", "Ghent"]);
}

#[tokio::test]
async fn writes_that_are_carried_out_in_another_order_do_not_bring_an_older_value_back() {
    for echoes in [false, true] {
        let odd = Oddities {
            echoes,
            ..Oddities::default()
        };
        let (world, a, b) = pair(odd).await;
        let queued = [
            Fault::Queued(Duration::from_secs(8)),
            Fault::Queued(Duration::from_secs(1)),
        ];
        world.b.go_wrong(&queued);
        world.a.user_edits(&a, "city", "Bruges");
        world.hear(Side::A, &a).await;
        world.turn().await;
        world.clock.advance(Duration::from_secs(2));
        world.a.user_edits(&a, "city", "Antwerp");
        world.hear(Side::A, &a).await;
        world.turn().await;
        world.clock.advance(Duration::from_secs(10));
        world.hear(Side::B, &b).await;
        world.rest().await;
        comes_to_rest(&world).await;
        assert_eq!(both(&world, (&a, &b), "city"), ["Antwerp", "Antwerp"]);
    }
}

#[tokio::test]
async fn answers_that_show_nothing_confirm_nothing_and_nothing_is_taken_back_when_they_show_again()
{
    let all = ["name", "email", "city", "note"];
    for nulls in [false, true] {
        let (world, a, b) = pair(Oddities::default()).await;
        world.b.hides_fields(&all);
        world.b.hides_as_null(nulls);
        world.b.go_wrong(&[Fault::Ignored]);
        edited(&world, Side::A, &a, "city", "Bruges").await;
        world.clock.advance(Duration::from_secs(20));
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.b.hides_fields(&[]);
        comes_to_rest(&world).await;
        assert_eq!(text(&world, Side::A, &a, "city"), "Bruges", "a keeps it");
        assert_eq!(both(&world, (&a, &b), "note"), ["pays late", "pays late"]);
        let stands = text(&world, Side::B, &b, "city");
        let questions = world.questions().await;
        let is_asked = questions.iter().any(|one| one.state == ConflictState::Open);
        assert!(stands == "Bruges" || is_asked, "{stands}: {questions:?}");
    }
}

#[tokio::test]
async fn what_was_answered_and_never_shown_is_known_for_ours_however_late_it_lands() {
    for after in [20, 40] {
        let (world, a, b) = pair(echoes()).await;
        world
            .b
            .go_wrong(&[Fault::Queued(Duration::from_secs(after)), Fault::Ignored]);
        edited(&world, Side::A, &a, "city", "Bruges").await;
        world.clock.advance(Duration::from_secs(9));
        world.hear(Side::B, &b).await;
        edited(&world, Side::A, &a, "city", "Antwerp").await;
        world.clock.advance(Duration::from_secs(after));
        world.hear(Side::B, &b).await;
        world.rest().await;
        comes_to_rest(&world).await;
        assert_eq!(text(&world, Side::A, &a, "city"), "Antwerp", "{after}");
    }
}
