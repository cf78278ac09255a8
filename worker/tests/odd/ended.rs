//! Questions that nobody has to answer any more, and answers that cannot be carried out: both end by themselves, and say
//! why.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side};
use tandem_engine::{ConflictPolicy, Creates, DeletePolicy};
use tandem_runtime::Archived;
use tandem_store::{Conflict, ConflictKind, ConflictState, Fact, JobFilter, Resolution};

use super::pairs::{ANN, PLAIN, TALENTS, just_linked, propagates};
use crate::world::system::Fault;
use crate::world::system::oddities::{Form, Oddities};
use crate::world::{World, policy};

const ACME: [(&str, &str); 2] = [("name", "Acme"), ("email", "a@acme.example")];

/// The question is closed, for this reason.
async fn assert_ended(world: &World, question: &Conflict, fact: Fact) {
    let now = world.store.conflict(question.id).await.expect("asked");
    let now = now.expect("it is there");
    assert_eq!(now.closed_because.as_deref(), Some(fact.because()));
    assert_eq!(now.state, ConflictState::Closed);
}

/// Twelve pairs of which two deletes wait for a person. Gives the records that are gone, and the questions about them.
async fn held() -> (World, Vec<(RecordId, Conflict)>) {
    let world = World::new(1, propagates(), TALENTS, TALENTS).await;
    for number in 0..30 {
        let email = format!("p{number}@x.example");
        world
            .a
            .user_creates(&[("name", &format!("P {number}")), ("email", &email)]);
    }
    world.first_sync().await;
    for id in &world.a.ids()[..12] {
        world.a.user_deletes(id);
        world.hear(Side::A, id).await;
    }
    world.rest().await;
    let mut gone = Vec::new();
    for question in world.open().await {
        assert_eq!(question.kind.as_str(), "delete_held");
        let link = world.link_of(Side::B, &question.record).await;
        let gone_id = link.expect("it is linked").a.id.expect("its id");
        gone.push((gone_id, question));
    }
    assert_eq!(gone.len(), 2);
    (world, gone)
}

#[tokio::test]
async fn a_held_delete_closes_by_itself_when_the_record_came_back() {
    let (world, gone) = held().await;
    let (record, question) = &gone[0];
    world.a.user_restores(record);
    world.hear(Side::A, record).await;
    world.rest().await;
    assert_ended(&world, question, Fact::Whole).await;
    assert_eq!(world.open().await.len(), 1, "the other one still waits");
    // The next delete of it is asked about anew.
    world.a.user_deletes(record);
    world.hear(Side::A, record).await;
    world.rest().await;
    assert!(world.open().await.iter().all(|one| one.id != question.id));
}

#[tokio::test]
async fn a_held_delete_closes_by_itself_when_a_listing_alone_shows_the_record_again() {
    let (world, gone) = held().await;
    let (record, question) = &gone[0];
    world.a.user_restores(record);
    world.sweep().await;
    assert_ended(&world, question, Fact::Whole).await;
}

#[tokio::test]
async fn a_held_delete_closes_by_itself_when_the_record_was_made_again() {
    let (world, gone) = held().await;
    let (record, question) = &gone[0];
    let texts = world.b.texts(&question.record).expect("it is there");
    let again = world
        .a
        .user_creates(&[("name", &texts["name"]), ("email", &texts["email"])]);
    for id in [record, &again] {
        world.hear(Side::A, id).await;
    }
    world.rest().await;
    assert_ended(&world, question, Fact::PairEnded).await;
    let link = world.link_of(Side::A, &again).await.expect("it is linked");
    assert_eq!(link.b.id.as_ref(), Some(&question.record));
}

#[tokio::test]
async fn an_approved_delete_is_not_carried_out_when_the_record_came_back_meanwhile() {
    let (world, gone) = held().await;
    let (record, question) = &gone[0];
    world.a.user_restores(record);
    world.answer(question, Resolution::Approve).await;
    assert_ended(&world, question, Fact::Whole).await;
    assert!(world.b.texts(&question.record).is_some());
    assert!(world.a.texts(record).is_some());
}

#[tokio::test]
async fn what_was_said_of_one_record_that_is_gone_does_not_delete_it_when_its_partner_goes_instead()
{
    let (world, gone) = held().await;
    let (record, question) = &gone[0];
    world.a.user_restores(record);
    world.b.user_deletes(&question.record);
    world.answer(question, Resolution::Approve).await;
    assert_ended(&world, question, Fact::OtherGone).await;
    assert!(world.a.texts(record).is_some(), "nobody said that of it");
}

#[tokio::test]
async fn what_became_of_a_write_is_stored_though_its_pair_waits_for_a_person() {
    let (world, _) = held().await;
    let a = world.a.ids().remove(0);
    world.a.user_edits(&a, "city", "Lyon");
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &a).await;
    world.turn().await;
    let until = || world.clock.now().plus(Duration::from_secs(1));
    let open = world.store.stale_intents(until(), None, 10).await;
    assert_eq!(open.expect("asked").len(), 1, "nobody knows its end yet");
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.open().await.len(), 3, "its delete waits too");
    let open = world.store.stale_intents(until(), None, 10).await;
    assert_eq!(open.expect("asked"), []);
}

/// Two records of side a that are alike, one of side b that could be either, and the question about the first.
async fn alike() -> (World, RecordId, RecordId, Conflict) {
    let world = World::new(3, policy(), TALENTS, TALENTS).await;
    let first = world.a.user_creates(&ACME);
    world.a.user_creates(&ACME);
    let partner = world.b.user_creates(&ACME);
    world.first_sync().await;
    let mut asked = world.open().await;
    asked.retain(|question| question.record == first && question.side == Side::A);
    (world, first, partner, asked.remove(0))
}

#[tokio::test]
async fn what_a_record_matches_closes_by_itself_when_it_is_archived_and_is_asked_anew_when_it_is_not()
 {
    let (world, first, _, question) = alike().await;
    world.a.user_edits(&first, "active", "false");
    world.hear(Side::A, &first).await;
    world.rest().await;
    assert_ended(&world, &question, Fact::OutOfUse).await;
}

#[tokio::test]
async fn an_answer_about_a_record_that_is_archived_is_not_carried_out_when_it_appears_again() {
    let (world, first, partner, question) = alike().await;
    world.a.user_edits(&first, "active", "false");
    let answer = Resolution::LinkTo { record: partner };
    world.answer(&question, answer).await;
    assert_ended(&world, &question, Fact::OutOfUse).await;
    world.a.user_edits(&first, "active", "true");
    world.hear(Side::A, &first).await;
    world.rest().await;
    let asked = world.open().await;
    assert!(
        asked.iter().any(|one| one.record == first),
        "a person is asked again: {asked:?}"
    );
}

#[tokio::test]
async fn what_a_record_matches_closes_by_itself_when_it_is_gone() {
    let (world, first, _, question) = alike().await;
    world.a.user_deletes(&first);
    world.hear(Side::A, &first).await;
    world.rest().await;
    assert_ended(&world, &question, Fact::Gone).await;
}

#[tokio::test]
async fn what_a_record_matches_closes_by_itself_when_a_listing_alone_shows_that_it_is_gone() {
    let (world, first, _, question) = alike().await;
    world.a.user_deletes(&first);
    world.sweep().await;
    assert_ended(&world, &question, Fact::Gone).await;
    let reads = world.a.reads();
    world.sweep().await;
    assert_eq!(world.a.reads(), reads, "who is listed is not read for it");
}

#[tokio::test]
async fn what_a_record_matches_closes_by_itself_when_a_whole_comparison_alone_shows_that_it_is_gone()
 {
    let (world, first, _, question) = alike().await;
    world.a.user_deletes(&first);
    world.first_sync().await;
    assert_ended(&world, &question, Fact::Gone).await;
    let reads = world.a.reads();
    world.first_sync().await;
    assert_eq!(world.a.reads(), reads, "who is listed is not read for it");
}

#[tokio::test]
async fn an_answer_that_names_a_record_that_is_gone_ends_and_says_so() {
    let (world, _, partner, question) = alike().await;
    world.b.user_deletes(&partner);
    let answer = Resolution::LinkTo { record: partner };
    world.answer(&question, answer).await;
    assert_ended(&world, &question, Fact::ChoiceGone).await;
}

#[tokio::test]
async fn an_answer_that_names_a_record_that_is_linked_by_now_ends_and_says_so() {
    let (world, first, partner, question) = alike().await;
    let now = world.clock.now();
    let mut others = world.open().await;
    others.retain(|one| one.side == Side::A && one.record != first);
    let answer = || Resolution::LinkTo {
        record: partner.clone(),
    };
    world.answer(&others[0], answer()).await;
    assert!(world.link_of(Side::B, &partner).await.is_some());
    world.answer(&question, answer()).await;
    assert_ended(&world, &question, Fact::ChoiceTaken).await;
    assert!(now < world.clock.now());
}

#[tokio::test]
async fn an_answer_to_make_a_record_where_the_sync_makes_none_ends_and_says_so() {
    let mut policy = policy();
    policy.creates = Creates::None;
    let world = World::new(3, policy, TALENTS, TALENTS).await;
    world.a.user_creates(&ACME);
    world.a.user_creates(&ACME);
    world.b.user_creates(&ACME);
    world.first_sync().await;
    let mut asked = world.open().await;
    asked.retain(|question| question.side == Side::A);
    world.answer(&asked[0], Resolution::CreateNew).await;
    assert_ended(&world, &asked[0], Fact::NoneMade).await;
}

#[tokio::test]
async fn a_question_about_a_field_closes_by_itself_when_both_sides_come_to_agree() {
    let mut policy = policy();
    policy.conflict = ConflictPolicy::Manual;
    let plain = || (PLAIN, Oddities::default());
    let (world, a, b) = just_linked(policy, plain(), plain()).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = world.open().await.remove(0);
    world.b.user_edits(&b, "city", "Lyon");
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_ended(&world, &question, Fact::Agree).await;
}

#[tokio::test]
async fn a_question_about_a_value_that_was_not_kept_closes_by_itself_when_both_sides_come_to_agree()
{
    let odd = Oddities {
        forms: vec![("city", Form::Dropped)],
        ..Oddities::default()
    };
    let (world, a, b) = just_linked(policy(), (TALENTS, Oddities::default()), (TALENTS, odd)).await;
    let question = world.open().await.remove(0);
    assert_eq!(question.kind.as_str(), "not_kept");
    world.b.user_edits(&b, "city", "Ghent");
    for (side, id) in [(Side::A, &a), (Side::B, &b)] {
        world.hear(side, id).await;
    }
    world.rest().await;
    assert_ended(&world, &question, Fact::Agree).await;
}

#[tokio::test]
async fn a_question_about_a_field_closes_by_itself_when_the_pair_ends_and_an_answer_is_not_said_to_be_carried_out()
 {
    let mut policy = policy();
    policy.conflict = ConflictPolicy::Manual;
    let plain = || (PLAIN, Oddities::default());
    let (world, a, b) = just_linked(policy, plain(), plain()).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = world.open().await.remove(0);
    world.b.user_deletes(&b);
    world
        .answer(&question, Resolution::Take { side: Side::A })
        .await;
    assert_ended(&world, &question, Fact::PairEnded).await;
}

#[tokio::test]
async fn two_jobs_that_link_two_new_records_at_the_same_time_ask_nothing() {
    for seed in 0..8 {
        let plain = || (PLAIN, Oddities::default());
        let world = World::odd(seed, policy(), plain(), plain(), Archived::Gone).await;
        world.first_sync().await;
        let a = world.a.user_creates(&ANN);
        let b = world.b.user_creates(&ANN);
        world.hear(Side::A, &a).await;
        world.hear(Side::B, &b).await;
        world.rest().await;
        assert_eq!(world.questions().await, [], "seed {seed}");
        world.assert_agreement(seed);
    }
}

#[tokio::test]
async fn the_echo_of_a_create_whose_job_is_given_up_waits_no_longer_than_it_can_take_to_land() {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.b.go_wrong(&[Fault::CrashAfter]);
    world.hear(Side::A, &a).await;
    world.turn().await;
    world.give_up_a_job().await;
    let b = world.b.ids().remove(0);
    let since = world.clock.now();
    world.hear(Side::B, &b).await;
    world.rest().await;
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.b.id, Some(b));
    let took = world.clock.now().since(since);
    assert!(took < Duration::from_secs(300), "{took:?}");
    assert_eq!(world.open().await, []);
    world.assert_agreement(1);
}

#[tokio::test]
async fn a_like_of_a_create_whose_job_is_given_up_is_matched_once_that_cannot_land() {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.b.go_wrong(&[Fault::CrashBefore]);
    world.hear(Side::A, &a).await;
    world.turn().await;
    world.give_up_a_job().await;
    let mut like = ANN;
    like[2].1 = "Oslo";
    let b = world.b.user_creates(&like);
    let since = world.clock.now();
    world.hear(Side::B, &b).await;
    world.rest().await;
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.b.id, Some(b));
    let took = world.clock.now().since(since);
    assert!(took < Duration::from_secs(300), "{took:?}");
    assert_eq!(world.b.ids().len(), 1);
}

#[tokio::test]
async fn a_record_whose_pair_ended_is_told_of_by_what_ended_the_pair() {
    let (world, gone) = held().await;
    let (_, kept) = &gone[0];
    let link = world.link_of(Side::B, &kept.record).await;
    let link = link.expect("it is linked").id;
    world.answer(kept, Resolution::Reject).await;
    world.hear(Side::B, &kept.record).await;
    world.rest().await;
    let because = format!("a person said to keep record {} of", kept.record);
    let note = last_note(&world).await;
    assert!(note.contains(&because), "{note}");
    let end = world.store.ends_of(&[link]).await.expect("ends").remove(0);
    assert!(end.error.expect("why").contains(&because));
}

#[tokio::test]
async fn a_pair_that_is_dissolved_by_policy_is_remembered_with_both_records_and_why() {
    let mut policy = policy();
    policy.deletes.a_gone = DeletePolicy::Unlink;
    let ends = || (TALENTS, Oddities::default());
    let (world, a, _) = just_linked(policy, ends(), ends()).await;
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let ends = world.store.ends_of(&[link.id]).await;
    let end = ends.expect("ends").remove(0);
    assert_eq!((&end.a, &end.b), (&link.a.id, &link.b.id));
    let why = end.error.expect("why");
    assert!(why.contains("`deletes.a_gone: unlink`"), "{why}");
}

/// What the job that was made last said of itself.
async fn last_note(world: &World) -> String {
    let filter = JobFilter {
        limit: 1,
        ..JobFilter::default()
    };
    let job = world.store.jobs(&filter).await.expect("jobs").remove(0);
    job.note.unwrap_or_default()
}

#[tokio::test]
async fn where_a_record_that_we_made_was_never_shown_its_original_is_not_deleted_for_it() {
    let plain = || (TALENTS, Oddities::default());
    let world = World::odd(1, propagates(), plain(), plain(), Archived::Gone).await;
    world.first_sync().await;
    let a = world.a.user_creates(&ANN);
    world.hear(Side::A, &a).await;
    while world.b.ids().is_empty() {
        assert!(world.turn().await, "it is made");
    }
    // It has answered with the record, and kept nothing.
    let b = world.b.ids().remove(0);
    world.b.user_deletes(&b);
    world.rest().await;
    world.first_sync().await;
    world.clock.advance(Duration::from_secs(120));
    world.first_sync().await;
    assert_eq!(world.a.ids(), [a]);
    let asked = world.open().await;
    let [asked] = asked.as_slice() else {
        panic!("one question: {asked:?}");
    };
    let ConflictKind::DeleteHeld { reason, .. } = &asked.kind else {
        panic!("{:?}", asked.kind);
    };
    assert!(reason.contains("has never shown that"), "{reason}");
}
