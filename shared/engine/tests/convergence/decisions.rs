//! What is decided for single fields and records, one case each.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{BaseValue, Fields, Side, Timestamp, Value};
use tandem_engine::{
    Between, ConflictPolicy, Contest, Creates, DeletePolicies, DeletePolicy, Direction, Gone,
    LinkFate, Presence, Ruled, SideResult, Snapshot, SyncPolicy, View, WriteOp, plan, settle,
};

use crate::pair::{Edit, Habit, Pair, pair, policy};

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn edit(pair: &mut Pair, side: Side, field: usize, text: &str, at: i64) {
    let edit = Edit {
        on_a: side == Side::A,
        field,
        text: text.into(),
        sync_after: false,
    };
    pair.edit(&edit, at);
}

#[test]
fn the_later_edit_wins_and_the_loser_is_named() {
    let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    edit(&mut pair, Side::A, 0, "old", 5);
    edit(&mut pair, Side::B, 0, "new", 9);
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
        Presence::Here(Snapshot {
            fields,
            edited_at,
            seen_at: BTreeMap::new(),
            unseen_at: BTreeMap::new(),
            covered: BTreeMap::new(),
        })
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
fn a_value_that_was_seen_before_is_no_later_edit_however_late_its_record_was_changed() {
    let policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    let named = |name: &str, at: i64, seen: Option<i64>| {
        let seen = seen.map(|seen| ("name".to_owned(), Timestamp::from_micros(seen)));
        Presence::Here(Snapshot {
            fields: Fields::from([("name".to_owned(), text(name))]),
            edited_at: Some(Timestamp::from_micros(at)),
            seen_at: seen.into_iter().collect(),
            unseen_at: BTreeMap::new(),
            covered: BTreeMap::new(),
        })
    };
    let chosen = |seen| {
        let view = View {
            base: None,
            a: &named("from a", 9, seen),
            b: &named("from b", 5, None),
            ruled: &Ruled::default(),
        };
        plan(&policy, view).decisions.remove(0).chosen
    };
    assert_eq!(chosen(None), text("from a"));
    assert_eq!(chosen(Some(3)), text("from b"));
    assert_eq!(chosen(Some(7)), text("from a"), "seen after the other edit");
}

#[test]
fn a_manual_conflict_waits_while_other_fields_flow_and_a_ruling_ends_it() {
    let policy = policy(Direction::Both, ConflictPolicy::Manual);
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    for (side, field, value) in [(Side::A, 0, "x"), (Side::B, 0, "y"), (Side::A, 1, "mail")] {
        edit(&mut pair, side, field, value, 1);
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
fn a_field_of_which_a_person_is_to_say_which_value_is_right_waits_whatever_the_policy_says() {
    let policy = policy(Direction::AToB, ConflictPolicy::LastWriteWins);
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    let ruled = Ruled {
        asked: BTreeSet::from(["name".to_owned()]),
        ..Ruled::default()
    };
    let plan_of = |pair: &Pair, ruled: &Ruled| {
        let (a, b) = (pair.a.presence(), pair.b.presence());
        let view = View {
            base: pair.base.as_ref(),
            a: &a,
            b: &b,
            ruled,
        };
        plan(&policy, view)
    };
    assert!(plan_of(&pair, &ruled).is_empty(), "nothing has changed");
    edit(&mut pair, Side::A, 0, "older", 5);
    let waits = plan_of(&pair, &ruled);
    assert_eq!((waits.questions.len(), waits.writes.len()), (1, 0));
    let answered = Ruled {
        fields: BTreeMap::from([("name".to_owned(), Side::A)]),
        ..ruled
    };
    let written = plan_of(&pair, &answered);
    assert_eq!((written.questions.len(), written.writes.len()), (0, 1));
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
    edit(&mut pair, Side::A, 0, "ours", 1);
    let plan = pair.plan(&policy);
    let (before_a, before_b) = (pair.a.fields.clone(), pair.b.fields.clone());
    let write = plan
        .write_to(Side::B)
        .expect("side b is written")
        .fields
        .clone();
    pair.b.write(&write);
    edit(&mut pair, Side::B, 1, "theirs", 2);
    edit(&mut pair, Side::B, 0, "newer", 2);
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
            former: None,
            met: false,
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
            seen_at: BTreeMap::new(),
            unseen_at: BTreeMap::new(),
            covered: BTreeMap::new(),
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

#[test]
fn what_a_late_delete_of_ours_took_is_made_again_and_where_that_cannot_be_a_person_is_asked() {
    let mut policy = policy(Direction::Both, ConflictPolicy::LastWriteWins);
    policy.deletes.a_gone = DeletePolicy::Propagate;
    let mut pair = pair(Habit::AsIs);
    pair.carry_out(&policy, false);
    let b = pair.b.presence();
    let why = "our delete may have landed late".to_owned();
    let ruled = Ruled {
        taken_by_us: Some(why.clone()),
        ..Ruled::default()
    };
    let plan_of = |policy: &SyncPolicy, gone: Gone| {
        let view = View {
            base: pair.base.as_ref(),
            a: &Presence::Gone(gone),
            b: &b,
            ruled: &ruled,
        };
        plan(policy, view)
    };
    let made = plan_of(&policy, Gone::Deleted);
    assert_eq!(made.writes[0].op, WriteOp::Create);
    assert_eq!((made.writes[0].side, made.link), (Side::A, LinkFate::Keep));
    assert!(made.decisions.iter().all(|one| one.reason == why));
    // One that is archived is still there.
    let archived = plan_of(&policy, Gone::Archived);
    policy.creates = Creates::B;
    for asked in [archived, plan_of(&policy, Gone::Deleted)] {
        assert_eq!(asked.writes[0].op, WriteOp::Delete);
        assert_eq!(asked.held.as_ref(), Some(&why));
    }
    // Who leaves records alone is not asked about deleting them.
    policy.deletes.a_gone = DeletePolicy::Ignore;
    let left = plan_of(&policy, Gone::Deleted);
    assert_eq!((left.writes.len(), left.link), (0, LinkFate::Retire));
}
