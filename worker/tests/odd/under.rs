//! Edits of a record while a write of ours to it has no answer, and lands over them.

use std::time::Duration;

use tandem_domain::{Clock, RecordId, Side, Value};
use tandem_engine::{ConflictPolicy, SyncPolicy};
use tandem_store::{Change, ConflictKind, EventKind, Operation, Resolution};

use super::pairs::{self, PLAIN, propagates};
use crate::world::system::Fault;
use crate::world::system::oddities::{Form, Lag, Meanwhile, Oddities};
use crate::world::{World, policy};

/// Our write lands so long after it was sent. It may for four seconds, twice the time-out.
const LANDS_AFTER: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_millis(100);

/// A pair; its city was edited on a, and our write of it to b is sent and not answered.
async fn sent(policy: SyncPolicy, b: Oddities) -> (World, RecordId, RecordId) {
    let (world, a, b) = pairs::one_pair(policy, (PLAIN, b), Duration::from_secs(60)).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    on_its_way(&world, LANDS_AFTER).await;
    (world, a, b)
}

async fn on_its_way(world: &World, lands_after: Duration) {
    goes_out(world, lands_after).await;
    assert_eq!(world.b.under_way(), 1, "it has not landed yet");
    world.clock.advance(Duration::from_secs(1));
}

/// Works until a write goes out that has no answer and lands so long after.
async fn goes_out(world: &World, lands_after: Duration) {
    world.b.go_wrong(&[Fault::Late(lands_after)]);
    while world.b.is_to_go_wrong() {
        if !world.turn().await {
            world.clock.advance(SOON);
        }
    }
}

/// Works and lets time go by until the write has landed.
async fn lands(world: &World) {
    while world.b.under_way() > 0 {
        if !world.turn().await {
            world.clock.advance(SOON);
        }
    }
}

/// A person edits the record on b; Tandem is told and reads it; then our write goes over it, and all comes to rest.
async fn edited_under_it(policy: SyncPolicy, odd: Oddities) -> (World, RecordId, RecordId) {
    let (world, a, b) = sent(policy, odd).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    lands(&world).await;
    assert_eq!(
        world.b.contents()[0]["city"],
        world.b.form_of("city", "Lyon")
    );
    comes_to_rest(&world, &a, &b).await;
    (world, a, b)
}

async fn comes_to_rest(world: &World, a: &RecordId, b: &RecordId) {
    world.rest().await;
    for _ in 0..2 {
        world.hear(Side::A, a).await;
        world.hear(Side::B, b).await;
        world.rest().await;
        world.clock.advance(Duration::from_secs(700));
        world.sweep().await;
    }
}

fn cities(world: &World) -> [String; 2] {
    [&world.a, &world.b].map(|system| system.contents()[0]["city"].clone())
}

fn decided_by(conflict: ConflictPolicy) -> SyncPolicy {
    SyncPolicy {
        conflict,
        ..policy()
    }
}

fn names(change: &Change, lost: &str) -> bool {
    let lost = Value::Text(lost.to_owned());
    let mut fields = change.fields.iter();
    fields.any(|field| field.lost.as_ref() == Some(&lost))
}

#[tokio::test]
async fn a_later_edit_that_our_write_goes_over_is_put_back_and_carried_over() {
    for form in [None, Some(Form::Upper)] {
        for conflict in [ConflictPolicy::LastWriteWins, ConflictPolicy::PreferB] {
            let odd = Oddities {
                forms: form.into_iter().map(|form| ("city", form)).collect(),
                ..Oddities::default()
            };
            let (world, ..) = edited_under_it(decided_by(conflict), odd).await;
            let typed = world.b.form_of("city", "Turin");
            assert_eq!(cities(&world), [typed.clone(), typed]);
            assert_eq!(world.open().await, []);
            world.judge(1).await;
        }
    }
}

#[tokio::test]
async fn an_edit_that_loses_by_the_policy_is_in_the_change_log() {
    let preferred = decided_by(ConflictPolicy::PreferA);
    let (world, ..) = edited_under_it(preferred, Oddities::default()).await;
    assert_eq!(cities(&world), ["Lyon", "Lyon"]);
    let told = world.overwrites().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(names(&told[0], "Turin"), "{told:?}");
    assert!(told[0].fields[0].reason.contains("side a is preferred"));
    assert_eq!(world.questions().await, []);
}

#[tokio::test]
async fn a_person_is_asked_with_the_value_that_our_write_went_over_and_gets_it_back() {
    for (take, city) in [(Side::A, "Lyon"), (Side::B, "Turin")] {
        let manual = decided_by(ConflictPolicy::Manual);
        let (world, a, b) = edited_under_it(manual, Oddities::default()).await;
        let question = world.open().await.pop().expect("it is asked");
        let ConflictKind::Field {
            a: of_a, b: of_b, ..
        } = &question.kind
        else {
            panic!("{question:?}");
        };
        let [of_a, of_b] = [of_a, of_b].map(ToString::to_string);
        assert_eq!([of_a, of_b], ["Lyon", "Turin"]);
        world
            .answer(&question, Resolution::Take { side: take })
            .await;
        comes_to_rest(&world, &a, &b).await;
        assert_eq!(cities(&world), [city, city]);
        assert_eq!(world.open().await, []);
    }
}

#[tokio::test]
async fn an_edit_that_could_not_be_carried_over_before_our_write_went_over_it_is_not_forgotten() {
    let plain = (PLAIN, Oddities::default());
    let (world, a, b) = pairs::one_pair(policy(), plain, Duration::from_secs(60)).await;
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    // Later than it is waited for.
    on_its_way(&world, Duration::from_secs(6)).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    // Neither can the other record be read, nor can anything be decided: its system is down.
    world.a.go_wrong(&[Fault::Down; 30]);
    lands(&world).await;
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
    world.a.heal();
    comes_to_rest(&world, &a, &b).await;
    assert_eq!(cities(&world), ["Turin", "Turin"]);
    world.judge(1).await;
}

#[tokio::test]
async fn a_still_later_edit_of_the_other_side_wins_and_the_log_names_what_it_won_over() {
    let (world, a, b) = sent(policy(), Oddities::default()).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    world.clock.advance(Duration::from_millis(500));
    world.a.user_edits(&a, "city", "Oslo");
    lands(&world).await;
    world.hear(Side::A, &a).await;
    comes_to_rest(&world, &a, &b).await;
    assert_eq!(cities(&world), ["Oslo", "Oslo"]);
    world.judge(1).await;
}

#[tokio::test]
async fn other_fields_that_were_edited_with_it_are_carried_over() {
    let (world, a, b) = sent(policy(), Oddities::default()).await;
    world.b.user_edits(&b, "city", "Turin");
    world.b.user_edits(&b, "note", "new");
    world.hear(Side::B, &b).await;
    lands(&world).await;
    comes_to_rest(&world, &a, &b).await;
    assert_eq!(cities(&world), ["Turin", "Turin"]);
    assert_eq!(world.a.contents()[0]["note"], "new");
    world.judge(1).await;
}

#[tokio::test]
async fn who_undoes_the_edit_before_our_write_lands_has_typed_nothing() {
    let (world, a, b) = sent(policy(), Oddities::default()).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    world.b.user_edits(&b, "city", "Ghent");
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    lands(&world).await;
    comes_to_rest(&world, &a, &b).await;
    assert_eq!(cities(&world), ["Lyon", "Lyon"]);
}

#[tokio::test]
async fn an_edit_that_is_known_by_its_event_alone_is_asked_about() {
    for is_told_before in [true, false] {
        let (world, a, b) = sent(policy(), Oddities::default()).await;
        let at = world.clock.now();
        world.b.user_edits(&b, "city", "Turin");
        if is_told_before {
            world.tell(Side::B, &b, EventKind::Updated, at).await;
        }
        // Nobody looks until it has landed.
        world.clock.advance(LANDS_AFTER);
        assert_eq!(world.b.contents()[0]["city"], "Lyon");
        world.rest().await;
        if !is_told_before {
            world.tell(Side::B, &b, EventKind::Updated, at).await;
        }
        comes_to_rest(&world, &a, &b).await;
        let asked = world.asked("overwritten").await;
        assert_eq!(asked.len(), 1, "{is_told_before}: {asked:?}");
        assert_eq!(world.overwrites().await.len(), 1);
    }
}

#[tokio::test]
async fn an_edit_that_our_delete_goes_over_is_asked_about_with_its_values() {
    let (world, a, b) = pairs::one_pair(
        propagates(),
        (PLAIN, Oddities::default()),
        Duration::from_secs(60),
    )
    .await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    on_its_way(&world, LANDS_AFTER).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    lands(&world).await;
    assert!(world.b.texts(&b).is_none(), "it has landed");
    comes_to_rest(&world, &a, &b).await;
    let asked = world.asked("overwritten").await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0].shown[0].fields["city"],
        Value::Text("Turin".into())
    );
    let told = world.overwrites().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].operation, Operation::Overwrite);
}

#[tokio::test]
async fn an_edit_that_our_write_went_over_is_told_of_where_its_pair_ends_before_it_is_put_back() {
    let (world, a, b) = sent(policy(), Oddities::default()).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    lands(&world).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(700));
    world.sweep().await;
    let asked = world.asked("overwritten").await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0].shown[0].fields["city"],
        Value::Text("Turin".into())
    );
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
}

#[tokio::test]
async fn an_edit_that_our_write_went_over_beats_a_delete_of_the_partner() {
    let (world, a, b) = sent(propagates(), Oddities::default()).await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    lands(&world).await;
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
    world.rest().await;
    world.clock.advance(Duration::from_secs(700));
    world.sweep().await;
    assert_eq!(cities(&world), ["Turin", "Turin"], "it is made again");
}

#[tokio::test]
async fn what_was_noted_is_told_of_where_a_person_says_that_the_partner_of_an_older_record_counts()
{
    let plain = (PLAIN, Oddities::default());
    let (world, a, b) = pairs::one_pair(policy(), plain, Duration::from_secs(60)).await;
    let older = world.b.backup();
    world.clock.advance(Duration::from_secs(60));
    world.b.user_edits(&b, "note", "typed since the backup");
    world.hear(Side::B, &b).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    on_its_way(&world, Duration::from_secs(100)).await;
    world.b.user_edits(&b, "city", "Turin");
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    world.b.restores(&older);
    world.clock.advance(Duration::from_secs(60));
    world.hear(Side::B, &b).await;
    world.rest().await;
    let question = world.open().await.remove(0);
    assert_eq!(question.kind.as_str(), "replaced", "{question:?}");
    world
        .answer(&question, Resolution::Take { side: Side::A })
        .await;
    assert_eq!(cities(&world), ["Lyon", "Lyon"]);
    let told = world.overwrites().await;
    let told: Vec<String> = told.into_iter().filter_map(|one| one.error).collect();
    assert!(
        told.len() == 1 && told[0].contains("showed `Turin`"),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_edit_that_a_second_sending_goes_over_is_put_back_though_the_first_was_seen_and_agreed_on()
 {
    let (world, a, b) = sent(policy(), Oddities::default()).await;
    goes_out(&world, Duration::from_secs(12)).await;
    while world.b.contents()[0]["city"] != "Lyon" {
        if !world.turn().await {
            world.clock.advance(SOON);
        }
    }
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    let link = world.link_of(Side::B, &b).await.expect("it is linked");
    assert_eq!(link.base["city"].b.to_string(), "Lyon");
    world.b.user_edits(&b, "city", "Turin");
    // The other system does not answer until the second has landed.
    world.a.go_wrong(&[Fault::Down; 8]);
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    lands(&world).await;
    assert_eq!(world.b.contents()[0]["city"], "Lyon");
    world.a.heal();
    comes_to_rest(&world, &a, &b).await;
    assert_eq!(cities(&world), ["Turin", "Turin"]);
    world.judge(1).await;
}

#[tokio::test]
async fn who_edits_all_the_time_under_an_open_write_makes_no_dead_letter() {
    let (world, a, b) = sent(policy(), Oddities::default()).await;
    // Longer than that one may land yet.
    for number in 0..900 {
        world.b.user_edits(&b, "city", &format!("Turin {number}"));
        world.hear(Side::B, &b).await;
        world.turn().await;
        world.clock.advance(Duration::from_secs(1));
    }
    comes_to_rest(&world, &a, &b).await;
    assert_eq!(world.dead().await, []);
    assert_eq!(cities(&world), ["Turin 899", "Turin 899"]);
}

#[tokio::test]
async fn the_form_of_what_was_carried_over_is_no_edit_though_an_older_write_landed_over_its_original()
 {
    let slow = |secs, forms| Oddities {
        forms,
        lag: Lag {
            by: Duration::from_secs(secs),
            shows: Meanwhile::Before,
        },
        updates_answer_nothing: true,
        ..Oddities::default()
    };
    let (a, b) = (slow(4, vec![("city", Form::Cut(5))]), slow(2, vec![]));
    let (world, a, b) = pairs::just_linked(policy(), (PLAIN, a), (PLAIN, b)).await;
    world.rest().await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Lyon");
    world.clock.advance(Duration::from_secs(5));
    world.hear(Side::A, &a).await;
    on_its_way(&world, LANDS_AFTER).await;
    world.b.user_edits(&b, "city", "Turin, the old town");
    world.clock.advance(Duration::from_secs(2));
    world.hear(Side::B, &b).await;
    while world.turn().await {}
    // Nor where what is put back has no answer at first, and is sent again.
    world.b.go_wrong(&[Fault::LostRequest]);
    lands(&world).await;
    comes_to_rest(&world, &a, &b).await;
    assert_eq!(cities(&world), ["Turin", "Turin, the old town"]);
    assert!(!world.b.is_to_go_wrong());
    world.judge(1).await;
}
