//! Answers that were given for values which have changed by the time that they are carried out.

use std::time::Duration;

use tandem_domain::{Clock, JobId, RecordId, Side, Value};
use tandem_engine::{ConflictPolicy, Equality};
use tandem_store::{
    ChangeFilter, Conflict, ConflictKind, ConflictState, Earlier, Fact, Operation, Resolution,
};
use tandem_testkit::SeededEntropy;

use super::pairs::{PLAIN, TALENTS, just_linked, text};
use crate::world::system::faults::Fault;
use crate::world::system::oddities::{Form, Oddities};
use crate::world::{World, policy};

fn take(side: Side) -> Resolution {
    Resolution::Take { side }
}

/// A pair that differs in its city, and is asked about.
async fn contest(b: Oddities) -> (World, RecordId, RecordId, Conflict) {
    contest_of(Equality::Exact, b).await
}

/// The same, where cities are compared so.
async fn contest_of(equality: Equality, b: Oddities) -> (World, RecordId, RecordId, Conflict) {
    let mut policy = policy();
    policy.conflict = ConflictPolicy::Manual;
    let rule = policy.fields.iter_mut().find(|rule| rule.name == "city");
    rule.expect("the field").equality = equality;
    let ends = ((TALENTS, Oddities::default()), (TALENTS, b));
    let (world, a, b) = just_linked(policy, ends.0, ends.1).await;
    world.clock.advance(Duration::from_secs(60));
    edit(&world, Side::A, &a, "Lyon").await;
    edit(&world, Side::B, &b, "Turin").await;
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = world.open().await.remove(0);
    (world, a, b, question)
}

/// Somebody types a city, and nobody tells of it.
async fn edit(world: &World, side: Side, id: &RecordId, city: &str) {
    world.clock.advance(Duration::from_secs(60));
    world.system(side).user_edits(id, "city", city);
}

async fn question(world: &World, asked: &Conflict) -> Conflict {
    let stored = world.store.conflict(asked.id).await;
    stored.expect("the storage answers").expect("it is there")
}

fn values(question: &Conflict) -> (String, String) {
    let ConflictKind::Field { a, b, .. } = &question.kind else {
        panic!("{:?}", question.kind);
    };
    (a.to_string(), b.to_string())
}

fn cities(world: &World, a: &RecordId, b: &RecordId) -> (String, String) {
    (
        text(world, Side::A, a, "city"),
        text(world, Side::B, b, "city"),
    )
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

fn city(value: &str) -> tandem_domain::Fields {
    [("city".to_owned(), Value::Text(value.to_owned()))].into()
}

#[tokio::test]
async fn an_answer_to_a_contest_holds_for_the_values_that_it_was_given_for() {
    for took in Side::BOTH {
        for edited in Side::BOTH {
            let (world, a, b, asked) = contest(Oddities::default()).await;
            let id = if edited == Side::A { &a } else { &b };
            edit(&world, edited, id, "Oslo").await;
            let stand = cities(&world, &a, &b);
            let before = world.a.writes() + world.b.writes();
            world.answer(&asked, take(took)).await;
            assert_eq!(cities(&world, &a, &b), stand, "{took} {edited}");
            assert_eq!(world.a.writes() + world.b.writes(), before);
            let old = question(&world, &asked).await;
            assert_eq!(old.state, ConflictState::Closed);
            assert_eq!(
                old.closed_because.as_deref(),
                Some(Fact::Outdated.because())
            );
            let [anew] = world.open().await.try_into().expect("one question");
            assert_eq!(values(&anew), stand);
            let ConflictKind::Field { again, .. } = &anew.kind else {
                panic!("{:?}", anew.kind);
            };
            let given = Earlier {
                took,
                a: city("Lyon"),
                b: city("Turin"),
            };
            assert_eq!(again.as_ref(), Some(&given));
            world.answer(&anew, take(took)).await;
            let chosen = if took == Side::A { &stand.0 } else { &stand.1 };
            assert_eq!(cities(&world, &a, &b), pair(chosen, chosen));
            assert_eq!(world.open().await, []);
        }
    }
}

#[tokio::test]
async fn the_change_log_says_why_an_answer_was_not_carried_out() {
    let (world, _, b, asked) = contest(Oddities::default()).await;
    edit(&world, Side::B, &b, "Oslo").await;
    world.answer(&asked, take(Side::A)).await;
    let filter = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await;
    let changes = changes.expect("the storage answers");
    let mut conflicts = changes
        .iter()
        .filter(|change| change.operation == Operation::Conflict);
    let told = conflicts.find_map(|change| change.error.clone());
    assert_eq!(
        told.as_deref(),
        Some(
            "the answer `take a` was not carried out: it was given for \"Lyon\" on side a and \"Turin\" on side b in `city`; side b has \"Oslo\" in `city` now"
        )
    );
}

#[tokio::test]
async fn who_undoes_an_edit_after_the_answer_is_asked_again_until_that_is_answered() {
    let (world, a, b, asked) = contest(Oddities::default()).await;
    // As it was when both last agreed: only side a has changed.
    edit(&world, Side::B, &b, "Ghent").await;
    world.answer(&asked, take(Side::B)).await;
    for _ in 0..3 {
        world.sweep().await;
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(cities(&world, &a, &b), pair("Lyon", "Ghent"));
    }
    let [anew] = world.open().await.try_into().expect("one question");
    edit(&world, Side::B, &b, "Bruges").await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    let newer = question(&world, &anew).await;
    assert_eq!(values(&newer), pair("Lyon", "Bruges"));
    world.answer(&newer, take(Side::B)).await;
    assert_eq!(cities(&world, &a, &b), pair("Bruges", "Bruges"));
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn where_both_edits_are_undone_nothing_is_decided_and_nobody_is_told_that_both_agree() {
    let cuts = Oddities {
        forms: vec![("city", Form::Cut(3))],
        ..Oddities::default()
    };
    let (world, a, b, _) = contest(cuts).await;
    let mut open = world.open().await;
    open.retain(|one| matches!(one.kind, ConflictKind::Field { .. }));
    let asked = open.remove(0);
    edit(&world, Side::A, &a, "Ghent").await;
    edit(&world, Side::B, &b, "Ghe").await;
    world.answer(&asked, take(Side::A)).await;
    assert_eq!(cities(&world, &a, &b), pair("Ghent", "Ghe"));
    let closed = question(&world, &asked).await;
    assert_eq!(closed.state, ConflictState::Closed);
    let why = Some(Fact::Unmoved.because());
    assert_eq!(closed.closed_because.as_deref(), why);
}

#[tokio::test]
async fn an_open_question_shows_what_the_records_show() {
    let (world, a, b, asked) = contest(Oddities::default()).await;
    edit(&world, Side::B, &b, "Oslo").await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    let newer = question(&world, &asked).await;
    assert_eq!(values(&newer), pair("Lyon", "Oslo"));
    world.answer(&newer, take(Side::A)).await;
    assert_eq!(cities(&world, &a, &b), pair("Lyon", "Lyon"));
}

#[tokio::test]
async fn a_value_that_is_the_same_by_the_equality_of_its_field_is_the_same() {
    let (world, a, b, asked) = contest_of(Equality::Folded, Oddities::default()).await;
    edit(&world, Side::B, &b, "TURIN").await;
    world.answer(&asked, take(Side::A)).await;
    assert_eq!(cities(&world, &a, &b), pair("Lyon", "Lyon"));
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn an_answer_is_no_less_valid_because_both_sides_came_to_agree() {
    let (world, a, b, asked) = contest(Oddities::default()).await;
    edit(&world, Side::B, &b, "Lyon").await;
    world.answer(&asked, take(Side::B)).await;
    assert_eq!(cities(&world, &a, &b), pair("Lyon", "Lyon"));
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn an_answer_whose_write_was_begun_is_not_taken_for_outdated_by_that_write() {
    let odd = Oddities {
        forms: vec![("city", Form::Upper)],
        updates_answer_nothing: true,
        ..Oddities::default()
    };
    let (world, a, b, asked) = contest(odd).await;
    world.b.go_wrong(&[Fault::LostResponse]);
    world.answer(&asked, take(Side::A)).await;
    world.clock.advance(Duration::from_secs(600));
    world.rest().await;
    assert_eq!(cities(&world, &a, &b), pair("Lyon", "LYON"));
    assert!(
        world
            .open()
            .await
            .iter()
            .all(|one| one.kind.as_str() != "field")
    );
}

#[tokio::test]
async fn an_answer_about_a_value_that_was_not_kept_does_not_go_over_a_later_edit() {
    for edited in Side::BOTH {
        let odd = Oddities {
            forms: vec![("city", Form::Cut(4))],
            ..Oddities::default()
        };
        let ends = ((PLAIN, Oddities::default()), (PLAIN, odd));
        let (world, a, b) = just_linked(policy(), ends.0, ends.1).await;
        edit(&world, Side::A, &a, "Amsterdam").await;
        world.hear(Side::A, &a).await;
        world.rest().await;
        let asked = world.open().await;
        let mut asked = asked.iter();
        let asked = asked.find(|one| one.kind.field() == Some("city"));
        let asked = asked.expect("it was cut");
        assert_eq!(asked.kind.as_str(), "not_kept");
        let id = if edited == Side::A { &a } else { &b };
        edit(&world, edited, id, "Oslo").await;
        let stand = cities(&world, &a, &b);
        world.answer(asked, take(edited.other())).await;
        world.sweep().await;
        assert_eq!(cities(&world, &a, &b), stand);
        let open = world.open().await;
        let mut anew = open.iter().filter(|one| one.kind.field() == Some("city"));
        let anew = anew.next().expect("it is asked anew");
        assert_eq!(values(anew), stand);
        world.answer(anew, take(edited)).await;
        assert_eq!(cities(&world, &a, &b), pair("Oslo", "Oslo"));
    }
}

#[tokio::test]
async fn who_edits_between_an_answer_and_its_job_is_not_overwritten() {
    let (world, a, b, asked) = contest(Oddities::default()).await;
    let now = world.clock.now();
    let job = JobId::new(now, &SeededEntropy::new(7));
    let resolved = world
        .store
        .resolve_conflict(asked.id, take(Side::A), job, now);
    assert!(resolved.await.expect("the storage answers").is_some());
    edit(&world, Side::B, &b, "Oslo").await;
    world.rest().await;
    assert_eq!(cities(&world, &a, &b), pair("Lyon", "Oslo"));
    assert_eq!(world.open().await.len(), 1);
}
