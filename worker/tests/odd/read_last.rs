//! Where time has passed since a record was read, it is read again right before it is written: what somebody typed
//! meanwhile is not written over, also where the system compares no versions and tells of no edit.

use std::time::Duration;

use tandem_domain::{RecordId, Side};

use super::pairs::{TALENTS, just_linked, text};
use crate::world::system::FakeSystem;
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const SLOW: Duration = Duration::from_secs(2);

async fn a_pair() -> (World, RecordId, RecordId) {
    let plain = || (TALENTS, Oddities::default());
    just_linked(policy(), plain(), plain()).await
}

/// Works off what is due, while `slow` answers reads late; as soon as the other record was read, somebody does this.
async fn turn_while(world: &World, slow: Side, deed: impl FnOnce(&FakeSystem)) {
    let other = world.system(slow.other());
    let reads = other.reads();
    let held = world.system(slow).slow_reads.write().await;
    let meanwhile = async {
        while other.reads() == reads {
            tokio::task::yield_now().await;
        }
        // The answer arrives, before anything happens.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        deed(other);
        world.clock.advance(SLOW);
        drop(held);
    };
    tokio::join!(world.turn(), meanwhile);
}

#[tokio::test]
async fn an_edit_that_comes_while_the_other_system_is_slow_to_answer_is_not_written_over() {
    for target in Side::BOTH {
        let (world, a, b) = a_pair().await;
        let (edited, written) = match target {
            Side::A => (&b, &a),
            Side::B => (&a, &b),
        };
        let source = target.other();
        world.clock.advance(Duration::from_secs(60));
        world.system(source).user_edits(edited, "city", "Lyon");
        world.clock.advance(Duration::from_secs(10));
        let writes = world.system(target).writes();
        world.hear(source, edited).await;
        turn_while(&world, source, |system| {
            system.user_edits(written, "city", "Turin");
        })
        .await;
        assert_eq!(text(&world, target, written, "city"), "Turin");
        world.rest().await;
        for (side, id) in [(Side::A, &a), (Side::B, &b)] {
            assert_eq!(text(&world, side, id, "city"), "Turin", "{side}");
        }
        assert_eq!(world.system(target).writes(), writes, "{target}");
        assert_eq!(world.questions().await, []);
        world.judge(1).await;
    }
}

#[tokio::test]
async fn a_record_that_goes_while_the_other_system_is_slow_to_answer_is_not_written_to() {
    let (world, a, b) = a_pair().await;
    world.clock.advance(Duration::from_secs(60));
    world.a.user_edits(&a, "city", "Lyon");
    let writes = world.b.writes();
    world.hear(Side::A, &a).await;
    turn_while(&world, Side::A, |system| system.user_deletes(&b)).await;
    assert_eq!(world.b.writes(), writes);
    let story = world.ledger.story();
    assert!(
        !story.contains(&format!("is asked to update {b}")),
        "{story}"
    );
}
