//! Systems that say yes to a write, answer with what they were told, and keep nothing of it.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side};
use tandem_engine::{DeletePolicies, DeletePolicy, SyncPolicy};
use tandem_store::{ChangeFilter, Conflict, ConflictKind, EventKind, LinkState, Resolution};
use tandem_worker::compare;

use super::pairs::{TALENTS, just_linked, one_pair, propagates, text};
use crate::world::system::Fault;
use crate::world::system::oddities::{Form, Oddities};
use crate::world::{World, policy};

const HOUR: Duration = Duration::from_secs(3_600);

/// Answers hold what was sent, and nothing says when a record was changed.
fn without_times() -> Oddities {
    Oddities {
        echoes: true,
        hides_times: true,
        hides_versions: true,
        ..Oddities::default()
    }
}

/// One pair, linked an hour ago, whose city is `Ghent` on both sides.
async fn pair(b: Oddities) -> (World, RecordId, RecordId) {
    let (world, a, b) = one_pair(policy(), (TALENTS, b), HOUR).await;
    if text(&world, Side::B, &b, "city").is_empty() {
        world.b.user_edits(&b, "city", "Ghent");
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.clock.advance(HOUR);
    }
    assert_eq!(text(&world, Side::A, &a, "city"), "Ghent");
    assert_eq!(text(&world, Side::B, &b, "city"), "Ghent");
    assert_eq!(world.open().await, []);
    (world, a, b)
}

/// Both sides are brought into agreement whole, and what differs is looked at, an hour later too.
async fn settle(world: &World) {
    for _ in 0..2 {
        world.first_sync().await;
        world.sweep().await;
        world.clock.advance(HOUR);
    }
}

async fn the_question(world: &World) -> Conflict {
    let mut open = world.open().await;
    assert_eq!(open.len(), 1, "it is asked once: {open:?}");
    open.remove(0)
}

#[tokio::test]
async fn a_system_without_times_that_keeps_nothing_of_an_update_takes_nobodys_edit_back() {
    let (world, a, b) = pair(without_times()).await;
    let before = world.b.writes();
    world.a.user_edits(&a, "city", "Lyon");
    world.b.go_wrong(&[Fault::Ignored]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = the_question(&world).await;
    let ConflictKind::NotKept { sent, kept, .. } = &question.kind else {
        panic!("{question:?}");
    };
    assert_eq!((&*sent.to_string(), &*kept.to_string()), ("Lyon", "Ghent"));
    settle(&world).await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
    assert_eq!(text(&world, Side::B, &b, "city"), "Ghent");
    assert_eq!(world.b.writes(), before, "it is not sent again");
    assert_eq!(the_question(&world).await.id, question.id);
    assert_eq!(world.dead().await, []);

    // What somebody types there later is an edit.
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    settle(&world).await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Turin");
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn who_sets_a_value_back_that_a_record_without_times_has_shown_has_edited() {
    for is_heard in [true, false] {
        let (world, a, b) = pair(without_times()).await;
        world.a.user_edits(&a, "city", "Lyon");
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(text(&world, Side::B, &b, "city"), "Lyon");
        world.clock.advance(HOUR);
        world.b.user_edits(&b, "city", "Ghent");
        if is_heard {
            world.hear(Side::B, &b).await;
        }
        settle(&world).await;
        assert_eq!(text(&world, Side::A, &a, "city"), "Ghent");
        assert_eq!(world.open().await, []);
    }
}

#[tokio::test]
async fn a_system_without_times_that_drops_a_field_of_what_it_makes_empties_it_nowhere() {
    let odd = Oddities {
        forms: vec![("note", Form::Dropped)],
        ..without_times()
    };
    let (world, _, _) = pair(odd).await;
    let fields = [
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("note", "typed by a person"),
    ];
    let bob = world.a.user_creates(&fields);
    world.hear(Side::A, &bob).await;
    world.rest().await;
    settle(&world).await;
    assert_eq!(text(&world, Side::A, &bob, "note"), "typed by a person");
    assert_eq!(the_question(&world).await.kind.as_str(), "not_kept");
}

#[tokio::test]
async fn a_system_that_dates_in_whole_seconds_what_it_does_not_keep_takes_nobodys_edit_back() {
    let odd = Oddities {
        forms: vec![("city", Form::Dropped)],
        echoes: true,
        hides_versions: true,
        whole_seconds: true,
        ..Oddities::default()
    };
    let (world, a, b) = pair(odd).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    settle(&world).await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
    assert_eq!(text(&world, Side::B, &b, "city"), "Ghent");
    assert_eq!(the_question(&world).await.kind.as_str(), "not_kept");
}

/// Answers to writes hold what was sent and a new time of change, whatever is kept of it.
fn echoing() -> Oddities {
    Oddities {
        echoes: true,
        hides_versions: true,
        ..Oddities::default()
    }
}

#[tokio::test]
async fn a_system_that_moves_the_time_later_of_what_it_did_not_keep_takes_nobodys_edit_back() {
    for fields in [&["city"][..], &["city", "note"]] {
        let odd = Oddities {
            forms: fields.iter().map(|field| (*field, Form::Dropped)).collect(),
            ..echoing()
        };
        let (world, a, b) = pair(odd).await;
        for field in fields {
            world.a.user_edits(&a, field, "Lyon");
        }
        world.hear(Side::A, &a).await;
        world.rest().await;
        misses(&world).await;
        world.b.is_looked_at(&b);
        world.hear(Side::B, &b).await;
        settle(&world).await;
        for field in fields {
            assert_eq!(text(&world, Side::A, &a, field), "Lyon", "{field}");
        }
        let open = world.open().await;
        assert_eq!(open.len(), fields.len(), "{open:?}");
        assert!(open.iter().all(|one| one.kind.as_str() == "not_kept"));
    }
}

/// A city that we have written to b, which nothing but the answer has shown, and that somebody there has set back.
async fn set_back_unseen(policy: SyncPolicy) -> (World, RecordId, RecordId) {
    let (world, a, b) = one_pair(policy, (TALENTS, echoing()), HOUR).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(text(&world, Side::B, &b, "city"), "Lyon");
    misses(&world).await;
    world.b.user_edits(&b, "city", "Ghent");
    world.clock.advance(Duration::from_secs(30));
    (world, a, b)
}

/// A poll of b, half a minute after our write, that has found nothing; half a minute later.
async fn misses(world: &World) {
    world.clock.advance(Duration::from_secs(30));
    let now = world.clock.now();
    world.poll_at(Side::B, now, now).await;
    world.clock.advance(Duration::from_secs(30));
}

#[tokio::test]
async fn who_sets_a_value_back_before_it_was_shown_has_edited_where_the_other_record_changes_too() {
    let (world, a, b) = set_back_unseen(policy()).await;
    world.a.user_edits(&a, "city", "Rome");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(text(&world, Side::B, &b, "city"), "Rome");
    assert_eq!(world.questions().await, []);
    let filter = ChangeFilter {
        limit: 50,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await.expect("changes");
    let mut fields = changes.iter().flat_map(|change| &change.fields);
    assert!(
        fields.any(|one| one
            .lost
            .as_ref()
            .is_some_and(|lost| lost.to_string() == "Ghent")),
        "what was typed is in the log as what lost"
    );
}

#[tokio::test]
async fn who_sets_a_value_back_before_it_was_shown_keeps_the_record_whose_partner_is_deleted() {
    let (world, a, b) = set_back_unseen(propagates()).await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    settle(&world).await;
    assert!(world.b.texts(&b).is_some());
    assert_eq!(world.a.about("ann@x.example").len(), 1, "it is made again");
}

#[tokio::test]
async fn who_sets_a_value_back_before_it_was_read_has_edited_where_events_tell_of_both_changes() {
    let (world, a, b) = pair(echoing()).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let ours = world.clock.now();
    world.clock.advance(Duration::from_millis(300));
    world.b.user_edits(&b, "city", "Ghent");
    world.tell(Side::B, &b, EventKind::Updated, ours).await;
    world
        .tell(Side::B, &b, EventKind::Updated, world.clock.now())
        .await;
    settle(&world).await;
    assert_eq!(text(&world, Side::A, &a, "city"), "Ghent");
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn who_sets_a_value_back_within_seconds_has_edited_where_events_or_listings_have_shown_it() {
    for is_heard in [true, false] {
        let (world, a, b) = pair(echoing()).await;
        for city in ["Lyon", "Ghent"] {
            world.clock.advance(Duration::from_secs(3));
            world.a.user_edits(&a, "city", city);
            world.hear(Side::A, &a).await;
            world.rest().await;
            assert_eq!(text(&world, Side::B, &b, "city"), city);
            world.clock.advance(Duration::from_secs(1));
            if is_heard {
                world.hear(Side::B, &b).await;
            } else {
                world.sweep().await;
            }
            world.rest().await;
        }
        world.clock.advance(Duration::from_secs(2));
        world.b.user_edits(&b, "city", "Lyon");
        world.hear(Side::B, &b).await;
        settle(&world).await;
        assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
        assert_eq!(text(&world, Side::B, &b, "city"), "Lyon");
        assert_eq!(world.open().await, []);

        // And back again, an hour later, to what stood there before our last write.
        world.a.user_edits(&a, "city", "Turin");
        world.hear(Side::A, &a).await;
        world.rest().await;
        if is_heard {
            world.hear(Side::B, &b).await;
        }
        settle(&world).await;
        world.b.user_edits(&b, "city", "Lyon");
        world.hear(Side::B, &b).await;
        settle(&world).await;
        assert_eq!(text(&world, Side::A, &a, "city"), "Lyon");
        assert_eq!(world.open().await, []);
    }
}

/// Ann is on both sides, and Bob is made on a; b has answered our create of him, and kept nothing. Gives his id.
pub(super) async fn answered_and_not_made(policy: SyncPolicy) -> (World, RecordId) {
    let (world, bob) = not_made(policy, &[Fault::MakesNothing], false).await;
    settle(&world).await;
    (world, bob)
}

/// The same, before anybody looks for it, where this goes wrong; or while another run begins during the create.
async fn not_made(
    policy: SyncPolicy,
    faults: &[Fault],
    is_run_meanwhile: bool,
) -> (World, RecordId) {
    let plain = || (TALENTS, Oddities::default());
    let (world, _, _) = just_linked(policy, plain(), plain()).await;
    let bob = world
        .a
        .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
    world.b.go_wrong(faults);
    world.hear(Side::A, &bob).await;
    if is_run_meanwhile {
        let soon = world.clock.now().plus(Duration::from_secs(1));
        world.poll_at(Side::A, soon, soon).await;
    }
    world.rest().await;
    assert_eq!(world.b.ids().len(), 1, "it is not there");
    (world, bob)
}

#[tokio::test]
async fn a_record_that_was_answered_and_never_shown_is_asked_about_and_does_not_count_as_agreed() {
    let (world, bob) = answered_and_not_made(policy()).await;
    let question = the_question(&world).await;
    assert_eq!((question.side, &question.record), (Side::A, &bob));
    let link = world.link_of(Side::A, &bob).await.expect("it is linked");
    let ConflictKind::NotMade { made, .. } = &question.kind else {
        panic!("{question:?}");
    };
    assert_eq!(link.b.id.as_ref(), Some(made));
    assert_eq!(link.state, LinkState::Active);
    let sync = &world.topology.syncs[&world.sync];
    let compared = compare(world.store.shared().as_ref(), sync, &[], &|_, _| ()).await;
    let compared = compared.expect("both sides answer");
    assert_eq!(compared.differences.len(), 1, "{compared:?}");
    settle(&world).await;
    assert_eq!(
        the_question(&world).await.id,
        question.id,
        "it is asked once"
    );
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_run_that_begins_while_a_create_is_on_its_way_has_not_shown_what_it_made() {
    for (policy, asked) in [(policy(), "not_made"), (propagates(), "delete_held")] {
        let (world, bob) = not_made(policy, &[Fault::MakesNothing], true).await;
        settle(&world).await;
        assert_eq!(the_question(&world).await.kind.as_str(), asked);
        assert!(world.a.texts(&bob).is_some());
    }
}

#[tokio::test]
async fn a_create_of_which_the_second_sending_alone_was_answered_is_asked_about_as_well() {
    for (policy, asked) in [(policy(), "not_made"), (propagates(), "delete_held")] {
        let faults = [Fault::LostRequest, Fault::MakesNothing];
        let (world, bob) = not_made(policy, &faults, false).await;
        settle(&world).await;
        assert_eq!(the_question(&world).await.kind.as_str(), asked);
        assert!(world.a.texts(&bob).is_some());
    }
}

#[tokio::test]
async fn where_the_end_of_a_pair_lets_its_record_be_made_again_a_person_is_asked_first() {
    for answer in [Resolution::CreateNew, Resolution::Dismiss] {
        let deletes = DeletePolicies {
            a_gone: DeletePolicy::Unlink,
            b_gone: DeletePolicy::Unlink,
        };
        let unlinks = SyncPolicy {
            deletes,
            ..policy()
        };
        let (world, _) = answered_and_not_made(unlinks).await;
        assert_eq!(world.b.about("bob@x.example"), []);
        let question = the_question(&world).await;
        assert_eq!(question.kind.as_str(), "not_made");
        world.answer(&question, answer.clone()).await;
        settle(&world).await;
        assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
        let made = usize::from(answer == Resolution::CreateNew);
        assert_eq!(world.b.about("bob@x.example").len(), made);
    }
}

#[tokio::test]
async fn an_edit_while_it_is_asked_whether_a_record_was_made_makes_no_second_one() {
    let (world, bob) = answered_and_not_made(propagates()).await;
    let question = the_question(&world).await;
    world.a.user_edits(&bob, "city", "Lyon");
    world.hear(Side::A, &bob).await;
    settle(&world).await;
    assert_eq!(world.b.about("bob@x.example"), []);
    assert_eq!(the_question(&world).await.id, question.id);
    world.answer(&question, Resolution::Reject).await;
    settle(&world).await;
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    assert_eq!(world.b.about("bob@x.example"), []);
    assert!(world.a.texts(&bob).is_some());
}

#[tokio::test]
async fn who_says_to_make_it_again_has_it_made_once_more() {
    let (world, bob) = answered_and_not_made(policy()).await;
    let question = the_question(&world).await;
    world.answer(&question, Resolution::CreateNew).await;
    assert_eq!(world.b.about("bob@x.example").len(), 1);
    settle(&world).await;
    world.assert_agreement(1);
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    world.a.user_edits(&bob, "city", "Lyon");
    world.hear(Side::A, &bob).await;
    world.rest().await;
    world.assert_agreement(1);
}

#[tokio::test]
async fn who_leaves_it_without_a_partner_is_not_asked_again() {
    let (world, bob) = answered_and_not_made(policy()).await;
    let question = the_question(&world).await;
    world.answer(&question, Resolution::Dismiss).await;
    settle(&world).await;
    world.a.user_edits(&bob, "city", "Lyon");
    world.hear(Side::A, &bob).await;
    settle(&world).await;
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    assert_eq!(world.b.about("bob@x.example"), []);
    let link = world.link_of(Side::A, &bob).await.expect("it was linked");
    assert_eq!(link.state, LinkState::Retired);
}

#[tokio::test]
async fn a_record_that_shows_after_all_is_held_equal_and_nobody_has_to_answer() {
    let plain = || (TALENTS, Oddities::default());
    let (world, _, _) = just_linked(policy(), plain(), plain()).await;
    let bob = world
        .a
        .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
    world.hear(Side::A, &bob).await;
    while world.b.ids().len() == 1 {
        assert!(world.turn().await, "it is made");
    }
    let made = world.b.about("bob@x.example").remove(0);
    world.b.user_deletes(&made);
    world.rest().await;
    settle(&world).await;
    assert_eq!(the_question(&world).await.kind.as_str(), "not_made");
    world.b.user_restores(&made);
    settle(&world).await;
    assert_eq!(world.open().await, []);
    assert_eq!(world.b.about("bob@x.example"), [made]);
    world.assert_agreement(1);
}

#[tokio::test]
async fn where_deletes_are_carried_over_its_original_waits_for_a_person() {
    let (world, bob) = answered_and_not_made(propagates()).await;
    assert_eq!(the_question(&world).await.kind.as_str(), "delete_held");
    assert!(world.a.texts(&bob).is_some());
}
