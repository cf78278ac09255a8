//! Properties of the engine: whatever people edit on both sides, carrying out plans brings the sides
//! into agreement, a further plan is empty, and a read-only side is never written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tandem_domain::{BaseValue, FieldType, Fields, Side, Timestamp, Value};
use tandem_engine::{
    Ambiguous, Between, ConflictPolicy, Contest, Creates, DeletePolicies, Direction, Equality,
    FieldRule, Gone, LinkFate, Plan, Presence, Ruled, SideResult, Snapshot, SyncPolicy, View,
    WriteOp, plan, settle,
};

const NAMES: [&str; 3] = ["name", "email", "limit"];

fn rule(name: &str, direction: Direction, equality: Equality) -> FieldRule {
    FieldRule {
        name: name.into(),
        a: name.into(),
        b: name.into(),
        field_type: FieldType::Text,
        direction,
        equality,
        conflict: None,
        transforms: vec![],
    }
}

fn policy(direction: Direction, conflict: ConflictPolicy) -> SyncPolicy {
    SyncPolicy {
        fields: NAMES
            .iter()
            .map(|name| rule(name, direction, Equality::Exact))
            .collect(),
        match_keys: vec![vec!["email".into()]],
        creates: Creates::Both,
        conflict,
        prefer: Side::A,
        deletes: DeletePolicies::default(),
        ambiguous: Ambiguous::Hold,
        filters: vec![],
    }
}

/// How a system stores what it is given.
#[derive(Clone, Copy, Debug)]
enum Habit {
    AsIs,
    UpperCase,
    DropsEmail,
}

#[derive(Clone, Debug)]
struct System {
    fields: Fields,
    edited_at: i64,
    habit: Habit,
    writes: usize,
}

impl System {
    fn write(&mut self, fields: &Fields) {
        self.writes += 1;
        for (name, value) in fields {
            let stored = match (self.habit, value) {
                (Habit::UpperCase, Value::Text(text)) => Value::Text(text.to_uppercase()),
                (Habit::DropsEmail, _) if name == "email" => continue,
                _ => value.clone(),
            };
            self.fields.insert(name.clone(), stored);
        }
    }

    fn presence(&self) -> Presence {
        Presence::Here(Snapshot {
            fields: self.fields.clone(),
            edited_at: Some(Timestamp::from_micros(self.edited_at)),
        })
    }
}

fn between(atomic: bool) -> Between {
    if atomic {
        Between::Nobody
    } else {
        Between::Unknown
    }
}

struct Pair {
    a: System,
    b: System,
    base: Option<BTreeMap<String, BaseValue>>,
}

impl Pair {
    fn plan(&self, policy: &SyncPolicy) -> Plan {
        let (a, b) = (self.a.presence(), self.b.presence());
        plan(
            policy,
            View {
                base: self.base.as_ref(),
                a: &a,
                b: &b,
                ruled: &Ruled::default(),
            },
        )
    }

    fn carry_out(&mut self, policy: &SyncPolicy, atomic: bool) -> Plan {
        let plan = self.plan(policy);
        let (before_a, before_b) = (self.a.fields.clone(), self.b.fields.clone());
        for write in &plan.writes {
            match write.side {
                Side::A => self.a.write(&write.fields),
                Side::B => self.b.write(&write.fields),
            }
        }
        let sent = |side| plan.write_to(side).map(|write| &write.fields);
        let result_a = SideResult {
            before: Some(&before_a),
            sent: sent(Side::A),
            after: Some(&self.a.fields),
            between: between(atomic),
            guarded: atomic,
        };
        let result_b = SideResult {
            before: Some(&before_b),
            sent: sent(Side::B),
            after: Some(&self.b.fields),
            between: between(atomic),
            guarded: atomic,
        };
        self.base = Some(settle(policy, self.base.as_ref(), &plan, result_a, result_b).base);
        plan
    }

    fn edit(&mut self, edit: &Edit, at: i64) {
        let system = if edit.on_a { &mut self.a } else { &mut self.b };
        let value = if edit.text.is_empty() {
            Value::Null
        } else {
            Value::Text(edit.text.clone())
        };
        let value = match (system.habit, value) {
            (Habit::UpperCase, Value::Text(text)) => Value::Text(text.to_uppercase()),
            (_, value) => value,
        };
        system.fields.insert(NAMES[edit.field].into(), value);
        system.edited_at = at;
    }
}

#[derive(Clone, Debug)]
struct Edit {
    on_a: bool,
    field: usize,
    text: String,
    sync_after: bool,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = (
        any::<bool>(),
        0..NAMES.len(),
        "[a-cA-C]{0,2}",
        any::<bool>(),
    )
        .prop_map(|(on_a, field, text, sync_after)| Edit {
            on_a,
            field,
            text,
            sync_after,
        });
    prop::collection::vec(edit, 0..24)
}

fn pair(habit: Habit) -> Pair {
    let system = |habit| System {
        fields: Fields::new(),
        edited_at: 0,
        habit,
        writes: 0,
    };
    Pair {
        a: system(Habit::AsIs),
        b: system(habit),
        base: None,
    }
}

fn live_through(pair: &mut Pair, policy: &SyncPolicy, edits: &[Edit], atomic: bool) {
    for (at, edit) in edits.iter().enumerate() {
        pair.edit(edit, at as i64 + 1);
        if edit.sync_after {
            pair.carry_out(policy, atomic);
        }
    }
}

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

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn the_later_edit_wins_and_the_loser_is_named() {
    let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    pair.edit(
        &Edit {
            on_a: true,
            field: 0,
            text: "old".into(),
            sync_after: false,
        },
        5,
    );
    pair.edit(
        &Edit {
            on_a: false,
            field: 0,
            text: "new".into(),
            sync_after: false,
        },
        9,
    );
    let plan = pair.carry_out(&policy, false);
    assert_eq!(pair.a.fields["name"], text("new"));
    assert_eq!(plan.decisions[0].lost, Some(text("old")));
    assert!(
        plan.decisions[0].reason.contains("later edit"),
        "{}",
        plan.decisions[0].reason
    );
}

#[test]
fn a_contest_that_was_decided_is_not_decided_anew_between_the_same_values() {
    let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    let named = |name: &str, at: i64| {
        let fields = Fields::from([("name".to_owned(), text(name))]);
        let edited_at = Some(Timestamp::from_micros(at));
        Presence::Here(Snapshot { fields, edited_at })
    };
    let base = BTreeMap::from([(
        "name".to_owned(),
        BaseValue {
            a: text("old"),
            b: text("old"),
        },
    )]);
    let contest = Contest {
        a: text("from a"),
        b: text("from b"),
        winner: Side::A,
        reason: "the later edit wins".to_owned(),
    };
    let ruled = Ruled {
        contests: BTreeMap::from([("name".to_owned(), contest)]),
        ..Ruled::default()
    };
    // A write of ours to another field has moved the time of b since.
    let chosen = |a: &Presence| {
        let view = View {
            base: Some(&base),
            a,
            b: &named("from b", 9),
            ruled: &ruled,
        };
        plan(&policy, view).decisions.remove(0).chosen
    };
    assert_eq!(chosen(&named("from a", 5)), text("from a"));
    assert_eq!(
        chosen(&named("another", 5)),
        text("from b"),
        "another contest"
    );
}

#[test]
fn a_manual_conflict_waits_while_other_fields_flow_and_a_ruling_ends_it() {
    let policy = policy(Direction::Both, ConflictPolicy::Manual);
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    for (on_a, field, value) in [(true, 0, "x"), (false, 0, "y"), (true, 1, "mail")] {
        pair.edit(
            &Edit {
                on_a,
                field,
                text: value.into(),
                sync_after: false,
            },
            1,
        );
    }
    let first = pair.carry_out(&policy, false);
    assert_eq!(first.questions.len(), 1);
    assert_eq!(
        (&pair.a.fields["name"], &pair.b.fields["name"]),
        (&text("x"), &text("y"))
    );
    assert_eq!(pair.b.fields["email"], text("mail"));
    assert_eq!(pair.plan(&policy).questions.len(), 1, "it stays contested");

    let (a, b) = (pair.a.presence(), pair.b.presence());
    let ruled = Ruled {
        fields: BTreeMap::from([("name".to_owned(), Side::B)]),
        ..Ruled::default()
    };
    let plan = plan(
        &policy,
        View {
            base: pair.base.as_ref(),
            a: &a,
            b: &b,
            ruled: &ruled,
        },
    );
    assert_eq!(
        plan.write_to(Side::A).expect("side a is written").fields["name"],
        text("y")
    );
}

#[test]
fn a_value_that_an_operator_gives_goes_to_both_sides_and_then_rests() {
    let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    let ruled = Ruled {
        values: BTreeMap::from([("name".to_owned(), text("given"))]),
        ..Ruled::default()
    };
    let plan_of = |pair: &Pair| {
        let (a, b) = (pair.a.presence(), pair.b.presence());
        let view = View {
            base: pair.base.as_ref(),
            a: &a,
            b: &b,
            ruled: &ruled,
        };
        plan(&policy, view)
    };
    let given = plan_of(&pair);
    for side in Side::BOTH {
        let write = given.write_to(side).expect("both sides are written");
        assert_eq!(
            write.fields,
            BTreeMap::from([("name".to_owned(), text("given"))])
        );
    }
    for fields in [&mut pair.a.fields, &mut pair.b.fields] {
        fields.insert("name".to_owned(), text("given"));
    }
    assert_eq!(plan_of(&pair).writes, Vec::new());
}

#[test]
fn an_edit_during_the_write_is_seen_by_the_next_plan() {
    let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    pair.edit(
        &Edit {
            on_a: true,
            field: 0,
            text: "ours".into(),
            sync_after: false,
        },
        1,
    );
    let plan = pair.plan(&policy);
    let (before_a, before_b) = (pair.a.fields.clone(), pair.b.fields.clone());
    let write = plan
        .write_to(Side::B)
        .expect("side b is written")
        .fields
        .clone();
    pair.b.write(&write);
    pair.edit(
        &Edit {
            on_a: false,
            field: 1,
            text: "theirs".into(),
            sync_after: false,
        },
        2,
    );
    pair.edit(
        &Edit {
            on_a: false,
            field: 0,
            text: "newer".into(),
            sync_after: false,
        },
        2,
    );
    let settled = settle(
        &policy,
        pair.base.as_ref(),
        &plan,
        SideResult {
            before: Some(&before_a),
            ..SideResult::default()
        },
        SideResult {
            before: Some(&before_b),
            sent: Some(&write),
            after: Some(&pair.b.fields),
            between: Between::Unknown,
            guarded: false,
        },
    );
    assert!(settled.moved);
    pair.base = Some(settled.base);
    pair.carry_out(&policy, false);
    assert_eq!(pair.a.fields["email"], text("theirs"));
    assert_eq!(pair.a.fields["name"], text("newer"));
}

#[test]
fn an_edit_beats_a_delete_and_an_untouched_record_follows_it() {
    use tandem_engine::DeletePolicy;
    let mut policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    policy.deletes = DeletePolicies {
        a_gone: DeletePolicy::Propagate,
        b_gone: DeletePolicy::Ignore,
    };
    let base = BTreeMap::from([(
        "name".to_owned(),
        BaseValue {
            a: text("x"),
            b: text("x"),
        },
    )]);
    let gone = Presence::Gone(Gone::Deleted);
    let here = |value: &str| {
        Presence::Here(Snapshot {
            fields: Fields::from([("name".into(), text(value))]),
            edited_at: None,
        })
    };
    let ruled = Ruled::default();
    let plan_for = |a: &Presence, b: &Presence| {
        plan(
            &policy,
            View {
                base: Some(&base),
                a,
                b,
                ruled: &ruled,
            },
        )
    };

    let untouched = plan_for(&gone, &here("x"));
    assert_eq!(untouched.writes[0].op, WriteOp::Delete);
    assert_eq!(untouched.link, LinkFate::Retire);
    let edited = plan_for(&gone, &here("y"));
    assert_eq!(
        (edited.writes[0].op, edited.writes[0].side),
        (WriteOp::Create, Side::A)
    );
    let ignored = plan_for(&here("x"), &gone);
    assert!(ignored.writes.is_empty());
    assert_eq!(ignored.link, LinkFate::Retire);
}
