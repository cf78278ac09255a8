//! Pairs of which one record is deleted before both were compared: nobody knows that they ever agreed, so the delete is
//! not carried over.

use std::collections::BTreeMap;

use tandem_domain::{Clock as _, RecordId, Side};
use tandem_runtime::Archived;
use tandem_store::{LinkState, NewLink};
use tandem_testkit::Make;

use super::pairs::{PLAIN, propagates};
use crate::world::World;
use crate::world::system::oddities::Oddities;

async fn world() -> World {
    let plain = || (PLAIN, Oddities::default());
    World::odd(1, propagates(), plain(), plain(), Archived::Gone).await
}

/// A record is deleted; the other one stays, and a person is asked for this reason.
async fn stays_when_deleted(world: &World, gone: Side, [a, b]: [&RecordId; 2], reason: &str) {
    let (deleted, left) = match gone {
        Side::A => (a, b),
        Side::B => (b, a),
    };
    world.system(gone).user_deletes(deleted);
    world.hear(gone, deleted).await;
    world.rest().await;
    world.sweep().await;
    let rest = world.system(gone.other());
    assert_eq!(rest.ids(), std::slice::from_ref(left), "{gone} is gone");
    assert_eq!(rest.writes(), 0, "{gone} is gone");
    let open = world.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    let kind = format!("{:?}", open[0].kind);
    assert_eq!(open[0].kind.as_str(), "delete_held");
    assert!(kind.contains(reason), "{kind}");
    assert_eq!(world.dead().await, []);
}

/// Two records that were there before the first sync, as it links them and before it compares them.
async fn linked_by_the_first_sync(
    a: &[(&str, &str)],
    b: &[(&str, &str)],
) -> (World, RecordId, RecordId) {
    let world = world().await;
    let (a, b) = (world.a.user_creates(a), world.b.user_creates(b));
    world.begin_first_sync().await;
    while world.link_of(Side::A, &a).await.is_none() {
        assert!(world.turn().await, "the first sync goes on");
    }
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_eq!(link.state, LinkState::Active);
    assert_eq!(link.b.id.as_ref(), Some(&b));
    (world, a, b)
}

#[tokio::test]
async fn where_no_value_of_a_pair_was_the_same_yet_the_other_record_is_not_deleted() {
    for gone in Side::BOTH {
        let (world, a, b) = linked_by_the_first_sync(
            &[("name", "Acme"), ("email", "a@acme.example")],
            &[("name", "ACME"), ("email", "A@Acme.example")],
        )
        .await;
        let link = world.link_of(Side::A, &a).await.expect("it is linked");
        for field in ["name", "email"] {
            assert!(!link.base.contains_key(field), "{:?}", link.base);
        }
        let reason = "never seen to agree in name, email";
        stays_when_deleted(&world, gone, [&a, &b], reason).await;
    }
}

#[tokio::test]
async fn where_a_pair_differs_in_a_field_since_before_it_was_linked_the_other_record_is_not_deleted()
 {
    for gone in Side::BOTH {
        let (world, a, b) = linked_by_the_first_sync(
            &[("name", "Acme"), ("email", "a@x.example"), ("city", "Gent")],
            &[("name", "Acme"), ("email", "a@x.example"), ("city", "Lyon")],
        )
        .await;
        let link = world.link_of(Side::A, &a).await.expect("it is linked");
        assert!(link.base.contains_key("name"), "{:?}", link.base);
        assert!(!link.base.contains_key("city"), "{:?}", link.base);
        let reason = "never seen to agree in city";
        stays_when_deleted(&world, gone, [&a, &b], reason).await;
    }
}

#[tokio::test]
async fn where_nothing_is_known_of_what_a_pair_agreed_in_the_other_record_is_not_deleted() {
    for gone in Side::BOTH {
        let world = world().await;
        world.first_sync().await;
        let ann = [("name", "Ann"), ("email", "ann@x.example")];
        let (a, b) = (world.a.user_creates(&ann), world.b.user_creates(&ann));
        let link = NewLink {
            sync: world.sync.clone(),
            base: BTreeMap::new(),
            ..Make::default().link(a.as_str(), b.as_str())
        };
        let linked = world.store.insert_links(vec![link], world.clock.now());
        assert_eq!(linked.await.expect("the storage answers"), 1);
        let reason = "the two records were never seen to agree";
        stays_when_deleted(&world, gone, [&a, &b], reason).await;
    }
}
