//! What the libraries that take requests apart say, in words for whoever calls the API: they speak of Rust's
//! types and of how they work.

use tandem_domain::suggest::full_advice;

/// What the libraries begin their messages with.
const PREFIXES: [&str; 7] = [
    "Failed to deserialize query string: ",
    "Failed to deserialize the JSON body into the target type: ",
    "Failed to deserialize form body: ",
    "Failed to parse the request body as JSON: ",
    "Failed to deserialize form: ",
    "Invalid URL: ",
    "Failed to buffer the request body: ",
];

/// What is said of what cannot be read at all.
const WHOLE: [(&str, &str); 11] = [
    (
        "Expected request with `Content-Type: application/json`",
        "send a JSON body with `Content-Type: application/json`",
    ),
    (
        "length limit exceeded",
        "the body is too long; the most is 256 KiB",
    ),
    ("EOF while parsing", "it ends too early"),
    ("expected value", "it is not JSON"),
    ("expected ident", "it is not JSON"),
    (
        "key must be a string",
        "it is not JSON: a name goes between double quotes",
    ),
    ("trailing characters", "there is something behind its end"),
    ("trailing comma", "there is a comma too many"),
    ("expected `,`", "a comma or the end is missing"),
    ("expected `:`", "a colon is missing"),
    (
        "control character",
        "a text holds a control character that is not escaped",
    ),
];

/// What is said of a value that is not a whole number.
const NOT_WHOLE: [&str; 4] = [
    "invalid digit found in string",
    "cannot parse integer from empty string",
    "number too large to fit in target type",
    "number too small to fit in target type",
];

/// Rust's words for a kind of value, and a reader's.
const KINDS: [(&str, &str); 17] = [
    ("usize", "a whole number"),
    ("u16", "a whole number"),
    ("u32", "a whole number"),
    ("u64", "a whole number"),
    ("i64", "a whole number"),
    ("integer", "the number"),
    ("floating point", "the number"),
    ("boolean", "the truth value"),
    ("string", "the text"),
    ("a string", "a text"),
    ("a borrowed string", "a text"),
    ("a sequence", "a list"),
    ("sequence", "a list"),
    ("a map", "an object"),
    ("map", "an object"),
    ("unit value", "nothing"),
    ("null", "null"),
];

/// A message in plain words.
pub fn plain(message: &str) -> String {
    let mut message = message;
    for prefix in PREFIXES {
        message = message.strip_prefix(prefix).unwrap_or(message);
    }
    let (message, place) = split_place(message);
    let (subject, said) = split_subject(message);
    let said = one_sentence(said);
    match (subject, place) {
        // Of a name that is not known the subject is the name itself.
        (Some(subject), _) if said.starts_with(&format!("`{subject}`")) => said,
        (Some(subject), _) => format!("`{subject}`: {said}"),
        (None, Some(place)) => format!("{said} ({place})"),
        (None, None) => said,
    }
}

/// `… at line 1 column 5`.
fn split_place(message: &str) -> (&str, Option<String>) {
    let Some((said, place)) = message.rsplit_once(" at line ") else {
        return (message, None);
    };
    match place.split_once(" column ") {
        Some((line, column)) => (said, Some(format!("line {line}, column {column}"))),
        None => (message, None),
    }
}

/// `limit: …`, where the name is that of a parameter or the path of a member.
fn split_subject(message: &str) -> (Option<&str>, &str) {
    let Some((subject, said)) = message.split_once(": ") else {
        return (None, message);
    };
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || "_.[]-".contains(letter);
    let named = !subject.is_empty() && subject.chars().all(is_path);
    if named {
        (Some(subject), said)
    } else {
        (None, message)
    }
}

fn one_sentence(said: &str) -> String {
    if NOT_WHOLE.iter().any(|not_whole| said.contains(not_whole)) {
        return "a whole number is expected".to_owned();
    }
    if let Some((_, plainly)) = WHOLE.iter().find(|(words, _)| said.contains(words)) {
        return (*plainly).to_owned();
    }
    if let Some(rest) = said.strip_prefix("unknown field ") {
        return unknown(rest, "is not known here");
    }
    if let Some(rest) = said.strip_prefix("unknown variant ") {
        return unknown(rest, "is not known");
    }
    if let Some(name) = said.strip_prefix("missing field ") {
        return format!("{name} is missing");
    }
    if let Some(name) = said.strip_prefix("duplicate field ") {
        return format!("{name} is given twice");
    }
    if let Some((found, wanted)) = said
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{} is expected, not {}", kind(wanted), found_kind(found));
    }
    said.to_owned()
}

/// `` `colour`, expected one of `a`, `b` ``.
fn unknown(rest: &str, what: &str) -> String {
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let name = quoted.next().unwrap_or(rest);
    let known: Vec<&str> = quoted.collect();
    if known.is_empty() {
        return format!("`{name}` {what}, and nothing can be given");
    }
    format!("`{name}` {what}{}", full_advice(name, known))
}

fn kind(words: &str) -> &str {
    let known = KINDS.iter().find(|(rust, _)| *rust == words);
    match known {
        Some((_, plainly)) => plainly,
        // A struct, an enum with a tag: what stands for it is written with braces.
        None if words.contains("struct") || words.contains("enum") => "an object",
        None => words,
    }
}

/// `string "x"`, ``integer `1` ``, `map`.
fn found_kind(words: &str) -> String {
    match words.split_once([' ']) {
        Some(("string" | "integer" | "boolean", shown)) => {
            let rust = words.split(' ').next().unwrap_or(words);
            format!("{} {shown}", kind(rust))
        }
        _ => kind(words).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_libraries_say_is_said_in_plain_words() {
        for (rust, plainly) in [
            (
                "Failed to deserialize query string: unknown field `colour`, expected one of `state`, `sync`",
                "`colour` is not known here; there is `state`, `sync`",
            ),
            (
                "Failed to deserialize query string: colour: unknown field `colour`, expected `state` or `sync`",
                "`colour` is not known here; there is `state`, `sync`",
            ),
            (
                "Failed to deserialize query string: state: unknown variant `opne`, expected one of `open`, `closed`",
                "`state`: `opne` is not known; did you mean `open`? There is `open`, `closed`",
            ),
            (
                "Failed to deserialize query string: limit: invalid digit found in string",
                "`limit`: a whole number is expected",
            ),
            (
                "Failed to deserialize the JSON body into the target type: what: unknown variant `x`, expected one of `backfill`, `poll` at line 1 column 12",
                "`what`: `x` is not known; there is `backfill`, `poll`",
            ),
            (
                "Failed to deserialize the JSON body into the target type: missing field `reason` at line 1 column 2",
                "`reason` is missing (line 1, column 2)",
            ),
            (
                "Failed to deserialize the JSON body into the target type: ids: invalid type: string \"x\", expected a sequence at line 1 column 9",
                "`ids`: a list is expected, not the text \"x\"",
            ),
            (
                "Failed to deserialize the JSON body into the target type: invalid type: sequence, expected struct ReplayBody at line 1 column 0",
                "an object is expected, not a list (line 1, column 0)",
            ),
            (
                "Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1",
                "it ends too early (line 1, column 1)",
            ),
            (
                "Expected request with `Content-Type: application/json`",
                "send a JSON body with `Content-Type: application/json`",
            ),
            (
                "Failed to buffer the request body: length limit exceeded",
                "the body is too long; the most is 256 KiB",
            ),
            (
                "what of ours says it stays as it is",
                "what of ours says it stays as it is",
            ),
        ] {
            assert_eq!(plain(rust), plainly);
        }
    }
}
