//! What becomes of one field of a pair: the truth table, row by row.

use tandem_domain::{BaseValue, Side, Timestamp, Value};

use super::{Contest, Decision, FieldQuestion, NO_VALUE, Snapshot, View};
use crate::equality::same;
use crate::form::is_reduced_form_of;
use crate::policy::{ConflictPolicy, Direction, FieldRule, SyncPolicy};

/// One field of a pair, on both sides and in the base.
pub(super) struct FieldView<'a> {
    rule: &'a FieldRule,
    base: Option<&'a BaseValue>,
    pub(super) a: &'a Value,
    pub(super) b: &'a Value,
    a_edited: Option<Timestamp>,
    b_edited: Option<Timestamp>,
    ruled: Option<Side>,
    is_asked: bool,
    given: Option<&'a Value>,
    contest: Option<&'a Contest>,
    covered: Option<Side>,
}

impl<'a> FieldView<'a> {
    pub(super) fn new(
        rule: &'a FieldRule,
        view: View<'a>,
        a: &'a Snapshot,
        b: &'a Snapshot,
    ) -> Self {
        Self {
            rule,
            base: view.base.and_then(|base| base.get(&rule.name)),
            a: a.fields.get(&rule.name).unwrap_or(&NO_VALUE),
            b: b.fields.get(&rule.name).unwrap_or(&NO_VALUE),
            a_edited: a.field_edited_at(&rule.name),
            b_edited: b.field_edited_at(&rule.name),
            ruled: view.ruled.fields.get(&rule.name).copied(),
            is_asked: view.ruled.asked.contains(&rule.name),
            given: view.ruled.values.get(&rule.name),
            contest: view.ruled.contests.get(&rule.name),
            covered: [(Side::A, a), (Side::B, b)]
                .into_iter()
                .find(|(_, snapshot)| is_covered(rule, snapshot))
                .map(|(side, _)| side),
        }
    }

    pub(super) fn value(&self, side: Side) -> &'a Value {
        match side {
            Side::A => self.a,
            Side::B => self.b,
        }
    }

    fn equal(&self) -> bool {
        same(self.rule.equality, self.a, self.b)
    }

    fn changed(&self, side: Side) -> bool {
        self.base
            .is_none_or(|base| !same(self.rule.equality, base.side(side), self.value(side)))
    }

    pub(super) fn question(&self) -> FieldQuestion {
        FieldQuestion {
            field: self.rule.name.clone(),
            a: self.a.clone(),
            b: self.b.clone(),
        }
    }

    fn agreed(&self, reason: &str) -> Verdict {
        Verdict::Settle(Decision {
            field: self.rule.name.clone(),
            chosen: self.a.clone(),
            from: None,
            lost: None,
            reason: reason.to_owned(),
        })
    }

    fn take(&self, from: Side, reason: String) -> Verdict {
        Verdict::Settle(Decision {
            field: self.rule.name.clone(),
            chosen: self.value(from).clone(),
            from: Some(from),
            lost: None,
            reason,
        })
    }

    /// What both had agreed on. The side with the original has it back as it was, and not in the other's form.
    fn put_back(&self, side: Side) -> Verdict {
        let (held, other) = (self.value(side), self.value(side.other()));
        let is_original = is_reduced_form_of(other, held) && !is_reduced_form_of(held, other);
        let from = if is_original { side } else { side.other() };
        match self.take(from, "both sides had agreed on it".to_owned()) {
            Verdict::Settle(decision) if is_original => Verdict::PutBack(decision, side),
            verdict => verdict,
        }
    }

    fn win(&self, from: Side, reason: String) -> Verdict {
        Verdict::Settle(Decision {
            field: self.rule.name.clone(),
            chosen: self.value(from).clone(),
            from: Some(from),
            lost: Some(self.value(from.other()).clone()),
            reason,
        })
    }
}

pub(super) enum Verdict {
    Unchanged,
    Settle(Decision),
    /// As it is settled, on this side only: what the other has is its form of that.
    PutBack(Decision, Side),
    Ask,
}

/// Whether something else stands in a field than what the record is taken to hold.
fn is_covered(rule: &FieldRule, snapshot: &Snapshot) -> bool {
    let held = snapshot.fields.get(&rule.name).unwrap_or(&NO_VALUE);
    let covered = snapshot.covered.get(&rule.name);
    covered.is_some_and(|covered| !same(rule.equality, &covered.stands, held))
}

/// Decides one field. What an earlier write of ours went over is put back, where nothing else is decided.
pub(super) fn decide(policy: &SyncPolicy, field: &FieldView<'_>) -> Verdict {
    match (decide_as_held(policy, field), field.covered) {
        (Verdict::Unchanged, Some(side)) => field.put_back(side),
        (verdict, _) => verdict,
    }
}

fn decide_as_held(policy: &SyncPolicy, field: &FieldView<'_>) -> Verdict {
    if let Some(value) = field.given
        && Side::BOTH
            .into_iter()
            .any(|side| !same(field.rule.equality, field.value(side), value))
    {
        return Verdict::Settle(given(field.rule, value));
    }
    if let (Some(side), false) = (field.ruled, field.equal()) {
        return field.win(side, format!("an operator chose side {side}"));
    }
    let is_changed = || Side::BOTH.into_iter().any(|side| field.changed(side));
    if field.is_asked && !field.equal() && is_changed() {
        return Verdict::Ask;
    }
    match field.rule.direction {
        Direction::Both => decide_two_way(policy, field),
        Direction::AToB => decide_one_way(field, Side::A),
        Direction::BToA => decide_one_way(field, Side::B),
    }
}

pub(super) fn given(rule: &FieldRule, value: &Value) -> Decision {
    Decision {
        field: rule.name.clone(),
        chosen: value.clone(),
        from: None,
        lost: None,
        reason: "an operator gave this value".to_owned(),
    }
}

fn decide_two_way(policy: &SyncPolicy, field: &FieldView<'_>) -> Verdict {
    if field.base.is_none() {
        return decide_without_base(policy, field);
    }
    match (field.changed(Side::A), field.changed(Side::B)) {
        (false, false) => Verdict::Unchanged,
        (_, _) if field.equal() => field.agreed("both sides came to the same value"),
        (true, false) => field.take(Side::A, "only side a changed".to_owned()),
        (false, true) => field.take(Side::B, "only side b changed".to_owned()),
        (true, true) => contest(policy, field, "both sides changed"),
    }
}

/// The first comparison of two records: a value beats an empty field; two values are a contest.
fn decide_without_base(policy: &SyncPolicy, field: &FieldView<'_>) -> Verdict {
    if field.equal() {
        return field.agreed("equal at first comparison");
    }
    match (field.a.is_null(), field.b.is_null()) {
        (false, true) => field.take(Side::A, "side b had no value".to_owned()),
        (true, false) => field.take(Side::B, "side a had no value".to_owned()),
        _ => contest(policy, field, "different at first comparison"),
    }
}

/// A one-way field: the authority's value is written whenever either side moved away from the base.
fn decide_one_way(field: &FieldView<'_>, authority: Side) -> Verdict {
    if field.base.is_some() && !field.changed(Side::A) && !field.changed(Side::B) {
        return Verdict::Unchanged;
    }
    if field.equal() {
        return field.agreed("both sides have the same value");
    }
    field.take(
        authority,
        format!("side {authority} is the authority of this field"),
    )
}

fn contest(policy: &SyncPolicy, field: &FieldView<'_>, what: &str) -> Verdict {
    match field.rule.conflict.unwrap_or(policy.conflict) {
        ConflictPolicy::Manual => Verdict::Ask,
        ConflictPolicy::PreferA => field.win(Side::A, format!("{what}; side a is preferred")),
        ConflictPolicy::PreferB => field.win(Side::B, format!("{what}; side b is preferred")),
        ConflictPolicy::LastWriteWins => {
            if let Some(earlier) = field.contest
                && (&earlier.a, &earlier.b) == (field.a, field.b)
            {
                return field.win(earlier.winner, earlier.reason.clone());
            }
            let (side, why) = later(policy.prefer, field.a_edited, field.b_edited);
            field.win(side, format!("{what}; {why}"))
        }
    }
}

fn later(prefer: Side, a: Option<Timestamp>, b: Option<Timestamp>) -> (Side, String) {
    match (a, b) {
        (Some(a), Some(b)) if a > b => (Side::A, format!("the later edit wins (a {a}, b {b})")),
        (Some(a), Some(b)) if b > a => (Side::B, format!("the later edit wins (b {b}, a {a})")),
        (Some(_), Some(_)) => (
            prefer,
            format!("edited at the same time; side {prefer} is preferred"),
        ),
        _ => (
            prefer,
            format!("no time of edit on both sides; side {prefer} is preferred"),
        ),
    }
}
