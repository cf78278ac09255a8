//! Automations that set a field back after each write of ours, and those that take away what is made.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side};
use tandem_engine::{ConflictPolicy, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{ConflictKind, ConflictState, JobKind, Resolution};

use super::pairs::{ANN, PLAIN, just_linked};
use crate::world::system::FakeSystem;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

/// What an automation makes of a city.
pub type Automation = fn(&str) -> String;

pub async fn pair() -> (World, RecordId, RecordId) {
    let plain = || (PLAIN, Oddities::default());
    just_linked(policy(), plain(), plain()).await
}

/// Runs the automations of both systems after each write until neither has anything to do, or this often. The values
/// come minutes apart, as by polls.
pub async fn automate(world: &World, ends: [(&RecordId, Automation); 2], times: usize) {
    for _ in 0..times {
        let mut is_quiet = true;
        for (side, (record, automation)) in Side::BOTH.into_iter().zip(ends) {
            let system: &FakeSystem = world.system(side);
            let city = system.kept(record, "city");
            let wanted = automation(&city);
            if wanted != city {
                is_quiet = false;
                system.user_edits(record, "city", &wanted);
                world.hear(side, record).await;
                world.rest().await;
                world.clock.advance(Duration::from_secs(60));
            }
        }
        if is_quiet {
            return;
        }
    }
}

#[tokio::test]
async fn two_automations_that_each_set_their_own_value_end_in_one_question() {
    let (world, a, b) = pair().await;
    let shouting: Automation = str::to_uppercase;
    let whispering: Automation = str::to_lowercase;
    let ends = [(&a, shouting), (&b, whispering)];
    let before = world.a.writes() + world.b.writes();
    automate(&world, ends, 60).await;
    let writes = world.a.writes() + world.b.writes() - before;
    assert!((10..=14).contains(&writes), "{writes} writes");
    let asked = world.open().await;
    let [asked] = asked.as_slice() else {
        panic!("one question: {asked:?}");
    };
    let ConflictKind::BackAndForth {
        a: at_a, b: at_b, ..
    } = &asked.kind
    else {
        panic!("{:?}", asked.kind);
    };
    assert_eq!(at_a.keys().collect::<Vec<_>>(), ["city"]);
    assert_ne!(at_a["city"], at_b["city"]);

    // Whoever hears of the pair meanwhile writes nothing.
    world.a.user_edits(&a, "note", "a word");
    world.hear(Side::A, &a).await;
    world.sweep().await;
    assert_eq!(world.a.writes() + world.b.writes() - before, writes);

    // One automation is off: the answer gives both the value of a side, and what waited goes over.
    world
        .answer(asked, Resolution::Take { side: Side::A })
        .await;
    assert_eq!(world.b.kept(&b, "city"), world.a.kept(&a, "city"));
    assert_eq!(world.b.kept(&b, "note"), "a word");
    assert_eq!(world.open().await, []);

    // It was not: it is counted anew, and asked again.
    let before = world.a.writes() + world.b.writes();
    automate(&world, ends, 60).await;
    let writes = world.a.writes() + world.b.writes() - before;
    assert!((8..=14).contains(&writes), "{writes} writes");
    let asked = world.open().await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    world.answer(&asked[0], Resolution::Approve).await;
    assert_eq!(world.b.kept(&b, "city"), world.a.kept(&a, "city"));
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn the_question_closes_when_both_sides_come_to_agree_by_themselves() {
    let (world, a, b) = pair().await;
    automate(
        &world,
        [(&a, str::to_uppercase), (&b, str::to_lowercase)],
        60,
    )
    .await;
    assert_eq!(world.open().await.len(), 1);
    for (side, record) in [(Side::A, &a), (Side::B, &b)] {
        world.system(side).user_edits(record, "city", "Lyon");
    }
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.open().await, []);
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(world.a.kept(&a, "city"), "Turin");
}

#[tokio::test]
async fn a_record_that_people_edit_all_day_on_one_side_is_carried_over_each_time() {
    let (world, a, b) = pair().await;
    for turn in 0..40 {
        world
            .a
            .user_edits(&a, "city", if turn % 2 == 0 { "Lyon" } else { "Ghent" });
        world.hear(Side::A, &a).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(world.b.kept(&b, "city"), "Ghent");
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn what_is_taken_away_each_time_that_it_is_made_is_not_made_for_ever() {
    let plain = || (PLAIN, Oddities::default());
    let policy = SyncPolicy {
        deletes: tandem_engine::DeletePolicies::default(),
        ..policy()
    };
    let world = World::odd(1, policy, plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    // An import deletes its records and makes them again, and an automation deletes what we make of them.
    for _ in 0..40 {
        for id in world.a.ids() {
            world.a.user_deletes(&id);
        }
        let again = world.a.user_creates(&ANN);
        world.hear(Side::A, &again).await;
        world.rest().await;
        for id in world.b.ids() {
            world.b.user_deletes(&id);
            world.hear(Side::B, &id).await;
        }
        world.rest().await;
        world.clock.advance(Duration::from_secs(5));
    }
    assert!(world.b.writes() <= 5, "{} creates", world.b.writes());
    let dead = world.dead().await;
    assert!(!dead.is_empty(), "a dead letter says so");
    let failure = dead[0].failure.as_ref().expect("it says why");
    assert!(
        failure.chain[0].contains("was made 5 times in b within an hour"),
        "{failure:?}"
    );

    // A person who has turned that off replays the last one, and it is made.
    let here = world.a.ids().remove(0);
    let last = dead
        .iter()
        .find(|job| matches!(&job.kind, JobKind::Reconcile { record, .. } if *record == here));
    let last = last.expect("the last one waits there").id;
    let replayed = world.store.replay_jobs(&[last], world.clock.now()).await;
    assert_eq!(replayed.expect("the storage answers").len(), 1);
    let before = world.b.writes();
    world.rest().await;
    assert_eq!(world.b.writes(), before + 1);
    assert_eq!(world.b.ids().len(), 1);
}

#[tokio::test]
async fn an_answer_to_another_question_of_the_pair_is_carried_out_while_it_is_asked() {
    let mut policy = policy();
    let note = policy.fields.iter_mut().find(|rule| rule.name == "note");
    note.expect("the field").conflict = Some(ConflictPolicy::Manual);
    let plain = || (PLAIN, Oddities::default());
    let (world, a, b) = just_linked(policy, plain(), plain()).await;
    world.a.user_edits(&a, "note", "of a");
    world.b.user_edits(&b, "note", "of b");
    let ends: [(&RecordId, Automation); 2] = [(&a, str::to_uppercase), (&b, str::to_lowercase)];
    automate(&world, ends, 60).await;
    let asked = world.open().await;
    let of = |kind: &str| {
        let found = asked.iter().find(|one| one.kind.as_str() == kind);
        found.unwrap_or_else(|| panic!("a question of kind {kind}: {asked:?}"))
    };
    of("back_and_forth");
    world
        .answer(of("field"), Resolution::Take { side: Side::A })
        .await;
    assert_eq!(world.b.kept(&b, "note"), "of a");
    let stored = world.store.conflict(of("field").id).await.expect("asked");
    let stored = stored.expect("it is there");
    assert_eq!(stored.state, ConflictState::Closed);
    assert_eq!(stored.closed_because, None, "it was carried out");
    // Both sides agree for the moment. If the automations go on it is asked again.
    automate(&world, ends, 60).await;
    assert_eq!(world.open().await.len(), 1);
}

#[tokio::test]
async fn a_pair_that_is_asked_about_shows_what_it_holds_and_an_answer_for_other_values_is_asked_anew()
 {
    let (world, a, b) = pair().await;
    let ends: [(&RecordId, Automation); 2] = [(&a, str::to_uppercase), (&b, str::to_lowercase)];
    automate(&world, ends, 60).await;
    let shows = async || {
        let [asked] = world.open().await.try_into().expect("one question");
        let values = asked.values().expect("it shows values");
        (asked, values.map(|fields| fields["city"].to_string()))
    };
    world.a.user_edits(&a, "city", "Oslo");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let (asked, [at_a, at_b]) = shows().await;
    assert_eq!((at_a, at_b), ("Oslo".to_owned(), world.b.kept(&b, "city")));

    // Nobody hears of this one before the answer.
    world.a.user_edits(&a, "city", "Rome");
    let before = world.a.writes() + world.b.writes();
    world
        .answer(&asked, Resolution::Take { side: Side::B })
        .await;
    assert_eq!(world.a.writes() + world.b.writes(), before);
    assert_eq!(world.a.kept(&a, "city"), "Rome");
    let (anew, [at_a, _]) = shows().await;
    assert_eq!((anew.kind.as_str(), &*at_a), ("back_and_forth", "Rome"));
    let again = anew.kind.again().expect("it says what was answered");
    assert_eq!(again.a["city"].to_string(), "Oslo");
    world
        .answer(&anew, Resolution::Take { side: Side::A })
        .await;
    assert_eq!(world.b.kept(&b, "city"), "Rome");
    assert_eq!(world.open().await, []);
}
