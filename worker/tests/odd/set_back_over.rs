//! What becomes of a question whether a system was set back, and of its answer: later, while something is down, and beside
//! what else happens.

use std::time::Duration;

use tandem_domain::{Clock, JobId, RecordId, Side};
use tandem_engine::{Direction, SyncPolicy};
use tandem_store::{Conflict, Resolution};
use tandem_testkit::SeededEntropy;

use super::pairs::propagates;
use super::set_back::{
    EDITED, HOUR, NEW, OLD, creates, in_lyon, linked, restored, restored_in, the_question,
};
use crate::world::World;
use crate::world::system::rows::Backup;

pub(super) const TAKE: Resolution = Resolution::Take { side: Side::B };

/// A person answers, and nobody works on it yet.
pub(super) async fn resolve(world: &World, question: &Conflict, resolution: Resolution) {
    let now = world.clock.now();
    let job = JobId::new(now, &SeededEntropy::new(now.as_micros().unsigned_abs()));
    let resolved = world
        .store
        .resolve_conflict(question.id, resolution, job, now);
    let job = resolved.await.expect("the storage answers");
    assert!(job.is_some(), "it can be answered: {question:?}");
}

/// As the scheduler does it every now and then.
pub(super) async fn close_moot(world: &World) {
    let now = world.clock.now();
    let closed = world.store.close_moot_conflicts(9, now).await;
    closed.expect("the storage answers");
}

#[tokio::test]
async fn an_answer_waits_for_a_sync_that_is_paused_for_longer_than_a_day() {
    // In another order with each seed.
    for seed in 1..=12 {
        let (world, _, question) = restored_in(seed, propagates()).await;
        resolve(&world, &question, TAKE).await;
        world.clock.advance(25 * HOUR);
        world.begin_first_sync().await;
        world.sweep().await;
        assert_eq!(
            (world.a.ids().len(), world.b.ids().len()),
            (OLD + NEW, OLD + NEW)
        );
        world.assert_agreement(seed);
        // It is over a day after that.
        for _ in 0..2 {
            world.clock.advance(25 * HOUR);
            world.sweep().await;
        }
        let id = world.b.about("p13@x.example").remove(0);
        world.b.user_deletes(&id);
        world.sweep().await;
        assert_eq!(world.a.about("p13@x.example"), []);
        assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    }
}

#[tokio::test]
async fn an_answer_waits_for_pairs_that_are_looked_at_a_day_after_the_comparison() {
    // In another order with each seed.
    for seed in 1..=12 {
        let (world, _, question) = restored_in(seed, propagates()).await;
        resolve(&world, &question, TAKE).await;
        world.begin_first_sync().await;
        world.turn().await;
        world.clock.advance(25 * HOUR);
        world.sweep().await;
        assert_eq!(
            (world.a.ids().len(), world.b.ids().len()),
            (OLD + NEW, OLD + NEW),
            "seed {seed}"
        );
        assert_eq!(world.open().await, [], "seed {seed}");
        world.assert_agreement(seed);
    }
}

#[tokio::test]
async fn what_is_made_under_the_id_of_a_missing_record_waits_until_that_one_is_deleted_on_both_sides()
 {
    let (world, _, question) = restored(propagates()).await;
    let zoe = [("name", "Zoe"), ("email", "zoe@x.example")];
    let zoe = world.b.user_creates(&zoe);
    resolve(&world, &question, Resolution::Approve).await;
    world.clock.advance(Duration::from_secs(600));
    world.hear(Side::B, &zoe).await;
    world.begin_first_sync().await;
    world.rest().await;
    for number in OLD..OLD + NEW {
        let email = format!("p{number}@x.example");
        assert_eq!(
            (world.a.about(&email), world.b.about(&email)),
            (vec![], vec![])
        );
    }
    assert_eq!(world.a.about("zoe@x.example").len(), 1);
    world.assert_agreement(1);
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
}

/// One record of a shows an older state, and it is asked about.
pub(super) async fn one_is_older(world: &World, id: &RecordId) -> Conflict {
    let backup = world.a.backup();
    world.a.user_edits(id, "city", "Turin");
    world.hear(Side::A, id).await;
    world.rest().await;
    world.clock.advance(HOUR);
    let mut older = world.a.backup();
    older.takes(&backup, id);
    world.a.restores(&older);
    world.sweep().await;
    the_question(world).await
}

#[tokio::test]
async fn a_record_that_is_undeleted_while_another_one_is_asked_about_comes_back_after_the_answer() {
    let (world, backup, ids) = linked(propagates()).await;
    world.a.user_deletes(&ids[1]);
    world.hear(Side::A, &ids[1]).await;
    world.rest().await;
    assert_eq!(world.b.about("p1@x.example"), []);
    world.clock.advance(HOUR);
    let question = one_is_older(&world, &ids[0]).await;
    let mut undeleted = world.a.backup();
    undeleted.takes(&backup, &ids[1]);
    world.a.restores(&undeleted);
    world.hear(Side::A, &ids[1]).await;
    world.rest().await;
    assert_eq!(world.b.about("p1@x.example"), []);
    world.answer(&question, TAKE).await;
    world.sweep().await;
    assert_eq!(world.b.about("p1@x.example").len(), 1);
    world.assert_agreement(1);
}

#[tokio::test]
async fn an_old_question_about_one_record_and_two_deletes_are_no_system_that_was_set_back() {
    let (world, _, ids) = linked(propagates()).await;
    let question = one_is_older(&world, &ids[0]).await;
    assert_eq!(question.kind.as_str(), "replaced");
    world.clock.advance(2 * HOUR);
    for id in &ids[1..3] {
        world.a.user_deletes(id);
    }
    world.sweep().await;
    assert_eq!(the_question(&world).await.id, question.id);
    world.answer(&question, TAKE).await;
    world.sweep().await;
    assert_eq!(world.b.ids().len(), OLD + NEW - 2);
    world.assert_agreement(1);
}

#[tokio::test]
async fn what_was_to_be_made_is_made_when_the_system_is_right_again() {
    let (world, backup, ids) = linked(propagates()).await;
    let now = world.a.backup();
    world.a.restores(&backup);
    world.sweep().await;
    let question = the_question(&world).await;
    assert_eq!(question.kind.as_str(), "set_back");
    let zoe = [("name", "Zoe"), ("email", "zoe@x.example")];
    world.b.user_creates(&zoe);
    world.sweep().await;
    assert_eq!(world.a.about("zoe@x.example"), []);
    world.a.restores(&now);
    world.sweep().await;
    assert_eq!(world.a.about("zoe@x.example").len(), 1);
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    world.assert_agreement(1);
    // What waited waits no more, however late it is edited.
    for (hours, note) in [(0, "at once"), (400, "weeks later")] {
        world.clock.advance(hours * HOUR);
        for id in &ids[..EDITED] {
            world.a.user_edits(id, "note", note);
            world.hear(Side::A, id).await;
        }
        world.rest().await;
        assert_eq!(noted(&world, note), EDITED);
        assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
        world.assert_agreement(1);
    }
}

/// How many records of b have this note.
pub(super) fn noted(world: &World, text: &str) -> usize {
    let contents = world.b.contents();
    let has_it = |note: Option<&String>| note.is_some_and(|note| note == text);
    let noted = contents.iter().filter(|one| has_it(one.get("note")));
    noted.count()
}

#[tokio::test]
async fn what_was_to_be_made_is_made_though_the_process_dies_as_it_closes_the_question() {
    let (world, backup, _) = linked(propagates()).await;
    let now = world.a.backup();
    world.a.restores(&backup);
    world.sweep().await;
    the_question(&world).await;
    for name in ["Twin", "Other"] {
        world
            .b
            .user_creates(&[("name", name), ("email", "twin@x.example")]);
    }
    world
        .b
        .user_creates(&[("name", "Zoe"), ("email", "zoe@x.example")]);
    world.sweep().await;
    let asked = world.open().await;
    let twin = asked.iter().find(|one| one.kind.as_str() == "ambiguous");
    resolve(&world, twin.expect("they are alike"), Resolution::CreateNew).await;
    world.rest().await;
    world.a.restores(&now);
    world.turns.dies_after("close_question");
    world.sweep().await;
    assert_eq!(world.a.about("zoe@x.example").len(), 1);
    assert_eq!(world.a.about("twin@x.example").len(), 1);
    assert_eq!(world.dead().await, []);
}

/// Some records of a show an older state, and it is asked about the side.
async fn some_are_older(world: &World, backup: &Backup, ids: &[RecordId]) -> Conflict {
    let mut older = world.a.backup();
    for id in ids {
        older.takes(backup, id);
    }
    world.a.restores(&older);
    world.sweep().await;
    let question = the_question(world).await;
    assert_eq!(question.kind.as_str(), "set_back");
    question
}

#[tokio::test]
async fn a_record_that_is_deleted_meanwhile_keeps_no_question_open_when_the_others_are_right_again()
{
    let (world, backup, ids) = linked(propagates()).await;
    let now = world.a.backup();
    some_are_older(&world, &backup, &ids[..4]).await;
    world.a.restores(&now);
    world.a.user_deletes(&ids[9]);
    let zoe = [("name", "Zoe"), ("email", "zoe@x.example")];
    world.b.user_creates(&zoe);
    for _ in 0..3 {
        world.sweep().await;
    }
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
    assert_eq!(world.a.about("zoe@x.example").len(), 1);
    assert_eq!(world.b.about("p9@x.example"), []);
    world.assert_agreement(1);
}

#[tokio::test]
async fn what_was_imported_anew_under_other_ids_gets_what_its_partner_has() {
    let (world, backup, ids) = linked(propagates()).await;
    let mut filled = world.a.backup();
    for id in world.a.ids() {
        filled.forgets(&id);
    }
    for id in &ids[..3] {
        filled.takes(&backup, id);
    }
    world.a.restores(&filled);
    for number in 3..OLD {
        creates(&world, number);
    }
    world.sweep().await;
    let question = the_question(&world).await;
    assert_eq!(question.kind.as_str(), "set_back");
    let held = world.b.contents();
    world.answer(&question, TAKE).await;
    world.first_sync().await;
    world.sweep().await;
    assert_eq!(world.b.contents(), held);
    assert_eq!(in_lyon(&world.a), EDITED);
    world.assert_agreement(1);
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
}

/// Cities go from a to b alone.
fn one_way() -> SyncPolicy {
    let mut policy = propagates();
    for rule in &mut policy.fields {
        if rule.name == "city" {
            rule.direction = Direction::AToB;
        }
    }
    policy
}

#[tokio::test]
async fn a_field_that_cannot_be_written_to_the_system_that_was_set_back_is_asked_about() {
    let (world, ids, question) = restored(one_way()).await;
    world.answer(&question, TAKE).await;
    world.first_sync().await;
    let asked = world.open().await;
    assert_eq!(asked.len(), EDITED);
    assert!(asked.iter().all(|one| one.kind.field() == Some("city")));
    // It stays asked, whatever else happens to the pairs.
    for days in 0..3 {
        for id in &ids[..EDITED] {
            world.a.user_edits(id, "note", &days.to_string());
        }
        world.sweep().await;
        world.clock.advance(25 * HOUR);
    }
    let contents = world.b.contents();
    let noted = contents
        .iter()
        .filter(|one| one.get("note").is_some_and(|note| note == "2"));
    assert_eq!(noted.count(), EDITED);
    assert_eq!((in_lyon(&world.a), in_lyon(&world.b)), (0, EDITED));
    assert_eq!(world.open().await.len(), EDITED);
    for (number, one) in asked.iter().enumerate() {
        let side = if number < 3 { Side::A } else { Side::B };
        world.answer(one, Resolution::Take { side }).await;
    }
    world.sweep().await;
    assert_eq!((in_lyon(&world.a), in_lyon(&world.b)), (0, EDITED - 3));
    assert_eq!((world.open().await, world.dead().await), (vec![], vec![]));
}

#[tokio::test]
async fn an_answer_to_make_a_record_waits_until_its_system_is_right_again_or_a_person_has_said() {
    for is_right_again in [true, false] {
        let (world, backup, _) = linked(propagates()).await;
        for name in ["Twin", "Other"] {
            let fields = [("name", name), ("email", "twin@x.example")];
            world.b.user_creates(&fields);
        }
        world.sweep().await;
        let asked = world.open().await;
        let twin = asked.iter().find(|one| one.kind.as_str() == "ambiguous");
        let twin = twin.expect("both match nothing but each other");
        let now = world.a.backup();
        world.a.restores(&backup);
        world.sweep().await;
        resolve(&world, twin, Resolution::CreateNew).await;
        for _ in 0..30 {
            world.rest().await;
            assert_eq!(
                world.dead().await,
                [],
                "it waits for as long as it is asked"
            );
            world.clock.advance(HOUR);
        }
        assert_eq!(world.a.about("twin@x.example"), []);
        if is_right_again {
            world.a.restores(&now);
            world.sweep().await;
        } else {
            let open = world.open().await;
            let set_back = open.iter().find(|one| one.kind.as_str() == "set_back");
            resolve(&world, set_back.expect("it is asked"), TAKE).await;
            world.first_sync().await;
        }
        assert_eq!(world.a.about("twin@x.example").len(), 1);
        assert_eq!(world.dead().await, []);
    }
}

#[tokio::test]
async fn who_edits_a_record_that_waits_does_not_carry_its_old_state_over() {
    for take in [Side::A, Side::B] {
        let (world, ids, question) = restored(propagates()).await;
        for id in &ids[..EDITED] {
            world.a.user_edits(id, "note", "typed while it was asked");
            world.hear(Side::A, id).await;
        }
        world.rest().await;
        assert_eq!(
            in_lyon(&world.b),
            EDITED,
            "nothing is carried over while it is asked, whichever of them it was asked about"
        );
        let resolution = match take {
            Side::A => Resolution::Approve,
            Side::B => TAKE,
        };
        world.answer(&question, resolution).await;
        world.first_sync().await;
        let expected = if take == Side::A { 0 } else { EDITED };
        assert_eq!(in_lyon(&world.b), expected);
        world.assert_agreement(1);
    }
}
