//! Deletes of ours that land long after they were sent, when their pair is wanted again: nobody deleted what they take.

use std::time::Duration;

use tandem_domain::{Clock, Entropy, RecordId, Side};
use tandem_engine::{Creates, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{ChangeFilter, EventKind, LinkState, Resolution};
use tandem_testkit::SeededEntropy;

use super::pairs::{self, ANN, PLAIN, propagates};
use crate::world::World;
use crate::world::system::Fault;
use crate::world::system::oddities::Oddities;

const MINUTE: Duration = Duration::from_secs(60);
/// Long after Tandem has taken the delete for lost.
const LATE: Duration = Duration::from_secs(120);

/// A pair whose record in a was deleted, and our delete of the one in b is sent and not answered.
async fn sent(policy: SyncPolicy, fault: Fault) -> (World, RecordId, RecordId) {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, policy, plain(), plain(), Archived::Gone).await;
    let [a, b] = Side::BOTH.map(|side| world.system(side).user_creates(&ANN));
    world.first_sync().await;
    world.clock.advance(MINUTE);
    world.a.user_deletes(&a);
    world.b.go_wrong(&[fault]);
    world.hear(Side::A, &a).await;
    while world.b.is_to_go_wrong() {
        if !world.turn().await {
            world.clock.advance(Duration::from_secs(5));
        }
    }
    assert!(world.b.texts(&b).is_some(), "it has not landed yet");
    (world, a, b)
}

/// The same, and then a person takes the record in a out of the bin again, and the pair is whole.
async fn undeleted(policy: SyncPolicy) -> (World, RecordId, RecordId) {
    let (world, a, b) = sent(policy, Fault::Late(LATE)).await;
    world.a.user_restores(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    is_held(&world, &a, &b).await;
    assert_eq!(world.b.under_way(), 1, "it has not landed yet");
    (world, a, b)
}

async fn is_held(world: &World, a: &RecordId, b: &RecordId) {
    let link = world.link_of(Side::A, a).await.expect("linked");
    assert_eq!(link.state, LinkState::Active);
    assert_eq!(link.b.id.as_ref(), Some(b));
}

/// The delete lands in b, and it is heard there.
async fn lands(world: &World, b: &RecordId) {
    world.clock.advance(LATE);
    assert!(world.b.texts(b).is_none(), "it has landed");
    world.hear(Side::B, b).await;
    world.rest().await;
    world.sweep().await;
}

/// The record is once on both sides, and both are a pair.
async fn is_whole(world: &World) -> [RecordId; 2] {
    let only = |side: Side| {
        let ids = world.system(side).about("ann@x.example");
        assert_eq!(ids.len(), 1, "it is once on {side}: {ids:?}");
        ids.into_iter().next().expect("one")
    };
    let both = Side::BOTH.map(only);
    is_held(world, &both[0], &both[1]).await;
    assert_eq!(world.open().await, []);
    assert_eq!(world.dead().await, []);
    both
}

/// The change log says that our own delete took the record.
async fn is_told(world: &World) {
    let filter = ChangeFilter {
        limit: 100,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await;
    let changes = changes.expect("the storage answers");
    let mut fields = changes.iter().flat_map(|change| &change.fields);
    let is_told = fields.any(|field| field.reason.contains("our own delete of record"));
    assert!(is_told, "{changes:?}");
}

#[tokio::test]
async fn what_was_undeleted_before_our_delete_landed_is_made_again_and_not_deleted_with_it() {
    let (world, a, b) = undeleted(propagates()).await;
    lands(&world, &b).await;
    assert_eq!(is_whole(&world).await[0], a);
    is_told(&world).await;
}

#[tokio::test]
async fn an_edit_that_beat_our_delete_is_made_again_where_the_delete_lands_after_all() {
    let (world, _, b) = sent(propagates(), Fault::Late(LATE)).await;
    world.b.user_edits(&b, "note", "typed in b");
    world.hear(Side::B, &b).await;
    world.rest().await;
    // The link has a new record in a by now.
    let again = world.a.about("ann@x.example").remove(0);
    is_held(&world, &again, &b).await;
    lands(&world, &b).await;
    let both = is_whole(&world).await;
    for (side, id) in Side::BOTH.into_iter().zip(&both) {
        assert_eq!(pairs::text(&world, side, id, "note"), "typed in b");
    }
    is_told(&world).await;
}

#[tokio::test]
async fn so_is_a_record_whose_delete_lands_while_its_end_is_still_waited_for() {
    let (world, a, b) = sent(propagates(), Fault::Late(Duration::from_secs(3))).await;
    world.a.user_restores(&a);
    world.clock.advance(Duration::from_secs(3));
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.sweep().await;
    assert_eq!(is_whole(&world).await[0], a);
}

#[tokio::test]
async fn so_is_one_whose_pair_was_retired_and_is_held_again() {
    let (world, a, b) = sent(propagates(), Fault::Late(LATE)).await;
    // It is hidden for so long that it counts as deleted.
    world.b.hides(&b, MINUTE);
    world.hear(Side::B, &b).await;
    world.rest().await;
    let link = world.link_of(Side::A, &a).await.expect("linked");
    assert_eq!(link.state, LinkState::Retired);
    world.clock.advance(Duration::from_secs(30));
    world.a.user_restores(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    is_held(&world, &a, &b).await;
    assert_eq!(world.b.under_way(), 1, "it has not landed yet");
    lands(&world, &b).await;
    assert_eq!(is_whole(&world).await[0], a);
}

#[tokio::test]
async fn so_is_one_whose_late_delete_is_only_noticed_by_a_listing_hours_later() {
    let (world, a, b) = undeleted(propagates()).await;
    world.clock.advance(MINUTE * 240);
    assert!(world.b.texts(&b).is_none(), "it has landed");
    world.sweep().await;
    assert_eq!(is_whole(&world).await[0], a);
}

#[tokio::test]
async fn where_nothing_is_made_a_person_is_asked_and_both_answers_hold() {
    for approves in [true, false] {
        let policy = SyncPolicy {
            creates: Creates::None,
            ..propagates()
        };
        let (world, a, b) = undeleted(policy).await;
        lands(&world, &b).await;
        let question = world.open().await.pop().expect("it is asked");
        assert_eq!(question.kind.as_str(), "delete_held");
        let said = format!("{:?}", question.kind);
        assert!(said.contains("our own delete of record"), "{said}");
        assert!(world.a.texts(&a).is_some(), "nothing is deleted unasked");
        let answer = if approves {
            Resolution::Approve
        } else {
            Resolution::Reject
        };
        world.answer(&question, answer).await;
        world.sweep().await;
        assert_eq!(world.a.texts(&a).is_none(), approves);
        assert_eq!(world.open().await, []);
        assert_eq!(world.dead().await, []);
    }
}

#[tokio::test]
async fn what_a_person_deletes_long_after_a_delete_of_ours_was_lost_is_deleted_on_both_sides() {
    for is_told in [true, false] {
        let (world, a, b) = sent(propagates(), Fault::LostRequest).await;
        world.a.user_restores(&a);
        world.hear(Side::A, &a).await;
        world.rest().await;
        is_held(&world, &a, &b).await;
        world.clock.advance(MINUTE * 11);
        if !is_told {
            // A listing has shown it since.
            world.sweep().await;
            world.clock.advance(MINUTE);
        }
        world.b.user_deletes(&b);
        let now = world.clock.now();
        if is_told {
            world.tell(Side::B, &b, EventKind::Deleted, now).await;
        }
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        assert!(world.a.texts(&a).is_none(), "told: {is_told}");
        assert!(world.b.ids().is_empty(), "told: {is_told}");
        assert_eq!(world.open().await, []);
    }
}

/// What a person does while our delete is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Undeletes,
    /// In the record that our delete is to take.
    Edits,
    /// The one that is gone is made anew, under another id.
    MakesAgain,
}

const MEANWHILE: [Meanwhile; 4] = [
    Meanwhile::Nothing,
    Meanwhile::Undeletes,
    Meanwhile::Edits,
    Meanwhile::MakesAgain,
];
const WORLDS: u64 = 8;
const THINGS: u64 = 4;

/// Deletes a thing on one side, and does the rest while our delete of it on the other is on its way.
async fn live(world: &World, below: &impl Fn(u64) -> u64, thing: &str) -> Meanwhile {
    let side = Side::BOTH[usize::from(below(2) == 0)];
    let (here, there) = (world.system(side), world.system(side.other()));
    let (gone, rest) = (here.about(thing).remove(0), there.about(thing).remove(0));
    here.user_deletes(&gone);
    there.go_wrong(&[Fault::Late(Duration::from_secs(20 + below(500)))]);
    world.hear(side, &gone).await;
    while there.is_to_go_wrong() {
        if !world.turn().await {
            world.clock.advance(Duration::from_secs(5));
        }
    }
    let does = MEANWHILE[usize::try_from(below(4)).expect("small")];
    match does {
        Meanwhile::Nothing => {}
        Meanwhile::Undeletes => here.user_restores(&gone),
        Meanwhile::Edits => there.user_edits(&rest, "note", "typed since"),
        Meanwhile::MakesAgain => {
            let again = here.user_creates(&[("name", thing), ("email", thing)]);
            world.hear(side, &again).await;
        }
    }
    world.hear(side, &gone).await;
    world.hear(side.other(), &rest).await;
    world.rest().await;
    does
}

#[tokio::test]
async fn whenever_a_delete_lands_what_people_typed_or_undeleted_since_is_on_both_sides() {
    for seed in 0..WORLDS {
        let entropy = SeededEntropy::new(seed);
        let below = |limit: u64| entropy.next_u64() % limit;
        let plain = || (PLAIN, Oddities::default());
        let world = World::odd(seed, propagates(), plain(), plain(), Archived::Gone).await;
        let things: Vec<String> = (0..THINGS).map(|one| format!("t{one}@x.example")).collect();
        // A listing that shows nothing at all is not believed: somebody stays.
        for thing in things.iter().map(String::as_str).chain(["stays"]) {
            for system in [&world.a, &world.b] {
                system.user_creates(&[("name", thing), ("email", thing)]);
            }
        }
        world.first_sync().await;
        world.clock.advance(MINUTE);
        let mut done = Vec::new();
        for thing in &things {
            done.push((thing, live(&world, &below, thing).await));
            if below(2) == 0 {
                world.clock.advance(MINUTE * 2);
            }
        }
        for _ in 0..3 {
            world.clock.advance(MINUTE * 10);
            world.sweep().await;
        }
        for (thing, does) in done {
            for system in [&world.a, &world.b] {
                let told = || format!("seed {seed}: {thing} {does:?}: {}", world.ledger.story());
                let ids = system.about(thing);
                let wanted = usize::from(does != Meanwhile::Nothing);
                assert_eq!(ids.len(), wanted, "{}", told());
                if does == Meanwhile::Edits {
                    let texts = system.texts(&ids[0]).expect("it is there");
                    assert_eq!(texts["note"], "typed since", "{}", told());
                }
            }
        }
        assert_eq!(world.open().await, [], "seed {seed}");
        assert_eq!(world.dead().await, [], "seed {seed}");
    }
}
