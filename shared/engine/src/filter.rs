//! Which records take part. Poll, sweep, webhook, plan and verify all ask here, so that none of them can tell another
//! story than the others.

use std::collections::BTreeSet;

use tandem_domain::{Fields, Side, Value};

use crate::equality::same;
use crate::policy::{Equality, SyncPolicy};

/// Why a filter leaves a record out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilteredBy {
    /// The field of the record's stream that the filter looks at.
    pub field: String,
    /// What the record holds there, which is none of the values that take part.
    pub value: Value,
}

/// Whether a record takes part, as far as an answer of its system says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The filter that leaves it out, if what the answer does not show is empty.
    pub filtered: Option<FilteredBy>,
    /// Whether that hangs on a field of which the answer says nothing: the record must be read by its id before
    /// anything is concluded.
    pub is_unclear: bool,
}

impl Part {
    /// As of a reading by its id: what that does not show is empty.
    #[must_use]
    pub fn of_whole(self) -> Self {
        Self {
            is_unclear: false,
            ..self
        }
    }

    /// Whether it takes part. `false` also where that is not clear and an empty field would be left out.
    #[must_use]
    pub const fn takes(&self) -> bool {
        self.filtered.is_none()
    }

    /// Whether it may take part: one of which too little is shown is not left out for that.
    #[must_use]
    pub const fn may_take(&self) -> bool {
        self.is_unclear || self.filtered.is_none()
    }
}

/// Asks the filters of a side about a record. `fields` are those of its stream, `hidden` the ones of which the answer
/// says nothing.
#[must_use]
pub fn part(policy: &SyncPolicy, side: Side, fields: &Fields, hidden: &BTreeSet<String>) -> Part {
    let mut part = Part::default();
    for filter in policy.filters.iter().filter(|filter| filter.side == side) {
        let value = fields.get(&filter.field).unwrap_or(&Value::Null);
        let is_hidden = hidden.contains(&filter.field);
        let is_value = |one: &Value| same(Equality::Exact, one, value);
        let matches = filter.any_of.iter().any(is_value);
        if !matches && !is_hidden {
            // What is shown is enough to leave it out, whatever else is hidden.
            return Part {
                filtered: Some(by(&filter.field, value)),
                is_unclear: false,
            };
        }
        part.is_unclear |= is_hidden;
        if !matches && part.filtered.is_none() {
            part.filtered = Some(by(&filter.field, value));
        }
    }
    part
}

fn by(field: &str, value: &Value) -> FilteredBy {
    FilteredBy {
        field: field.to_owned(),
        value: value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Filter;
    use crate::{Ambiguous, ConflictPolicy, Creates, DeletePolicies};

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    fn policy(filters: &[(&str, &[Value])]) -> SyncPolicy {
        let filters = filters.iter().map(|(field, any_of)| Filter {
            side: Side::A,
            field: (*field).to_owned(),
            any_of: any_of.to_vec(),
        });
        SyncPolicy {
            fields: Vec::new(),
            match_keys: Vec::new(),
            creates: Creates::Both,
            conflict: ConflictPolicy::LastWriteWins,
            prefer: Side::A,
            deletes: DeletePolicies::default(),
            ambiguous: Ambiguous::Hold,
            filters: filters.collect(),
        }
    }

    fn asked(policy: &SyncPolicy, fields: &[(&str, &str)], hidden: &[&str]) -> Part {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), text(value)))
            .collect();
        let hidden = hidden.iter().map(|name| (*name).to_owned()).collect();
        part(policy, Side::A, &fields, &hidden)
    }

    #[test]
    fn a_record_takes_part_if_every_filter_of_its_side_has_its_value() {
        let both = policy(&[
            ("kind", &[text("customer"), text("lead")]),
            ("city", &[text("Ghent")]),
        ]);
        assert!(asked(&both, &[("kind", "lead"), ("city", "Ghent")], &[]).takes());
        let other = asked(&both, &[("kind", "supplier"), ("city", "Ghent")], &[]);
        assert_eq!(
            other.filtered,
            Some(FilteredBy {
                field: "kind".to_owned(),
                value: text("supplier"),
            })
        );
        let side_b = part(&both, Side::B, &Fields::new(), &BTreeSet::new());
        assert!(
            side_b.takes(),
            "the filters of side a say nothing of side b"
        );
    }

    #[test]
    fn a_filter_finds_its_value_in_each_unicode_form() {
        let filter = policy(&[("kind", &[text("soci\u{e9}t\u{e9}")])]);
        assert!(asked(&filter, &[("kind", "socie\u{301}te\u{301}")], &[]).takes());
    }

    #[test]
    fn a_field_that_an_answer_does_not_show_leaves_nothing_out_before_it_is_read() {
        let filter = policy(&[("kind", &[text("customer")])]);
        let listed = asked(&filter, &[], &["kind"]);
        assert!(listed.is_unclear && listed.may_take());
        let read = listed.of_whole();
        assert!(!read.may_take(), "read by its id, it is empty");
        let empty_takes_part = policy(&[("kind", &[Value::Null])]);
        assert!(asked(&empty_takes_part, &[], &["kind"]).of_whole().takes());
    }

    #[test]
    fn what_is_shown_is_enough_to_leave_a_record_out() {
        let both = policy(&[("kind", &[text("customer")]), ("city", &[text("Ghent")])]);
        let shown = asked(&both, &[("city", "Bruges")], &["kind"]);
        assert!(!shown.may_take());
        assert_eq!(shown.filtered.expect("a reason").field, "city");
    }
}
