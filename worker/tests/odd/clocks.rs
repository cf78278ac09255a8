//! Systems whose clock nobody believes: their times decide nothing, and all the rest goes on.

use std::time::Duration;

use tandem_connectors::ClockDoubt;
use tandem_domain::Side;
use tandem_runtime::Archived;
use tandem_store::{ChangeFilter, JobKind};

use super::pairs::{ANN, TALENTS, text};
use crate::world::system::oddities::Oddities;
use crate::world::{World, policy};

const A_WHILE: Duration = Duration::from_secs(30);
/// How far off such a clock says that it is.
const YEARS_MICROS: i64 = 3 * 365 * 86_400 * 1_000_000;

/// A pair whose note was edited on both sides, on the preferred side first.
async fn edited_on_both(clock_doubt: Option<ClockDoubt>) -> (World, [String; 2]) {
    let of_a = Oddities {
        clock_doubt,
        ..Oddities::default()
    };
    let ends = ((TALENTS, of_a), (TALENTS, Oddities::default()));
    let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
    let here = world.a.user_creates(&ANN);
    world.first_sync().await;
    let there = world.b.about("ann@x.example").remove(0);
    world.clock.advance(A_WHILE);
    world.a.user_edits(&here, "note", "earlier, in a");
    world.clock.advance(A_WHILE);
    world.b.user_edits(&there, "note", "later, in b");
    world.hear(Side::A, &here).await;
    world.hear(Side::B, &there).await;
    world.rest().await;
    let notes = [(Side::A, &here), (Side::B, &there)];
    let notes = notes.map(|(side, id)| text(&world, side, id, "note"));
    (world, notes)
}

#[tokio::test]
async fn where_the_clock_of_a_side_is_not_believed_the_preferred_side_wins_and_the_log_says_why() {
    let doubts = [
        ClockDoubt::Jumps,
        ClockDoubt::FarOff(YEARS_MICROS),
        ClockDoubt::FarOff(-YEARS_MICROS),
    ];
    for doubt in doubts {
        let (world, notes) = edited_on_both(Some(doubt)).await;
        assert_eq!(notes, ["earlier, in a"; 2], "{doubt:?}");
        let filter = ChangeFilter {
            limit: 100,
            ..ChangeFilter::default()
        };
        let changes = world.store.changes(&filter).await.expect("changes");
        let says = |part: &str| {
            changes
                .iter()
                .any(|change| format!("{change:?}").contains(part))
        };
        assert!(
            says("no time of edit on both sides; side a is preferred"),
            "{changes:?}"
        );
    }
}

#[tokio::test]
async fn where_both_clocks_are_believed_the_later_edit_wins() {
    let (_, notes) = edited_on_both(None).await;
    assert_eq!(notes, ["later, in b"; 2]);
}

#[tokio::test]
async fn a_poll_finds_every_change_of_a_system_whose_clock_is_not_believed() {
    for doubt in [ClockDoubt::Jumps, ClockDoubt::FarOff(YEARS_MICROS)] {
        let odd = Oddities {
            clock_doubt: Some(doubt),
            ..Oddities::default()
        };
        let ends = ((TALENTS, Oddities::default()), (TALENTS, odd));
        let world = World::odd(1, policy(), ends.0, ends.1, Archived::Gone).await;
        let here = world.a.user_creates(&ANN);
        world.first_sync().await;
        let there = world.b.about("ann@x.example").remove(0);
        for note in ["first", "second", "third"] {
            world.clock.advance(A_WHILE);
            world.b.user_edits(&there, "note", note);
            let sync = world.sync.clone();
            let side = Side::B;
            world.enqueue(JobKind::Poll { sync, side }).await;
            world.rest().await;
            assert_eq!(text(&world, Side::A, &here, "note"), note, "{doubt:?}");
        }
    }
}
