//! Edits a moment before and after a write of ours, known by the events that tell of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side, Timestamp, Value};
use tandem_engine::{ConflictPolicy, SyncPolicy};
use tandem_store::{
    Change, ChangeFilter, Conflict, ConflictKind, ConflictState, EventKind, JobKind, Operation,
    Trigger,
};

use super::pairs::{self, TALENTS, propagates};
use crate::world::system::faults::Moment;
use crate::world::system::oddities::Oddities;
use crate::world::system::{FakeSystem, Fault};
use crate::world::{World, policy};

/// So far apart are an edit and a write of ours.
const APART: Duration = Duration::from_millis(37);

/// One pair, linked long ago; `b` is odd, and nobody there compares versions.
async fn one_pair(policy: SyncPolicy, b: Oddities) -> (World, RecordId, RecordId) {
    pairs::one_pair(policy, (TALENTS, b), Duration::from_millis(60_123)).await
}

/// The instants of an edit and of our write, as they happen.
#[derive(Clone, Default)]
struct Instants(Arc<Mutex<Vec<Timestamp>>>);

impl Instants {
    fn note(&self, at: Timestamp) {
        self.0.lock().expect("nobody panics").push(at);
    }

    fn all(&self) -> Vec<Timestamp> {
        self.0.lock().expect("nobody panics").clone()
    }
}

/// At this moment of our write to the record somebody edits it there; the clock goes on before and after.
fn edited_at(
    world: &World,
    moment: Moment,
    record: &RecordId,
    edit: (&'static str, &'static str),
) -> Instants {
    let (instants, clock) = (Instants::default(), Arc::clone(&world.clock));
    let (noted, whose) = (instants.clone(), record.clone());
    let deed = move |system: &FakeSystem| {
        let (field, text) = edit;
        noted.note(clock.now());
        if moment == Moment::AfterWrite {
            noted.note(clock.advance(APART));
        }
        system.user_edits(&whose, field, text);
        if moment == Moment::BeforeWrite {
            noted.note(clock.advance(APART));
        }
    };
    world.b.once(moment, record, deed);
    instants
}

/// Ann's city is edited on a and carried over, and at this moment of our write somebody edits her on b, too. Gives the
/// instants of both.
async fn written_while_edited(
    b: Oddities,
    moment: Moment,
    edit: (&'static str, &'static str),
) -> (World, RecordId, RecordId, Vec<Timestamp>) {
    let (world, a, b) = one_pair(policy(), b).await;
    world.a.user_edits(&a, "city", "Lyon");
    let instants = edited_at(&world, moment, &b, edit);
    world.hear(Side::A, &a).await;
    world.rest().await;
    (world, a, b, instants.all())
}

impl World {
    /// The events of a record on b, in this order.
    pub async fn tell_b(&self, record: &RecordId, told: &[Timestamp]) {
        for at in told {
            self.tell(Side::B, record, EventKind::Updated, *at).await;
            self.rest().await;
        }
    }

    pub async fn asked(&self, kind: &str) -> Vec<Conflict> {
        let mut questions = self.questions().await;
        questions.retain(|question| question.kind.as_str() == kind);
        questions
    }

    pub async fn overwrites(&self) -> Vec<Change> {
        let filter = ChangeFilter {
            limit: 100,
            ..ChangeFilter::default()
        };
        let changes = self.store.changes(&filter).await;
        let mut changes = changes.expect("the storage answers");
        changes.retain(|change| change.operation == Operation::Overwrite);
        changes
    }
}

fn overwritten(question: &Conflict) -> (Timestamp, Vec<(&str, String)>) {
    let ConflictKind::Overwritten {
        edited_at: Some(edited_at),
        written,
        met: None,
        ..
    } = &question.kind
    else {
        panic!("{question:?}");
    };
    let written = written.iter();
    let written = written.map(|(field, value)| (field.as_str(), value.to_string()));
    (*edited_at, written.collect())
}

#[tokio::test]
async fn an_edit_that_our_write_went_over_is_asked_about_once_in_whatever_order_its_events_come() {
    for echo_first in [false, true] {
        for updates_answer_nothing in [false, true] {
            let odd = Oddities {
                updates_answer_nothing,
                ..Oddities::default()
            };
            let edit = ("city", "Turin");
            let (world, _, b, mut told) =
                written_while_edited(odd, Moment::BeforeWrite, edit).await;
            let edit = told[0];
            if echo_first {
                told.reverse();
            }
            world.tell_b(&b, &told).await;
            world.tell_b(&b, &told).await;
            let asked = world.asked("overwritten").await;
            assert_eq!(asked.len(), 1, "{asked:?}");
            let lyon = ("city", "Lyon".to_owned());
            assert_eq!(overwritten(&asked[0]), (edit, vec![lyon]));
            assert_eq!(world.overwrites().await.len(), 1);
            assert_eq!(world.b.contents()[0]["city"], "Lyon");
        }
    }
}

#[tokio::test]
async fn so_it_is_where_its_events_are_merged_into_the_job_of_a_poll() {
    let edit = ("city", "Turin");
    let (world, _, b, told) =
        written_while_edited(Oddities::default(), Moment::BeforeWrite, edit).await;
    let kind = JobKind::Reconcile {
        sync: world.sync.clone(),
        side: Side::B,
        record: b.clone(),
    };
    world.enqueue_by(Trigger::Poll, kind).await;
    for at in told {
        world.tell(Side::B, &b, EventKind::Updated, at).await;
    }
    world.rest().await;
    assert_eq!(world.asked("overwritten").await.len(), 1);
}

#[tokio::test]
async fn an_edit_of_another_field_right_before_our_write_stands_and_nobody_is_asked() {
    for updates_answer_nothing in [false, true] {
        let odd = Oddities {
            updates_answer_nothing,
            ..Oddities::default()
        };
        let edit = ("note", "new");
        let (world, a, b, told) = written_while_edited(odd, Moment::BeforeWrite, edit).await;
        world.tell_b(&b, &told).await;
        assert_eq!(world.asked("overwritten").await, []);
        let there = world.a.texts(&a).expect("she is there");
        assert_eq!((&*there["city"], &*there["note"]), ("Lyon", "new"));
        world.judge(1).await;
    }
}

#[tokio::test]
async fn two_edits_right_before_our_write_of_which_one_stands_are_told_from_one() {
    let (world, a, b) = one_pair(policy(), Oddities::default()).await;
    world.a.user_edits(&a, "city", "Lyon");
    let (clock, whose) = (Arc::clone(&world.clock), b.clone());
    let instants = Instants::default();
    let noted = instants.clone();
    world.b.once(Moment::BeforeWrite, &b, move |system| {
        noted.note(clock.now());
        system.user_edits(&whose, "note", "new");
        noted.note(clock.advance(APART));
        system.user_edits(&whose, "city", "Turin");
        noted.note(clock.advance(APART));
    });
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.tell_b(&b, &instants.all()).await;
    assert_eq!(world.asked("overwritten").await.len(), 1);
}

#[tokio::test]
async fn our_own_writes_and_edits_long_before_or_after_are_no_overwritten_edits() {
    let (world, a, b) = one_pair(policy(), Oddities::default()).await;
    world.b.user_edits(&b, "note", "before");
    let before = world.clock.now();
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.clock.advance(Duration::from_millis(5_017));
    world.a.user_edits(&a, "city", "Lyon");
    let ours = world.clock.now();
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.clock.advance(Duration::from_millis(3_017));
    world.b.user_edits(&b, "note", "after");
    let after = world.clock.now();
    world.tell_b(&b, &[after, ours, before, ours, before]).await;
    assert_eq!(world.asked("overwritten").await, []);
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_that_is_told_of_while_the_echo_of_our_write_is_looked_at_is_no_overwritten_edit() {
    let (world, a, b) = one_pair(policy(), Oddities::default()).await;
    world.a.user_edits(&a, "city", "Lyon");
    let ours = world.clock.now();
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.tell(Side::B, &b, EventKind::Updated, ours).await;
    let (is_read, read) = (Arc::new(tokio::sync::Notify::new()), b.clone());
    let tells = Arc::clone(&is_read);
    world
        .b
        .once(Moment::AfterRead, &read, move |_| tells.notify_one());
    let reading = world.a.slow_reads.write().await;
    let edited = async {
        is_read.notified().await;
        let at = world.clock.advance(APART);
        world.b.user_edits(&b, "note", "new");
        world.tell(Side::B, &b, EventKind::Updated, at).await;
        drop(reading);
    };
    tokio::join!(world.turn(), edited);
    world.rest().await;
    assert_eq!(world.asked("overwritten").await, []);
    assert_eq!(world.a.contents()[0]["note"], "new");
    world.judge(1).await;
}

#[tokio::test]
async fn late_events_of_edits_that_were_seen_before_our_write_are_no_overwritten_edits() {
    let (world, a, b) = one_pair(policy(), Oddities::default()).await;
    let mut seen = Vec::new();
    for note in ["one", "two"] {
        seen.push(world.clock.advance(Duration::from_millis(300)));
        world.b.user_edits(&b, "note", note);
    }
    world.clock.advance(Duration::from_millis(2_500));
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    // They are heard before the echo of our write is, and all of them after the write.
    world.tell_b(&b, &seen).await;
    world.tell_b(&b, &seen).await;
    assert_eq!(world.asked("overwritten").await, []);
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_right_after_a_write_that_is_read_back_is_told_by_its_events() {
    let odd = Oddities {
        updates_answer_nothing: true,
        ..Oddities::default()
    };
    let edit = ("city", "Turin");
    let (world, _, b, told) = written_while_edited(odd, Moment::AfterWrite, edit).await;
    assert_eq!(
        world.asked("not_kept").await.len(),
        1,
        "nothing tells the two apart yet"
    );
    world.tell_b(&b, &told).await;
    assert_eq!(world.a.contents()[0]["city"], "Turin");
    assert_eq!(world.asked("overwritten").await, []);
    let asked = world.asked("not_kept").await;
    assert_eq!(asked[0].state, ConflictState::Closed);
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_right_after_a_create_that_is_read_back_is_told_by_its_events() {
    let odd = Oddities {
        creates_answer_id_alone: true,
        ..Oddities::default()
    };
    let (world, _, _) = one_pair(policy(), odd).await;
    let bob = [
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("city", "Lyon"),
    ];
    let a = world.a.user_creates(&bob);
    let b = RecordId::new("b0002");
    let instants = edited_at(&world, Moment::AfterWrite, &b, ("city", "Turin"));
    world.hear(Side::A, &a).await;
    world.rest().await;
    let told = instants.all();
    world.tell(Side::B, &b, EventKind::Created, told[0]).await;
    world.tell_b(&b, &told[1..]).await;
    assert_eq!(world.a.texts(&a).expect("he is there")["city"], "Turin");
    let mut asked = world.questions().await;
    asked.retain(|question| question.state == ConflictState::Open);
    assert_eq!(asked, []);
    world.judge(1).await;
}

#[tokio::test]
async fn what_a_system_makes_of_a_value_is_no_edit_though_its_events_are_told() {
    use crate::world::system::oddities::Form;
    let odd = Oddities {
        updates_answer_nothing: true,
        forms: vec![("city", Form::Cut(4))],
        ..Oddities::default()
    };
    let (world, a, b) = one_pair(policy(), odd).await;
    world.a.user_edits(&a, "city", "Antwerp");
    let ours = world.clock.now();
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.tell_b(&b, &[ours, ours, ours.plus(APART)]).await;
    assert_eq!(world.a.contents()[0]["city"], "Antwerp");
    world.judge(1).await;
}

/// Ann is deleted on a, and her partner with her, right after somebody edits the partner. Gives the instants of the
/// edit and of our delete.
async fn deleted() -> (World, RecordId, Vec<Timestamp>) {
    let (world, a, b) = one_pair(propagates(), Oddities::default()).await;
    world.a.user_deletes(&a);
    let instants = edited_at(&world, Moment::BeforeWrite, &b, ("city", "Turin"));
    world
        .tell(Side::A, &a, EventKind::Deleted, world.clock.now())
        .await;
    world.rest().await;
    (world, b, instants.all())
}

#[tokio::test]
async fn an_edit_that_our_delete_went_over_is_asked_about_once_when_its_event_comes() {
    for tells_of_deletes in [false, true] {
        let (world, b, told) = deleted().await;
        assert_eq!(world.b.ids(), []);
        let (edit, ours) = (told[0], told[1]);
        if tells_of_deletes {
            world.tell(Side::B, &b, EventKind::Deleted, ours).await;
            world.rest().await;
        }
        world.tell_b(&b, &[edit]).await;
        world.tell_b(&b, &[edit]).await;
        let asked = world.asked("overwritten").await;
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(overwritten(&asked[0]), (edit, vec![]));
        let shown = &asked[0].shown[0];
        assert_eq!(shown.fields["name"], Value::Text("Ann".to_owned()));
        assert_eq!(world.overwrites().await.len(), 1);
    }
}

#[tokio::test]
async fn an_edit_that_came_after_our_delete_went_out_is_told_as_such() {
    for (late, words) in [
        (
            Duration::ZERO,
            "at about the time at which our delete went out",
        ),
        (Duration::from_secs(5), "after our delete had gone out"),
    ] {
        let (world, a, b) = one_pair(propagates(), Oddities::default()).await;
        world.a.user_deletes(&a);
        let (clock, whose) = (Arc::clone(&world.clock), b.clone());
        let (tells, told) = std::sync::mpsc::channel();
        // The request is on its way when somebody edits the record.
        world.b.once(Moment::BeforeWrite, &b, move |system| {
            let at = clock.advance(APART + late);
            system.user_edits(&whose, "city", "Turin");
            tells.send(at).expect("the test listens");
            clock.advance(APART);
        });
        world
            .tell(Side::A, &a, EventKind::Deleted, world.clock.now())
            .await;
        world.rest().await;
        assert_eq!(world.b.ids(), []);
        world
            .tell_b(&b, &[told.recv().expect("it was edited")])
            .await;
        let logged = world.overwrites().await;
        let said = logged[0].error.as_deref().expect("it says why");
        assert!(said.contains(words), "{said}");
    }
}

/// Somebody edits the record right after it is read, once it has been so late.
fn edited_after_a_read_at(world: &World, record: &RecordId, then: Timestamp) {
    fn watch(
        system: &FakeSystem,
        clock: Arc<tandem_testkit::TestClock>,
        (id, then): (RecordId, Timestamp),
    ) {
        let whose = id.clone();
        system.once(Moment::AfterRead, &whose, move |system| {
            if clock.now() < then {
                watch(system, clock, (id, then));
            } else {
                clock.advance(APART);
                system.user_edits(&id, "city", "Turin");
            }
        });
    }
    watch(&world.b, Arc::clone(&world.clock), (record.clone(), then));
}

#[tokio::test]
async fn the_record_is_read_right_before_it_is_deleted_and_an_edit_until_then_beats_the_delete() {
    let (world, a, b) = one_pair(propagates(), Oddities::default()).await;
    world.a.user_deletes(&a);
    // Five seconds after it was first missed the delete is believed, and carried over.
    let believed = world.clock.now().plus(Duration::from_secs(5));
    edited_after_a_read_at(&world, &b, believed);
    world
        .tell(Side::A, &a, EventKind::Deleted, world.clock.now())
        .await;
    world.rest().await;
    assert_eq!(world.b.ids(), [b]);
    assert_eq!(world.a.contents()[0]["city"], "Turin");
}

#[tokio::test]
async fn events_of_the_delete_and_of_what_was_seen_before_it_tell_of_no_lost_edit() {
    let (world, a, b) = one_pair(propagates(), Oddities::default()).await;
    world.b.user_edits(&b, "city", "Turin");
    let seen = world.clock.now();
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.clock.advance(Duration::from_millis(5_017));
    world.a.user_deletes(&a);
    world
        .tell(Side::A, &a, EventKind::Deleted, world.clock.now())
        .await;
    world.rest().await;
    assert_eq!(world.b.ids(), []);
    let ours = world.clock.now();
    world.tell(Side::B, &b, EventKind::Deleted, ours).await;
    world.tell_b(&b, &[seen, seen]).await;
    assert_eq!(world.asked("overwritten").await, []);
}

/// Times of records in whole seconds, as many systems tell them; their events are exact.
fn whole_seconds() -> Oddities {
    Oddities {
        whole_seconds: true,
        hides_versions: true,
        ..Oddities::default()
    }
}

#[tokio::test]
async fn an_edit_in_the_second_of_our_write_that_stands_beside_it_is_not_said_to_be_overwritten() {
    for edit in [("note", "new"), ("city", "Turin")] {
        for echo_first in [true, false] {
            let odd = whole_seconds();
            let (world, a, b, mut told) = written_while_edited(odd, Moment::AfterWrite, edit).await;
            if !echo_first {
                told.reverse();
            }
            for _ in 0..2 {
                world.tell_b(&b, &told).await;
            }
            world.sweep().await;
            world.tell_b(&b, &told).await;
            assert_eq!(world.asked("overwritten").await, [], "{edit:?}");
            assert_eq!(world.a.texts(&a).expect("she is there")[edit.0], edit.1);
        }
    }
}

#[tokio::test]
async fn an_edit_in_the_second_of_our_write_that_it_went_over_is_asked_about() {
    let edit = ("city", "Turin");
    let (world, _, b, told) =
        written_while_edited(whole_seconds(), Moment::BeforeWrite, edit).await;
    world.tell_b(&b, &told).await;
    assert_eq!(world.asked("overwritten").await.len(), 1);
}

#[tokio::test]
async fn so_it_is_where_another_field_of_the_pair_waits_for_an_answer() {
    let mut policy = policy();
    let note = policy.fields.iter_mut().find(|rule| rule.name == "note");
    note.expect("the field").conflict = Some(ConflictPolicy::Manual);
    let (world, a, b) = one_pair(policy, whole_seconds()).await;
    world.a.user_edits(&a, "note", "this");
    world.b.user_edits(&b, "note", "that");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.asked("field").await.len(), 1);
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Lyon");
    let instants = edited_at(&world, Moment::BeforeWrite, &b, ("city", "Turin"));
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.tell_b(&b, &instants.all()).await;
    assert_eq!(world.asked("overwritten").await.len(), 1);
}

#[tokio::test]
async fn an_edit_that_had_lost_before_a_write_without_answer_was_sent_is_not_said_to_be_overwritten()
 {
    for compares_versions in [true, false] {
        let odd = Oddities {
            compares_versions,
            ..Oddities::default()
        };
        let (world, a, b) = one_pair(policy(), odd).await;
        world.b.user_edits(&b, "city", "Turin");
        let edited = world.clock.now();
        world.clock.advance(Duration::from_secs(7));
        world.a.user_edits(&a, "city", "Lyon");
        let (instants, clock) = (Instants::default(), Arc::clone(&world.clock));
        let noted = instants.clone();
        let deed = move |_: &FakeSystem| noted.note(clock.now());
        world.b.once(Moment::BeforeWrite, &b, deed);
        world.b.go_wrong(&[Fault::LostResponse]);
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(world.b.contents()[0]["city"], "Lyon");
        let told = [&[edited][..], &instants.all()].concat();
        for _ in 0..2 {
            world.tell_b(&b, &told).await;
        }
        assert_eq!(world.asked("overwritten").await, []);
    }
}

/// A system that tells exact times in its events, and none in its records.
fn no_times() -> Oddities {
    Oddities {
        hides_times: true,
        hides_versions: true,
        ..Oddities::default()
    }
}

#[tokio::test]
async fn an_edit_that_our_write_went_over_is_asked_about_once_though_records_tell_no_times() {
    for echo_first in [false, true] {
        let edit = ("city", "Turin");
        let (world, _, b, mut told) =
            written_while_edited(no_times(), Moment::BeforeWrite, edit).await;
        let edit = told[0].plus(Duration::from_micros(1));
        told[0] = edit;
        if echo_first {
            told.reverse();
        }
        world.tell_b(&b, &told).await;
        world.tell_b(&b, &told).await;
        let asked = world.asked("overwritten").await;
        assert_eq!(asked.len(), 1, "{asked:?}");
        let lyon = ("city", "Lyon".to_owned());
        assert_eq!(overwritten(&asked[0]), (edit, vec![lyon]));
        assert_eq!(world.overwrites().await.len(), 1);
    }
}

#[tokio::test]
async fn without_times_in_records_an_edit_that_stands_beside_our_write_is_no_overwritten_edit() {
    for moment in [Moment::BeforeWrite, Moment::AfterWrite] {
        let edit = ("note", "new");
        let (world, a, b, mut told) = written_while_edited(no_times(), moment, edit).await;
        told[0] = told[0].plus(Duration::from_micros(1));
        for _ in 0..2 {
            world.tell_b(&b, &told).await;
        }
        assert_eq!(world.asked("overwritten").await, [], "{moment:?}");
        assert_eq!(world.a.texts(&a).expect("she is there")["note"], "new");
    }
}
