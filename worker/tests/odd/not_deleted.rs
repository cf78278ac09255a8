//! Systems that answer a delete with success and do nothing, or do it in their own time.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_store::{
    ChangeFilter, Conflict, ConflictKind, ConflictState, LinkState, Operation, Outcome, Resolution,
};

use super::pairs::{self, PLAIN, TALENTS, propagates, text};
use crate::world::World;
use crate::world::system::Fault;
use crate::world::system::oddities::Oddities;

const MINUTE: Duration = Duration::from_secs(60);

/// A pair whose record in a was deleted; our delete of the one in b was answered, and meets this.
pub(super) async fn deleted(fault: Fault) -> (World, RecordId, RecordId) {
    let plain = (TALENTS, Oddities::default());
    let (world, a, b) = pairs::one_pair(propagates(), plain, MINUTE).await;
    // A listing that shows nothing at all is not believed: somebody stays.
    for system in [&world.a, &world.b] {
        system.user_creates(&[("name", "Stays"), ("email", "stays@x.example")]);
    }
    world.sweep().await;
    world.a.user_deletes(&a);
    world.b.go_wrong(&[fault]);
    world.hear(Side::A, &a).await;
    send(&world).await;
    (world, a, b)
}

/// Works until what is to go wrong in b has.
async fn send(world: &World) {
    while world.b.is_to_go_wrong() {
        if !world.turn().await {
            world.clock.advance(Duration::from_secs(1));
        }
    }
}

pub(super) fn sent(world: &World, b: &RecordId) -> usize {
    let story = world.ledger.story();
    story.matches(&format!("is asked to delete {b}")).count()
}

/// The question about it, asked once and open.
pub(super) async fn asked(world: &World) -> Conflict {
    let mut asked = world.open().await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    let asked = asked.remove(0);
    assert_eq!(asked.kind.as_str(), "not_deleted");
    asked
}

/// That nobody is asked, and that the log does not take the delete back.
pub(super) async fn is_done(world: &World, b: &RecordId) {
    assert_eq!(world.questions().await, []);
    assert_eq!(taken_back(world).await, Vec::<String>::new());
    assert_eq!(sent(world, b), 1);
    assert_eq!(world.dead().await, []);
}

/// Why the log says that a delete was none.
async fn taken_back(world: &World) -> Vec<String> {
    let filter = ChangeFilter {
        operation: Some(Operation::Delete),
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await;
    let mut changes = changes.expect("the storage answers");
    changes.retain(|change| change.outcome == Outcome::NotKept);
    changes.into_iter().filter_map(|it| it.error).collect()
}

/// Why the pair has ended, as the log says, newest first.
pub(super) async fn ends(world: &World) -> Vec<String> {
    let filter = ChangeFilter {
        operation: Some(Operation::Unlink),
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await;
    let changes = changes.expect("the storage answers");
    changes.into_iter().filter_map(|it| it.error).collect()
}

pub(super) async fn closed(world: &World, asked: &Conflict) -> Conflict {
    let found = world.store.conflict(asked.id).await;
    let found = found.expect("the storage answers").expect("it is stored");
    assert_eq!(found.state, ConflictState::Closed);
    found
}

#[tokio::test]
async fn a_delete_that_was_answered_and_did_nothing_is_told_once_and_not_sent_again() {
    let (world, a, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    let question = asked(&world).await;
    assert_eq!((question.side, &question.record), (Side::B, &b));
    let ConflictKind::NotDeleted {
        answered_at,
        seen_at,
        edited,
        ..
    } = question.kind
    else {
        panic!("{question:?}");
    };
    assert!(!edited);
    let watched = seen_at.since(answered_at);
    assert!(watched >= MINUTE / 2 && watched <= MINUTE, "{watched:?}");
    let both: Vec<&RecordId> = question.shown.iter().map(|shown| &shown.id).collect();
    assert_eq!(both, [&b, &a]);
    let told = taken_back(&world).await;
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains(b.as_str()) && told[0].contains("was not deleted"),
        "{told:?}"
    );
    let ended = &ends(&world).await[0];
    assert!(ended.contains("and still showed it at"), "{ended}");
    for _ in 0..3 {
        world.clock.advance(MINUTE * 60);
        world.hear(Side::B, &b).await;
        world.sweep().await;
    }
    assert_eq!(world.questions().await.len(), 1);
    assert_eq!(taken_back(&world).await.len(), 1);
    assert_eq!(sent(&world, &b), 1);
    assert_eq!(world.a.about("ann@x.example"), []);
    let link = world.link_of(Side::B, &b).await.expect("it is known");
    assert_eq!(link.state, LinkState::Retired);
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_delete_that_is_carried_out_some_seconds_later_is_not_asked_about() {
    let (world, _, b) = deleted(Fault::Queued(Duration::from_secs(25))).await;
    assert!(world.b.texts(&b).is_some(), "it is there still");
    world.rest().await;
    assert!(world.b.texts(&b).is_none(), "it is gone");
    is_done(&world, &b).await;
}

#[tokio::test]
async fn neither_is_a_record_that_is_out_of_use_then() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.clock.advance(Duration::from_secs(2));
    world.b.user_edits(&b, "active", "false");
    world.rest().await;
    is_done(&world, &b).await;
}

#[tokio::test]
async fn a_record_that_is_hidden_for_a_moment_is_not_taken_for_deleted() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.b.hides(&b, Duration::from_secs(3));
    world.hear(Side::B, &b).await;
    world.rest().await;
    asked(&world).await;
}

#[tokio::test]
async fn where_a_person_says_so_it_is_sent_once_more_and_the_brake_is_not_asked_again() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    let question = asked(&world).await;
    // More deletes than it lets pass have come since.
    world.clock.advance(MINUTE * 10);
    world.answer(&question, Resolution::Approve).await;
    assert!(world.b.texts(&b).is_none(), "it is gone");
    assert_eq!(sent(&world, &b), 2);
    closed(&world, &question).await;
    assert_eq!(world.open().await, []);
    world.sweep().await;
    assert_eq!(world.dead().await, []);
    assert_eq!(world.a.about("ann@x.example"), []);
}

#[tokio::test]
async fn where_it_does_nothing_once_more_it_is_asked_anew_and_never_sent_unasked() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    for times in 2..5 {
        let question = asked(&world).await;
        world.b.go_wrong(&[Fault::Ignored]);
        world.answer(&question, Resolution::Approve).await;
        world.sweep().await;
        closed(&world, &question).await;
        assert_eq!(sent(&world, &b), times);
    }
    assert_eq!(taken_back(&world).await.len(), 4);
}

#[tokio::test]
async fn an_answer_to_leave_it_holds_and_the_record_is_without_a_partner() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    let question = asked(&world).await;
    world.answer(&question, Resolution::Dismiss).await;
    closed(&world, &question).await;
    for _ in 0..2 {
        world.clock.advance(MINUTE * 60);
        world.b.user_edits(&b, "note", "goes on");
        world.hear(Side::B, &b).await;
        world.sweep().await;
    }
    assert_eq!(world.open().await, []);
    assert_eq!(sent(&world, &b), 1);
    assert_eq!(world.a.about("ann@x.example"), []);
    let alone = world.store.partnerless_count(&world.sync, Side::B).await;
    assert_eq!(alone.expect("the storage answers"), 1);
}

#[tokio::test]
async fn the_question_closes_when_a_person_deletes_the_record_there() {
    for is_heard in [true, false] {
        let (world, _, b) = deleted(Fault::Ignored).await;
        world.rest().await;
        let question = asked(&world).await;
        world.clock.advance(MINUTE * 10);
        world.b.user_deletes(&b);
        if is_heard {
            world.hear(Side::B, &b).await;
            world.rest().await;
        } else {
            world.sweep().await;
        }
        let closed = closed(&world, &question).await;
        let why = closed.closed_because.as_deref();
        assert_eq!(why, Some("the record is gone"), "heard: {is_heard}");
    }
}

#[tokio::test]
async fn one_that_is_edited_since_is_told_of_as_such_and_the_edit_wins_over_a_delete_that_is_sent_again()
 {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.clock.advance(Duration::from_secs(7));
    world.b.user_edits(&b, "note", "at work here");
    world.hear(Side::B, &b).await;
    world.rest().await;
    let question = asked(&world).await;
    let is_edited = matches!(question.kind, ConflictKind::NotDeleted { edited: true, .. });
    assert!(is_edited, "{question:?}");
    // No edit was lost: the record is there.
    assert_eq!(world.overwrites().await, []);
    world.answer(&question, Resolution::Approve).await;
    world.sweep().await;
    assert_eq!(sent(&world, &b), 1);
    let again = world.a.about("ann@x.example").remove(0);
    assert_eq!(text(&world, Side::A, &again, "note"), "at work here");
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn the_pair_is_held_again_when_the_partner_is_taken_out_of_the_bin() {
    let (world, a, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    let question = asked(&world).await;
    world.clock.advance(MINUTE);
    world.a.user_restores(&a);
    world.a.user_edits(&a, "note", "back");
    world.hear(Side::A, &a).await;
    world.rest().await;
    closed(&world, &question).await;
    assert_eq!(text(&world, Side::B, &b, "note"), "back");
    assert_eq!(sent(&world, &b), 1);
}

#[tokio::test]
async fn the_question_closes_when_the_record_finds_another_partner() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    let question = asked(&world).await;
    let again = world.a.user_creates(&[
        ("name", "Ann"),
        ("email", "ann@x.example"),
        ("city", "Lyon"),
    ]);
    world.hear(Side::A, &again).await;
    world.rest().await;
    closed(&world, &question).await;
    assert_eq!(text(&world, Side::B, &b, "city"), "Lyon");
    assert_eq!(world.b.about("ann@x.example"), [b]);
}

#[tokio::test]
async fn so_it_is_before_anybody_is_asked() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    let again = world.a.user_creates(&[
        ("name", "Ann"),
        ("email", "ann@x.example"),
        ("city", "Lyon"),
    ]);
    world.hear(Side::A, &again).await;
    world.rest().await;
    assert_eq!(world.questions().await, []);
    assert_eq!(world.b.about("ann@x.example"), [b]);
    let told = taken_back(&world).await;
    assert_eq!(told.len(), 1, "the log does not call it deleted in the end");
}

#[tokio::test]
async fn many_deletes_that_did_nothing_are_counted_by_the_brake_once_each() {
    let ends = ((PLAIN, Oddities::default()), (PLAIN, Oddities::default()));
    let world = World::odd(
        1,
        propagates(),
        ends.0,
        ends.1,
        tandem_runtime::Archived::Gone,
    )
    .await;
    let named = |number: usize| format!("p{number}@x.example");
    for number in 0..14 {
        let name = format!("P {number}");
        world
            .a
            .user_creates(&[("name", &name), ("email", &named(number))]);
    }
    world.first_sync().await;
    world.clock.advance(MINUTE);
    // As many as the brake lets pass.
    let brake = tandem_runtime::DeleteBrake::default().count as usize;
    for number in 0..brake {
        let id = world.a.about(&named(number)).remove(0);
        world.a.user_deletes(&id);
        world.b.go_wrong(&[Fault::Ignored]);
        world.hear(Side::A, &id).await;
        send(&world).await;
    }
    world.rest().await;
    let open = world.open().await;
    assert_eq!(open.len(), brake);
    for question in &open {
        world.answer(question, Resolution::Approve).await;
    }
    world.rest().await;
    assert_eq!(world.open().await, []);
    assert_eq!(world.b.ids().len(), 14 - brake);
    // One more is one too many.
    let id = world.a.about(&named(brake)).remove(0);
    world.a.user_deletes(&id);
    world.hear(Side::A, &id).await;
    world.rest().await;
    let open = world.open().await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].kind.as_str(), "delete_held");
}
