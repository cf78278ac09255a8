//! Records that cannot be read by their id, and that a search or a listing shows all the same.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_runtime::Archived;

use super::pairs::{ANN, PLAIN, TALENTS, just_linked, propagates};
use crate::world::system::oddities::Oddities;
use crate::world::system::{Fault, Talents};
use crate::world::{World, policy};

const DAY: Duration = Duration::from_secs(86_400);

async fn one_pair(oddities: Oddities) -> (World, RecordId, RecordId) {
    let ends = ((PLAIN, oddities), (PLAIN, Oddities::default()));
    just_linked(propagates(), ends.0, ends.1).await
}

async fn is_said_and_nothing_deleted(world: &World, a: &RecordId, b: &RecordId, how: &str) {
    assert_eq!(world.b.ids(), std::slice::from_ref(b), "nothing is deleted");
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    let failure = dead[0].failure.as_ref().expect("it says why");
    let told = &failure.chain[0];
    assert!(told.contains(how) && told.contains(a.as_str()), "{told}");
    assert_eq!(world.open().await, []);
}

#[tokio::test]
async fn a_record_that_the_search_finds_is_not_gone_though_its_id_is_not_found() {
    let searched = Oddities {
        finds_what_it_hides: true,
        ..Oddities::default()
    };
    let (world, a, b) = one_pair(searched).await;
    world.a.hides(&a, DAY);
    world.hear(Side::A, &a).await;
    world.rest().await;
    is_said_and_nothing_deleted(&world, &a, &b, "its search by email finds it").await;

    // It can be read again: the next that is heard of it is carried over, and ends the dead letter.
    world.clock.advance(DAY);
    world.a.user_edits(&a, "city", "Lyon");
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.kept(&b, "city"), "Lyon");
    assert_eq!(world.dead().await, []);
}

#[tokio::test]
async fn a_record_that_listings_show_is_not_gone_though_its_id_is_not_found() {
    let (world, a, b) = one_pair(Oddities::default()).await;
    world.a.hides(&a, DAY);
    world.hear(Side::A, &a).await;
    // Listings go on while it is looked for.
    for _ in 0..100 {
        if !world.dead().await.is_empty() {
            break;
        }
        while world.turn().await {}
        world
            .enqueue(tandem_store::JobKind::Sweep {
                sync: world.sync.clone(),
                side: Side::A,
            })
            .await;
        world.clock.advance(Duration::from_secs(10));
    }
    is_said_and_nothing_deleted(&world, &a, &b, "the listing that began at").await;
}

#[tokio::test]
async fn a_record_that_nothing_shows_any_more_is_gone() {
    let searched = Oddities {
        finds_what_it_hides: true,
        ..Oddities::default()
    };
    let (world, a, _) = one_pair(searched).await;
    world.hear(Side::A, &a).await;
    world.sweep().await;
    world.a.user_deletes(&a);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.b.ids(), []);
    assert_eq!(world.dead().await, []);
}

/// Searches find what reads by id do not, and show no more of it than the members that hold something.
fn in_part() -> Oddities {
    Oddities {
        omits_empty: true,
        finds_what_it_hides: true,
        ..Oddities::default()
    }
}

#[tokio::test]
async fn a_record_of_which_the_search_shows_a_part_is_not_gone_either() {
    let (world, a, b) = one_pair(in_part()).await;
    world.a.hides(&a, DAY);
    world.hear(Side::A, &a).await;
    world.rest().await;
    is_said_and_nothing_deleted(&world, &a, &b, "its search by email finds it").await;
}

/// An empty world whose side b finds in part what it hides.
async fn searched(b: Talents) -> World {
    let plain = (PLAIN, Oddities::default());
    let world = World::odd(1, policy(), plain, (b, in_part()), Archived::Gone).await;
    world.first_sync().await;
    world
}

/// Side b has just this record; it is said that it is found in part, and when it can be read they are linked.
async fn is_told_and_linked_later(world: &World, a: &RecordId, b: &RecordId) {
    assert_eq!(world.b.ids(), std::slice::from_ref(b), "nothing is made");
    assert!(world.link_of(Side::A, a).await.is_none());
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    let told = &dead[0].failure.as_ref().expect("it says why").chain[0];
    let says = format!("finds record {b}, but shows only a part");
    assert!(told.contains(&says), "{told}");

    world.clock.advance(DAY);
    world.hear(Side::A, a).await;
    world.rest().await;
    assert_eq!(world.b.ids(), std::slice::from_ref(b));
    let link = world.link_of(Side::A, a).await.expect("it is linked");
    assert_eq!(link.b.id.as_ref(), Some(b));
    assert_eq!(world.dead().await, []);
    world.assert_agreement(1);
}

#[tokio::test]
async fn no_partner_is_made_beside_one_of_which_the_search_shows_a_part() {
    let world = searched(PLAIN).await;
    let b = world.b.user_creates(&ANN);
    world.b.hides(&b, DAY);
    let a = world.a.user_creates(&ANN);
    world.hear(Side::A, &a).await;
    world.rest().await;
    is_told_and_linked_later(&world, &a, &b).await;
}

#[tokio::test]
async fn a_create_of_which_the_search_shows_a_part_is_not_sent_again() {
    for talents in [PLAIN, TALENTS] {
        let world = searched(talents).await;
        let a = world.a.user_creates(&ANN);
        let b = RecordId::new("b0001");
        world.b.hides(&b, DAY);
        world.b.go_wrong(&[Fault::LostResponse]);
        world.hear(Side::A, &a).await;
        world.rest().await;
        is_told_and_linked_later(&world, &a, &b).await;
    }
}

#[tokio::test]
async fn a_namesake_whose_own_key_is_shown_is_waited_for_by_nobody() {
    let world = searched(PLAIN).await;
    let namesake = [("name", "Ann"), ("email", "other@x.example")];
    let other = world.b.user_creates(&namesake);
    world.b.hides(&other, DAY);
    let a = world.a.user_creates(&ANN);
    world.hear(Side::A, &a).await;
    world.rest().await;
    assert_eq!(world.dead().await, []);
    let link = world.link_of(Side::A, &a).await.expect("it is linked");
    assert_ne!(link.b.id, Some(other));
}
