//! Systems that answer a create with a record that was there before.

use tandem_domain::Side;
use tandem_runtime::Archived;
use tandem_store::{ConflictKind, ConflictState, Resolution};

use super::pairs::{ANN, PLAIN, text};
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

#[tokio::test]
async fn what_a_create_of_ours_wrote_over_the_partner_of_another_is_no_edit_and_is_asked_about() {
    let joins = Oddities {
        joins_by: Some("note"),
        ..Oddities::default()
    };
    let ends = ((PLAIN, Oddities::default()), (PLAIN, joins));
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
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
}
