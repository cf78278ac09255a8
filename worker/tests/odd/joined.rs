//! Systems that answer a create with a record that was there before.

use std::time::Duration;

use tandem_domain::Side;
use tandem_engine::SyncPolicy;
use tandem_runtime::Archived;
use tandem_store::{Conflict, ConflictKind, ConflictState, QuestionKind, Resolution};

use super::pairs::{ANN, PLAIN, propagates, text};
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

#[tokio::test]
async fn what_a_create_of_ours_wrote_over_the_partner_of_another_is_no_edit_and_is_asked_about() {
    let world = joins_by_note(policy()).await;
    let ann = world
        .a
        .user_creates(&[&ANN[..], &[("note", "BE 0123")]].concat());
    world.first_sync().await;
    let there = world.b.about("ann@x.example").remove(0);
    // Another company with the same number, which b takes for the one that it knows.
    let bob = world.a.user_creates(&[
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("city", "Lyon"),
        ("note", "BE 0123"),
    ]);
    world.hear(Side::A, &bob).await;
    world.rest().await;
    world.hear(Side::B, &there).await;
    world.rest().await;
    world.sweep().await;
    world.rest().await;
    assert_eq!(
        text(&world, Side::A, &ann, "city"),
        "Ghent",
        "nobody edited it"
    );
    let asked = world.open().await;
    let question = asked
        .iter()
        .find(|one| matches!(one.kind, ConflictKind::Replaced { .. }));
    let question = question.expect("a person is asked").clone();
    assert_eq!(question.record, there);
    let taken = Resolution::Take { side: Side::A };
    world.answer(&question, taken).await;
    assert_eq!(text(&world, Side::B, &there, "city"), "Ghent");
    assert_eq!(text(&world, Side::A, &ann, "name"), "Ann");
    let questions = world.questions().await;
    let answered = questions.iter().find(|one| one.id == question.id);
    assert_ne!(answered.expect("it is kept").state, ConflictState::Open);
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(14_400));
        world.sweep().await;
        world.rest().await;
    }
    assert_eq!(
        text(&world, Side::B, &there, "city"),
        "Ghent",
        "it is not written over again by each whole comparison"
    );
    assert_eq!(world.dead().await.len(), 1, "what has no partner is shown");
}

/// Two systems of which b takes what it is told for a record that has the same note.
async fn joins_by_note(policy: SyncPolicy) -> World {
    let joins = Oddities {
        joins_by: Some("note"),
        ..Oddities::default()
    };
    let ends = ((PLAIN, Oddities::default()), (PLAIN, joins));
    World::odd(1, policy, ends.0, ends.1, Archived::Gone).await
}

#[tokio::test]
async fn records_that_creates_went_over_do_not_say_that_their_system_was_set_back() {
    let world = joins_by_note(propagates()).await;
    let mut linked = Vec::new();
    for name in ["ann", "cid", "eve"] {
        let email = format!("{name}@x.example");
        linked.push(world.a.user_creates(&[
            ("name", name),
            ("email", &email),
            ("city", "Ghent"),
            ("note", name),
        ]));
    }
    world.first_sync().await;
    world.sweep().await;
    for (name, note) in [("bob", "ann"), ("dan", "cid")] {
        let email = format!("{name}@x.example");
        let fields = [
            ("name", name),
            ("email", &*email),
            ("city", "Lyon"),
            ("note", note),
        ];
        let made = world.a.user_creates(&fields);
        world.hear(Side::A, &made).await;
        world.rest().await;
    }
    let gone = world.b.about("eve@x.example").remove(0);
    world.b.user_deletes(&gone);
    world.hear(Side::B, &gone).await;
    world.rest().await;
    world.sweep().await;
    world.rest().await;
    let open = world.open().await;
    let is_about_the_side = |one: &&Conflict| matches!(one.kind, ConflictKind::SetBack { .. });
    assert_eq!(open.iter().find(is_about_the_side), None);
    let asked = open
        .iter()
        .filter(|one| one.kind.kind() == QuestionKind::Replaced);
    assert_eq!(asked.count(), 2, "{open:?}");
    assert!(world.a.texts(&linked[2]).is_none(), "it was deleted");
    for record in &linked[..2] {
        assert_eq!(text(&world, Side::A, record, "city"), "Ghent");
    }
}

#[tokio::test]
async fn a_record_that_is_made_again_for_its_partner_does_not_take_that_of_another() {
    let world = joins_by_note(propagates()).await;
    let ann = world
        .a
        .user_creates(&[&ANN[..], &[("note", "BE 0123")]].concat());
    let bob = world.a.user_creates(&[
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("city", "Lyon"),
        ("note", "FR 9"),
    ]);
    world.first_sync().await;
    let of_ann = world.b.about("ann@x.example").remove(0);
    let of_bob = world.b.about("bob@x.example").remove(0);
    // A reading has shown it, and not only the answer to its create.
    world.hear(Side::B, &of_bob).await;
    world.rest().await;
    world.b.user_deletes(&of_bob);
    world.clock.advance(Duration::from_secs(1));
    world.a.user_edits(&bob, "note", "BE 0123");
    world.hear(Side::A, &bob).await;
    world.rest().await;
    world.hear(Side::B, &of_ann).await;
    world.rest().await;
    world.sweep().await;
    world.rest().await;
    assert_eq!(text(&world, Side::A, &ann, "city"), "Ghent");
    assert_eq!(text(&world, Side::A, &ann, "name"), "Ann");
    let open = world.open().await;
    let asked = open
        .iter()
        .find(|one| one.kind.kind() == QuestionKind::Replaced);
    assert_eq!(asked.expect("a person is asked").record, of_ann);
    let writes = world.b.writes();
    world.clock.advance(Duration::from_secs(14_400));
    world.sweep().await;
    world.rest().await;
    assert_eq!(world.b.writes(), writes, "it is not sent again");
    assert_eq!(text(&world, Side::A, &bob, "note"), "BE 0123");
}
