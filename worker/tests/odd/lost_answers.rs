//! Answers that are lost, or that say less or other than what is kept, and what is known all the same.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_engine::{Direction, SyncPolicy};
use tandem_store::{ChangeFilter, ConflictState, IntentOp, JobKind, LinkState};

use super::pairs::{self, TALENTS, propagates};
use crate::world::system::faults::Moment;
use crate::world::system::oddities::{Form, Oddities};
use crate::world::system::{FakeSystem, Fault, Talents};
use crate::world::{World, policy};

const WEEKS: Duration = Duration::from_secs(21 * 24 * 3_600);

async fn one_pair(
    policy: SyncPolicy,
    talents: Talents,
    b: Oddities,
) -> (World, RecordId, RecordId) {
    pairs::one_pair(policy, (talents, b), Duration::from_secs(60)).await
}

async fn is_held(world: &World, a: &RecordId) -> bool {
    let link = world.link_of(Side::A, a).await;
    link.is_some_and(|link| link.state == LinkState::Active)
}

#[tokio::test]
async fn what_is_missed_again_weeks_later_is_missed_for_the_first_time() {
    let (world, a, b) = one_pair(propagates(), TALENTS, Oddities::default()).await;
    world.a.hides(&a, WEEKS + Duration::from_secs(3));
    world.hear(Side::A, &a).await;
    world.turn().await;
    // Nobody looked meanwhile: the sync was paused, or Tandem was stopped.
    world.clock.advance(WEEKS);
    world.turn().await;
    assert!(is_held(&world, &a).await);
    assert_eq!(world.b.ids(), [b]);
    world.a.user_edits(&a, "city", "Lyon");
    world.rest().await;
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
    world.judge(1).await;
}

#[tokio::test]
async fn a_record_that_was_seen_as_of_before_and_then_not_at_all_is_missed_for_the_first_time() {
    let (world, a, b) = one_pair(propagates(), TALENTS, Oddities::default()).await;
    let before = world.a.backup();
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.a.restores(&before);
    world.hear(Side::A, &a).await;
    world.turn().await;
    world.clock.advance(Duration::from_secs(40));
    world.a.hides(&a, Duration::from_secs(2));
    world.turn().await;
    world.rest().await;
    assert!(is_held(&world, &a).await);
    assert_eq!(world.b.ids(), [b]);
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
}

/// A system without references, whose new records cannot be read or found for a while.
const FORGETFUL: Talents = Talents {
    external_reference: false,
    idempotent_create: false,
    answers_with_record: true,
    changed_since: true,
};

/// Long after a create without an answer would be sent again.
const HIDDEN_FOR: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_new_record_that_cannot_be_read_or_found_yet_is_known_by_its_id_and_not_made_again() {
    for dies in [false, true] {
        let odd = Oddities {
            creates_answer_id_alone: true,
            ..Oddities::default()
        };
        let (world, _, _) = one_pair(policy(), FORGETFUL, odd).await;
        let bob = world.a.user_creates(&[
            ("name", "Bob"),
            ("email", "bob@x.example"),
            ("city", "Lyon"),
        ]);
        let made = RecordId::new("b0002");
        world.b.hides(&made, HIDDEN_FOR);
        world.hear(Side::A, &bob).await;
        world.turn().await;
        assert_eq!(world.b.ids().len(), 2, "it was made");
        if dies {
            // The process that made it is gone before it looks again.
            world.clock.advance(Duration::from_secs(5));
        }
        world.rest().await;
        assert_eq!(world.b.writes(), 2);
        let link = world.link_of(Side::A, &bob).await.expect("it is linked");
        assert_eq!(link.b.id, Some(made));
        assert_eq!(world.dead().await, []);
        world.judge(1).await;
    }
}

#[tokio::test]
async fn a_record_that_our_create_made_is_known_by_its_reference_though_somebody_changed_at_once_what_it_matches_by()
 {
    let (world, ..) = one_pair(policy(), TALENTS, Oddities::default()).await;
    let bert = [("name", "Bert"), ("email", "bert@x.example")];
    let a = world.a.user_creates(&bert);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &a).await;
    while world.b.is_to_go_wrong() {
        world.turn().await;
    }
    let made = world.b.about("bert@x.example").remove(0);
    world.clock.advance(Duration::from_millis(50));
    world.b.user_edits(&made, "email", "robert@x.example");
    world.b.user_edits(&made, "name", "Robert");
    // The event of the new record is quicker than the second look of the job that made it.
    world.hear(Side::B, &made).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(120));
    world.sweep().await;
    assert_eq!([&world.a, &world.b].map(|it| it.ids().len()), [2, 2]);
    assert_eq!(
        world.link_of(Side::A, &a).await,
        world.link_of(Side::B, &made).await
    );
    // Whether it was an edit or the system's form of what we sent nobody knows so soon after: it is asked.
    let asked = world.open().await;
    assert!(asked.iter().all(|it| it.kind.as_str() == "not_kept"));
}

#[tokio::test]
async fn a_record_made_again_that_cannot_be_read_yet_is_known_by_its_id_too() {
    let odd = Oddities {
        creates_answer_id_alone: true,
        ..Oddities::default()
    };
    let (world, a, b) = one_pair(propagates(), FORGETFUL, odd).await;
    world.b.user_deletes(&b);
    world.a.user_edits(&a, "city", "Lyon");
    let made = RecordId::new("b0002");
    world.b.hides(&made, HIDDEN_FOR + Duration::from_secs(60));
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.ids(), [made]);
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn one_way_fields_keep_their_values_when_the_answer_to_a_record_made_again_is_lost() {
    let mut policy = propagates();
    for rule in &mut policy.fields {
        if rule.name == "note" {
            rule.direction = Direction::BToA;
        }
    }
    for fault in [Fault::LostResponse, Fault::CrashAfter] {
        let (world, a, b) = one_pair(policy.clone(), TALENTS, Oddities::default()).await;
        world.b.user_edits(&b, "note", "of b");
        world.hear(Side::B, &b).await;
        world.rest().await;
        assert_eq!(world.a.contents()[0]["note"], "of b");
        world.b.user_deletes(&b);
        world.a.user_edits(&a, "city", "Lyon");
        world.b.go_wrong(&[fault]);
        world.hear(Side::A, &a).await;
        world.rest().await;
        world.sweep().await;
        assert_eq!(world.b.contents()[0]["city"], "Lyon", "{fault:?}");
        assert_eq!(world.a.contents()[0]["note"], "of b", "{fault:?}");
    }
}

/// b compares versions. Our write lands there late; it is sent again, and somebody was at either record meanwhile.
async fn sent_again(
    between: impl FnOnce(&FakeSystem, &FakeSystem, &dyn Fn(u64)) + Send + 'static,
) -> World {
    let odd = Oddities {
        compares_versions: true,
        ..Oddities::default()
    };
    let (world, a, b) = one_pair(policy(), TALENTS, odd).await;
    world.a.user_edits(&a, "city", "Lyon");
    world
        .b
        .go_wrong(&[Fault::Late(Duration::from_millis(1_500))]);
    world.hear(Side::A, &a).await;
    world.turn().await;
    let (of_a, clock) = (Arc::clone(&world.a), Arc::clone(&world.clock));
    world.b.once(Moment::BeforeWrite, &b, move |system| {
        let wait = |millis: u64| {
            clock.advance(Duration::from_millis(millis));
        };
        between(&of_a, system, &wait);
    });
    world.rest().await;
    for (side, id) in [(Side::A, &a), (Side::B, &b)] {
        world.hear(side, id).await;
    }
    world.rest().await;
    world.sweep().await;
    world
}

fn first(system: &FakeSystem) -> RecordId {
    system.ids().remove(0)
}

fn cities(world: &World) -> [String; 2] {
    [&world.a, &world.b].map(|system| system.contents()[0]["city"].clone())
}

#[tokio::test]
async fn a_write_that_has_landed_when_it_is_sent_again_is_written_once() {
    let world = sent_again(|_, _, wait| wait(2_000)).await;
    assert_eq!(cities(&world), ["Lyon", "Lyon"]);
    assert_eq!(world.questions().await, []);
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_of_the_source_made_before_our_write_landed_late_does_not_lose_against_it() {
    let world = sent_again(|a, b, wait| {
        wait(300);
        a.user_edits(&first(a), "city", "Oslo");
        wait(2_000);
        assert_eq!(b.contents()[0]["city"], "Lyon", "it has landed");
    })
    .await;
    assert_eq!(cities(&world), ["Oslo", "Oslo"]);
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_of_the_target_is_kept_whether_our_write_has_landed_before_it_or_never_will() {
    for landed in [true, false] {
        let world = sent_again(move |_, b, wait| {
            wait(if landed { 2_000 } else { 200 });
            b.user_edits(&first(b), "city", "Turin");
            wait(2_500);
        })
        .await;
        assert_eq!(cities(&world), ["Turin", "Turin"], "{landed}");
        world.judge(1).await;
    }
}

#[tokio::test]
async fn an_edit_of_another_field_of_the_target_is_kept_and_our_write_arrives() {
    for landed in [true, false] {
        let world = sent_again(move |_, b, wait| {
            wait(if landed { 2_000 } else { 200 });
            b.user_edits(&first(b), "note", "new");
            wait(2_500);
        })
        .await;
        assert_eq!(cities(&world), ["Lyon", "Lyon"], "{landed}");
        assert_eq!(world.a.contents()[0]["note"], "new");
        world.judge(1).await;
    }
}

/// b answers with what it was told, and keeps something else.
async fn echoed(form: Form, text: &'static str, fault: Option<Fault>) {
    let odd = Oddities {
        forms: vec![("city", form)],
        echoes: true,
        ..Oddities::default()
    };
    let (world, a, _) = one_pair(policy(), TALENTS, odd).await;
    world.a.user_edits(&a, "city", text);
    world.b.go_wrong(fault.as_slice());
    world.hear(Side::A, &a).await;
    world.rest().await;
    let b = world.b.ids().remove(0);
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(60));
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
    }
    let kept = world.b.form_of("city", text);
    assert_eq!(
        cities(&world),
        [text.to_owned(), kept],
        "{form:?} {fault:?}"
    );
    let asked = world.questions().await;
    let open = asked.iter().filter(|one| one.state == ConflictState::Open);
    assert_eq!(open.count(), 1, "{form:?} {fault:?} {asked:?}");
    world.judge(1).await;
    let writes = (world.a.writes(), world.b.writes());
    world.sweep().await;
    assert_eq!((world.a.writes(), world.b.writes()), writes);
}

#[tokio::test]
async fn what_a_system_keeps_is_its_form_also_where_its_answer_said_otherwise_or_was_lost() {
    for fault in [None, Some(Fault::LostResponse), Some(Fault::CrashAfter)] {
        for form in [Form::Cut(8), Form::Upper] {
            echoed(form, "Antwerp on the Scheldt", fault).await;
        }
        echoed(Form::Escaped, "Antwerp & Scheldt", fault).await;
    }
}

#[tokio::test]
async fn a_create_is_not_sent_again_because_nobody_looked_for_its_effect_for_long() {
    let (world, _, _) = one_pair(policy(), FORGETFUL, Oddities::default()).await;
    let bob = world
        .a
        .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
    let made = RecordId::new("b0002");
    world.b.hides(&made, Duration::from_secs(3));
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &bob).await;
    world.turn().await;
    // It is looked for once.
    world.clock.advance(Duration::from_secs(2));
    world.turn().await;
    // The process goes away, and when the next one looks, the system hides the record for a moment again.
    world.clock.advance(Duration::from_secs(60));
    world.b.hides(&made, Duration::from_secs(3));
    world.rest().await;
    assert_eq!(world.b.about("bob@x.example"), [made]);
    world.judge(1).await;
}

#[tokio::test]
async fn an_edit_of_a_record_whose_create_had_no_answer_counts_from_when_it_was_made() {
    let odd = Oddities {
        hides_birth: true,
        ..Oddities::default()
    };
    let (world, _, _) = one_pair(policy(), FORGETFUL, odd).await;
    let bob = world
        .a
        .user_creates(&[("name", "Bob"), ("email", "bob@x.example")]);
    world.b.go_wrong(&[Fault::LostResponse]);
    world.hear(Side::A, &bob).await;
    world.turn().await;
    world.clock.advance(Duration::from_secs(1));
    world.a.user_edits(&bob, "name", "Bobby");
    world.clock.advance(Duration::from_secs(5));
    let made = world.b.about("bob@x.example").remove(0);
    world.b.user_edits(&made, "name", "Robert");
    world.rest().await;
    for (system, id) in [(&world.a, &bob), (&world.b, &made)] {
        let texts = system.texts(id).expect("it is there");
        assert_eq!(texts["name"], "Robert");
    }
    world.judge(1).await;
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_comes_to_its_end_however_often_whole_listings_come() {
    let (world, here, there) = pairs::just_linked(
        propagates(),
        (TALENTS, Oddities::default()),
        (TALENTS, Oddities::default()),
    )
    .await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_deletes(&here);
    world.b.go_wrong(&[Fault::LostResponse]);
    for _ in 0..60 {
        for side in Side::BOTH {
            let sync = world.sync.clone();
            world.enqueue(JobKind::Sweep { sync, side }).await;
        }
        while world.turn().await {}
        world.clock.advance(Duration::from_secs(2));
    }
    assert!(world.b.texts(&there).is_none());
    let context = world.store.pair(&world.sync, Side::A, &here).await;
    let context = context.expect("the storage answers");
    assert_eq!(context.intents, [], "its end is known");
    assert_eq!(world.dead().await, []);
}

/// The first sending of a write to b has no answer, the second one is carried out, and the first lands this long after it
/// was sent.
const HELD_BACK: Duration = Duration::from_secs(30);

/// The change log's reasons for what was written to b.
async fn reasons(world: &World, side: Side) -> Vec<String> {
    let filter = ChangeFilter {
        limit: 1_000,
        ..ChangeFilter::default()
    };
    let changes = world.store.changes(&filter).await;
    let written = changes.expect("the storage answers").into_iter();
    let written = written.filter(|change| change.written == Some(side));
    let fields = written.flat_map(|change| change.fields);
    fields.map(|field| field.reason).collect()
}

/// A value of a is sent to b; its first sending is held back, and what was sent again is carried out.
async fn sent_twice(odd: Oddities) -> (World, RecordId, RecordId) {
    let (world, a, b) = one_pair(policy(), TALENTS, odd).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.b.go_wrong(&[Fault::Late(HELD_BACK)]);
    world.hear(Side::A, &a).await;
    while world.b.contents()[0]["city"] != world.b.form_of("city", "Lyon") {
        if !world.turn().await {
            world.clock.advance(Duration::from_millis(500));
        }
    }
    works(&world).await;
    (world, a, b)
}

async fn told_of(world: &World, side: Side, id: &RecordId) {
    world.hear(side, id).await;
    works(world).await;
}

/// Works on what is due within a moment: what is noted under an open write is gone on with right after.
async fn works(world: &World) {
    for _ in 0..10 {
        while world.turn().await {}
        world.clock.advance(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_first_sending_that_lands_over_an_edit_of_that_system_is_known_to_be_ours_and_the_edit_is_put_back()
 {
    for form in [None, Some(Form::Upper)] {
        let odd = Oddities {
            forms: form.into_iter().map(|form| ("city", form)).collect(),
            ..Oddities::default()
        };
        let (world, _, b) = sent_twice(odd).await;
        let ours = world.b.contents()[0]["city"].clone();
        world.clock.advance(Duration::from_secs(5));
        world.b.user_edits(&b, "city", "Turin");
        told_of(&world, Side::B, &b).await;
        let typed = world.b.form_of("city", "Turin");
        assert_eq!(world.a.contents()[0]["city"], typed);
        world.clock.advance(HELD_BACK);
        assert_eq!(world.b.contents()[0]["city"], ours, "it has landed");
        told_of(&world, Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        assert_eq!(cities(&world), [typed.clone(), typed]);
        let told = reasons(&world, Side::B).await;
        assert!(
            told.iter().any(|why| why.contains("landed late")),
            "{told:?}"
        );
        world.judge(1).await;
    }
}

#[tokio::test]
async fn who_types_our_value_once_more_after_that_or_long_after_has_edited() {
    for lands in [true, false] {
        let (world, _, b) = sent_twice(Oddities::default()).await;
        world.b.user_edits(&b, "city", "Turin");
        told_of(&world, Side::B, &b).await;
        if !lands {
            world.clock.advance(Duration::from_secs(700));
            // It landed meanwhile, and was put back long ago.
            told_of(&world, Side::B, &b).await;
            world.b.user_edits(&b, "city", "Turin");
            told_of(&world, Side::B, &b).await;
        } else {
            world.clock.advance(HELD_BACK);
            told_of(&world, Side::B, &b).await;
            assert_eq!(cities(&world), ["Turin", "Turin"]);
        }
        world.clock.advance(Duration::from_secs(5));
        world.b.user_edits(&b, "city", "Lyon");
        told_of(&world, Side::B, &b).await;
        world.rest().await;
        assert_eq!(cities(&world), ["Lyon", "Lyon"], "{lands}");
    }
}

#[tokio::test]
async fn a_write_that_lands_a_second_time_over_a_newer_value_of_ours_does_not_bring_the_older_one_back()
 {
    let (world, a, b) = one_pair(policy(), TALENTS, Oddities::default()).await;
    world.a.user_edits(&a, "note", "A2");
    world.b.go_wrong(&[Fault::LostResponse]);
    told_of(&world, Side::A, &a).await;
    world.clock.advance(Duration::from_secs(5));
    world.rest().await;
    world.a.user_edits(&a, "note", "A3");
    told_of(&world, Side::A, &a).await;
    world.clock.advance(Duration::from_secs(70));
    assert_eq!(world.b.contents()[0]["note"], "A3");
    // Whatever held the request back sends it once more.
    world.b.user_edits(&b, "note", "A2");
    told_of(&world, Side::B, &b).await;
    world.rest().await;
    for system in [&world.a, &world.b] {
        assert_eq!(system.contents()[0]["note"], "A3");
    }
}

#[tokio::test]
async fn a_write_without_an_answer_is_known_for_ours_by_its_cut_form_when_it_lands_over_a_newer_value()
 {
    for edited in [true, false] {
        let odd = Oddities {
            forms: vec![("city", Form::Cut(10))],
            ..Oddities::default()
        };
        let (world, a, b) = one_pair(policy(), TALENTS, odd).await;
        world.b.go_wrong(&[Fault::Late(HELD_BACK)]);
        world.a.user_edits(&a, "city", "Lyon, which is too long");
        world.hear(Side::A, &a).await;
        while world.b.is_to_go_wrong() {
            assert!(world.turn().await, "it is sent");
        }
        // Before it is sent again there is something newer.
        world.a.user_edits(&a, "city", "Nice");
        told_of(&world, Side::A, &a).await;
        world.clock.advance(Duration::from_secs(10));
        works(&world).await;
        assert_eq!(cities(&world), ["Nice", "Nice"]);
        if edited {
            world.b.user_edits(&b, "city", "Turin");
            told_of(&world, Side::B, &b).await;
        }
        world.clock.advance(HELD_BACK);
        assert_eq!(world.b.contents()[0]["city"], "Lyon, whic", "it has landed");
        told_of(&world, Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        let newest = if edited { "Turin" } else { "Nice" };
        assert_eq!(cities(&world), [newest, newest]);
        world.judge(1).await;
    }
}

#[tokio::test]
async fn what_waits_behind_a_write_that_is_sent_again_is_journalled_as_sent_only_when_it_goes_out()
{
    let (world, a, b) = one_pair(policy(), TALENTS, Oddities::default()).await;
    let before = world.b.writes();
    world.a.user_edits(&a, "city", "Lyon");
    world.b.user_edits(&b, "note", "of b");
    world.a.go_wrong(&[Fault::LostRequest, Fault::LostRequest]);
    world.hear(Side::A, &a).await;
    while world.a.is_to_go_wrong() {
        if !world.turn().await {
            world.clock.advance(Duration::from_millis(500));
        }
    }
    let journal = world.store.intents_of(&world.sync, &b).await;
    let journal = journal.expect("the storage answers").into_iter();
    let sent = journal.filter(|intent| intent.side == Side::B && intent.op == IntentOp::Update);
    let sent: u32 = sent.map(|intent| intent.sends).sum();
    assert_eq!(sent as usize, world.b.writes() - before);
    world.rest().await;
    assert_eq!(cities(&world), ["Lyon", "Lyon"]);
}
