//! Properties of the engine: whatever people edit on both sides, carrying out plans brings the sides
//! into agreement, a further plan is empty, and a read-only side is never written.

mod decisions;
mod pair;

use pair::{Edit, Habit, NAMES, edits, live_through, pair, policy};
use proptest::prelude::*;
use tandem_domain::Value;
use tandem_engine::{ConflictPolicy, Direction};

proptest! {
    #[test]
    fn two_plain_systems_agree_after_one_plan_and_the_next_is_empty(edits in edits()) {
        let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
        let mut pair = pair(Habit::AsIs);
        live_through(&mut pair, &policy, &edits, false);
        pair.carry_out(&policy, false);
        for name in NAMES {
            prop_assert_eq!(pair.a.fields.get(name).cloned().unwrap_or_default(),
                pair.b.fields.get(name).cloned().unwrap_or_default());
        }
        prop_assert!(pair.plan(&policy).is_empty());
    }

    #[test]
    fn a_system_that_changes_or_drops_values_never_causes_a_write_storm(
        edits in edits(), drops in any::<bool>(), atomic in any::<bool>()
    ) {
        let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
        let mut pair = pair(if drops { Habit::DropsEmail } else { Habit::UpperCase });
        live_through(&mut pair, &policy, &edits, atomic);
        for _ in 0..3 {
            pair.carry_out(&policy, atomic);
        }
        prop_assert!(pair.plan(&policy).writes.is_empty());
        let writes = pair.a.writes + pair.b.writes;
        pair.carry_out(&policy, atomic);
        prop_assert_eq!(pair.a.writes + pair.b.writes, writes);
    }

    #[test]
    fn the_side_with_authority_is_never_written(edits in edits()) {
        let policy = policy(Direction::AToB, ConflictPolicy::LastWriteWins);
        let mut pair = pair(Habit::AsIs);
        live_through(&mut pair, &policy, &edits, false);
        pair.carry_out(&policy, false);
        prop_assert_eq!(pair.a.writes, 0);
        prop_assert!(pair.plan(&policy).is_empty());
    }

    #[test]
    fn an_edit_that_only_one_side_made_is_never_overwritten(value in "[a-z]{1,3}", other in "[a-z]{1,3}") {
        let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
        let mut pair = pair(Habit::AsIs);
        pair.carry_out(&policy, false);
        pair.edit(&Edit { on_a: true, field: 0, text: value.clone(), sync_after: false }, 1);
        pair.edit(&Edit { on_a: false, field: 1, text: other.clone(), sync_after: false }, 2);
        pair.carry_out(&policy, false);
        for system in [&pair.a, &pair.b] {
            prop_assert_eq!(&system.fields["name"], &Value::Text(value.clone()));
            prop_assert_eq!(&system.fields["email"], &Value::Text(other.clone()));
        }
    }
}
