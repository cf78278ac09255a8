//! A question as text: what is asked, the records beside each other, and the answers, ready to be copied.

use std::collections::BTreeSet;

use tandem_domain::Side;
use tandem_domain::line::line;
use tandem_operator::views::{Choice, ConflictView, ShownView};
use tandem_store::{ConflictState, Resolution};

use crate::commands::output::{Rows, fitted, moment, or_dash, shown, table_headed, word};

/// So many records are shown beside each other at most.
const RECORDS_ABREAST: usize = 3;

/// All of it.
pub fn told(conflict: &ConflictView) -> String {
    let ConflictView { id, sync, kind, .. } = conflict;
    let mut lines = vec![
        format!("{id}: {kind}, {}", conflict.state.as_str()),
        format!("  {}", line(&conflict.asks)),
        format!("  sync      {sync}"),
        format!("  link      {}", or_dash(conflict.link)),
        format!("  since     {}", moment(conflict.created_at)),
    ];
    if let Some(resolution) = &conflict.resolution {
        let at = or_dash(conflict.answered_at.map(moment));
        lines.push(format!("  answered  {} at {at}", line(&word(resolution))));
    }
    let why = conflict.closed_because.iter();
    lines.extend(why.map(|why| format!("  closed    {}", line(why))));
    if !conflict.records.is_empty() {
        lines.push(String::new());
        lines.push(fitted(&records(conflict)));
    }
    let how = match conflict.state {
        ConflictState::Open => "Answer with one of",
        ConflictState::Answered => "Until the answer is carried out it can be changed, with one of",
        ConflictState::Closed => {
            if conflict.resolution == Some(Resolution::Ignore) {
                lines.push(format!(
                    "\nTo take it back\n  tandem conflicts reopen {id}  # the records take part again"
                ));
            }
            return lines.join("\n");
        }
    };
    lines.push(format!("\n{how}"));
    lines.extend(options(conflict));
    lines.extend(not_offered(conflict));
    let waits = conflict.waits.iter();
    lines.extend(waits.map(|words| format!("\nAn answer is kept, and WAITS: {}", line(words))));
    lines.join("\n")
}

/// The records in the form that shows what they are to each other.
fn records(conflict: &ConflictView) -> Rows {
    let ConflictView { kind, records, .. } = conflict;
    match kind.as_ref() {
        // Records of one side that have nothing to do with each other.
        "set_back" | "emptied" => listed(records),
        // Which of many is the same one: a row each, so that a column shows what is alike.
        "ambiguous" | "doubled" => listed(records),
        // More than these never stand in another question; a list is right for any number.
        _ if records.len() > RECORDS_ABREAST => listed(records),
        _ => abreast(records),
    }
}

/// A row a record, a column a field.
fn listed(records: &[ShownView]) -> Rows {
    let fields = fields_of(records);
    let mut header: Vec<String> = ["RECORD", "SIDE", "ID"].map(str::to_owned).to_vec();
    header.extend(fields.iter().map(|field| (*field).clone()));
    let mut rows = table_headed(&header);
    for one in records {
        let mut row = vec![
            one.part.as_str().to_owned(),
            one.side.to_string(),
            one.id.to_string(),
        ];
        row.extend(
            fields
                .iter()
                .map(|field| shown(&one.fields[field.as_str()])),
        );
        rows.add_row(row);
    }
    rows
}

fn fields_of(records: &[ShownView]) -> BTreeSet<&String> {
    let all = records.iter().filter_map(|one| one.fields.as_object());
    all.flat_map(serde_json::Map::keys).collect()
}

/// Records beside each other, a row a field; what differs is marked.
fn abreast(records: &[ShownView]) -> Rows {
    let mut header = vec![String::new()];
    header.extend(records.iter().map(|one| {
        let ShownView { part, side, id, .. } = one;
        let what = format!("{} {side}", part.as_str()).to_uppercase();
        format!("{what} {id}")
    }));
    header.push(String::new());
    let mut rows = table_headed(&header);
    for field in fields_of(records) {
        let values: Vec<String> = records
            .iter()
            .map(|one| shown(&one.fields[field.as_str()]))
            .collect();
        let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
        let mut row = vec![format!("  {field}")];
        row.extend(values);
        row.push(if differs { "differs" } else { "" }.to_owned());
        rows.add_row(row);
    }
    rows
}

/// The answers that fit, ready to be copied, each once and with what it does.
fn options(conflict: &ConflictView) -> Vec<String> {
    let choices = conflict.choices.iter();
    let each = choices.flat_map(|choice| {
        let words = match choice.answer.as_ref() {
            "take" => takes(conflict, choice),
            "link_to" => partners(conflict),
            "create_new" => vec![("--create".to_owned(), None)],
            plain => vec![(format!("--{plain}"), None)],
        };
        words.into_iter().map(|one| option(conflict, choice, one))
    });
    each.collect()
}

fn option(
    conflict: &ConflictView,
    choice: &Choice,
    (words, names): (String, Option<String>),
) -> String {
    let does = names.map_or_else(
        || choice.does.to_string(),
        |names| format!("{names}: {}", choice.does),
    );
    format!(
        "  tandem conflicts resolve {} {words}  # {does}",
        conflict.id
    )
}

/// Of each side that can be taken, with the value that it has.
fn takes(conflict: &ConflictView, choice: &Choice) -> Vec<(String, Option<String>)> {
    if let Some(only) = choice.side {
        return vec![(format!("--take {only}"), None)];
    }
    let sides = Side::BOTH.into_iter();
    sides
        .map(|side| (format!("--take {side}"), Some(value_of(conflict, side))))
        .collect()
}

/// The candidates that cannot be chosen now, and why.
fn not_offered(conflict: &ConflictView) -> Vec<String> {
    let each = conflict.not_offered.iter().map(|one| {
        let (id, because) = (one.record.as_str(), line(&one.because));
        let name = name_of(conflict, conflict.side.other(), id);
        let name = name.map_or_else(String::new, |name| format!(" \"{name}\""));
        format!("  not {}{name}: it {because}", line(id))
    });
    each.collect()
}

/// Of each candidate that can be chosen now, with its name.
fn partners(conflict: &ConflictView) -> Vec<(String, Option<String>)> {
    let candidates = conflict.question["candidates"].as_array();
    let candidates = candidates.into_iter().flatten();
    let is_out = |id: &str| {
        let mut out = conflict.not_offered.iter();
        out.any(|one| one.record.as_str() == id)
    };
    let named = candidates.filter_map(|candidate| {
        let id = candidate.as_str().filter(|id| !is_out(id))?;
        let name = name_of(conflict, conflict.side.other(), id);
        // An id that begins with a dash would be taken for an option.
        let between = if id.starts_with('-') { '=' } else { ' ' };
        Some((format!("--link{between}{}", for_shell(id)), name))
    });
    let named: Vec<_> = named.collect();
    let others = conflict.question["more_candidates"].as_u64().unwrap_or(0);
    if named.is_empty() || others > 0 {
        let any = ("--link RECORD".to_owned(), None);
        return named.into_iter().chain([any]).collect();
    }
    named
}

/// The value that a side has for the field that is asked about.
fn value_of(conflict: &ConflictView, side: Side) -> String {
    let question = &conflict.question;
    let name = match (conflict.kind.as_ref(), side == conflict.side) {
        ("replaced", true) => return "what it has now".to_owned(),
        ("replaced", false) => return "what its partner has".to_owned(),
        ("not_kept", true) => "kept",
        ("not_kept", false) => "sent",
        _ => side.as_str(),
    };
    shown(&question[name])
}

fn name_of(conflict: &ConflictView, side: Side, id: &str) -> Option<String> {
    let found = conflict
        .records
        .iter()
        .find(|one| one.side == side && one.id.as_str() == id);
    let name = found.and_then(|one| one.name.as_deref())?;
    Some(line(name).into_owned())
}

/// An id as it can be pasted, on one line.
fn for_shell(id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+".contains(c);
    if !id.is_empty() && id.chars().all(plain) {
        return id.to_owned();
    }
    if line(id) == id {
        return format!("'{}'", id.replace('\'', "'\\''"));
    }
    // Bash, ksh and zsh read this form; it shows each byte that is not plain.
    let bytes = id.bytes().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("\\x{other:02x}"),
    });
    format!("$'{}'", bytes.collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A question of this kind as the API shows it.
    fn asked(kind: &str, question: serde_json::Value, answers: &[&str]) -> ConflictView {
        let choices: Vec<_> = answers
            .iter()
            .map(|answer| {
                let only = (kind == "set_back" && *answer == "take").then_some("b");
                json!({ "answer": answer, "does": format!("does {answer}"), "side": only })
            })
            .collect();
        serde_json::from_value(json!({
            "id": "cfl_00000000000000000000000000",
            "sync": "customers", "link": null, "side": "a", "record": "17", "kind": kind, "asks": "which?",
            "question": question, "records": [], "answers": answers, "choices": choices, "state": "open",
            "resolution": null, "created_at": "2026-01-01T00:00:00Z", "answered_at": null,
        }))
        .expect("a question")
    }

    #[test]
    fn every_answer_of_every_kind_is_printed_once_with_what_it_does() {
        for (kind, answers) in [
            ("field", &["take", "ignore"][..]),
            ("not_kept", &["take", "dismiss", "ignore"]),
            ("ambiguous", &["link_to", "create_new", "ignore"]),
            ("delete_held", &["approve", "reject", "ignore"]),
            ("not_deleted", &["approve", "dismiss"]),
            ("not_made", &["create_new", "dismiss"]),
            ("emptied", &["approve", "reject"]),
            ("replaced", &["take", "approve", "reject", "ignore"]),
            ("set_back", &["take", "approve"]),
            ("overwritten", &["dismiss", "ignore"]),
            ("back_and_forth", &["take", "approve", "ignore"]),
            ("doubled", &["create_new", "ignore"]),
        ] {
            let text = told(&asked(kind, json!({ "candidates": ["b1"] }), answers));
            for answer in answers {
                let (words, count) = match *answer {
                    "take" if kind == "set_back" => ("--take b", 1),
                    "take" => ("--take", 2),
                    "link_to" => ("--link b1", 1),
                    "create_new" => ("--create", 1),
                    "dismiss" => ("--dismiss", 1),
                    "approve" => ("--approve", 1),
                    "reject" => ("--reject", 1),
                    _ => ("--ignore", 1),
                };
                assert_eq!(text.matches(words).count(), count, "{words}: {text}");
                assert_eq!(
                    text.matches(&format!("does {answer}")).count(),
                    count,
                    "{text}"
                );
            }
            assert_eq!(text.matches("tandem conflicts resolve").count(), {
                answers.len() + usize::from(answers.contains(&"take") && kind != "set_back")
            });
        }
    }

    #[test]
    fn a_candidate_that_is_linked_by_now_is_not_offered_and_it_is_said_why() {
        let candidates = json!({ "candidates": ["b1", "b2"] });
        let mut conflict = asked("ambiguous", candidates, &["link_to", "create_new"]);
        conflict.not_offered = vec![tandem_operator::NotOffered {
            record: tandem_domain::RecordId::new("b1"),
            because: "is linked with `7`".to_owned(),
        }];
        let text = told(&conflict);
        assert!(
            !text.contains("--link b1") && text.contains("--link b2"),
            "{text}"
        );
        assert!(text.contains("not b1: it is linked with `7`"), "{text}");
    }

    #[test]
    fn records_that_are_no_pair_are_a_list_and_nothing_is_marked_as_differing() {
        let record = |part: &str, side: &str, id: &str, name: &str| json!({ "part": part, "side": side, "id": id, "name": name, "fields": { "name": name, "city": "Ghent" } });
        let told_of = |kind: &str, records: Vec<serde_json::Value>| {
            let mut conflict = asked(kind, json!({ "candidates": ["b1", "b2"] }), &["approve"]);
            conflict.records = records
                .into_iter()
                .map(|one| serde_json::from_value(one).expect("a record"))
                .collect();
            told(&conflict)
        };
        let set_back = told_of(
            "set_back",
            vec![
                record("record", "a", "1", "Ann"),
                record("record", "a", "2", "Bob"),
                record("record", "a", "3", "Cid"),
            ],
        );
        assert!(!set_back.contains("differs"), "{set_back}");
        for line in [
            "record  a     1   \"Ghent\"  \"Ann\"",
            "record  a     3   \"Ghent\"  \"Cid\"",
        ] {
            assert!(set_back.contains(line), "{set_back}");
        }
        let ambiguous = told_of(
            "ambiguous",
            vec![
                record("record", "a", "17", "Ann"),
                record("candidate", "b", "b1", "Ann"),
                record("candidate", "b", "b2", "Anna"),
                record("rival", "a", "18", "Ann"),
            ],
        );
        assert!(!ambiguous.contains("differs"), "{ambiguous}");
        let rows: Vec<&str> = ambiguous
            .lines()
            .filter(|line| line.contains("\"Ghent\""))
            .collect();
        assert_eq!(rows.len(), 4, "a row each: {ambiguous}");
        assert!(rows[2].starts_with("candidate"), "{ambiguous}");
        let replaced = told_of(
            "replaced",
            vec![
                record("record", "a", "1", "Ann"),
                record("partner", "b", "b1", "Bob"),
            ],
        );
        assert!(
            replaced.contains("differs"),
            "a pair stands side by side: {replaced}"
        );
    }

    #[test]
    fn an_id_above_a_column_keeps_its_letters() {
        let record: ShownView = serde_json::from_value(json!({
            "part": "candidate", "side": "b", "id": "ce30-Ab", "name": null, "fields": { "name": "x" },
        }))
        .expect("a record");
        let told = fitted(&abreast(&[record]));
        assert!(told.contains("CANDIDATE B ce30-Ab"), "{told}");
    }

    #[test]
    fn an_id_can_be_pasted_whatever_it_is() {
        for (id, pasted) in [
            ("b-17", "b-17"),
            ("two words", "'two words'"),
            ("it's", "'it'\\''s'"),
            ("x\ny\u{202e}", "$'x\\x0ay\\xe2\\x80\\xae'"),
        ] {
            assert_eq!(for_shell(id), pasted);
        }
    }
}
