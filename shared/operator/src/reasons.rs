//! What a person gives as a reason, in a sentence or two.

/// A character that is no part of a sentence, if there is one: it steers terminals and logs, and some storages keep
/// none of them.
pub(crate) fn no_sentence(reason: &str) -> Option<String> {
    let control = reason
        .chars()
        .find(|c| c.is_control() && !matches!(c, '\n' | '\t'))?;
    Some(format!(
        "the reason holds the control character {}",
        control.escape_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::no_sentence;

    #[test]
    fn a_control_character_is_no_part_of_a_reason() {
        for reason in ["a\0b", "a\u{1b}[2Jb", "a\rb", "a\u{9b}b"] {
            assert!(no_sentence(reason).is_some(), "{reason:?}");
        }
        assert_eq!(no_sentence("Größe, 東京\n\tand a second line"), None);
    }
}
