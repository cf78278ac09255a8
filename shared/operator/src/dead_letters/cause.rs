//! The cause that many dead letters share: the innermost message without ids, numbers and times.

use tandem_store::Failure;

/// Longer causes are cut; the start says it.
const CAUSE_CHARS_MAX: usize = 160;

/// The root cause of a failure, without what differs from case to case.
#[must_use]
pub(super) fn cause_of(failure: Option<&Failure>) -> String {
    let message = failure
        .and_then(|failure| failure.chain.last())
        .map_or("no failure was recorded", String::as_str);
    generalise(message)
}

/// Replaces every word with a digit in it by `#`.
pub(super) fn generalise(message: &str) -> String {
    let mut general = String::new();
    let mut rest = message;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(word);
        if head.bytes().any(|byte| byte.is_ascii_digit()) {
            general.push('#');
        } else {
            general.push_str(head);
        }
        let gap = tail.find(is_word).unwrap_or(tail.len());
        general.push_str(&tail[..gap]);
        rest = &tail[gap..];
    }
    general.chars().take(CAUSE_CHARS_MAX).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_case_to_case_is_taken_out() {
        assert_eq!(
            generalise("books refused contact 7f3a-22: e-mail `a2@b.c` is taken"),
            "books refused contact #: e-mail `#@b.c` is taken"
        );
    }

    #[test]
    fn the_innermost_message_counts() {
        let failure = Failure {
            code: tandem_domain::ErrorCode::Refused,
            chain: vec!["the write failed".to_owned(), "VAT 12 is wrong".to_owned()],
        };
        assert_eq!(cause_of(Some(&failure)), "VAT # is wrong");
    }
}
