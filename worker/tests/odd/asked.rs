//! Questions that are open, and what their answers do.

use std::time::Duration;

use tandem_domain::{Clock, JobId, RecordId, Side};
use tandem_engine::{ConflictPolicy, DeletePolicies, DeletePolicy, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{ChangeFilter, Conflict, ConflictState, Resolution};
use tandem_testkit::SeededEntropy;

use super::pairs::{ANN, TALENTS, propagates};
use crate::world::system::FakeSystem;
use crate::world::system::oddities::{Form, Oddities};
use crate::world::{World, policy};

const BOB: [(&str, &str); 3] = [
    ("name", "Bob"),
    ("email", "bob@y.example"),
    ("city", "Bremen"),
];

async fn world(policy: SyncPolicy, b: Oddities) -> World {
    let a = (TALENTS, Oddities::default());
    World::odd(1, policy, a, (TALENTS, b), Archived::Gone).await
}

impl World {
    pub async fn open(&self) -> Vec<Conflict> {
        let mut questions = self.questions().await;
        questions.retain(|question| question.state == ConflictState::Open);
        questions
    }

    pub async fn answer(&self, question: &Conflict, resolution: Resolution) {
        let now = self.clock.now();
        let job = JobId::new(now, &SeededEntropy::new(now.as_micros().unsigned_abs()));
        let resolved = self
            .store
            .resolve_conflict(question.id, resolution, job, now);
        let job = resolved.await.expect("the storage answers");
        assert!(job.is_some(), "it can be answered: {question:?}");
        self.rest().await;
    }

    /// Both sides are looked at, record by record and whole, a day later too.
    async fn look_at_all(&self) {
        for _ in 0..2 {
            for side in Side::BOTH {
                for id in self.system(side).ids() {
                    self.hear(side, &id).await;
                }
            }
            self.rest().await;
            self.sweep().await;
            self.clock.advance(Duration::from_secs(24 * 3_600));
        }
    }

    /// Values of a field that gave way to another, by the change log.
    async fn logged_as_lost(&self, field: &str) -> Vec<String> {
        let filter = ChangeFilter {
            limit: 100,
            ..ChangeFilter::default()
        };
        let changes = self.store.changes(&filter).await;
        let changes = changes.expect("the storage answers");
        let fields = changes.iter().flat_map(|change| &change.fields);
        let lost = fields.filter(|one| one.field == field);
        lost.filter_map(|one| Some(one.lost.as_ref()?.to_string()))
            .collect()
    }

    fn writes(&self) -> usize {
        self.a.writes() + self.b.writes()
    }
}

fn city(system: &FakeSystem, id: &RecordId) -> String {
    system.texts(id).expect("it is there")["city"].clone()
}

#[tokio::test]
async fn a_delete_that_waits_for_a_person_is_not_let_pass_by_the_brake_an_hour_later() {
    let world = world(propagates(), Oddities::default()).await;
    for number in 0..30 {
        let email = format!("p{number}@x.example");
        let name = format!("P {number}");
        world.a.user_creates(&[("name", &name), ("email", &email)]);
    }
    world.first_sync().await;
    let ids = world.a.ids();
    for id in &ids[..15] {
        world.a.user_deletes(id);
    }
    world.sweep().await;
    assert_eq!((world.b.ids().len(), world.open().await.len()), (20, 5));
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(3_700));
        for id in &ids[..15] {
            world.hear(Side::A, id).await;
        }
        world.rest().await;
        world.sweep().await;
    }
    assert_eq!((world.b.ids().len(), world.open().await.len()), (20, 5));
    let question = world.open().await.remove(0);
    world.answer(&question, Resolution::Reject).await;
    world.look_at_all().await;
    assert_eq!((world.b.ids().len(), world.open().await.len()), (20, 4));
}

#[tokio::test]
async fn whoever_ignores_a_question_of_a_pair_has_both_records_left_alone() {
    let mut policy = propagates();
    policy.conflict = ConflictPolicy::Manual;
    let world = world(policy, Oddities::default()).await;
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    let b = world.b.ids().remove(0);
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let question = world.open().await.remove(0);
    world.answer(&question, Resolution::Ignore).await;
    let before = world.writes();
    world.a.user_edits(&a, "note", "of a");
    world.look_at_all().await;
    world.b.user_edits(&b, "name", "Anna");
    world.look_at_all().await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.look_at_all().await;
    assert_eq!(
        world.writes(),
        before,
        "nothing is written, made or deleted"
    );
    assert_eq!(world.b.ids(), std::slice::from_ref(&b));
    world.a.user_restores(&a);
    world.b.user_deletes(&b);
    world.hear(Side::B, &b).await;
    world.look_at_all().await;
    assert_eq!(world.writes(), before);
    assert_eq!(world.a.ids(), [a]);
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn whoever_ignores_a_held_delete_keeps_the_record_that_is_left_as_it_is() {
    let world = world(propagates(), Oddities::default()).await;
    for number in 0..12 {
        let email = format!("p{number}@x.example");
        let name = format!("P {number}");
        world.a.user_creates(&[("name", &name), ("email", &email)]);
    }
    world.first_sync().await;
    for id in world.a.ids() {
        // An emptied side would stop the sync.
        if id != RecordId::new("a0012") {
            world.a.user_deletes(&id);
            world.hear(Side::A, &id).await;
        }
    }
    world.rest().await;
    let question = world.open().await.remove(0);
    world.answer(&question, Resolution::Ignore).await;
    let before = world.writes();
    world.b.user_edits(&question.record, "city", "Ghent");
    world.look_at_all().await;
    assert_eq!(world.writes(), before);
    assert_eq!(world.b.ids().len(), 2);
}

/// Side a was restored from a backup and has given Ann's id to Bob. Gives both ids.
pub(super) async fn replaced() -> (World, RecordId, RecordId, Conflict) {
    let world = world(propagates(), Oddities::default()).await;
    let empty = world.a.backup();
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    world.clock.advance(Duration::from_secs(3_600));
    world.a.restores(&empty);
    assert_eq!(world.a.user_creates(&BOB), a, "the id is given anew");
    world.hear(Side::A, &a).await;
    world.rest().await;
    let b = world.b.ids().remove(0);
    let question = world.open().await.remove(0);
    assert_eq!(question.kind.as_str(), "replaced");
    (world, a, b, question)
}

#[tokio::test]
async fn while_it_is_asked_whether_a_record_is_another_nothing_is_written_over_or_deleted() {
    let (world, a, b, _) = replaced().await;
    let before = world.writes();
    world.look_at_all().await;
    world.b.user_edits(&b, "city", "Lyon");
    world.look_at_all().await;
    world.a.user_edits(&a, "city", "Oslo");
    world.look_at_all().await;
    assert_eq!(world.writes(), before);
    // Whoever deletes Bob does not delete Ann.
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.look_at_all().await;
    assert_eq!(world.writes(), before);
    assert_eq!(city(&world.b, &b), "Lyon");
    assert_eq!(world.open().await.len(), 1, "it is asked once, and still");
}

#[tokio::test]
async fn a_partner_that_is_deleted_while_it_is_asked_does_not_take_the_other_record_with_it() {
    let (world, a, b, _) = replaced().await;
    let before = world.writes();
    world.b.user_deletes(&b);
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.look_at_all().await;
    assert_eq!(world.writes(), before);
    assert_eq!(world.a.texts(&a).expect("he is there")["name"], "Bob");
}

#[tokio::test]
async fn who_says_that_it_is_the_same_record_has_the_pair_held_equal_again() {
    let (world, a, b, question) = replaced().await;
    world.answer(&question, Resolution::Approve).await;
    world.look_at_all().await;
    assert_eq!(
        (world.a.ids(), world.b.ids()),
        (vec![a.clone()], vec![b.clone()])
    );
    assert_eq!(world.b.texts(&b).expect("it is there")["name"], "Bob");
    assert_eq!(world.open().await, []);
    world.b.user_edits(&b, "city", "Lyon");
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(city(&world.a, &a), "Lyon");
}

#[tokio::test]
async fn who_says_that_it_is_another_record_has_each_get_a_partner_of_its_own_at_once() {
    let (world, _, _, question) = replaced().await;
    // Nobody tells of either record again: the answer itself has both looked at.
    world.answer(&question, Resolution::Reject).await;
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (2, 2));
    world.assert_agreement(1);
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn who_ignores_it_has_both_records_left_alone() {
    let (world, a, b, question) = replaced().await;
    world.answer(&question, Resolution::Ignore).await;
    let before = world.writes();
    world.look_at_all().await;
    world.b.user_edits(&b, "city", "Lyon");
    world.a.user_edits(&a, "city", "Oslo");
    world.look_at_all().await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.look_at_all().await;
    assert_eq!(world.writes(), before);
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn where_deletes_take_the_pair_apart_the_record_that_is_left_is_looked_at_at_once() {
    let mut policy = policy();
    policy.deletes = DeletePolicies {
        a_gone: DeletePolicy::Unlink,
        b_gone: DeletePolicy::Unlink,
    };
    let world = world(policy, Oddities::default()).await;
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.a.ids().len(), 1, "it has a new partner");
    world.assert_agreement(1);
}

/// b takes a city from us and keeps the one that somebody typed there.
async fn one_city_that_stays() -> (World, RecordId, RecordId) {
    let odd = Oddities {
        forms: vec![("city", Form::Dropped)],
        updates_answer_nothing: true,
        ..Oddities::default()
    };
    let world = world(policy(), odd).await;
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    let b = world.b.ids().remove(0);
    world.b.user_edits(&b, "city", "Ghent");
    world.hear(Side::B, &b).await;
    world.rest().await;
    (world, a, b)
}

/// b takes a city from us and keeps the one that it has. What somebody types there is never lost without a word.
async fn typed_where_ours_was_dropped(typed: &'static str, is_heard: [bool; 2]) {
    let (world, a, b) = one_city_that_stays().await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    for (step, heard) in ["Oslo", "Rome"].into_iter().zip(is_heard) {
        world.a.user_edits(&a, "city", step);
        if heard {
            world.hear(Side::A, &a).await;
            world.rest().await;
        }
        world.clock.advance(Duration::from_secs(60));
        if step == "Oslo" {
            world.b.user_edits(&b, "city", typed);
            world.clock.advance(Duration::from_secs(60));
        }
    }
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.sweep().await;
    let stands = city(&world.b, &b) == typed || city(&world.a, &a) == typed;
    assert!(stands, "{typed} {is_heard:?}");
    let lost = world.logged_as_lost("city").await;
    let carried = world
        .ledger
        .all()
        .iter()
        .any(|one| one.side == Side::B && one.value == typed && one.carried);
    assert!(
        carried || lost.contains(&typed.to_owned()),
        "{typed} {is_heard:?} {lost:?}"
    );
    world.judge(1).await;
}

#[tokio::test]
async fn what_somebody_types_where_our_value_was_dropped_is_an_edit_even_if_it_is_the_same_value() {
    for is_heard in [[true, true], [true, false], [false, true], [false, false]] {
        typed_where_ours_was_dropped("Turin", is_heard).await;
    }
    for is_heard in [[true, true], [true, false]] {
        typed_where_ours_was_dropped("Lyon", is_heard).await;
    }
}

#[tokio::test]
async fn a_value_that_was_dropped_and_that_the_source_has_taken_back_is_an_edit_when_somebody_types_it()
 {
    let (world, a, b) = one_city_that_stays().await;
    for text in ["Lyon", "Ghent"] {
        world.clock.advance(Duration::from_secs(60));
        world.a.user_edits(&a, "city", text);
        world.hear(Side::A, &a).await;
        world.rest().await;
    }
    world.clock.advance(Duration::from_secs(60));
    world.b.user_edits(&b, "city", "Lyon");
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(city(&world.a, &a), "Lyon");
    assert_eq!(city(&world.b, &b), "Lyon");
}
