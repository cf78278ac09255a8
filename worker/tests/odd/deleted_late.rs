//! What becomes of a record after our delete of it was answered: it is carried out long after, or somebody takes it back.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_store::{Conflict, ConflictKind, Resolution};

use super::not_deleted::{asked, closed, deleted, ends, is_done, sent};
use super::pairs::text;
use crate::world::World;
use crate::world::system::Fault;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// That a person is told that an edit of a record went with it, and what it was.
async fn is_told_of(world: &World, b: &RecordId, edit: &str) {
    let lost = |one: &Conflict| one.kind.as_str() == "overwritten" && one.record == *b;
    let open = world.open().await;
    assert!(open.len() == 1 && open.iter().all(lost), "{open:?}");
    let shown = &open[0].shown[0];
    let held: Vec<String> = shown.fields.values().map(ToString::to_string).collect();
    assert!(held.iter().any(|value| value == edit), "{held:?}");
    let logged = world.overwrites().await;
    assert_eq!(logged.len(), 1, "once: {logged:?}");
    let why = logged[0].error.clone().unwrap_or_default();
    assert!(why.contains(edit) && why.contains(b.as_str()), "{why}");
    assert_eq!(world.dead().await, []);
}

async fn edit(world: &World, b: &RecordId) {
    world.b.user_edits(b, "note", "at work here");
    world.hear(Side::B, b).await;
    world.turn().await;
}

/// Time goes on, and the record is looked at, by its event or by a whole listing.
async fn later(world: &World, b: &RecordId, by: Duration, is_heard: bool) {
    world.clock.advance(by);
    if is_heard {
        world.hear(Side::B, b).await;
        world.rest().await;
    }
    world.sweep().await;
}

#[tokio::test]
async fn an_edit_that_a_late_delete_took_is_told_of_with_what_it_was() {
    for is_heard in [true, false] {
        let (world, _, b) = deleted(Fault::Queued(MINUTE * 2)).await;
        world.rest().await;
        let question = asked(&world).await;
        edit(&world, &b).await;
        world.rest().await;
        assert_eq!(asked(&world).await.id, question.id);
        later(&world, &b, MINUTE * 2, is_heard).await;
        assert_eq!(world.b.texts(&b), None);
        closed(&world, &question).await;
        is_told_of(&world, &b, "at work here").await;
        later(&world, &b, MINUTE, is_heard).await;
        is_told_of(&world, &b, "at work here").await;
        assert!(ends(&world).await[0].contains("carried out late"));
    }
}

#[tokio::test]
async fn so_it_is_where_nobody_was_asked_yet() {
    let (world, _, b) = deleted(Fault::Queued(25 * SECOND)).await;
    world.clock.advance(7 * SECOND);
    edit(&world, &b).await;
    world.rest().await;
    assert_eq!(world.b.texts(&b), None);
    is_told_of(&world, &b, "at work here").await;
}

#[tokio::test]
async fn a_record_that_a_person_said_to_leave_is_not_taken_in_silence() {
    let (world, _, b) = deleted(Fault::Queued(MINUTE * 2)).await;
    world.rest().await;
    let question = asked(&world).await;
    // Nobody hears of it, and no listing misses it: it is looked at again as long as the delete may take it.
    world.answer(&question, Resolution::Dismiss).await;
    assert_eq!(world.b.texts(&b), None);
    closed(&world, &question).await;
    is_told_of_left(&world, &b).await;
}

async fn is_told_of_left(world: &World, b: &RecordId) {
    let open = world.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((open[0].kind.as_str(), &open[0].record), ("overwritten", b));
    let logged = world.overwrites().await;
    let why = logged[0].error.clone().unwrap_or_default();
    assert!(why.contains("said to leave it"), "{why}");
}

#[tokio::test]
async fn what_somebody_deletes_long_after_is_none_of_ours() {
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    let question = asked(&world).await;
    edit(&world, &b).await;
    world.rest().await;
    later(&world, &b, MINUTE * 30, true).await;
    world.b.user_deletes(&b);
    later(&world, &b, SECOND, true).await;
    closed(&world, &question).await;
    assert_eq!(
        (world.open().await, world.overwrites().await),
        (vec![], vec![])
    );
}

/// The question about a record that is there again.
async fn there_again(world: &World) -> Conflict {
    let question = asked(world).await;
    let ConflictKind::NotDeleted { gone_at, .. } = question.kind else {
        panic!("{question:?}");
    };
    assert!(gone_at.is_some(), "{question:?}");
    assert!(ends(world).await[0].contains("there again"));
    question
}

#[tokio::test]
async fn a_record_that_is_taken_into_use_again_after_our_delete_is_asked_about() {
    for is_heard in [true, false] {
        let (world, _, b) = deleted(Fault::Ignored).await;
        world.clock.advance(2 * SECOND);
        world.b.user_edits(&b, "active", "false");
        world.rest().await;
        is_done(&world, &b).await;
        world.b.user_edits(&b, "active", "true");
        later(&world, &b, 3 * SECOND, is_heard).await;
        let question = there_again(&world).await;
        assert_eq!(sent(&world, &b), 1);
        // It is asked once, whatever is typed there.
        edit(&world, &b).await;
        later(&world, &b, MINUTE * 60, is_heard).await;
        assert_eq!(there_again(&world).await.id, question.id);
        world.answer(&question, Resolution::Approve).await;
        let again = world.a.about("ann@x.example").remove(0);
        assert_eq!(text(&world, Side::A, &again, "note"), "at work here");
        assert_eq!((world.open().await, sent(&world, &b)), (vec![], 1));
    }
}

#[tokio::test]
async fn so_is_one_that_is_taken_out_of_the_bin_be_it_that_an_early_event_took_the_place_of_the_look()
 {
    for (early, is_heard) in [(true, true), (false, true), (true, false), (false, false)] {
        let (world, _, b) = deleted(Fault::Queued(SECOND)).await;
        if early {
            // The event of the delete is heard before its answer is stored.
            world.hear(Side::B, &b).await;
        }
        world.clock.advance(SECOND);
        world.hear(Side::B, &b).await;
        world.rest().await;
        is_done(&world, &b).await;
        world.clock.advance(MINUTE);
        world.b.user_restores(&b);
        later(&world, &b, SECOND, is_heard).await;
        let question = there_again(&world).await;
        world.answer(&question, Resolution::Approve).await;
        assert_eq!((world.b.texts(&b), sent(&world, &b)), (None, 2));
        world.sweep().await;
        assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_question_whose_pair_has_forgotten_the_delete_is_answered_and_closed_all_the_same() {
    for resolution in [Resolution::Approve, Resolution::Dismiss] {
        let (world, _, b) = deleted(Fault::Ignored).await;
        world.rest().await;
        let question = asked(&world).await;
        world.forget_the_delete_of(Side::B, &b).await;
        world.sweep().await;
        assert_eq!(asked(&world).await.id, question.id);
        world.forget_the_delete_of(Side::B, &b).await;
        world.answer(&question, resolution.clone()).await;
        closed(&world, &question).await;
        let times = if resolution == Resolution::Approve {
            2
        } else {
            1
        };
        assert_eq!((sent(&world, &b), world.open().await), (times, vec![]));
    }
    let (world, _, b) = deleted(Fault::Ignored).await;
    world.rest().await;
    let question = asked(&world).await;
    world.forget_the_delete_of(Side::B, &b).await;
    world.b.user_deletes(&b);
    later(&world, &b, MINUTE * 30, true).await;
    closed(&world, &question).await;
}
