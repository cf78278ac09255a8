//! What the dry run and the whole comparison say beside open questions is what a run would do.

use std::time::Duration;

use tandem_domain::Side;
use tandem_engine::{ConflictPolicy, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{Conflict, QuestionKind};
use tandem_worker::{Comparison, Preview, compare, survey};

use super::back_and_forth::{self, Automation};
use super::pairs::{ANN, TALENTS, one_pair, propagates};
use super::{asked, emptied, kept_nothing, merged, not_deleted, not_kept, set_back};
use crate::world::system::Fault;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

async fn plan(world: &World) -> Preview {
    let sync = &world.topology.syncs[&world.sync];
    let seen = survey(world.store.shared().as_ref(), sync, &|_, _| ()).await;
    seen.expect("both sides are listed").preview(sync)
}

async fn verify(world: &World) -> Comparison {
    let sync = &world.topology.syncs[&world.sync];
    let waits = [Duration::ZERO];
    let compared = compare(world.store.shared().as_ref(), sync, &waits, &|_, _| ()).await;
    compared.expect("both sides are listed")
}

/// That the plan has nothing but so many items that wait for this question, and that every difference is said to wait for it.
async fn waits(world: &World, question: &Conflict, items: usize) {
    let planned = plan(world).await;
    let told = &planned.items;
    assert_eq!(told.len(), items, "{question:?}: {told:#?}");
    for item in told {
        assert_eq!((item.action, item.question), ("hold", Some(question.id)));
        assert!(item.reason.contains(&question.id.to_string()), "{item:?}");
    }
    assert_eq!(planned.waiting + planned.waiting_fields, items);
    let pairs = planned.linked - planned.left_alone - planned.not_looked_at;
    assert!(planned.equal + items >= pairs, "{planned:#?}");
    let compared = verify(world).await;
    for difference in &compared.differences {
        let asked = compared.question(difference).map(|asked| asked.id);
        assert_eq!(asked, Some(question.id), "{difference:?}");
    }
    // And so it is: a run writes nothing.
    let writes = world.a.writes() + world.b.writes();
    world.first_sync().await;
    world.sweep().await;
    assert_eq!(world.a.writes() + world.b.writes(), writes);
}

async fn the_question(world: &World, kind: QuestionKind) -> Conflict {
    let open = world.open().await;
    let [asked] = open.as_slice() else {
        panic!("one question: {open:?}");
    };
    assert_eq!(asked.kind.kind(), kind);
    asked.clone()
}

#[tokio::test]
async fn pairs_of_a_side_that_was_set_back_are_planned_as_held_and_the_others_are_equal() {
    for policy in [policy(), propagates()] {
        let (world, _, question) = set_back::restored(policy).await;
        waits(&world, &question, set_back::EDITED + set_back::NEW).await;
    }
}

#[tokio::test]
async fn what_would_be_made_on_a_side_that_was_set_back_is_planned_as_held() {
    let (world, _, question) = set_back::restored(policy()).await;
    world
        .b
        .user_creates(&[("name", "New"), ("email", "new@x.example")]);
    let planned = plan(&world).await;
    assert_eq!(planned.create_a, 0);
    let held = set_back::EDITED + set_back::NEW + 1;
    waits(&world, &question, held).await;
}

#[tokio::test]
async fn a_field_that_vanished_is_planned_as_held_and_what_else_is_edited_as_an_update() {
    let (world, ids) = emptied::world(15).await;
    world.a.hides_fields(&["note"]);
    world.sweep().await;
    let question = the_question(&world, QuestionKind::Emptied).await;
    waits(&world, &question, 15).await;
    world.a.user_edits(&ids[0], "city", "Lyon");
    let planned = plan(&world).await;
    assert_eq!((planned.update_b, planned.waiting_fields), (1, 15));
    let updates = planned.items.iter().filter(|item| item.action == "update");
    let fields: Vec<&String> = updates.flat_map(|item| item.fields.keys()).collect();
    assert_eq!(fields, ["city"]);

    world
        .answer(&question, tandem_store::Resolution::Reject)
        .await;
    world.sweep().await;
    let planned = plan(&world).await;
    assert_eq!((planned.left, planned.items.len()), (15, 15));
    for item in &planned.items {
        assert_eq!((item.action, item.question), ("leave", Some(question.id)));
    }
    assert!(verify(&world).await.agrees(), "the values stand");
}

#[tokio::test]
async fn a_pair_whose_record_was_never_shown_is_planned_as_held() {
    let (world, _) = kept_nothing::answered_and_not_made(policy()).await;
    let question = the_question(&world, QuestionKind::NotMade).await;
    waits(&world, &question, 1).await;
}

#[tokio::test]
async fn a_delete_that_is_held_is_planned_as_held() {
    let (world, _) = kept_nothing::answered_and_not_made(propagates()).await;
    let question = the_question(&world, QuestionKind::DeleteHeld).await;
    waits(&world, &question, 1).await;
}

#[tokio::test]
async fn a_value_that_was_not_kept_is_planned_as_held_until_it_is_edited() {
    let age = Duration::from_secs(60);
    let (world, a, _) = one_pair(policy(), (TALENTS, not_kept::cuts_cities()), age).await;
    world.a.user_edits(&a, "city", "Louvain-la-Neuve");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = the_question(&world, QuestionKind::NotKept).await;
    waits(&world, &question, 1).await;
    world.a.user_edits(&a, "city", "Lyon");
    let planned = plan(&world).await;
    assert_eq!((planned.update_b, planned.waiting_fields), (1, 0));
}

#[tokio::test]
async fn a_contested_field_is_planned_as_asked_about_once_and_as_held_after_that() {
    let mut policy: SyncPolicy = policy();
    policy.conflict = ConflictPolicy::Manual;
    let plain = (TALENTS, Oddities::default());
    let (world, a, b) = one_pair(policy, plain, Duration::from_secs(60)).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "city", "Turin");
    let planned = plan(&world).await;
    assert_eq!((planned.questions, planned.waiting_fields), (1, 0));
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = the_question(&world, QuestionKind::Field).await;
    waits(&world, &question, 1).await;
}

#[tokio::test]
async fn a_pair_of_which_a_record_is_another_by_now_is_planned_as_held() {
    let (world, _, _, question) = asked::replaced().await;
    waits(&world, &question, 1).await;
}

#[tokio::test]
async fn pairs_whose_records_were_merged_into_another_are_planned_as_held_each_for_its_question() {
    let (world, merged) = merged::three_merged().await;
    let planned = plan(&world).await;
    let open = world.open().await;
    let about_pairs = open
        .iter()
        .filter(|one| one.kind.kind() == QuestionKind::Replaced);
    assert_eq!(about_pairs.clone().count(), merged.len());
    for asked in about_pairs {
        let mut items = planned.items.iter();
        assert!(items.any(|item| item.question == Some(asked.id)));
    }
    assert_eq!(planned.not_looked_at, 0);
}

#[tokio::test]
async fn a_pair_that_goes_back_and_forth_is_planned_as_held() {
    let (world, a, b) = back_and_forth::pair().await;
    let shouting: Automation = str::to_uppercase;
    let whispering: Automation = str::to_lowercase;
    let ends = [(&a, shouting), (&b, whispering)];
    back_and_forth::automate(&world, ends, 60).await;
    let question = the_question(&world, QuestionKind::BackAndForth).await;
    waits(&world, &question, 1).await;
}

#[tokio::test]
async fn what_was_not_deleted_though_its_system_said_so_is_planned_as_held() {
    let (world, _, _) = not_deleted::deleted(Fault::Ignored).await;
    world.rest().await;
    let question = not_deleted::asked(&world).await;
    waits(&world, &question, 1).await;
}

#[tokio::test]
async fn a_pair_that_ends_with_nothing_written_is_not_planned_as_one_that_holds_the_same() {
    let plain = || (TALENTS, Oddities::default());
    let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
    world.a.user_creates(&ANN);
    let gone = world
        .a
        .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
    world.first_sync().await;
    world.a.user_deletes(&gone);
    let planned = plan(&world).await;
    assert_eq!((planned.linked, planned.equal, planned.ends), (2, 1, 1));
    assert_eq!(planned.items[0].action, "end");
}

#[tokio::test]
async fn each_record_of_an_unclear_match_is_an_item_and_counts_as_one_before_it_is_asked_about_and_after()
 {
    let plain = || (TALENTS, Oddities::default());
    let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
    for system in [&world.a, &world.b] {
        for name in ["Ann", "Anna", "Anne"] {
            system.user_creates(&[("name", name), ("email", "ann@x.example")]);
        }
    }
    let planned = plan(&world).await;
    assert_eq!((planned.held, planned.waiting), (6, 0));
    assert_eq!(planned.items.len(), 6);
    let one_each = |planned: &Preview| {
        let mut items = planned.items.iter();
        items.all(|item| item.action == "hold" && item.a.is_some() != item.b.is_some())
    };
    assert!(one_each(&planned), "{planned:#?}");

    world.first_sync().await;
    let planned = plan(&world).await;
    assert_eq!((planned.held, planned.waiting), (0, 6));
    assert_eq!(planned.items.len(), 6);
    assert!(one_each(&planned), "{planned:#?}");
}

#[tokio::test]
async fn what_an_answer_has_left_different_is_told_with_that_answer_and_not_as_the_same_nor_as_to_be_written()
 {
    let age = Duration::from_secs(60);
    let (world, a, _) = one_pair(policy(), (TALENTS, not_kept::cuts_cities()), age).await;
    world.a.user_edits(&a, "city", "Louvain-la-Neuve");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = the_question(&world, QuestionKind::NotKept).await;
    world
        .answer(&question, tandem_store::Resolution::Dismiss)
        .await;
    world.rest().await;

    let planned = plan(&world).await;
    let pairs = planned.linked;
    assert_eq!((planned.equal, planned.left), (pairs - 1, 1));
    let [left] = planned.items.as_slice() else {
        panic!("one item: {planned:#?}");
    };
    assert_eq!((left.action, left.question), ("leave", Some(question.id)));
    let compared = verify(&world).await;
    let [difference] = compared.differences.as_slice() else {
        panic!("one difference: {compared:#?}");
    };
    let by = compared.left_by(difference).expect("an answer");
    assert_eq!((by.question, by.answer), (question.id, "dismiss"));
    assert!(compared.agrees() && compared.unanswered() == 0);

    world.a.user_edits(&a, "city", "Lyon");
    assert_eq!(plan(&world).await.update_b, 1);
    assert!(!verify(&world).await.agrees(), "an edit is on its way");
}
