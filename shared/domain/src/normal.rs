//! Texts that a reader cannot tell apart: Unicode writes "é" as one character (form C) or as an "e" with an accent that is
//! put on it (form D). Some systems keep the one, some the other, and some what they are told. For Tandem they are one text.
//!
//! Only what is canonically equal is made alike. "ﬁ" and "fi", or "²" and "2", are two texts. So are the compatibility
//! ideographs and the ideographs that Unicode has in their place: they are variants that readers tell apart, and that the
//! names of people are registered with (The Unicode Standard, section 23.4, "Variation Selectors"; the form is lost by NFC).

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A text in the form in which texts are compared and written: NFC, but for the variants of ideographs, which stay as they
/// are.
#[must_use]
pub fn normal(text: &str) -> Cow<'_, str> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    // Nothing before such an ideograph joins it, and no mark after it does: what lies between is in order by itself.
    for part in text.split_inclusive(is_variant) {
        let plain = part.strip_suffix(is_variant).unwrap_or(part);
        normal.extend(plain.nfc());
        normal.push_str(&part[plain.len()..]);
    }
    Cow::Owned(normal)
}

/// A text in NFC, variants of ideographs and all. Some systems keep texts so: records are found by it, and what a system
/// made of a text is told by it. No value is written so.
#[must_use]
pub fn canonical(text: &str) -> Cow<'_, str> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// The blocks "CJK Compatibility Ideographs" and its supplement.
const fn is_variant(character: char) -> bool {
    matches!(character, '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
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
    fn variants_of_ideographs_stay_as_they_were_typed() {
        for variant in ["\u{fa1b}", "\u{f9d1}", "\u{2f800}", "\u{2fa1d}"] {
            let typed = format!("{variant}\u{7530} Zu\u{308}rich {variant}");
            let written = format!("{variant}\u{7530} Z\u{fc}rich {variant}");
            assert_eq!(normal(&typed), written);
            assert_eq!(normal(&written), written, "once is enough");
            assert!(is_same_text(&typed, &written));
            assert!(!is_same_text(variant, &canonical(variant)), "{variant}");
            assert!(!is_same_text(&written, &canonical(&written)), "{variant}");
        }
        assert_eq!(canonical("\u{fa1b}"), "\u{798f}");
    }

    #[test]
    fn marks_that_follow_a_variant_of_an_ideograph_are_put_in_order_and_stay_with_it() {
        // The dot below (class 220) comes before the dot above (class 230), whichever was typed first.
        let typed = "e\u{301}\u{fa1b}\u{307}\u{323}e\u{301}";
        let written = "\u{e9}\u{fa1b}\u{323}\u{307}\u{e9}";
        assert_eq!(normal(typed), written);
        assert_eq!(normal(written), written);
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
