//! A system that was set back and whose clock nobody believes: its times say neither what was before a question nor after.

use tandem_connectors::ClockDoubt;
use tandem_store::Resolution;

use super::pairs::propagates;
use super::set_back::{EDITED, HOUR, NEW, OLD, in_lyon, linked_with, the_question};
use super::set_back_over::{TAKE, noted, resolve};
use crate::world::system::oddities::Oddities;

const DAYS_SECS: i64 = 5 * 86_400;

/// Clocks that are days ahead or behind, and why nobody believes them.
fn clocks() -> Vec<Oddities> {
    let mut clocks = Vec::new();
    for clock_ahead_secs in [DAYS_SECS, -DAYS_SECS] {
        let far_off = ClockDoubt::FarOff(clock_ahead_secs * 1_000_000);
        for doubt in [far_off, ClockDoubt::Jumps, ClockDoubt::Cached] {
            clocks.push(Oddities {
                clock_ahead_secs,
                clock_doubt: Some(doubt),
                ..Oddities::default()
            });
        }
    }
    clocks
}

#[tokio::test]
async fn an_answer_about_a_system_with_a_wrong_clock_holds_and_nothing_is_asked_again() {
    for odd in clocks() {
        for resolution in [TAKE, Resolution::Approve] {
            let (world, backup, _) = linked_with(1, propagates(), odd.clone()).await;
            world.a.restores(&backup);
            world.sweep().await;
            let question = the_question(&world).await;
            assert_eq!(question.kind.as_str(), "set_back", "{odd:?}");
            let is_taken = resolution == TAKE;
            resolve(&world, &question, resolution).await;
            world.first_sync().await;
            world.sweep().await;
            assert_eq!(
                (world.open().await, world.dead().await),
                (vec![], vec![]),
                "{odd:?}"
            );
            let expected = if is_taken {
                (OLD + NEW, EDITED)
            } else {
                (OLD, 0)
            };
            assert_eq!(
                (world.a.ids().len(), in_lyon(&world.a)),
                expected,
                "{odd:?}"
            );
            world.assert_agreement(1);
        }
    }
}

#[tokio::test]
async fn who_edits_an_old_state_in_a_system_with_a_wrong_clock_does_not_carry_it_over() {
    for odd in clocks() {
        let (world, backup, ids) = linked_with(1, propagates(), odd.clone()).await;
        world.a.restores(&backup);
        world.sweep().await;
        let question = the_question(&world).await;
        for id in &ids[..EDITED] {
            world.a.user_edits(id, "note", "typed while it was asked");
        }
        for _ in 0..2 {
            world.sweep().await;
            assert_eq!(the_question(&world).await.id, question.id, "{odd:?}");
            assert_eq!(
                (in_lyon(&world.b), noted(&world, "typed while it was asked")),
                (EDITED, 0),
                "{odd:?}"
            );
            world.clock.advance(HOUR);
        }
        resolve(&world, &question, TAKE).await;
        world.first_sync().await;
        assert_eq!(in_lyon(&world.a), EDITED, "{odd:?}");
        world.assert_agreement(1);
    }
}
