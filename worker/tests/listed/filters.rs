//! Pairs of which a filter leaves a record out: they rest, in a run as in its dry run.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Value};
use tandem_engine::{DeletePolicies, DeletePolicy, Filter, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{Fact, Link, RunKind, RunState};
use tandem_worker::{Comparison, Difference, Preview, compare, survey};

use super::PLAIN;
use super::rows::{newest, poll};
use crate::world::system::faults::{Fault, Moment};
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const ANN: [(&str, &str); 4] = [
    ("name", "Ann"),
    ("email", "ann@x.example"),
    ("city", "Ghent"),
    ("note", "customer"),
];

/// Customers of side a take part; what says so is not mapped.
fn customers() -> SyncPolicy {
    let mut mapped = policy();
    mapped.fields.retain(|rule| rule.name != "note");
    SyncPolicy {
        filters: vec![Filter {
            side: Side::A,
            field: "note".to_owned(),
            any_of: vec![Value::Text("customer".to_owned())],
        }],
        deletes: DeletePolicies {
            a_gone: DeletePolicy::Propagate,
            b_gone: DeletePolicy::Propagate,
        },
        ..mapped
    }
}

/// Records of side b take part that have no note; it is not mapped.
fn free_of_notes() -> SyncPolicy {
    SyncPolicy {
        filters: vec![Filter {
            side: Side::B,
            field: "note".to_owned(),
            any_of: vec![Value::Null, Value::Text(String::new())],
        }],
        ..customers()
    }
}

async fn world(odd: Oddities) -> World {
    let plain = (PLAIN, Oddities::default());
    World::odd(1, customers(), (PLAIN, odd), plain, Archived::Gone).await
}

/// Ann on both sides, linked.
async fn linked(world: &World) -> (RecordId, RecordId) {
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    let b = world.b.ids().remove(0);
    world.sweep().await;
    (a, b)
}

async fn link(world: &World, a: &RecordId) -> Link {
    world.link_of(Side::A, a).await.expect("it is linked")
}

async fn preview(world: &World) -> Preview {
    let sync = &world.topology.syncs[&world.sync];
    let seen = survey(world.store.shared().as_ref(), sync, &|_, _| ()).await;
    seen.expect("both sides are listed").preview(sync)
}

async fn verify(world: &World) -> Comparison {
    let sync = &world.topology.syncs[&world.sync];
    let waits = [Duration::ZERO; 2];
    let compared = compare(world.store.shared().as_ref(), sync, &waits, &|_, _| ()).await;
    compared.expect("both sides are listed")
}

/// A person edits a record a while later, so that its time of change is another.
fn edit(world: &World, side: Side, id: &RecordId, field: &str, value: &str) {
    world.clock.advance(Duration::from_secs(60));
    world.system(side).user_edits(id, field, value);
}

#[tokio::test]
async fn a_pair_that_a_filter_leaves_out_rests_and_goes_on_with_its_base() {
    let world = world(Oddities::default()).await;
    let (a, b) = linked(&world).await;
    edit(&world, Side::A, &a, "note", "supplier");
    world.sweep().await;
    let resting = link(&world, &a).await;
    let filtered = resting.a.memory.filtered.as_ref().expect("it rests");
    assert_eq!(filtered.words(), "its `note` is `supplier`");
    let base = resting.base.clone();

    edit(&world, Side::A, &a, "name", "Anna");
    edit(&world, Side::B, &b, "city", "Bruges");
    world.sweep().await;
    world.hear(Side::A, &a).await;
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(world.b.kept(&b, "name"), "Ann", "nothing goes over");
    assert_eq!(world.a.kept(&a, "city"), "Ghent", "nor comes back");
    assert_eq!(link(&world, &a).await.base, base);

    edit(&world, Side::A, &a, "note", "customer");
    world.sweep().await;
    assert_eq!(world.b.kept(&b, "name"), "Anna");
    assert_eq!(world.a.kept(&a, "city"), "Bruges");
    assert!(!link(&world, &a).await.is_filtered());
    assert!(world.questions().await.is_empty());
}

#[tokio::test]
async fn a_webhook_lets_a_pair_rest_and_go_on_too() {
    let world = world(Oddities::default()).await;
    let (a, b) = linked(&world).await;
    edit(&world, Side::A, &a, "note", "supplier");
    edit(&world, Side::A, &a, "name", "Anna");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert!(link(&world, &a).await.is_filtered());
    assert_eq!(world.b.kept(&b, "name"), "Ann");
    edit(&world, Side::A, &a, "note", "customer");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.kept(&b, "name"), "Anna");
}

#[tokio::test]
async fn nothing_is_deleted_for_a_pair_that_rests() {
    let world = world(Oddities::default()).await;
    let (a, b) = linked(&world).await;
    edit(&world, Side::A, &a, "note", "supplier");
    world.b.user_deletes(&b);
    world.sweep().await;
    world.clock.advance(Duration::from_secs(600));
    world.sweep().await;
    assert_eq!(world.a.ids().first(), Some(&a), "it was not deleted");
    assert!(link(&world, &a).await.is_filtered());
    assert_eq!(preview(&world).await.delete, 0);
    assert_eq!(verify(&world).await.differences, []);
}

#[tokio::test]
async fn a_record_whose_like_a_filter_leaves_out_is_not_made_a_second_time_and_is_linked_once_that_is_let_in()
 {
    for is_first in [true, false] {
        let world = world(Oddities::default()).await;
        let prospect = [ANN[0], ANN[1], ANN[2], ("note", "prospect")];
        let a = world.a.user_creates(&prospect);
        if !is_first {
            world.first_sync().await;
        }
        let b = world.b.user_creates(&ANN[..3]);
        if is_first {
            world.first_sync().await;
        }
        world.hear(Side::B, &b).await;
        world.rest().await;
        world.sweep().await;
        assert_eq!(world.a.ids(), std::slice::from_ref(&a), "{is_first}");
        let planned = preview(&world).await;
        assert_eq!((planned.create_a, planned.beside_left_out), (0, 1));
        assert_eq!(planned.items[0].action, "rest");
        let why = &planned.items[0].reason;
        assert!(why.contains("because its `note` is `prospect`"), "{why}");
        let compared = verify(&world).await;
        assert_eq!(
            (compared.differences, compared.beside_left_out),
            (vec![], 1)
        );
        world.a.user_edits(&a, "note", "customer");
        world.hear(Side::A, &a).await;
        world.rest().await;
        assert_eq!(link(&world, &a).await.b.id, Some(b), "{is_first}");
        assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
    }
}

#[tokio::test]
async fn the_dry_run_and_verify_tell_of_a_resting_pair_what_a_run_does() {
    let world = world(Oddities::default()).await;
    let (a, b) = linked(&world).await;
    edit(&world, Side::A, &a, "note", "supplier");
    edit(&world, Side::B, &b, "city", "Bruges");
    let planned = preview(&world).await;
    assert_eq!(
        (planned.delete, planned.filtered, planned.items),
        (0, 1, vec![])
    );
    let compared = verify(&world).await;
    assert_eq!((compared.filtered, compared.pairs), (1, 0));
    assert_eq!(compared.differences, []);
}

#[tokio::test]
async fn a_side_of_which_the_filters_leave_all_out_is_not_taken_for_emptied() {
    let world = world(Oddities::default()).await;
    let mut all = Vec::new();
    for name in ["Ann", "Bob", "Cem"] {
        let email = format!("{name}@x.example");
        let fields = [("name", name), ("email", &email), ("note", "customer")];
        all.push(world.a.user_creates(&fields));
    }
    world.first_sync().await;
    for id in &all {
        edit(&world, Side::A, id, "note", "supplier");
    }
    world.sweep().await;
    let run = newest(&world, RunKind::Sweep, Some(Side::A)).await;
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!((run.progress.listed, run.progress.filtered), (0, 3));
    let share = run.progress.shares.of(Side::A);
    assert_eq!((share.listed, share.filtered), (0, 3));
    assert_eq!(world.b.ids().len(), 3);
    let planned = preview(&world).await;
    assert_eq!((planned.filtered, planned.delete), (3, 0));
    assert_eq!((planned.left_out_a, planned.left_out_b), (3, 0));
    world.first_sync().await;
    let run = newest(&world, RunKind::Backfill, None).await;
    let shares = Side::BOTH.map(|side| run.progress.shares.of(side));
    let shares = shares.map(|share| (share.listed, share.filtered));
    assert_eq!(shares, [(0, 3), (3, 0)]);
}

#[tokio::test]
async fn strangers_that_a_filter_leaves_out_are_not_kept_and_take_part_once_they_match() {
    let world = world(Oddities::default()).await;
    let bob = [
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("note", "supplier"),
    ];
    let a = world.a.user_creates(&bob);
    world.first_sync().await;
    world.sweep().await;
    assert_eq!(world.b.ids().len(), 0);
    edit(&world, Side::A, &a, "note", "customer");
    world.sweep().await;
    assert_eq!(world.b.ids().len(), 1);
}

#[tokio::test]
async fn what_a_system_does_not_list_is_not_gone_in_the_dry_run_either() {
    let world = world(Oddities {
        lists_only: Some(("note", "customer")),
        ..Oddities::default()
    })
    .await;
    for name in ["Bob", "Cem", "Dan"] {
        let email = format!("{name}@x.example");
        let fields = [("name", name), ("email", &email), ("note", "customer")];
        world.a.user_creates(&fields);
    }
    let (a, _) = linked(&world).await;
    edit(&world, Side::A, &a, "note", "supplier");
    let planned = preview(&world).await;
    assert_eq!((planned.delete, planned.filtered), (0, 1));
    let compared = verify(&world).await;
    assert_eq!((compared.filtered, compared.differences), (1, vec![]));
    world.sweep().await;
    world.clock.advance(Duration::from_secs(600));
    world.sweep().await;
    assert_eq!(world.b.ids().len(), 4);
    assert!(link(&world, &a).await.is_filtered());
}

#[tokio::test]
async fn a_record_that_is_left_out_right_before_its_write_is_not_written() {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, free_of_notes(), plain(), plain(), Archived::Gone).await;
    let (a, b) = linked(&world).await;
    edit(&world, Side::A, &a, "name", "Anna");
    edit(&world, Side::B, &b, "city", "Bruges");
    let (system, left_out) = (std::sync::Arc::clone(&world.b), b.clone());
    // Side a is written first; the record of side b is read again before its turn.
    world.a.once(Moment::BeforeWrite, &a, move |_| {
        system.user_edits(&left_out, "note", "supplier");
    });
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.a.kept(&a, "city"), "Bruges", "that was sent before");
    assert_eq!(world.b.kept(&b, "name"), "Ann");
    assert!(link(&world, &a).await.is_filtered());
}

/// How a record is listed.
#[derive(Clone, Copy, Debug)]
enum Way {
    Poll,
    Sweep,
    Comparison,
}

/// Two customers of side a that are alike, and one of side b that could be either.
async fn alike() -> (World, RecordId) {
    let world = world(Oddities::default()).await;
    let first = world.a.user_creates(&ANN);
    world.a.user_creates(&ANN);
    world.b.user_creates(&ANN);
    world.first_sync().await;
    (world, first)
}

#[tokio::test]
async fn a_question_about_a_record_that_a_filter_leaves_out_by_now_ends_whichever_listing_shows_it()
{
    for way in [Way::Poll, Way::Sweep, Way::Comparison] {
        let (world, first) = alike().await;
        let asked = world.questions().await;
        let asked = asked.into_iter().find(|one| one.record == first);
        let asked = asked.expect("a person is asked");
        edit(&world, Side::A, &first, "note", "supplier");
        match way {
            Way::Poll => drop(poll(&world, Side::A).await),
            Way::Sweep => world.sweep().await,
            Way::Comparison => world.first_sync().await,
        }
        let now = world.store.conflict(asked.id).await.expect("asked");
        let because = now.and_then(|now| now.closed_because);
        let expected = Some(Fact::Filtered.because().to_owned());
        assert_eq!(because, expected, "{way:?}");
        let reads = world.a.reads();
        world.sweep().await;
        assert_eq!(world.a.reads(), reads, "it is not looked at again");
    }
}

#[tokio::test]
async fn a_side_that_lists_only_what_the_filters_leave_out_and_misses_a_record_is_seen_all_the_same()
 {
    let world = world(Oddities::default()).await;
    let bob = [
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("note", "customer"),
    ];
    let bob = world.a.user_creates(&bob);
    let (a, _) = linked(&world).await;
    edit(&world, Side::A, &a, "note", "supplier");
    world.a.user_deletes(&bob);
    let compared = verify(&world).await;
    assert_eq!((compared.records_a, compared.filtered_a), (0, 1));
    assert_eq!((compared.filtered, compared.unlisted_a), (1, 1));
    assert!(!compared.is_blind(Side::A) && compared.is_complete());
    let missing = Difference::Missing {
        side: Side::A,
        record: bob,
    };
    assert_eq!(compared.differences, [missing]);
}

#[tokio::test]
async fn a_write_that_lands_long_after_its_pair_came_to_rest_is_no_edit_of_a_person() {
    let plain = || (PLAIN, Oddities::default());
    let world = World::odd(1, free_of_notes(), plain(), plain(), Archived::Gone).await;
    let (a, b) = linked(&world).await;
    edit(&world, Side::A, &a, "name", "Anna");
    world.b.go_wrong(&[Fault::Late(Duration::from_secs(300))]);
    world.hear(Side::A, &a).await;
    world.turn().await;
    edit(&world, Side::B, &b, "note", "supplier");
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert!(link(&world, &a).await.is_filtered());
    assert_eq!(world.b.kept(&b, "name"), "Ann", "it has not landed yet");
    edit(&world, Side::A, &a, "name", "Anneke");
    world.clock.advance(Duration::from_secs(240));
    edit(&world, Side::B, &b, "note", "");
    assert_eq!(world.b.kept(&b, "name"), "Anna", "it has landed");
    world.hear(Side::B, &b).await;
    world.rest().await;
    assert_eq!(world.a.kept(&a, "name"), "Anneke");
    assert_eq!(world.b.kept(&b, "name"), "Anneke");
    assert!(world.questions().await.is_empty());
}
