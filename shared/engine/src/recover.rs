//! What became of writes whose end nobody knows: the answer was lost, or the process died.
//!
//! What was sent and stands there now is ours, also in the form that the system gave it: by the older base it would look
//! like an edit of that side, and could win over one that a person has made since. What was sent and is not there yet may
//! still be under way: nothing else is written over it until it can no longer arrive.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{BaseValue, Fields, Side, Value};

use crate::equality::same;
use crate::form::is_form_of;
use crate::plan::WriteOp;
use crate::policy::{FieldRule, SyncPolicy};

/// A write in the journal whose end is not known, to a record that is known.
#[derive(Clone, Copy, Debug)]
pub struct OpenWrite<'a> {
    /// The side written.
    pub side: Side,
    /// What it does; a create is looked for elsewhere.
    pub op: WriteOp,
    /// The mapped fields that it writes.
    pub fields: &'a Fields,
    /// What stood in them before, as far as the base does not say.
    pub before: &'a Fields,
    /// Whether it was sent, or about to be.
    pub was_sent: bool,
    /// Whether the request may still be on its way.
    pub under_way: bool,
    /// Whether the record was last changed at a time when this write may have changed it.
    pub at_its_time: bool,
    /// Whether the system has said yes, and only showed nothing of it when it was read back.
    pub answered: bool,
}

/// What is seen of a record.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// It holds this.
    Here(&'a Fields),
    /// It is gone, or out of use.
    Gone,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It took effect.
    Confirmed,
    /// It had no effect, and will have none.
    Failed,
    /// It had no effect yet.
    UnderWay,
}

/// Finds out what became of a write, by the record as it is now.
#[must_use]
pub fn recover(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    write: OpenWrite<'_>,
    seen: Seen<'_>,
) -> Recovered {
    let took_effect = match (write.op, seen) {
        (WriteOp::Delete, Seen::Gone) => true,
        (WriteOp::Create | WriteOp::Update, Seen::Here(fields)) => {
            let mut rules = written(policy, write.fields);
            let stands = |rule: &FieldRule| standing(rule, base, write, fields);
            // A system may drop some of the fields; a write lands whole, so that one value is new says that it did.
            rules.clone().all(|(rule, _)| stands(rule).is_some())
                || rules.any(|(rule, _)| {
                    let known = known(rule, base, write);
                    stands(rule)
                        .is_some_and(|found| known.is_some_and(|k| !same(rule.equality, k, &found)))
                })
        }
        (WriteOp::Delete, Seen::Here(_)) | (WriteOp::Create | WriteOp::Update, Seen::Gone) => false,
    };
    match (write.was_sent, took_effect) {
        (true, true) => Recovered::Confirmed,
        (true, false) if write.under_way => Recovered::UnderWay,
        (true | false, _) => Recovered::Failed,
    }
}

/// What both sides were last known to agree on: the base, and beyond it what was written since without an answer.
#[must_use]
pub fn base_with<'w>(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    writes: impl IntoIterator<Item = (OpenWrite<'w>, Seen<'w>)>,
) -> BTreeMap<String, BaseValue> {
    let mut now = base.clone();
    let mut written_to: BTreeSet<(&str, Side)> = BTreeSet::new();
    for (write, seen) in writes {
        let Seen::Here(fields) = seen else { continue };
        if write.op != WriteOp::Update || !write.was_sent {
            continue;
        }
        for (rule, sent) in written(policy, write.fields) {
            if let Some(stands) = standing(rule, base, write, fields) {
                // The same value was written to both sides: what the other has made of it stays known.
                let is_on_both = written_to.contains(&(rule.name.as_str(), write.side.other()));
                written_to.insert((&rule.name, write.side));
                if let Some(known) = now.get_mut(&rule.name).filter(|_| is_on_both)
                    && same(rule.equality, known.side(write.side), sent)
                {
                    known.set(write.side, stands);
                    continue;
                }
                let (a, b) = match write.side {
                    Side::A => (stands, sent.clone()),
                    Side::B => (sent.clone(), stands),
                };
                now.insert(rule.name.clone(), BaseValue { a, b });
            }
        }
    }
    now
}

/// What a record holds of somebody's, in the fields that a write whose end is not known may still go over: neither what
/// stood there before nor what was written. A delete goes over all of them.
#[must_use]
pub fn edited_under(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    write: OpenWrite<'_>,
    fields: &Fields,
) -> Fields {
    let is_at_risk = |rule: &&FieldRule| match write.op {
        WriteOp::Update => write.fields.contains_key(&rule.name),
        WriteOp::Delete => true,
        WriteOp::Create => false,
    };
    let edited = |rule: &FieldRule| {
        let found = fields.get(&rule.name).cloned().unwrap_or_default();
        let known = known(rule, base, write)?;
        let stood = write.before.get(&rule.name).unwrap_or(known);
        let is_known = [known, stood]
            .iter()
            .any(|one| same(rule.equality, one, &found));
        let is_edit = !is_known && standing(rule, base, write, fields).is_none();
        is_edit.then(|| (rule.name.clone(), found))
    };
    let rules = policy.fields.iter().filter(is_at_risk);
    rules
        .filter(|_| write.was_sent)
        .filter_map(edited)
        .collect()
}

/// Whether what stands in a field is there because of a write whose end is not known.
#[must_use]
pub fn stands_because_of(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    write: OpenWrite<'_>,
    (field, fields): (&str, &Fields),
) -> bool {
    let is_sent = write.was_sent && write.op == WriteOp::Update;
    let rule = policy.rule(field).filter(|_| is_sent);
    rule.is_some_and(|rule| standing(rule, base, write, fields).is_some())
}

fn written<'a>(
    policy: &'a SyncPolicy,
    fields: &'a Fields,
) -> impl Iterator<Item = (&'a FieldRule, &'a Value)> + Clone {
    policy
        .fields
        .iter()
        .filter_map(|rule| Some((rule, fields.get(&rule.name)?)))
}

/// What stands in a field because of a write: the value, or its form. `None` when something else does.
fn standing(
    rule: &FieldRule,
    base: &BTreeMap<String, BaseValue>,
    write: OpenWrite<'_>,
    fields: &Fields,
) -> Option<Value> {
    let sent = write.fields.get(&rule.name)?;
    let found = fields.get(&rule.name).cloned().unwrap_or_default();
    if same(rule.equality, sent, &found) {
        return Some(found);
    }
    // What stood there before is no form of what was sent, even if it looks like one.
    let known = known(rule, base, write)?;
    // An empty field is rather somebody's edit than a form.
    let stood = write.before.get(&rule.name).unwrap_or(known);
    if found.is_null()
        || [known, stood]
            .iter()
            .any(|one| same(rule.equality, one, &found))
    {
        return None;
    }
    // What was answered and shows late is what the system made of it, whatever it looks like. Whatever stands where
    // nothing was sent may be a default. In both only the time speaks against an edit.
    let is_form = match (write.answered, sent.is_null()) {
        (true, _) if write.at_its_time => true,
        (_, true) => write.at_its_time,
        (_, false) => is_form_of(&found, sent),
    };
    is_form.then_some(found)
}

/// What stood in a field before a write.
fn known<'a>(
    rule: &FieldRule,
    base: &'a BTreeMap<String, BaseValue>,
    write: OpenWrite<'a>,
) -> Option<&'a Value> {
    match base.get(&rule.name) {
        Some(base) => Some(base.side(write.side)),
        None => write.before.get(&rule.name),
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::FieldType;

    use super::*;
    use crate::policy::{Ambiguous, ConflictPolicy, Creates, DeletePolicies, Direction, Equality};

    fn policy() -> SyncPolicy {
        SyncPolicy {
            fields: vec![FieldRule {
                name: "note".into(),
                a: "note".into(),
                b: "note".into(),
                field_type: FieldType::Text,
                direction: Direction::Both,
                equality: Equality::Exact,
                conflict: None,
                transforms: vec![],
            }],
            match_keys: vec![],
            creates: Creates::Both,
            conflict: ConflictPolicy::LastWriteWins,
            prefer: Side::A,
            deletes: DeletePolicies::default(),
            ambiguous: Ambiguous::Hold,
            filters: vec![],
        }
    }

    fn note(text: &str) -> Fields {
        Fields::from([("note".to_owned(), Value::Text(text.to_owned()))])
    }

    fn agreed_on(text: &str) -> BTreeMap<String, BaseValue> {
        let value = Value::Text(text.to_owned());
        let base = BaseValue {
            a: value.clone(),
            b: value,
        };
        BTreeMap::from([("note".to_owned(), base)])
    }

    static NOTHING: std::sync::OnceLock<Fields> = std::sync::OnceLock::new();

    fn update(fields: &Fields) -> OpenWrite<'_> {
        OpenWrite {
            side: Side::B,
            op: WriteOp::Update,
            fields,
            before: NOTHING.get_or_init(Fields::new),
            was_sent: true,
            under_way: true,
            at_its_time: false,
            answered: false,
        }
    }

    #[test]
    fn what_was_sent_and_stands_there_is_ours_also_in_the_systems_form() {
        let (base, sent) = (agreed_on("old"), note("a long note of many words"));
        for stands in ["a long note of many words", "a long note of"] {
            let found = note(stands);
            let write = update(&sent);
            let became = recover(&policy(), &base, write, Seen::Here(&found));
            assert_eq!(became, Recovered::Confirmed, "{stands}");
            let now = base_with(&policy(), &base, [(write, Seen::Here(&found))]);
            assert_eq!(now["note"].a, sent["note"]);
            assert_eq!(now["note"].b, found["note"]);
        }
    }

    #[test]
    fn of_a_value_that_was_written_to_both_sides_both_forms_are_known() {
        let (base, sent) = (agreed_on("old"), note("a long note of many words"));
        let cut = note("a long note of");
        let to_b = update(&sent);
        let to_a = OpenWrite {
            side: Side::A,
            ..to_b
        };
        let writes = [(to_a, Seen::Here(&cut)), (to_b, Seen::Here(&sent))];
        for writes in [writes, [writes[1], writes[0]]] {
            let now = base_with(&policy(), &base, writes);
            assert_eq!(
                (&now["note"].a, &now["note"].b),
                (&cut["note"], &sent["note"])
            );
        }
    }

    #[test]
    fn what_stood_there_when_it_was_decided_is_no_form_of_it_though_the_base_is_older() {
        let (base, sent, before) = (agreed_on("old"), note("Acme Ltd."), note("Acme Ltd"));
        let write = OpenWrite {
            before: &before,
            ..update(&sent)
        };
        let became = recover(&policy(), &base, write, Seen::Here(&before));
        assert_eq!(became, Recovered::UnderWay);
        let now = base_with(&policy(), &base, [(write, Seen::Here(&before))]);
        assert_eq!(now, base);
    }

    #[test]
    fn before_both_ever_agreed_a_form_is_told_from_what_stood_there() {
        let (sent, cut) = (note("a long note of many words"), note("a long note of"));
        let other = note("other");
        let (nothing, seen) = (BTreeMap::new(), Seen::Here(&cut));
        let over = |before| OpenWrite {
            before,
            ..update(&sent)
        };
        let became = |before| recover(&policy(), &nothing, over(before), seen);
        assert_eq!(became(&other), Recovered::Confirmed);
        assert_eq!(became(&cut), Recovered::UnderWay);
    }

    #[test]
    fn what_was_answered_and_shows_late_is_ours_whatever_it_looks_like() {
        let (base, sent, found) = (agreed_on("old"), note("DE"), note("Germany"));
        let seen = Seen::Here(&found);
        for (answered, at_its_time) in [(true, false), (false, true), (true, true)] {
            let write = OpenWrite {
                answered,
                at_its_time,
                ..update(&sent)
            };
            let now = base_with(&policy(), &base, [(write, seen)]);
            let is_ours = now["note"].b == found["note"];
            assert_eq!(is_ours, answered && at_its_time);
        }
    }

    #[test]
    fn a_default_is_the_form_of_nothing_where_the_time_says_so() {
        let (base, found) = (agreed_on("old"), note("none"));
        let sent = Fields::from([("note".to_owned(), Value::Null)]);
        let write = update(&sent);
        let seen = Seen::Here(&found);
        assert_eq!(recover(&policy(), &base, write, seen), Recovered::UnderWay);
        let in_time = OpenWrite {
            at_its_time: true,
            ..write
        };
        let became = recover(&policy(), &base, in_time, seen);
        assert_eq!(became, Recovered::Confirmed);
        let now = base_with(&policy(), &base, [(in_time, seen)]);
        assert_eq!(
            (&now["note"].a, &now["note"].b),
            (&Value::Null, &found["note"])
        );
    }

    #[test]
    fn a_write_of_which_the_system_dropped_a_field_took_effect() {
        let both = |name: &str, other: &str| {
            let value = |text: &str| Value::Text(text.to_owned());
            Fields::from([
                ("note".to_owned(), value(name)),
                ("city".to_owned(), value(other)),
            ])
        };
        let mut policy = policy();
        let mut city = policy.fields[0].clone();
        city.name = "city".into();
        policy.fields.push(city);
        let (sent, found) = (both("new", "Ghent"), both("new", "old"));
        let mut base = agreed_on("old");
        base.insert("city".to_owned(), base["note"].clone());
        let became = recover(&policy, &base, update(&sent), Seen::Here(&found));
        assert_eq!(became, Recovered::Confirmed);
        let untouched = both("old", "old");
        let became = recover(&policy, &base, update(&sent), Seen::Here(&untouched));
        assert_eq!(became, Recovered::UnderWay);
    }

    #[test]
    fn what_is_not_there_yet_is_under_way_until_it_can_no_longer_arrive() {
        let (base, sent, found) = (agreed_on("old"), note("new"), note("old"));
        let write = update(&sent);
        let seen = Seen::Here(&found);
        assert_eq!(recover(&policy(), &base, write, seen), Recovered::UnderWay);
        let late = OpenWrite {
            under_way: false,
            ..write
        };
        assert_eq!(recover(&policy(), &base, late, seen), Recovered::Failed);
        assert_eq!(base_with(&policy(), &base, [(write, seen)]), base);
    }

    #[test]
    fn what_was_never_sent_has_failed_even_if_the_value_stands_there() {
        let (base, sent) = (agreed_on("old"), note("new"));
        let planned = OpenWrite {
            was_sent: false,
            ..update(&sent)
        };
        assert_eq!(
            recover(&policy(), &base, planned, Seen::Here(&sent)),
            Recovered::Failed
        );
    }

    #[test]
    fn another_value_is_an_edit_and_an_old_one_that_begins_alike_is_not_ours() {
        let sent = note("a long note of many words");
        let edited = note("something else");
        let seen = Seen::Here(&edited);
        assert_eq!(
            base_with(&policy(), &agreed_on("old"), [(update(&sent), seen)]),
            agreed_on("old")
        );
        let before = note("a long note");
        let became = recover(
            &policy(),
            &agreed_on("a long note"),
            update(&sent),
            Seen::Here(&before),
        );
        assert_eq!(became, Recovered::UnderWay);
    }
}
