//! The names of filters and tests in an expression.

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `value|name`.
    Filter,
    /// `value is name`.
    Test,
}

/// All of them, in their order. Texts in quotation marks are passed over.
pub(super) fn of(source: &str) -> Vec<(Kind, &str)> {
    let mut found = Vec::new();
    let mut expected = None;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        if is_word(first) {
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            expected = match (expected, word) {
                (Some(Kind::Test), "not") => Some(Kind::Test),
                (Some(kind), name) => {
                    found.push((kind, name));
                    None
                }
                (None, "is") => Some(Kind::Test),
                (None, _) => None,
            };
            rest = after;
            continue;
        }
        rest = match first {
            '"' | '\'' => past_text(rest, first),
            _ => &rest[first.len_utf8()..],
        };
        expected = match first {
            '|' => Some(Kind::Filter),
            _ if first.is_whitespace() => expected,
            _ => None,
        };
    }
    found
}

/// What follows a text in quotation marks.
fn past_text(text: &str, mark: char) -> &str {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == mark => return &text[at + letter.len_utf8()..],
            _ => {}
        }
    }
    ""
}
