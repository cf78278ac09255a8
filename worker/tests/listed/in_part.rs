//! Listings that show less of a record than a reading by its id, and systems that show nothing of what is empty.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Value};
use tandem_engine::{Filter, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{RunKind, RunState};
use tandem_worker::{Difference, compare, survey};

use super::PLAIN;
use super::rows::newest;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const ANN: [(&str, &str); 3] = [
    ("name", "Ann"),
    ("email", "ann@x.example"),
    ("city", "Ghent"),
];

/// A world whose side b lists its records without these fields.
async fn summary(policy: SyncPolicy, fields: &[&'static str]) -> World {
    let odd = Oddities {
        listings_leave_out: fields.to_vec(),
        ..Oddities::default()
    };
    let plain = (PLAIN, Oddities::default());
    World::odd(1, policy, plain, (PLAIN, odd), Archived::Gone).await
}

async fn verify(world: &World) -> tandem_worker::Comparison {
    let sync = &world.topology.syncs[&world.sync];
    let waits = [Duration::ZERO; 2];
    let compared = compare(world.store.shared().as_ref(), sync, &waits, &|_, _| ()).await;
    compared.expect("both sides are listed")
}

fn note(world: &World, side: Side, id: &RecordId) -> String {
    world.system(side).kept(id, "note")
}

#[tokio::test]
async fn what_a_listing_leaves_out_is_read_before_two_records_count_as_equal() {
    let world = summary(policy(), &["note", "city"]).await;
    let a = world.a.user_creates(&ANN);
    let b = world.b.user_creates(&[
        ("name", "Ann"),
        ("email", "ann@x.example"),
        ("city", "Ghent"),
        ("note", "known"),
    ]);
    world.first_sync().await;
    assert_eq!(note(&world, Side::A, &a), "known");
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.base["city"].b, Value::Text("Ghent".to_owned()));
    world.sweep().await;
    world.a.user_edits(&a, "name", "Anna");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(note(&world, Side::B, &b), "known");
    world.assert_agreement(1);
}

#[tokio::test]
async fn records_are_matched_by_what_the_listing_leaves_out() {
    let world = summary(policy(), &["email", "name"]).await;
    let a = world.a.user_creates(&ANN);
    let b = world
        .b
        .user_creates(&[("name", "Annie"), ("email", "ann@x.example")]);
    world.first_sync().await;
    assert_eq!(
        (world.a.ids().len(), world.b.ids().len()),
        (1, 1),
        "nothing is doubled"
    );
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.b.id, Some(b));
}

#[tokio::test]
async fn a_record_that_refuses_to_be_read_is_a_bad_row_and_the_others_go_on() {
    let odd = Oddities {
        listings_leave_out: vec!["email", "name"],
        refuses_reads_of: vec!["b0001"],
        ..Oddities::default()
    };
    let plain = (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain, (PLAIN, odd), Archived::Gone).await;
    let refused = world.b.user_creates(&ANN);
    let bob = world.b.user_creates(&[("email", "bob@x.example")]);
    world.first_sync().await;
    let run = newest(&world, RunKind::Backfill, None).await;
    assert_eq!((run.state, run.progress.unreadable), (RunState::Partial, 1));
    let error = &run.progress.row_errors[0];
    assert_eq!(
        (error.side, error.record.as_ref()),
        (Side::B, Some(&refused))
    );
    assert!(error.reason.contains("is not for you"), "{}", error.reason);
    assert_eq!(world.a.ids().len(), 1, "the other went over");
    assert!(world.link_of(Side::B, &bob).await.is_some());
}

#[tokio::test]
async fn a_later_listing_takes_no_match_key_away() {
    let only_b = SyncPolicy {
        creates: tandem_engine::Creates::B,
        ..policy()
    };
    let world = summary(only_b, &["email"]).await;
    let b = world
        .b
        .user_creates(&[("name", "Annie"), ("email", "ann@x.example")]);
    world.first_sync().await;
    world.sweep().await;
    let keys = tandem_engine::key_texts(
        &policy(),
        &tandem_domain::Fields::from([(
            "email".to_owned(),
            Value::Text("ann@x.example".to_owned()),
        )]),
    );
    let found = world
        .store
        .records_by_keys(&world.sync, Side::B, &keys)
        .await;
    assert_eq!(found.expect("the storage answers").len(), 1);
    let a = world.a.user_creates(&ANN);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.b.id, Some(b));
}

#[tokio::test]
async fn what_the_filters_look_at_and_the_listing_leaves_out_is_read() {
    let filtered = SyncPolicy {
        filters: vec![Filter {
            side: Side::B,
            field: "city".to_owned(),
            any_of: vec![Value::Text("Ghent".to_owned())],
        }],
        ..policy()
    };
    let world = summary(filtered, &["city"]).await;
    world.b.user_creates(&ANN);
    world.b.user_creates(&[
        ("name", "Bob"),
        ("email", "bob@x.example"),
        ("city", "Lyon"),
    ]);
    world.first_sync().await;
    assert_eq!(world.a.ids().len(), 1, "Ghent alone takes part");
    let late = world.b.user_creates(&[
        ("name", "Cem"),
        ("email", "cem@x.example"),
        ("city", "Ghent"),
    ]);
    world.sweep().await;
    assert_eq!(world.a.ids().len(), 2, "{late} has come over");
    assert_eq!(verify(&world).await.differences, []);
}

#[tokio::test]
async fn verify_reads_what_a_listing_leaves_out_and_never_calls_it_equal() {
    let world = summary(policy(), &["note"]).await;
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    let b = world.b.ids().remove(0);
    assert!(verify(&world).await.is_complete());
    world.b.user_edits(&b, "note", "typed");
    let compared = verify(&world).await;
    let told = Difference::Field {
        a,
        b,
        field: "note".to_owned(),
        value_a: Value::Null,
        value_b: Value::Text("typed".to_owned()),
    };
    assert_eq!(compared.differences, [told]);
}

#[tokio::test]
async fn of_too_many_records_verify_and_the_dry_run_say_what_they_have_not_looked_at() {
    const MANY: usize = 1_003;
    let world = summary(policy(), &["note"]).await;
    for number in 0..MANY {
        let email = format!("{number}@x.example");
        world.a.user_creates(&[("email", &email)]);
        world.b.user_creates(&[("email", &email)]);
    }
    world.first_sync().await;
    let compared = verify(&world).await;
    assert_eq!(
        (compared.pairs, compared.in_part, compared.differences),
        (MANY, 3, vec![])
    );
    assert_eq!(
        compared.left_out.into_iter().collect::<Vec<_>>(),
        [(Side::B, "note".to_owned())]
    );
    let reads = world.b.reads();
    let sync = &world.topology.syncs[&world.sync];
    let seen = survey(world.store.shared().as_ref(), sync, &|_, _| ()).await;
    let planned = seen.expect("both sides are listed").preview(sync);
    assert_eq!((planned.in_part, planned.items), (3, vec![]));
    assert_eq!(world.b.reads() - reads, 1_000);
}

#[tokio::test]
async fn a_preview_knows_what_the_listing_leaves_out() {
    let world = summary(policy(), &["note", "city"]).await;
    for system in [&world.a, &world.b] {
        system.user_creates(&ANN);
    }
    let sync = &world.topology.syncs[&world.sync];
    let preview = async || {
        let seen = survey(world.store.shared().as_ref(), sync, &|_, _| ()).await;
        seen.expect("both sides are listed").preview(sync)
    };
    assert_eq!(
        (preview().await.matched, preview().await.items),
        (1, vec![])
    );
    world.first_sync().await;
    assert_eq!((preview().await.linked, preview().await.items), (1, vec![]));
}

#[tokio::test]
async fn a_system_that_omits_what_is_empty_is_not_read_again_and_again() {
    let odd = Oddities {
        omits_empty: true,
        ..Oddities::default()
    };
    let plain = (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain, (PLAIN, odd), Archived::Gone).await;
    for number in 0..3 {
        let email = format!("{number}@x.example");
        world.b.user_creates(&[("name", &email), ("email", &email)]);
    }
    world.b.user_creates(&[("name", "Ann"), ("note", "kept")]);
    world.first_sync().await;
    assert_eq!(world.a.ids().len(), 4);
    world.sweep().await;
    let reads = world.b.reads();
    world.sweep().await;
    world.first_sync().await;
    assert_eq!(world.b.reads(), reads, "nothing has changed");
    assert!(verify(&world).await.is_complete());
}

#[tokio::test]
async fn an_edit_of_what_a_listing_leaves_out_is_found_by_its_time() {
    let world = summary(policy(), &["note"]).await;
    let a = world.a.user_creates(&ANN);
    world.first_sync().await;
    world.sweep().await;
    let b = world.b.ids().remove(0);
    world.clock.advance(Duration::from_secs(60));
    world.b.user_edits(&b, "note", "typed");
    world.sweep().await;
    assert_eq!(note(&world, Side::A, &a), "typed");
}
