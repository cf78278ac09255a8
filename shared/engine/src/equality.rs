//! When two canonical values are the same.

use rust_decimal::{Decimal, RoundingStrategy};
use tandem_domain::{Fields, Value, is_same_text, normal};

use crate::policy::Equality;

/// Whether `left` and `right` count as the same under `equality`. In which Unicode form a text stands never makes a
/// difference.
#[must_use]
pub fn same(equality: Equality, left: &Value, right: &Value) -> bool {
    if left == right || is_same_in_normal_form(left, right) {
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

/// What is read is in normal form already (see [`crate::mapped`]); what was stored by an earlier Tandem is as it came.
fn is_same_in_normal_form(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => is_same_text(left, right),
        (Value::Lines(left), Value::Lines(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| are_same_lines(a, b))
        }
        _ => false,
    }
}

fn are_same_lines(left: &Fields, right: &Fields) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|((name, left), (other, right))| {
                name == other && (left == right || is_same_in_normal_form(left, right))
            })
}

/// A text without differences of case, white space and Unicode form, for comparing only.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(normal(word).chars().flat_map(char::to_lowercase));
    }
    // A letter in lower case may have other accents to join than the same in upper case.
    normal(&folded).into_owned()
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
    fn a_text_in_another_unicode_form_is_the_same_under_every_equality() {
        let (joined, apart) = ("Caf\u{e9} Z\u{fc}rich", "Cafe\u{301} Zu\u{308}rich");
        let lines =
            |name: &str| Value::Lines(vec![Fields::from([("name".to_owned(), text(name))])]);
        for equality in [Equality::Exact, Equality::Folded, Equality::Decimals(2)] {
            assert!(same(equality, &text(joined), &text(apart)), "{equality:?}");
            assert!(
                same(equality, &lines(joined), &lines(apart)),
                "{equality:?}"
            );
            assert!(!same(equality, &text("Cafe"), &text(apart)), "{equality:?}");
        }
        assert!(same(
            Equality::Folded,
            &text("CAFE\u{301}  Z\u{dc}RICH"),
            &text(joined)
        ));
    }

    #[test]
    fn a_variant_of_an_ideograph_is_another_text_under_every_equality() {
        let (variant, plain) = (text("\u{fa1b}\u{7530}"), text("\u{798f}\u{7530}"));
        for equality in [Equality::Exact, Equality::Folded, Equality::Decimals(2)] {
            assert!(!same(equality, &variant, &plain), "{equality:?}");
        }
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
