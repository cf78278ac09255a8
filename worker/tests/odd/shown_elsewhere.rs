//! Records that cannot be read by their id, and that a search or a listing shows all the same.

use std::time::Duration;

use tandem_domain::{RecordId, Side};

use super::pairs::{PLAIN, just_linked, propagates};
use crate::world::World;
use crate::world::system::oddities::Oddities;

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
