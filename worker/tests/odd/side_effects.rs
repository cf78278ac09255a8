//! Systems that change other fields than those that a write names.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Value};
use tandem_store::{Conflict, ConflictKind};

use super::pairs::{on_both, text};
use crate::world::World;
use crate::world::system::oddities::Oddities;

/// Side b changes the note of a record where its city is written; one record is on both sides.
async fn pair_with(note: Value, b: Oddities) -> (World, RecordId, RecordId) {
    let b = Oddities {
        side_effects: vec![("city", "note", note)],
        ..b
    };
    on_both(&[("note", "pays late")], b).await
}

async fn about_note(world: &World) -> Vec<Conflict> {
    let mut questions = world.questions().await;
    questions
        .retain(|one| matches!(&one.kind, ConflictKind::NotKept { field, .. } if field == "note"));
    questions
}

async fn is_no_edit(note: Value, b: Oddities) {
    let shown = note.to_string();
    let (world, here, there) = pair_with(note, b).await;
    world.a.user_edits(&here, "city", "Ghent");
    world.hear(Side::A, &here).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    world.sweep().await;
    assert_eq!(text(&world, Side::B, &there, "city"), "Ghent");
    assert_eq!(text(&world, Side::B, &there, "note"), shown);
    assert_eq!(
        text(&world, Side::A, &here, "note"),
        "pays late",
        "a keeps it"
    );
    assert_eq!(about_note(&world).await.len(), 1, "a person is asked once");

    // What somebody types there later is an edit like any other.
    world.b.user_edits(&there, "note", "pays at once");
    world.hear(Side::B, &there).await;
    world.rest().await;
    assert_eq!(text(&world, Side::A, &here, "note"), "pays at once");
}

#[tokio::test]
async fn a_field_that_a_system_empties_with_a_write_to_another_is_no_edit() {
    is_no_edit(Value::Null, Oddities::default()).await;
}

#[tokio::test]
async fn nor_is_it_where_the_write_is_read_back() {
    let b = Oddities {
        updates_answer_nothing: true,
        ..Oddities::default()
    };
    is_no_edit(Value::Null, b).await;
}

#[tokio::test]
async fn what_a_system_saves_with_our_write_as_it_remembers_the_record_is_no_edit() {
    for updates_answer_nothing in [false, true] {
        let b = Oddities {
            updates_answer_nothing,
            ..Oddities::default()
        };
        let as_remembered = Value::Text("pays late".to_owned());
        let (world, here, there) = pair_with(as_remembered, b).await;
        world.b.user_edits(&there, "note", "pays at once");
        world.hear(Side::B, &there).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(60));
        world.a.user_edits(&here, "city", "Ghent");
        world.hear(Side::A, &here).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(60));
        world.sweep().await;
        assert_eq!(text(&world, Side::B, &there, "note"), "pays late");
        assert_eq!(text(&world, Side::A, &here, "note"), "pays at once");
        assert_eq!(about_note(&world).await.len(), 1, "a person is asked once");
    }
}

#[tokio::test]
async fn nor_is_another_value_where_the_write_was_guarded() {
    let b = Oddities {
        compares_versions: true,
        ..Oddities::default()
    };
    is_no_edit(Value::Text("see city".to_owned()), b).await;
}
