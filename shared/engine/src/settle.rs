//! What both sides are known to hold once a plan was carried out: the new base.
//!
//! The base may only move to values that were seen *and decided upon*. A person can edit a record between our reading
//! and our reading back; if the base took over whatever was read back, that edit would never be seen as one. So fields
//! that were not written keep the value of the first reading. A field that was written and reads back as something
//! else is our value in that system's form (cut, escaped, rounded, dropped, filled in), unless something speaks for
//! an edit: the form is taken into the base of that side, the source keeps what it has, and a person is told once.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, Fields, Side, Value};

use crate::equality::same;
use crate::form::{is_form_of, is_reduced_form_of};
use crate::plan::Plan;
use crate::policy::{FieldRule, SyncPolicy};

/// Whether somebody edited a record between a write of ours and the reading that shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Between {
    /// For certain nobody: the reading came with the answer to the write, or the record's times say so.
    Nobody,
    /// Nobody knows.
    #[default]
    Unknown,
    /// Nobody knows, and there was time enough for it: only what looks like a form of our value is one.
    Perhaps,
    /// Somebody did: the record's times say so.
    Somebody,
}

/// What happened on one side.
#[derive(Clone, Copy, Debug, Default)]
pub struct SideResult<'a> {
    /// The mapped fields at the first reading; `None` when there was no record.
    pub before: Option<&'a Fields>,
    /// The mapped fields that were written; `None` when nothing was.
    pub sent: Option<&'a Fields>,
    /// The mapped fields as read back.
    pub after: Option<&'a Fields>,
    /// What may have happened before `after` was read.
    pub between: Between,
    /// Whether the system would have refused the write had the record changed since the first reading.
    pub guarded: bool,
    /// By field, what the record held before, as far as the journal says. A system may save with our write what it remembers of
    /// the record.
    pub former: Option<&'a BTreeMap<String, Vec<Value>>>,
    /// Whether a create of ours met a record that stood there: what it holds beside our values is somebody's.
    pub met: bool,
}

/// A value that a system took and did not keep.
#[derive(Clone, Debug, PartialEq)]
pub struct NotKept {
    /// The side.
    pub side: Side,
    /// The mapped field.
    pub field: String,
    /// What was written.
    pub sent: Value,
    /// What the system has.
    pub kept: Value,
}

/// The state after a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// The new base.
    pub base: BTreeMap<String, BaseValue>,
    /// What side a is known to hold; its checksum tells an echo from an edit.
    pub known_a: Fields,
    /// What side b is known to hold.
    pub known_b: Fields,
    /// Values that were not kept.
    pub not_kept: Vec<NotKept>,
    /// Whether something read back differs from what is known: plan again.
    pub moved: bool,
}

impl Settled {
    /// What one side is known to hold.
    #[must_use]
    pub const fn known(&self, side: Side) -> &Fields {
        match side {
            Side::A => &self.known_a,
            Side::B => &self.known_b,
        }
    }
}

/// Works out the new base.
#[must_use]
pub fn settle(
    policy: &SyncPolicy,
    old: Option<&BTreeMap<String, BaseValue>>,
    plan: &Plan,
    a: SideResult<'_>,
    b: SideResult<'_>,
) -> Settled {
    let mut settled = Settled::default();
    let ends = [End::new(policy, Side::A, a), End::new(policy, Side::B, b)];
    for rule in &policy.fields {
        let name = &rule.name;
        if ends.iter().any(|end| end.stood_there(rule)) {
            // As of two records that are compared for the first time, nothing is agreed on yet.
            let [known_a, known_b] = ends.each_ref().map(|end| end.before(rule));
            settled
                .known_a
                .insert(name.clone(), known_a.unwrap_or_default());
            settled
                .known_b
                .insert(name.clone(), known_b.unwrap_or_default());
            settled.moved = true;
            continue;
        }
        let [known_a, known_b] = ends.each_ref().map(|end| end.known(rule, &mut settled));
        if plan
            .questions
            .iter()
            .any(|question| question.field == *name)
        {
            if let Some(base) = old.and_then(|old| old.get(name)) {
                settled.base.insert(name.clone(), base.clone());
            }
        } else {
            settled.base.insert(
                name.clone(),
                BaseValue {
                    a: known_a.clone(),
                    b: known_b.clone(),
                },
            );
        }
        settled.known_a.insert(name.clone(), known_a);
        settled.known_b.insert(name.clone(), known_b);
    }
    settled
}

/// One side of a plan that was carried out.
struct End<'a> {
    side: Side,
    result: SideResult<'a>,
    /// Whether a field that was not written reads back as another value: somebody edits at this moment.
    others_moved: bool,
}

impl<'a> End<'a> {
    fn new(policy: &SyncPolicy, side: Side, result: SideResult<'a>) -> Self {
        let others_moved = match (result.before, result.sent, result.after) {
            (Some(before), Some(sent), Some(after)) => policy
                .fields
                .iter()
                .filter(|rule| !sent.contains_key(&rule.name))
                .any(|rule| !same(rule.equality, &value(before, rule), &value(after, rule))),
            _ => false,
        };
        Self {
            side,
            result,
            others_moved,
        }
    }

    /// The value that the side is known to have in one field.
    fn known(&self, rule: &FieldRule, settled: &mut Settled) -> Value {
        let Some(after) = self.result.after.map(|after| value(after, rule)) else {
            return self.before(rule).unwrap_or_default();
        };
        match (self.before(rule), self.sent(rule)) {
            // It was made by a create, and this field is not ours to write: what it holds is for the other side.
            (None, None) if !rule.direction.writes(self.side) => {
                settled.moved |= !after.is_null();
                Value::Null
            }
            // Made by a create that had no value for it: a default is the system's form of nothing.
            (None, None) => self.written(rule, Value::Null, None, after, settled),
            (before, Some(sent)) => self.written(rule, sent, before, after, settled),
            (Some(before), None) if self.is_side_effect(rule, &before, &after) => {
                settled.not_kept.push(NotKept {
                    side: self.side,
                    field: rule.name.clone(),
                    sent: before,
                    kept: after.clone(),
                });
                after
            }
            (Some(before), None) => {
                settled.moved |= !same(rule.equality, &after, &before);
                before
            }
        }
    }

    /// Whether a record that a create met holds what stood there, and no form of our value.
    fn stood_there(&self, rule: &FieldRule) -> bool {
        let Some(after) = self.result.after.map(|after| value(after, rule)) else {
            return false;
        };
        let sent = self.sent(rule).unwrap_or_default();
        let is_form = !sent.is_null() && is_form_of(&after, &sent);
        self.result.met
            && rule.direction.writes(self.side)
            && !same(rule.equality, &after, &sent)
            && !is_form
    }

    /// Whether the write changed a field that it did not name: some systems clear or fill in others. That is no edit,
    /// and the other side keeps what it has. A value that is worked out for the other side to take is one, though; and
    /// where nothing guards the write, somebody may have typed a value in the moment before it.
    fn is_side_effect(&self, rule: &FieldRule, before: &Value, after: &Value) -> bool {
        // Many systems save a record whole, and cut, escape or spell anew whatever is in it.
        let is_reduced = after.is_null() || is_reduced_form_of(after, before);
        let is_made_by_saving = is_reduced || self.is_former(rule, after);
        let is_ours = match self.result.between {
            Between::Nobody => self.result.guarded || is_made_by_saving,
            Between::Unknown => is_made_by_saving,
            Between::Perhaps | Between::Somebody => false,
        };
        is_ours
            && rule.direction.writes(self.side)
            && self.result.sent.is_some()
            && !same(rule.equality, after, before)
    }

    /// Whether a field shows again what it held before the edit that was last carried over.
    fn is_former(&self, rule: &FieldRule, after: &Value) -> bool {
        let former = self.result.former.and_then(|former| former.get(&rule.name));
        former.is_some_and(|former| former.iter().any(|one| same(rule.equality, one, after)))
    }

    fn before(&self, rule: &FieldRule) -> Option<Value> {
        self.result.before.map(|before| value(before, rule))
    }

    fn sent(&self, rule: &FieldRule) -> Option<Value> {
        self.result
            .sent
            .and_then(|sent| sent.get(&rule.name))
            .cloned()
    }

    /// The value of a field that was written: as sent, or in the form that the system gave it; the value that was
    /// sent where somebody has typed another since, so that the next plan sees an edit.
    fn written(
        &self,
        rule: &FieldRule,
        sent: Value,
        before: Option<Value>,
        after: Value,
        settled: &mut Settled,
    ) -> Value {
        if same(rule.equality, &after, &sent) {
            return after;
        }
        let is_unchanged = before.is_some_and(|before| same(rule.equality, &after, &before));
        if !is_unchanged && self.is_edit(&sent, &after) {
            settled.moved = true;
            return sent;
        }
        settled.not_kept.push(NotKept {
            side: self.side,
            field: rule.name.clone(),
            sent,
            kept: after.clone(),
        });
        after
    }

    fn is_edit(&self, sent: &Value, after: &Value) -> bool {
        let looks_like_a_form = is_form_of(after, sent);
        match self.result.between {
            Between::Nobody => false,
            Between::Unknown => self.others_moved && !looks_like_a_form,
            Between::Perhaps => !looks_like_a_form,
            // What stands where nothing was sent may be a default; but somebody was there.
            Between::Somebody => !looks_like_a_form || sent.is_null(),
        }
    }
}

fn value(fields: &Fields, rule: &FieldRule) -> Value {
    fields.get(&rule.name).cloned().unwrap_or_default()
}
