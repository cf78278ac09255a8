//! When two canonical values are the same.

use rust_decimal::{Decimal, RoundingStrategy};
use tandem_domain::Value;

use crate::policy::Equality;

/// Whether `left` and `right` count as the same under `equality`.
#[must_use]
pub fn same(equality: Equality, left: &Value, right: &Value) -> bool {
    if left == right {
        return true;
    }
    match equality {
        Equality::Exact => false,
        Equality::Folded => match (left, right) {
            (Value::Text(left), Value::Text(right)) => fold(left) == fold(right),
            _ => false,
        },
        Equality::Decimals(places) => match (number(left), number(right)) {
            (Some(left), Some(right)) => round(left, places) == round(right, places),
            _ => false,
        },
    }
}

/// A text without differences of case and white space, for comparing only.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    folded
}

fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(number) => Some(*number),
        Value::Integer(number) => Some(Decimal::from(*number)),
        Value::Money(money) => Some(money.amount),
        Value::Null
        | Value::Text(_)
        | Value::Boolean(_)
        | Value::Date(_)
        | Value::Instant(_)
        | Value::Reference(_)
        | Value::Lines(_) => None,
    }
}

fn round(number: Decimal, places: u32) -> Decimal {
    number.round_dp_with_strategy(places, RoundingStrategy::MidpointNearestEven)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_domain::FieldType;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn decimal(text: &str) -> Value {
        Value::parse(FieldType::Decimal, text).expect("decimal")
    }

    #[test]
    fn folded_texts_differ_only_beyond_case_and_spaces() {
        assert!(same(
            Equality::Folded,
            &text(" ACME  Ltd"),
            &text("acme ltd ")
        ));
        assert!(!same(Equality::Folded, &text("acme"), &text("acne")));
        assert!(!same(Equality::Exact, &text("Acme"), &text("acme")));
    }

    #[test]
    fn decimals_are_compared_to_the_given_places() {
        assert!(same(
            Equality::Decimals(2),
            &decimal("1.004"),
            &decimal("1.00")
        ));
        assert!(!same(
            Equality::Decimals(2),
            &decimal("1.006"),
            &decimal("1.00")
        ));
        assert!(!same(Equality::Decimals(2), &decimal("1"), &Value::Null));
    }
}
