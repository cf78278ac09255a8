//! Whether a value can be what a system made of another: cut, escaped, rounded, dropped, put in place of nothing.
//!
//! A system that is read back a moment after a write may show our value in its own form, or what somebody typed in
//! that moment. Nothing but the values tells the two apart, so this errs on the side of a form: a form that is
//! taken for an edit is written over the original, while an edit that is taken for a form stays where it was typed,
//! and a person is told.

use rust_decimal::Decimal;
use tandem_domain::{Value, canonical};

/// Texts shorter than this say too little to be a cut form of a longer one.
const CUT_CHARS_MIN: usize = 3;

/// Whether `kept` can be what a system made of `sent`.
#[must_use]
pub fn is_form_of(kept: &Value, sent: &Value) -> bool {
    // Dropped, or a default in place of nothing.
    if kept.is_null() || sent.is_null() {
        return true;
    }
    if let (Some(kept), Some(sent)) = (number(kept), number(sent)) {
        return is_rounded(kept, sent);
    }
    let (kept, sent) = (letters(&kept.to_string()), letters(&sent.to_string()));
    let is_cut = |short: &str, long: &str| {
        short.chars().count() >= CUT_CHARS_MIN && (long.starts_with(short) || long.ends_with(short))
    };
    kept == sent || is_cut(&kept, &sent) || is_cut(&sent, &kept)
}

/// Whether a value is what a system may have made of another by itself, and a person hardly would: cut, rounded, escaped,
/// or spelt otherwise. Nothing is added to it. Where one of the two is nothing, this does not tell.
#[must_use]
pub fn is_reduced_form_of(kept: &Value, from: &Value) -> bool {
    if kept.is_null() || from.is_null() || kept == from {
        return false;
    }
    if number(kept).is_some() && number(from).is_some() {
        return is_form_of(kept, from);
    }
    let [is_longer, is_same] = {
        let (kept, from) = (letters(&kept.to_string()), letters(&from.to_string()));
        [kept.chars().count() > from.chars().count(), kept == from]
    };
    is_same || !is_longer && is_form_of(kept, from)
}

fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(number) => Some(*number),
        Value::Integer(number) => Some(Decimal::from(*number)),
        Value::Money(money) => Some(money.amount),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Null
        | Value::Boolean(_)
        | Value::Date(_)
        | Value::Instant(_)
        | Value::Reference(_)
        | Value::Lines(_) => None,
    }
}

/// Whether a number is another with fewer decimal places, rounded or cut.
fn is_rounded(kept: Decimal, sent: Decimal) -> bool {
    let step = Decimal::new(1, kept.normalize().scale());
    let apart = (kept - sent).abs();
    kept.normalize().scale() <= sent.normalize().scale() && apart < step
}

/// What is left of a text when case, spaces, punctuation, the usual escapes and its Unicode form are taken away.
fn letters(text: &str) -> String {
    // An accent that stands apart is no letter, and would be taken away.
    let mut plain = canonical(&canonical(text).to_lowercase()).into_owned();
    for (escape, character) in ESCAPES {
        plain = plain.replace(escape, character);
    }
    let mut letters = String::with_capacity(plain.len());
    let mut in_tag = false;
    for character in plain.chars() {
        match character {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if !in_tag && character.is_alphanumeric() => letters.push(character),
            _ => {}
        }
    }
    letters
}

/// Twice, because some systems escape what is escaped already.
const ESCAPES: [(&str, &str); 12] = [
    ("&amp;", "&"),
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&apos;", "'"),
    ("&#39;", "'"),
    ("&#039;", "'"),
    ("&#x27;", "'"),
    ("&#34;", "\""),
    ("&nbsp;", " "),
    ("\\n", " "),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.parse().expect("a number"))
    }

    #[test]
    fn a_value_that_was_cut_escaped_folded_rounded_dropped_or_filled_in_is_a_form() {
        for (kept, sent) in [
            (
                text("Llanfairpwllgwyngyll"),
                text("Llanfairpwllgwyngyllgogerychwyrndrobwll"),
            ),
            (text("Smith &amp; Sons"), text("Smith & Sons")),
            (text("Smith &amp;amp; Sons"), text("Smith &amp; Sons")),
            (text("O&#39;Brien"), text("O'Brien")),
            (text("ACME LTD"), text("Acme Ltd")),
            (text("CAFE\u{301}"), text("Caf\u{e9}")),
            (text("Cafe\u{301}"), text("Caf\u{e9} Z\u{fc}rich")),
            (text("\u{798f}\u{7530}"), text("\u{fa1b}\u{7530}")),
            (text("+4930123456"), text("+49 (30) 123-456")),
            (text("two lines"), text("two\nlines")),
            (Value::Null, text("dropped")),
            (text("n/a"), Value::Null),
            (decimal("10.35"), decimal("10.3456")),
            (decimal("10.34"), decimal("10.3456")),
            (decimal("10"), decimal("10.3456")),
            (text("2.1"), text("02.129")),
        ] {
            assert!(is_form_of(&kept, &sent), "{kept} of {sent}");
        }
    }

    #[test]
    fn a_reduced_form_has_nothing_added() {
        for (kept, from) in [
            (text("Smith &amp; Sons"), text("Smith & Sons")),
            (text("Ibm"), text("IBM")),
            (text("third note,"), text("third note, typed")),
            (decimal("10.3"), decimal("10.3456")),
        ] {
            assert!(is_reduced_form_of(&kept, &from), "{kept} of {from}");
        }
        for (kept, from) in [
            (text("Acme Limited"), text("Acme")),
            (text("Ghent"), text("Bruges")),
            (text("same"), text("same")),
            (Value::Null, text("Acme")),
            (text("Acme"), Value::Null),
            (decimal("12"), decimal("10.3456")),
        ] {
            assert!(!is_reduced_form_of(&kept, &from), "{kept} of {from}");
        }
    }

    #[test]
    fn another_value_is_no_form() {
        for (kept, sent) in [
            (text("Ghent"), text("Bruges")),
            (text("Anna"), text("Berta")),
            (decimal("12"), decimal("10.3456")),
            (decimal("10.3457"), decimal("10.3")),
            (Value::Boolean(true), Value::Boolean(false)),
        ] {
            assert!(!is_form_of(&kept, &sent), "{kept} of {sent}");
        }
    }
}
