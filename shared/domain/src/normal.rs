//! Texts that a reader cannot tell apart: Unicode writes "é" as one character (form C) or as an "e" with an accent that is
//! put on it (form D). Some systems keep the one, some the other, and some what they are told. For Tandem they are one text.
//!
//! Only what is canonically equal is made alike. "ﬁ" and "fi", or "²" and "2", are two texts.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A text in the form in which texts are compared and written (NFC).
#[must_use]
pub fn normal(text: &str) -> Cow<'_, str> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// A text with every accent apart (NFD), or nothing where that is the same as its normal form.
#[must_use]
pub fn decomposed(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let apart: String = text.nfd().collect();
    (apart != normal(text)).then_some(apart)
}

/// Whether two texts differ in nothing but their normal form.
#[must_use]
pub fn is_same_text(left: &str, right: &str) -> bool {
    left == right || !(left.is_ascii() && right.is_ascii()) && normal(left) == normal(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_in_each_normal_form() {
        let forms = [
            "Z\u{fc}rich \u{c5}",
            "Zu\u{308}rich A\u{30a}",
            "Zu\u{308}rich \u{212b}",
        ];
        for left in forms {
            assert_eq!(normal(left), forms[0]);
            assert_eq!(decomposed(left).as_deref(), Some(forms[1]));
            for right in forms {
                assert!(is_same_text(left, right), "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn texts_that_only_look_alike_stay_apart() {
        for (left, right) in [
            ("\u{fb01}n", "fin"),
            ("m\u{b2}", "m2"),
            ("Zurich", "Z\u{fc}rich"),
        ] {
            assert!(!is_same_text(left, right), "{left} {right}");
        }
        assert_eq!(decomposed("plain"), None);
        assert_eq!(decomposed("\u{df}"), None, "it has no accent to take apart");
    }
}
