//! Fields that vanish from the answers of a system, and systems that leave out what is empty.

use tandem_domain::{Clock, JobId, RecordId, Side, Value};
use tandem_runtime::Archived;
use tandem_store::{Conflict, ConflictKind, ConflictState, Resolution};
use tandem_testkit::SeededEntropy;

use super::pairs::PLAIN;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

/// More than the brake lets pass.
const MANY: usize = 15;

/// A world with so many pairs, each with a note that is its own, whose side a leaves out what is empty.
pub(super) async fn world(records: usize) -> (World, Vec<RecordId>) {
    let odd = Oddities {
        omits_empty: true,
        ..Oddities::default()
    };
    let (a, b) = ((PLAIN, odd), (PLAIN, Oddities::default()));
    let world = World::odd(1, policy(), a, b, Archived::Gone).await;
    for number in 0..records {
        let (name, email) = (format!("P {number}"), format!("p{number}@x.example"));
        let note = format!("note {number}");
        world.a.user_creates(&[
            ("name", &name),
            ("email", &email),
            ("city", "Ghent"),
            ("note", &note),
        ]);
    }
    world.first_sync().await;
    world.sweep().await;
    world.assert_agreement(1);
    let ids = world.a.ids();
    (world, ids)
}

async fn open(world: &World) -> Vec<Conflict> {
    let mut questions = world.questions().await;
    questions.retain(|question| question.state == ConflictState::Open);
    questions
}

/// Answers the one open question, and looks at the whole side, as an operator's answer does.
async fn answer(world: &World, resolution: Resolution) {
    let question = open(world).await.pop().expect("it is asked");
    let now = world.clock.now();
    let job = JobId::new(now, &SeededEntropy::new(7));
    let resolved = world
        .store
        .resolve_conflict(question.id, resolution, job, now)
        .await;
    assert!(resolved.expect("the storage answers").is_some());
    world.sweep().await;
}

fn notes(world: &World, side: Side) -> usize {
    let system = world.system(side);
    let ids = system.ids();
    let has_note = |id: &&RecordId| !system.kept(id, "note").is_empty();
    ids.iter().filter(has_note).count()
}

#[tokio::test]
async fn a_field_that_vanishes_empties_nothing_and_is_one_question() {
    for field in ["note", "email"] {
        let (world, ids) = world(MANY).await;
        let writes = world.b.writes();
        world.a.hides_fields(&[field]);
        world.sweep().await;
        let asked = open(&world).await;
        assert_eq!(asked.len(), 1, "one for all: {asked:?}");
        assert_eq!((asked[0].side, asked[0].link), (Side::A, None));
        let ConflictKind::Emptied {
            field: of, records, ..
        } = &asked[0].kind
        else {
            panic!("{asked:?}");
        };
        assert!(of == field && *records > 10, "{asked:?}");
        assert_eq!((world.b.writes(), notes(&world, Side::B)), (writes, MANY));
        // What else is edited goes on.
        world.a.user_edits(&ids[0], "city", "Lyon");
        world.hear(Side::A, &ids[0]).await;
        world.rest().await;
        assert_eq!(world.b.writes(), writes + 1);
        assert_eq!(notes(&world, Side::B), MANY);
        assert_eq!(world.dead().await, []);

        world.a.hides_fields(&[]);
        world.hear(Side::A, &ids[0]).await;
        world.rest().await;
        assert_eq!(open(&world).await.len(), 1, "others still wait");
        world.sweep().await;
        world.sweep().await;
        assert_eq!(open(&world).await, [], "nobody has to say any more");
        assert_eq!(world.b.writes(), writes + 1);
        world.assert_agreement(1);
    }
}

#[tokio::test]
async fn the_question_about_a_field_that_vanished_ends_by_whole_comparisons_alone() {
    let (world, _) = world(MANY).await;
    world.a.hides_fields(&["note"]);
    world.sweep().await;
    assert_eq!(open(&world).await.len(), 1);
    world.a.hides_fields(&[]);
    world.first_sync().await;
    world.first_sync().await;
    assert_eq!(open(&world).await, [], "no record lacks it any more");
}

#[tokio::test]
async fn what_a_person_says_was_emptied_is_emptied_on_the_other_side() {
    let (world, _) = world(MANY).await;
    world.a.hides_fields(&["note"]);
    world.sweep().await;
    answer(&world, Resolution::Approve).await;
    assert_eq!(notes(&world, Side::B), 0);
    assert_eq!(open(&world).await, []);
}

#[tokio::test]
async fn values_that_a_person_keeps_stand_until_the_field_is_shown_again() {
    let (world, ids) = world(MANY).await;
    world.a.hides_fields(&["note"]);
    world.sweep().await;
    let writes = (world.a.writes(), world.b.writes());
    answer(&world, Resolution::Reject).await;
    assert_eq!((world.a.writes(), world.b.writes()), writes);
    let reads = world.a.reads();
    world.sweep().await;
    assert_eq!(
        world.a.reads(),
        reads,
        "it is not looked at again and again"
    );

    // The other side is still the other side of it.
    let link = world.link_of(Side::A, &ids[0]).await.expect("it is linked");
    let partner = link.b.id.expect("it has a partner");
    world.b.user_edits(&partner, "note", "newer");
    world.hear(Side::B, &partner).await;
    world.rest().await;
    assert_eq!(world.a.kept(&ids[0], "note"), "newer");
    let link = world.link_of(Side::A, &ids[0]).await.expect("it is linked");
    assert_eq!(link.base["note"].a, Value::Text("newer".to_owned()));

    world.clock.advance(std::time::Duration::from_secs(90_000));
    world.a.hides_fields(&[]);
    world.sweep().await;
    world.a.user_edits(&ids[1], "note", "");
    world.sweep().await;
    assert_eq!(
        (open(&world).await, notes(&world, Side::B)),
        (vec![], MANY - 1)
    );
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_field_that_nobody_shows_any_more_empties_nothing_however_slowly_records_are_looked_at() {
    let (world, ids) = world(5).await;
    world.a.hides_fields(&["note"]);
    for id in &ids {
        world.a.user_edits(id, "city", "Lyon");
        world.hear(Side::A, id).await;
        world.rest().await;
        world.clock.advance(std::time::Duration::from_secs(4_000));
    }
    assert_eq!(notes(&world, Side::B), 5);
    let asked = open(&world).await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(world.dead().await, []);
    answer(&world, Resolution::Approve).await;
    assert_eq!(notes(&world, Side::B), 0);
}

#[tokio::test]
async fn an_answer_that_holds_no_longer_is_closed_by_the_next_sweep() {
    let (world, _) = world(MANY).await;
    world.a.hides_fields(&["note"]);
    world.sweep().await;
    answer(&world, Resolution::Reject).await;
    let answered = async || {
        let questions = world.questions().await;
        let states = questions.iter().map(|question| question.state);
        states
            .filter(|state| *state == ConflictState::Answered)
            .count()
    };
    assert_eq!(answered().await, 1, "it holds for what is missed later");
    world.clock.advance(std::time::Duration::from_secs(90_000));
    world.sweep().await;
    assert_eq!((answered().await, open(&world).await), (0, vec![]));
}

#[tokio::test]
async fn what_somebody_empties_is_emptied_after_a_second_look() {
    let (world, ids) = world(3).await;
    world.a.user_edits(&ids[0], "note", "");
    world.hear(Side::A, &ids[0]).await;
    while world.turn().await {}
    assert_eq!(notes(&world, Side::B), 3, "not on one word");
    world.rest().await;
    assert_eq!((notes(&world, Side::B), open(&world).await), (2, vec![]));
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_field_that_is_missing_for_a_moment_is_not_taken_for_emptied() {
    let (world, ids) = world(1).await;
    world.a.hides_fields(&["note"]);
    world.hear(Side::A, &ids[0]).await;
    while world.turn().await {}
    world.a.hides_fields(&[]);
    let writes = (world.a.writes(), world.b.writes());
    world.rest().await;
    assert_eq!((world.a.writes(), world.b.writes()), writes);
    world.assert_agreement(1);
}

#[tokio::test]
async fn nothing_in_the_place_of_a_field_of_all_records_empties_nothing_without_an_answer() {
    let (world, ids) = world(3).await;
    world.a.hides_as_null(true);
    world.a.hides_fields(&["note"]);
    world.hear(Side::A, &ids[0]).await;
    world.rest().await;
    assert_eq!(notes(&world, Side::B), 3, "no record shows the field");
    let asked = open(&world).await;
    assert!(
        matches!(&asked[..], [Conflict { side: Side::A, kind: ConflictKind::Emptied { field, .. }, .. }] if field == "note"),
        "{asked:?}"
    );
    world.a.hides_fields(&[]);
    world.sweep().await;
    world.sweep().await;
    assert_eq!(open(&world).await, [], "nobody has to say any more");
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_record_that_shows_nothing_of_all_that_it_held_is_not_believed_without_an_answer() {
    let (world, ids) = world(3).await;
    let link = world.link_of(Side::A, &ids[0]).await.expect("it is linked");
    let partner = link.b.id.expect("it has a partner");
    let writes = (world.a.writes(), world.b.writes());
    world.clock.advance(std::time::Duration::from_secs(60));
    for field in ["name", "email", "city", "note"] {
        world.b.user_edits(&partner, field, "");
    }
    world.hear(Side::B, &partner).await;
    world.rest().await;
    world.sweep().await;
    assert_eq!((world.a.writes(), world.b.writes()), writes);
    assert_eq!(world.a.kept(&ids[0], "note"), "note 0");
    assert!(!open(&world).await.is_empty(), "a person is asked");
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn an_answer_about_values_that_were_emptied_says_nothing_of_those_that_are_there_again() {
    let (world, ids) = world(MANY).await;
    for id in &ids {
        world.a.user_edits(id, "note", "");
    }
    world.sweep().await;
    answer(&world, Resolution::Approve).await;
    assert_eq!(notes(&world, Side::B), 0, "they were emptied");
    world.clock.advance(std::time::Duration::from_secs(30));
    for (number, id) in ids.iter().enumerate() {
        world.a.user_edits(id, "note", &format!("again {number}"));
    }
    world.sweep().await;
    assert_eq!(notes(&world, Side::B), MANY);

    world.clock.advance(std::time::Duration::from_secs(30));
    world.a.hides_fields(&["note"]);
    world.sweep().await;
    assert_eq!(notes(&world, Side::B), MANY, "nobody has emptied them");
    assert_eq!(open(&world).await.len(), 1, "a person is asked anew");
}
