//! A record whose pair ended comes back by itself: made again under its id, or taken out of the archive. The pair is held
//! equal again.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_runtime::Archived;
use tandem_store::LinkState;
use tandem_worker::compare;

use super::pairs::{ANN, TALENTS, just_linked, text};
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const HOUR: Duration = Duration::from_secs(3_600);

async fn is_retired(world: &World, a: &RecordId) {
    let link = world.link_of(Side::A, a).await.expect("it is known");
    assert_eq!(link.state, LinkState::Retired);
}

/// The pair is held equal: later edits of either side arrive, and a comparison of both sides says so.
async fn is_held_again(world: &World, a: &RecordId, b: &RecordId) {
    let link = world.link_of(Side::A, a).await.expect("it is known");
    assert_eq!(link.state, LinkState::Active);
    assert_eq!(link.b.id.as_ref(), Some(b));
    for (side, id, city) in [(Side::A, a, "Lyon"), (Side::B, b, "Turin")] {
        world.clock.advance(HOUR);
        world.system(side).user_edits(id, "city", city);
        world.hear(side, id).await;
        world.rest().await;
        assert_eq!(text(world, Side::A, a, "city"), city);
        assert_eq!(text(world, Side::B, b, "city"), city);
    }
    let sync = &world.topology.syncs[&world.sync];
    let waits = [Duration::ZERO; 2];
    let compared = compare(world.store.shared().as_ref(), sync, &waits, &|_, _| ()).await;
    let compared = compared.expect("both sides are listed");
    assert_eq!(compared.differences, []);
    assert_eq!((compared.retired_a, compared.retired_b), (0, 0));
    assert_eq!(compared.left_alone, 0);
    assert_eq!(
        (world.questions().await, world.dead().await),
        (vec![], vec![])
    );
    assert_eq!((world.a.ids().len(), world.b.ids().len()), (1, 1));
}

#[tokio::test]
async fn a_record_that_is_made_again_under_its_id_with_its_values_is_held_equal_again() {
    // One system says when its records were made, one does not.
    for hides_birth in [false, true] {
        for is_heard in [true, false] {
            let odd = Oddities {
                hides_birth,
                ..Oddities::default()
            };
            let plain = (TALENTS, Oddities::default());
            let world = World::odd(1, policy(), (TALENTS, odd), plain, Archived::Gone).await;
            let empty = world.a.backup();
            let a = world.a.user_creates(&ANN);
            world.first_sync().await;
            let b = world.b.ids().remove(0);
            world.hear(Side::B, &b).await;
            world.rest().await;
            world.clock.advance(HOUR);
            world.a.user_deletes(&a);
            world.hear(Side::A, &a).await;
            world.rest().await;
            world.sweep().await;
            is_retired(&world, &a).await;
            world.clock.advance(HOUR);
            world.a.restores(&empty);
            assert_eq!(world.a.user_creates(&ANN), a, "the id is given anew");
            if is_heard {
                world.hear(Side::A, &a).await;
                world.rest().await;
            } else {
                world.sweep().await;
            }
            is_held_again(&world, &a, &b).await;
        }
    }
}

#[tokio::test]
async fn a_record_that_is_taken_out_of_the_archive_is_held_equal_again() {
    for archived in Side::BOTH {
        for is_heard in [true, false] {
            let plain = || (TALENTS, Oddities::default());
            let (world, a, b) = just_linked(policy(), plain(), plain()).await;
            let id = match archived {
                Side::A => &a,
                Side::B => &b,
            };
            for active in ["false", "true"] {
                world.clock.advance(HOUR);
                world.system(archived).user_edits(id, "active", active);
                if is_heard {
                    world.hear(archived, id).await;
                    world.rest().await;
                } else {
                    world.sweep().await;
                }
                if active == "false" {
                    is_retired(&world, &a).await;
                }
            }
            is_held_again(&world, &a, &b).await;
        }
    }
}
