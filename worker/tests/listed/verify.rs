//! What `verify` says: every difference, none that is only on its way, and what is left alone.

use std::time::Duration;

use tandem_domain::Clock as _;
use tandem_domain::{RecordId, Side};
use tandem_engine::{Creates, DeletePolicies, DeletePolicy, SyncPolicy};
use tandem_runtime::Archived;
use tandem_store::{Change, LinkState, NewLink, Operation, Unlinked};
use tandem_testkit::Make;
use tandem_worker::{Comparison, Difference, compare, survey};

use super::PLAIN;
use crate::world::system::oddities::Oddities;
use crate::world::system::pages::PageFault;
use crate::world::{World, policy};

async fn verify(world: &World) -> Comparison {
    let sync = &world.topology.syncs[&world.sync];
    let waits = [Duration::ZERO; 2];
    let compared = compare(world.store.shared().as_ref(), sync, &waits, &|_, _| ()).await;
    compared.expect("both sides are listed")
}

/// A world with one pair that is held equal.
async fn with_a_pair() -> (World, RecordId, RecordId) {
    let world = World::new(1, policy(), PLAIN, PLAIN).await;
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@x.example")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    let b = world.b.ids().remove(0);
    assert_eq!(verify(&world).await.differences, []);
    (world, a, b)
}

#[tokio::test]
async fn what_waits_for_an_open_question_is_counted_and_planned_as_that_and_not_as_a_create() {
    let (world, _, b) = with_a_pair().await;
    let twin = world
        .b
        .user_creates(&[("name", "Acme 2"), ("email", "a@x.example")]);
    world.hear(Side::B, &twin).await;
    world.rest().await;
    let asked = world.questions().await.remove(0);
    assert_eq!(asked.record, twin);
    let compared = verify(&world).await;
    assert_eq!(compared.unclear, 1);
    assert!(!compared.agrees());

    let sync = &world.topology.syncs[&world.sync];
    let seen = survey(world.store.shared().as_ref(), sync, &|_, _| ()).await;
    let planned = seen.expect("both sides are listed").preview(sync);
    assert_eq!((planned.waiting, planned.create_a), (1, 0));
    let item = &planned.items[0];
    assert_eq!((item.action, &item.b), ("hold", &Some(twin.clone())));
    assert!(item.reason.contains(&asked.id.to_string()), "{item:?}");

    world.b.user_deletes(&twin);
    world.hear(Side::B, &twin).await;
    world.rest().await;
    let compared = verify(&world).await;
    assert!(compared.agrees(), "{b} has its partner: {compared:?}");
}

#[tokio::test]
async fn a_pair_that_is_missing_on_both_sides_is_told_of_both() {
    let (world, a, b) = with_a_pair().await;
    world.a.user_deletes(&a);
    world.b.user_deletes(&b);
    let missing = |side, record| Difference::Missing { side, record };
    assert_eq!(
        verify(&world).await.differences,
        [missing(Side::A, a), missing(Side::B, b)]
    );
}

#[tokio::test]
async fn what_differs_is_told_with_the_names_of_its_records_also_of_one_that_is_gone() {
    let (world, a, b) = with_a_pair().await;
    world.a.user_edits(&a, "name", "Acme Ltd");
    let compared = verify(&world).await;
    assert_eq!(compared.name(Side::A, &a), Some("Acme Ltd"));
    assert_eq!(compared.name(Side::B, &b), Some("Acme"));
    world.b.user_deletes(&b);
    let compared = verify(&world).await;
    assert_eq!(
        compared.differences,
        [Difference::Missing {
            side: Side::B,
            record: b.clone()
        }]
    );
    assert_eq!(
        compared.name(Side::B, &b),
        Some("Acme"),
        "as both last agreed"
    );
}

#[tokio::test]
async fn records_that_differ_though_their_link_is_retired_are_a_difference() {
    let (world, a, b) = with_a_pair().await;
    world.retire_link_of(Side::A, &a).await;
    let alone = verify(&world).await;
    assert_eq!((alone.retired_a, alone.retired_b), (1, 1));
    assert_eq!(alone.differences, []);
    world.a.user_edits(&a, "city", "Ghent");
    let fields = vec!["city".to_owned()];
    let apart = Difference::Apart { a, b, fields };
    assert_eq!(verify(&world).await.differences, [apart]);
}

#[tokio::test]
async fn what_has_lost_its_partner_is_counted_by_side() {
    let (world, a, _) = with_a_pair().await;
    world.a.user_deletes(&a);
    world.sweep().await;
    let link = world.link_of(Side::A, &a).await.expect("it is known");
    assert_eq!(link.state, LinkState::Retired);
    let compared = verify(&world).await;
    assert_eq!((compared.retired_a, compared.retired_b), (0, 1));
    assert_eq!((compared.left_alone, compared.differences), (0, vec![]));
    assert_eq!(partnerless(&world).await, (0, 1), "so says the status");
}

/// What the status counts as having lost its partner.
async fn partnerless(world: &World) -> (u64, u64) {
    let count = async |side| {
        let counted = world.store.partnerless_count(&world.sync, side).await;
        counted.expect("counted")
    };
    (count(Side::A).await, count(Side::B).await)
}

#[tokio::test]
async fn a_pair_whose_delete_was_carried_over_has_left_nothing_without_a_partner() {
    let deletes = DeletePolicies {
        a_gone: DeletePolicy::Propagate,
        b_gone: DeletePolicy::Propagate,
    };
    let policy = SyncPolicy {
        deletes,
        ..policy()
    };
    let world = World::new(1, policy, PLAIN, PLAIN).await;
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@x.example")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    world.a.user_deletes(&a);
    world.sweep().await;
    assert_eq!(world.b.ids(), []);
    let compared = verify(&world).await;
    assert_eq!((compared.retired_a, compared.retired_b), (0, 0));
    assert_eq!(partnerless(&world).await, (0, 0));
}

#[tokio::test]
async fn what_a_person_had_left_alone_is_counted_as_the_status_counts_it_and_not_compared() {
    let (world, a, _) = with_a_pair().await;
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    let now = world.clock.now();
    let change = Change {
        sync: world.sync.clone(),
        link: Some(link.id),
        operation: Operation::Unlink,
        ..Make::default().change("a", "b")
    };
    let unlinked = world.store.unlink_by_hand(link.id, change, now).await;
    assert_eq!(unlinked.expect("the storage answers"), Unlinked::Done);
    world.a.user_edits(&a, "city", "Ghent");
    let compared = verify(&world).await;
    let status = world.store.left_alone_count(&world.sync).await;
    assert_eq!(compared.left_alone as u64, status.expect("counted"));
    assert_eq!((compared.left_alone, compared.retired()), (2, 0));
    assert_eq!(compared.differences, []);
}

#[tokio::test]
async fn a_record_that_a_listing_does_not_show_yet_is_not_called_gone_and_an_empty_list_is_no_agreement()
 {
    let odd = Oddities {
        listing_lag: crate::world::system::oddities::Lag {
            by: Duration::from_secs(60),
            ..Default::default()
        },
        ..Oddities::default()
    };
    let plain = (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain, (PLAIN, odd), Archived::Gone).await;
    world.first_sync().await;
    let a = world
        .a
        .user_creates(&[("name", "Acme"), ("email", "a@x.example")]);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.ids().len(), 1);
    let compared = verify(&world).await;
    assert_eq!(compared.records_b, 0, "the listing of b is behind");
    assert_eq!(compared.differences, []);
    assert_eq!((compared.unlisted_a, compared.unlisted_b), (0, 1));
    assert!(compared.is_blind(Side::B) && !compared.is_blind(Side::A));
    assert!(!compared.is_complete());

    world.clock.advance(Duration::from_secs(61));
    let compared = verify(&world).await;
    assert_eq!(compared.records_b, 1);
    assert!(compared.is_complete(), "{compared:?}");
}

#[tokio::test]
async fn a_record_that_answers_with_another_is_told_by_its_id_and_the_rest_is_compared() {
    let (world, merged, _) = with_a_pair().await;
    let other = world
        .a
        .user_creates(&[("name", "Bolt"), ("email", "b@x.example")]);
    world.hear(Side::A, &other).await;
    world.rest().await;
    world.a.user_merges(&merged, &other);
    world.a.user_edits(&other, "city", "Ghent");
    let compared = verify(&world).await;
    assert_eq!(compared.pairs, 2);
    let told = |side: Side, id: &RecordId| {
        compared.differences.iter().any(|one| {
            matches!(one, Difference::Unreadable { side: at, record, reason }
                if *at == side && record.as_ref() == Some(id) && reason.contains(other.as_str()))
        })
    };
    assert!(told(Side::A, &merged), "{:?}", compared.differences);
    let differs = |one: &Difference| matches!(one, Difference::Field { a, field, .. } if *a == other && field == "city");
    assert!(
        compared.differences.iter().any(differs),
        "{:?}",
        compared.differences
    );
    assert_eq!(compared.differences.len(), 2);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_and_not_called_gone() {
    let (world, a, _) = with_a_pair().await;
    world.a.garbles(&a);
    let unreadable = Difference::Unreadable {
        side: Side::A,
        record: Some(a),
        reason: "half a character".to_owned(),
    };
    assert_eq!(verify(&world).await.differences, [unreadable]);
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_whole_says_nothing_of_agreement() {
    let (world, ..) = with_a_pair().await;
    world.a.goes_wrong_at_page(0, PageFault::Expired);
    let sync = &world.topology.syncs[&world.sync];
    let compared = compare(world.store.shared().as_ref(), sync, &[], &|_, _| ()).await;
    assert!(compared.is_err());
}

/// Compares while this is done, after both sides were listed and before what looked different is read again.
async fn verify_while(world: &World, meanwhile: impl Future<Output = ()>) -> Comparison {
    const WAIT: Duration = Duration::from_millis(400);
    let sync = &world.topology.syncs[&world.sync];
    let store = world.store.shared();
    let comparing = compare(store.as_ref(), sync, &[WAIT; 2], &|_, _| ());
    let acting = async {
        tokio::time::sleep(WAIT / 2).await;
        meanwhile.await;
    };
    let (compared, ()) = tokio::join!(comparing, acting);
    compared.expect("both sides are listed")
}

fn linked_to(world: &World, make: &Make, a: &RecordId, b: &RecordId) -> NewLink {
    NewLink {
        sync: world.sync.clone(),
        ..make.link(a.as_str(), b.as_str())
    }
}

#[tokio::test]
async fn a_record_that_is_left_alone_while_both_sides_are_compared_is_no_difference() {
    let (world, ..) = with_a_pair().await;
    let a = world.a.user_creates(&[("name", "New")]);
    let b = world.b.user_creates(&[("name", "Other")]);
    let link = linked_to(&world, &Make::default(), &a, &b);
    let compared = verify_while(&world, async {
        let now = world.clock.now();
        let linked = world.store.insert_links(vec![link.clone()], now).await;
        assert_eq!(linked.expect("linked"), 1);
        let change = Change {
            sync: world.sync.clone(),
            link: Some(link.id),
            operation: Operation::Unlink,
            ..Make::default().change("a", "b")
        };
        let unlinked = world.store.unlink_by_hand(link.id, change, now).await;
        assert_eq!(unlinked.expect("the storage answers"), Unlinked::Done);
    })
    .await;
    assert_eq!(compared.differences, []);
}

#[tokio::test]
async fn a_pair_that_is_linked_while_both_sides_are_compared_is_compared_as_well() {
    let (mut policy, name) = (policy(), |value: &'static str| [("name", value)]);
    policy.creates = Creates::None;
    let world = World::new(1, policy, PLAIN, PLAIN).await;
    let [a, gone] = ["Ann", "Zed"].map(|one| world.a.user_creates(&name(one)));
    let [b, left] = ["Bob", "Zed"].map(|one| world.b.user_creates(&name(one)));
    let make = Make::default();
    let differing = linked_to(&world, &make, &gone, &left);
    let now = world.clock.now();
    let linked = world.store.insert_links(vec![differing], now).await;
    assert_eq!(linked.expect("linked"), 1);
    // So that there is something to look at again.
    world.b.user_edits(&left, "name", "Zoe");
    let late = linked_to(&world, &make, &a, &b);
    let compared = verify_while(&world, async {
        let linked = world
            .store
            .insert_links(vec![late], world.clock.now())
            .await;
        assert_eq!(linked.expect("linked"), 1);
    })
    .await;
    let of = |one: &Difference| match one {
        Difference::Field { a, b, .. } => Some((a.clone(), b.clone())),
        _ => None,
    };
    let mut told: Vec<_> = compared.differences.iter().filter_map(of).collect();
    told.sort();
    let mut expected = vec![(a, b), (gone, left)];
    expected.sort();
    assert_eq!(told, expected, "{:?}", compared.differences);
}
