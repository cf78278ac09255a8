//! A system that was restored from a backup, or emptied and filled anew: what it shows is the state of a whole side.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{ConflictPolicy, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{ChangeFilter, Conflict, ConflictKind, ConflictState, Operation, Resolution};

use super::pairs::{TALENTS, propagates};
use crate::world::system::FakeSystem;
use crate::world::system::oddities::Oddities;
use crate::world::system::rows::Backup;
use crate::world::{World, policy};

/// Records that there were when the backup was made, and how many of them were edited since.
pub(super) const OLD: usize = 12;
pub(super) const EDITED: usize = 8;
/// Records made since.
pub(super) const NEW: usize = 4;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// Sides that hold the same, and what a held before some records were edited and others made.
pub(super) async fn linked(policy: SyncPolicy) -> (World, Backup, Vec<RecordId>) {
    linked_with(1, policy, Oddities::default()).await
}

/// The same, where a is odd.
pub(super) async fn linked_with(
    seed: u64,
    policy: SyncPolicy,
    of_a: Oddities,
) -> (World, Backup, Vec<RecordId>) {
    let plain = (TALENTS, Oddities::default());
    let world = World::odd(seed, policy, (TALENTS, of_a), plain, Archived::Gone).await;
    for number in 0..OLD {
        creates(&world, number);
    }
    world.first_sync().await;
    world.sweep().await;
    world.clock.advance(HOUR);
    let backup = world.a.backup();
    let ids = world.a.ids();
    for id in &ids[..EDITED] {
        world.a.user_edits(id, "city", "Lyon");
        world.hear(Side::A, id).await;
    }
    for number in OLD..OLD + NEW {
        let id = creates(&world, number);
        world.hear(Side::A, &id).await;
    }
    world.rest().await;
    world.clock.advance(HOUR);
    world.assert_agreement(1);
    (world, backup, ids)
}

pub(super) fn creates(world: &World, number: usize) -> RecordId {
    let (name, email) = (format!("P {number}"), format!("p{number}@x.example"));
    let fields = [("name", &*name), ("email", &*email), ("city", "Ghent")];
    world.a.user_creates(&fields)
}

/// The same, and side a was restored, and both sides were compared.
pub(super) async fn restored(policy: SyncPolicy) -> (World, Vec<RecordId>, Conflict) {
    restored_in(1, policy).await
}

/// The same, where jobs that run at once go on in another order.
pub(super) async fn restored_in(seed: u64, policy: SyncPolicy) -> (World, Vec<RecordId>, Conflict) {
    let (world, backup, ids) = linked_with(seed, policy, Oddities::default()).await;
    let before = writes(&world);
    world.a.restores(&backup);
    world.sweep().await;
    assert_eq!(writes(&world), before, "nothing is written");
    let question = the_question(&world).await;
    (world, ids, question)
}

pub(super) async fn the_question(world: &World) -> Conflict {
    let mut open = world.open().await;
    assert_eq!(open.len(), 1, "one for all: {open:?}");
    assert_eq!(world.dead().await, []);
    open.remove(0)
}

/// How many records are older, and how many missing, by the question.
pub(super) fn counted(question: &Conflict) -> (u64, u64) {
    match question.kind {
        ConflictKind::SetBack { older, missing, .. } => (older, missing),
        _ => panic!("{question:?}"),
    }
}

fn writes(world: &World) -> usize {
    world.a.writes() + world.b.writes()
}

pub(super) fn in_lyon(system: &FakeSystem) -> usize {
    let contents = system.contents();
    let is_there = |city: Option<&String>| city.is_some_and(|city| city == "Lyon");
    let there = contents.iter().filter(|one| is_there(one.get("city")));
    there.count()
}

fn policies() -> [SyncPolicy; 2] {
    [policy(), propagates()]
}

/// As an operator's answer does it: both sides are compared whole.
async fn answer(world: &World, question: &Conflict, resolution: Resolution) {
    world.answer(question, resolution).await;
    world.first_sync().await;
    assert_eq!(world.open().await, [], "there is no other round");
    assert_eq!(world.dead().await, []);
}

/// Why pairs ended, by the change log.
async fn ends(world: &World) -> Vec<String> {
    let filter = ChangeFilter {
        operation: Some(Operation::Unlink),
        limit: 100,
        ..ChangeFilter::default()
    };
    let ends = world.store.changes(&filter).await.expect("it answers");
    ends.into_iter().filter_map(|end| end.error).collect()
}

#[tokio::test]
async fn listings_that_show_the_same_have_no_pair_looked_at_again_that_waits_for_the_question() {
    let (world, ids, question) = restored(policy()).await;
    let reads = async || {
        let before = (world.a.reads(), world.b.reads());
        world.sweep().await;
        (world.a.reads() - before.0, world.b.reads() - before.1)
    };
    // The first pairs were looked at before it was asked.
    reads().await;
    let idle = reads().await;
    assert_eq!(
        idle.1, NEW,
        "only what is missing is looked for, and its partner read: {idle:?}"
    );

    world.a.user_edits(&ids[0], "city", "Oslo");
    assert_eq!(reads().await.1, idle.1 + 1, "the one that was edited");
    assert_eq!(reads().await.1, idle.1);
    assert_eq!(the_question(&world).await.id, question.id);
    answer(&world, &question, Resolution::Take { side: Side::B }).await;
    assert_eq!(in_lyon(&world.a), EDITED);
}

#[tokio::test]
async fn a_restored_system_is_one_question_and_nothing_is_written_over_or_deleted() {
    for policy in policies() {
        let (world, ids, question) = restored(policy).await;
        assert_eq!((question.side, question.link), (Side::A, None));
        assert_eq!(counted(&question), (EDITED as u64, NEW as u64));
        assert!(question.shown.len() > 2, "it names a few: {question:?}");

        let before = writes(&world);
        for _ in 0..3 {
            world.clock.advance(HOUR);
            for id in &ids {
                world.hear(Side::A, id).await;
            }
            for id in world.b.ids() {
                world.hear(Side::B, &id).await;
            }
            world.sweep().await;
        }
        assert_eq!(writes(&world), before);
        assert_eq!(
            (world.b.ids().len(), in_lyon(&world.b)),
            (OLD + NEW, EDITED)
        );
        assert_eq!(
            the_question(&world).await.id,
            question.id,
            "it is asked once"
        );

        // Pairs that are whole go on.
        let whole = &ids[OLD - 1];
        world.a.user_edits(whole, "note", "newer");
        world.hear(Side::A, whole).await;
        // What is made there would get the id of a record that is missing.
        world
            .b
            .user_creates(&[("name", "Zoe"), ("email", "zoe@x.example")]);
        world.sweep().await;
        assert_eq!(writes(&world), before + 1);
        assert_eq!(the_question(&world).await.id, question.id);
        answer(&world, &question, Resolution::Take { side: Side::B }).await;
        assert_eq!(world.a.about("zoe@x.example").len(), 1);
        world.assert_agreement(1);
    }
}

#[tokio::test]
async fn the_question_names_all_that_is_known_whatever_comes_first() {
    for seed in 1..=12 {
        let (_, _, question) = restored_in(seed, propagates()).await;
        let expected = (EDITED as u64, NEW as u64);
        assert_eq!(counted(&question), expected, "seed {seed}");
    }
}

#[tokio::test]
async fn a_system_that_was_set_back_gets_what_its_partner_has_and_what_is_missing_is_made_again() {
    for policy in policies() {
        let (world, _, question) = restored(policy).await;
        let held = world.b.contents();
        let written = world.b.writes();
        answer(&world, &question, Resolution::Take { side: Side::B }).await;
        assert_eq!((world.b.contents(), world.b.writes()), (held, written));
        assert_eq!(
            (world.a.ids().len(), in_lyon(&world.a)),
            (OLD + NEW, EDITED)
        );
        let ended = ends(&world).await;
        assert_eq!(ended.len(), NEW);
        for why in ended {
            assert!(why.contains("holds counts"), "{why}");
        }
        world.assert_agreement(1);
        goes_on(&world).await;
    }
}

#[tokio::test]
async fn a_system_that_leaves_out_what_is_empty_gets_what_its_partner_has_there_as_well() {
    let omits = Oddities {
        omits_empty: true,
        ..Oddities::default()
    };
    let plain = (TALENTS, Oddities::default());
    let world = World::odd(1, propagates(), (TALENTS, omits), plain, Archived::Gone).await;
    for number in 0..OLD {
        creates(&world, number);
    }
    world.first_sync().await;
    world.clock.advance(HOUR);
    let backup = world.a.backup();
    for (number, id) in world.a.ids().iter().take(EDITED).enumerate() {
        let (field, value) = if number % 2 == 0 {
            ("note", "typed later")
        } else {
            ("city", "Lyon")
        };
        world.a.user_edits(id, field, value);
        world.hear(Side::A, id).await;
    }
    world.rest().await;
    world.clock.advance(HOUR);
    world.assert_agreement(1);
    let held = world.b.contents();
    world.a.restores(&backup);
    world.sweep().await;
    let question = the_question(&world).await;
    assert_eq!(question.kind.as_str(), "set_back");
    answer(&world, &question, Resolution::Take { side: Side::B }).await;
    assert_eq!(world.b.contents(), held);
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_system_that_was_set_back_on_purpose_counts_as_it_is_under_the_brake() {
    for (policy, left) in [(policy(), OLD + NEW), (propagates(), OLD)] {
        let (world, _, question) = restored(policy).await;
        answer(&world, &question, Resolution::Approve).await;
        assert_eq!(world.a.ids().len(), OLD);
        assert_eq!((world.b.ids().len(), in_lyon(&world.b)), (left, 0));
        goes_on(&world).await;
    }
}

/// Whatever is edited now arrives, and a day later nothing is left of the answer.
async fn goes_on(world: &World) {
    for days in 0..2 {
        for (number, id) in world.a.ids().iter().enumerate() {
            world.a.user_edits(id, "note", &format!("{days} {number}"));
        }
        world.sweep().await;
        let notes = |system: &FakeSystem| {
            let contents = system.contents();
            let noted = contents.iter().filter(|one| one.contains_key("note"));
            noted.map(|one| one["note"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(notes(&world.a), notes(&world.b));
        world.clock.advance(25 * HOUR);
        world.sweep().await;
    }
    let questions = world.questions().await;
    let closed = |one: &Conflict| one.state == ConflictState::Closed;
    assert!(questions.iter().all(closed), "{questions:?}");
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_system_that_is_right_again_closes_its_question_by_itself() {
    let (world, backup, _) = linked(propagates()).await;
    let now = world.a.backup();
    world.a.restores(&backup);
    world.sweep().await;
    the_question(&world).await;
    world.a.restores(&now);
    let before = writes(&world);
    world.sweep().await;
    assert_eq!(world.open().await, []);
    assert_eq!(writes(&world), before);
    world.assert_agreement(1);
}

#[tokio::test]
async fn below_the_limit_pairs_are_answered_one_by_one_and_what_is_missing_waits_for_them() {
    for take in [Side::A, Side::B] {
        let (world, _, ids) = linked(propagates()).await;
        // One record is older, and one is missing.
        let mut backup = world.a.backup();
        world.a.user_edits(&ids[0], "city", "Turin");
        world.hear(Side::A, &ids[0]).await;
        world.rest().await;
        world.clock.advance(HOUR);
        backup.forgets(&ids[1]);
        world.a.restores(&backup);
        let before = writes(&world);
        for _ in 0..2 {
            world.sweep().await;
            world.clock.advance(HOUR);
        }
        let question = the_question(&world).await;
        assert_eq!(question.kind.as_str(), "replaced");
        assert_eq!(writes(&world), before);
        world
            .answer(&question, Resolution::Take { side: take })
            .await;
        let city = world.b.about("p0@x.example").remove(0);
        let expected = if take == Side::A { "Lyon" } else { "Turin" };
        assert_eq!(world.b.texts(&city).expect("it is there")["city"], expected);
        // Nothing speaks against its having been deleted any more.
        world.sweep().await;
        assert_eq!(world.b.about("p1@x.example"), []);
        world.assert_agreement(1);
        assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_system_that_was_filled_anew_under_the_same_ids_gives_each_record_a_partner_of_its_own() {
    let take = Resolution::Take { side: Side::B };
    // What people have in common does not make them the same.
    let each = [
        (take.clone(), "Bremen"),
        (take, "Ghent"),
        (Resolution::Approve, "Bremen"),
        (Resolution::Approve, "Ghent"),
    ];
    for (resolution, city) in each {
        let plain = || (TALENTS, Oddities::default());
        let world = World::odd(1, propagates(), plain(), plain(), Archived::Gone).await;
        let empty = world.a.backup();
        for number in 0..EDITED {
            creates(&world, number);
        }
        world.first_sync().await;
        world.clock.advance(HOUR);
        world.a.restores(&empty);
        for number in 0..5 {
            let (name, email) = (format!("Bob {number}"), format!("bob{number}@x.example"));
            let fields = [("name", &*name), ("email", &*email), ("city", city)];
            world.a.user_creates(&fields);
        }
        world.sweep().await;
        let question = the_question(&world).await;
        assert_eq!(world.b.ids().len(), EDITED);
        let is_taken = resolution != Resolution::Approve;
        answer(&world, &question, resolution).await;
        assert_eq!(world.b.about("bob3@x.example").len(), 1);
        let all = if is_taken { EDITED + 5 } else { 5 };
        assert_eq!((world.a.ids().len(), world.b.ids().len()), (all, all));
        world.assert_agreement(1);
    }
}

#[tokio::test]
async fn a_record_that_was_deleted_before_the_restore_comes_back_only_where_the_restored_state_counts()
 {
    for resolution in [Resolution::Take { side: Side::B }, Resolution::Approve] {
        let (world, backup, ids) = linked(propagates()).await;
        let last = &ids[OLD - 1];
        world.a.user_deletes(last);
        world.hear(Side::A, last).await;
        world.rest().await;
        assert_eq!(world.b.about("p11@x.example"), []);
        world.clock.advance(HOUR);
        world.a.restores(&backup);
        for _ in 0..2 {
            world.sweep().await;
            assert_eq!(world.b.about("p11@x.example"), []);
        }
        let question = the_question(&world).await;
        let is_approved = resolution == Resolution::Approve;
        answer(&world, &question, resolution).await;
        world.sweep().await;
        let back = world.b.about("p11@x.example").len();
        assert_eq!(back, usize::from(is_approved));
    }
}

#[tokio::test]
async fn an_edit_that_is_not_settled_yet_is_not_lost_under_a_restore() {
    let mut policy = policy();
    policy.conflict = ConflictPolicy::Manual;
    let (world, backup, ids) = linked(policy).await;
    let last = &ids[OLD - 1];
    let partner = world.b.about("p11@x.example").remove(0);
    world.a.user_edits(last, "city", "Turin");
    world.b.user_edits(&partner, "city", "Oslo");
    world.hear(Side::A, last).await;
    world.rest().await;
    assert_eq!(world.open().await.len(), 1, "both edited it");
    let is_about_it = |question: &Conflict| question.kind.as_str() == "replaced";
    // It shows what both agreed on before.
    let whole = world.a.backup();
    let mut older = world.a.backup();
    older.takes(&backup, last);
    world.a.restores(&older);
    for _ in 0..2 {
        world.clock.advance(HOUR);
        world.hear(Side::A, last).await;
        world.rest().await;
        assert_eq!(world.a.texts(last).expect("it is there")["city"], "Ghent");
        let open = world.open().await;
        assert_eq!((open.len(), open.iter().any(is_about_it)), (2, true));
    }
    world.a.restores(&whole);
    world.hear(Side::A, last).await;
    world.rest().await;
    assert!(!world.open().await.iter().any(is_about_it));
}
