//! Fields that a system says nothing of any more. A person may have emptied them, where a system leaves out what is
//! empty; or its answers hold less than they did, because rights were narrowed, or a field was renamed or hidden.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{BaseValue, Fields, Side, Value};

use crate::policy::{Direction, SyncPolicy};

static NO_VALUE: Value = Value::Null;

/// The mapped fields of one side whose value would go because the record's answer leaves them out, with the value that
/// stands if it does not: what both last agreed on; without that, for a field of which this side is the authority, what
/// the other record holds.
#[must_use]
pub fn emptied(
    policy: &SyncPolicy,
    base: &BTreeMap<String, BaseValue>,
    side: Side,
    left_out: &BTreeSet<String>,
    own: &Fields,
    other: Option<&Fields>,
) -> Fields {
    let rules = policy.fields.iter();
    let rules = rules.filter(|rule| left_out.contains(&rule.name));
    let gone = rules.filter_map(|rule| {
        let found = own.get(&rule.name).unwrap_or(&NO_VALUE);
        let is_authority = matches!(
            (rule.direction, side),
            (Direction::AToB, Side::A) | (Direction::BToA, Side::B)
        );
        let stands = match base.get(&rule.name) {
            Some(base) => base.side(side),
            None if is_authority => other?.get(&rule.name)?,
            None => return None,
        };
        holds_less(found, stands).then(|| (rule.name.clone(), stands.clone()))
    });
    gone.collect()
}

/// Whether a value that was read only in part lacks something that stood there.
fn holds_less(found: &Value, stood: &Value) -> bool {
    match (found, stood) {
        (Value::Null, stood) => !stood.is_null(),
        // One of the parts of a text, such as a last name.
        (Value::Text(found), Value::Text(stood)) => {
            found.split_whitespace().count() < stood.split_whitespace().count()
        }
        (Value::Lines(found), Value::Lines(stood)) => {
            filled(stood).any(|name| !filled(found).any(|other| other == name))
        }
        _ => false,
    }
}

/// The fields that have a value in any of these lines.
fn filled(lines: &[Fields]) -> impl Iterator<Item = &str> {
    let fields = lines.iter().flatten();
    fields
        .filter(|(_, value)| !value.is_null())
        .map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use tandem_domain::FieldType;

    use super::*;
    use crate::policy::{Ambiguous, ConflictPolicy, Creates, DeletePolicies, Equality, FieldRule};

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn policy(direction: Direction) -> SyncPolicy {
        let rule = FieldRule {
            name: "note".to_owned(),
            a: "note".to_owned(),
            b: "note".to_owned(),
            field_type: FieldType::Text,
            direction,
            equality: Equality::Exact,
            conflict: None,
            transforms: vec![],
        };
        SyncPolicy {
            fields: vec![rule],
            match_keys: vec![],
            creates: Creates::Both,
            conflict: ConflictPolicy::LastWriteWins,
            prefer: Side::A,
            deletes: DeletePolicies::default(),
            ambiguous: Ambiguous::Hold,
            filters: vec![],
        }
    }

    fn gone(
        direction: Direction,
        base: Option<Value>,
        found: Value,
        other: Value,
    ) -> Option<Value> {
        let name = "note".to_owned();
        let fields = |value| Fields::from([(name.clone(), value)]);
        let base = base.map(|a| BaseValue { a, b: text("of b") });
        let base = base.map(|base| (name.clone(), base)).into_iter().collect();
        let left_out = BTreeSet::from([name.clone()]);
        let (own, other) = (fields(found), fields(other));
        let policy = policy(direction);
        let mut gone = emptied(&policy, &base, Side::A, &left_out, &own, Some(&other));
        let nothing = BTreeSet::new();
        assert!(emptied(&policy, &base, Side::A, &nothing, &own, Some(&other)).is_empty());
        gone.remove("note")
    }

    #[test]
    fn a_value_that_both_agreed_on_is_gone_when_its_member_is() {
        let both = Direction::Both;
        let known = || Some(text("known"));
        assert_eq!(gone(both, known(), Value::Null, text("x")), known());
        assert_eq!(gone(both, Some(Value::Null), Value::Null, text("x")), None);
        assert_eq!(
            gone(both, None, Value::Null, text("x")),
            None,
            "nobody knows"
        );
    }

    #[test]
    fn an_authority_that_says_nothing_takes_nothing_from_the_other_side() {
        let gone = |direction| gone(direction, None, Value::Null, text("theirs"));
        assert_eq!(gone(Direction::AToB), Some(text("theirs")));
        assert_eq!(gone(Direction::BToA), None);
    }

    #[test]
    fn a_part_that_is_missing_is_told_from_an_edit() {
        let both = Direction::Both;
        let name = || Some(text("Ada Byron"));
        assert_eq!(gone(both, name(), text("Ada"), Value::Null), name());
        assert_eq!(
            gone(both, Some(text("Cher")), text("Sher"), Value::Null),
            None
        );
        let line = |price: Value| {
            Fields::from([("sku".to_owned(), text("1")), ("price".to_owned(), price)])
        };
        let lines = |price: Value| Value::Lines(vec![line(price.clone()), line(price)]);
        let priced = Some(lines(text("5")));
        assert_eq!(
            gone(both, priced.clone(), lines(Value::Null), Value::Null),
            priced
        );
        let unpriced = lines(Value::Null);
        assert_eq!(
            gone(both, Some(unpriced.clone()), unpriced, Value::Null),
            None
        );
    }
}
