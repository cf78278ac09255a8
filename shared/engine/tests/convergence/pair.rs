//! Two systems with habits of their own, and the plans that are carried out between them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tandem_domain::{BaseValue, FieldType, Fields, Side, Timestamp, Value};
use tandem_engine::{
    Ambiguous, Between, ConflictPolicy, Creates, DeletePolicies, Direction, Equality, FieldRule,
    Plan, Presence, Ruled, SideResult, Snapshot, SyncPolicy, View, plan, settle,
};

pub const NAMES: [&str; 3] = ["name", "email", "limit"];

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

pub fn policy(direction: Direction, conflict: ConflictPolicy) -> SyncPolicy {
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
pub enum Habit {
    AsIs,
    UpperCase,
    DropsEmail,
}

#[derive(Clone, Debug)]
pub struct System {
    pub fields: Fields,
    pub edited_at: i64,
    pub habit: Habit,
    pub writes: usize,
}

impl System {
    pub fn write(&mut self, fields: &Fields) {
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

    pub fn presence(&self) -> Presence {
        Presence::Here(Snapshot {
            fields: self.fields.clone(),
            edited_at: Some(Timestamp::from_micros(self.edited_at)),
            seen_at: BTreeMap::new(),
            unseen_at: BTreeMap::new(),
            covered: BTreeMap::new(),
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

pub struct Pair {
    pub a: System,
    pub b: System,
    pub base: Option<BTreeMap<String, BaseValue>>,
}

impl Pair {
    pub fn plan(&self, policy: &SyncPolicy) -> Plan {
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

    pub fn carry_out(&mut self, policy: &SyncPolicy, atomic: bool) -> Plan {
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
            former: None,
            met: false,
        };
        let result_b = SideResult {
            before: Some(&before_b),
            sent: sent(Side::B),
            after: Some(&self.b.fields),
            between: between(atomic),
            guarded: atomic,
            former: None,
            met: false,
        };
        self.base = Some(settle(policy, self.base.as_ref(), &plan, result_a, result_b).base);
        plan
    }

    pub fn edit(&mut self, edit: &Edit, at: i64) {
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
pub struct Edit {
    pub on_a: bool,
    pub field: usize,
    pub text: String,
    pub sync_after: bool,
}

pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
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

pub fn pair(habit: Habit) -> Pair {
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

pub fn live_through(pair: &mut Pair, policy: &SyncPolicy, edits: &[Edit], atomic: bool) {
    for (at, edit) in edits.iter().enumerate() {
        pair.edit(edit, at as i64 + 1);
        if edit.sync_after {
            pair.carry_out(policy, atomic);
        }
    }
}
