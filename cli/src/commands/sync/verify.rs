//! `tandem sync verify`: do both sides agree? Asks the systems themselves, believes nothing stored but the links.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};
use tandem_domain::{ConnectionName, RecordId, Side, SyncName};
use tandem_operator::views::plain;
use tandem_runtime::SyncDefinition;
use tandem_store::{ConflictFilter, ConflictState, PAGE_ROWS_MAX, Store};
use tandem_worker::{Comparison, Difference, compare};

use crate::commands::options::{ConfigOptions, DataOptions, FAILED, NO};
use crate::commands::output::{ReadingProgress, say, say_json, shown};
use crate::commands::storage::{build, now, open, sync_of};

/// What differs is looked at again after each of these: an edit may be on its way.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What to verify. A sync at work finds differences that are about to be settled.
#[derive(Args)]
pub struct VerifyArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    name: SyncName,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Verifies and prints.
pub async fn run(args: &VerifyArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let built = build(&args.config.config)?;
    let sync = sync_of(&built, &args.name)?;
    let store = open(&data.storage).await?;
    super::require_same_links(store.as_ref(), &built, &args.name, now()).await?;
    let progress = ReadingProgress::new(&sync);
    let report = |side, read| progress.report(side, read);
    let comparing = compare(store.as_ref(), &sync, &WAITS, &report);
    let comparison = progress.watch(comparing).await;
    progress.finish();
    let comparison = comparison?;
    if data.output.json {
        say_json(&as_json(&sync, &comparison))?;
    } else {
        let questions = open_questions(store.as_ref(), &args.name).await?;
        let next = next(&args.name, &comparison, questions);
        let text = std::iter::once(told(&sync, &comparison)).chain(next);
        say(&text.collect::<Vec<String>>().join("\n"))?;
    }
    let is_blind = Side::BOTH.into_iter().any(|side| comparison.is_blind(side));
    let differs = comparison.unanswered() > 0 || comparison.unclear > 0;
    Ok(match (is_blind, differs) {
        (true, _) => ExitCode::from(FAILED),
        (false, true) => ExitCode::from(NO),
        (false, false) if comparison.is_complete() => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(FAILED),
    })
}

/// How many questions of the sync nobody has answered, as far as one page goes.
async fn open_questions(store: &dyn Store, sync: &SyncName) -> anyhow::Result<usize> {
    let filter = ConflictFilter {
        sync: Some(sync.clone()),
        state: Some(ConflictState::Open),
        limit: PAGE_ROWS_MAX,
        ..ConflictFilter::default()
    };
    Ok(store.conflicts(&filter).await?.len())
}

/// What somebody can do about what differs.
fn next(sync: &SyncName, comparison: &Comparison, questions: usize) -> Vec<String> {
    if comparison.differences.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "`tandem explain {sync} RECORD` says why a record differs"
    )];
    let is_blind = Side::BOTH.into_iter().any(|side| comparison.is_blind(side));
    let mut told = comparison.differences.iter();
    let is_written =
        |one: &Difference| comparison.left_by(one).is_none() && comparison.question(one).is_none();
    if !is_blind && told.any(is_written) {
        lines[0] += &format!(
            "; `tandem sync run {sync} --wait` compares both sides and writes what is missing"
        );
    }
    if questions > 0 {
        lines.push(format!(
            "open questions: {questions}; what they are about is not written until a person answers (`tandem conflicts \
             list --sync {sync}`)"
        ));
    }
    lines
}

fn as_json(sync: &SyncDefinition, comparison: &Comparison) -> Json {
    json!({
        "sync": sync.name,
        "agree": comparison.agrees(),
        "complete": comparison.is_complete(),
        "a": sync.a.connection,
        "b": sync.b.connection,
        "records_a": comparison.records_a,
        "records_b": comparison.records_b,
        "pairs": comparison.pairs,
        "unlisted_a": comparison.unlisted_a,
        "unlisted_b": comparison.unlisted_b,
        "left_alone": comparison.left_alone,
        "retired_a": comparison.retired_a,
        "retired_b": comparison.retired_b,
        "filtered": comparison.filtered,
        "beside_left_out": comparison.beside_left_out,
        "in_part": comparison.in_part,
        "left_out_a": left_out(comparison, Side::A),
        "left_out_b": left_out(comparison, Side::B),
        "seen_once": comparison.seen_once,
        "unclear": comparison.unclear,
        "left_by_answers": comparison.differences.len() - comparison.unanswered(),
        "differences": comparison.differences.iter().map(|one| difference(comparison, one)).collect::<Vec<Json>>(),
    })
}

/// The fields that the listing of a side leaves out, and that were not compared.
fn left_out(comparison: &Comparison, side: Side) -> Vec<&str> {
    let of_side = comparison.left_out.iter().filter(|(at, _)| *at == side);
    of_side.map(|(_, field)| field.as_str()).collect()
}

fn difference(comparison: &Comparison, difference: &Difference) -> Json {
    let name = |side: &Side, record: &RecordId| comparison.name(*side, record);
    let mut json = match difference {
        Difference::Field {
            a,
            b,
            field,
            value_a,
            value_b,
        } => json!({
            "kind": "field", "a": a, "b": b, "name_a": name(&Side::A, a), "name_b": name(&Side::B, b), "field": field, "value_a": plain(value_a), "value_b": plain(value_b),
        }),
        Difference::Missing { side, record } => {
            json!({ "kind": "missing", "side": side, "record": record, "name": name(side, record) })
        }
        Difference::Unlinked { side, record } => {
            json!({ "kind": "unlinked", "side": side, "record": record, "name": name(side, record) })
        }
        Difference::Apart { a, b, fields } => json!({
            "kind": "apart", "a": a, "b": b, "name_a": name(&Side::A, a), "name_b": name(&Side::B, b), "fields": fields,
        }),
        Difference::Unreadable {
            side,
            record,
            reason,
        } => {
            let name = record.as_ref().and_then(|record| name(side, record));
            json!({ "kind": "unreadable", "side": side, "record": record, "name": name, "reason": reason })
        }
    };
    json["question"] = json!(comparison.question(difference).map(|asked| asked.id));
    json["left_by"] = comparison.left_by(difference).map_or(Json::Null, |by| {
        json!({ "question": by.question, "kind": by.kind.as_str(), "answer": by.answer, "answered_at": by.at })
    });
    json
}

fn told(sync: &SyncDefinition, comparison: &Comparison) -> String {
    let (a, b) = (&sync.a.connection, &sync.b.connection);
    let Comparison {
        records_a,
        records_b,
        pairs,
        differences,
        seen_once,
        ..
    } = comparison;
    let mut lines = vec![format!(
        "{a} holds {records_a} records, {b} holds {records_b}; {pairs} pairs compared"
    )];
    lines.extend(
        Side::BOTH
            .into_iter()
            .filter_map(|side| unlisted(sync, comparison, side)),
    );
    lines.extend(apart(sync, comparison));
    lines.extend(
        Side::BOTH
            .into_iter()
            .filter_map(|side| not_shown(sync, comparison, side)),
    );
    // What a side that lists nothing does not show could not be seen: that has been said, of all of it.
    let is_seen = |one: &&Difference| !matches!(one, Difference::Missing { side, .. } if comparison.is_blind(*side));
    let told = differences.iter().filter(is_seen);
    let told = told.map(|one| format!("{}{}", line(sync, comparison, one), waits(comparison, one)));
    lines.extend(told.map(|told| format!("  {}", tandem_domain::line::line(&told))));
    if *seen_once > 0 {
        lines.push(format!(
            "{seen_once} of these were not looked at a second time; some may be edits that were on their way"
        ));
    }
    lines.push(verdict(&sync.name, comparison));
    lines.join("\n")
}

/// What is not held equal, and so was not compared.
fn apart(sync: &SyncDefinition, comparison: &Comparison) -> Vec<String> {
    let (name, a, b) = (&sync.name, &sync.a.connection, &sync.b.connection);
    let Comparison {
        left_alone,
        retired_a,
        retired_b,
        filtered,
        beside_left_out,
        ..
    } = comparison;
    let mut lines = Vec::new();
    if *left_alone > 0 {
        lines.push(format!(
            "left alone, as a person said, and not compared: {left_alone} records (`tandem links {name} --state \
             left-alone` shows pairs)"
        ));
    }
    if comparison.retired() > 0 {
        lines.push(format!(
            "not held equal, because their partner is gone: {retired_a} records in {a}, {retired_b} in {b} (`tandem links \
             {name} --state retired` shows which)"
        ));
    }
    if *filtered > 0 {
        lines.push(format!(
            "left out by the sync's filters, and not compared: {filtered} pairs (`tandem links {name} --state filtered` \
             shows which a run has seen)"
        ));
    }
    if *beside_left_out > 0 {
        lines.push(format!(
            "without a partner, because the sync's filters leave their like on the other side out: {beside_left_out} records \
             (`tandem sync plan {name}` names them)"
        ));
    }
    if comparison.unclear > 0 {
        lines.push(format!(
            "open questions which records belong together, or which of two is too many: {} (`tandem conflicts list --sync \
             {name}` shows them)",
            comparison.unclear
        ));
    }
    lines
}

/// What the listing of a side did not show.
fn unlisted(sync: &SyncDefinition, comparison: &Comparison, side: Side) -> Option<String> {
    let count = comparison.unlisted(side);
    let name = &sync.end(side).connection;
    if comparison.is_blind(side) {
        return Some(format!(
            "{name} lists no record at all, though {count} pairs have one there: these could not be seen. Check what \
             the credentials of {name} may read, and its account, with `tandem check`"
        ));
    }
    (count > 0).then(|| {
        format!(
            "{name} did not list {count} records that are linked; each of them was read by its id"
        )
    })
}

/// What the listing of a side did not show of its records.
fn not_shown(sync: &SyncDefinition, comparison: &Comparison, side: Side) -> Option<String> {
    let fields = left_out(comparison, side);
    let name = &sync.end(side).connection;
    (!fields.is_empty()).then(|| {
        format!(
            "NOT compared in some of {} pairs: {}. The listing of {name} leaves out what these hold, and not more than \
             1,000 records of a side are read by their ids for it. Have the manifest ask the listing for these fields",
            comparison.in_part,
            fields.join(", ")
        )
    })
}

fn line(sync: &SyncDefinition, comparison: &Comparison, difference: &Difference) -> String {
    let (a, b) = (&sync.a.connection, &sync.b.connection);
    let name = |side: &Side| &sync.end(*side).connection;
    let called =
        |side: Side, record: &RecordId| called(name(&side), record, comparison.name(side, record));
    let pair =
        |a: &RecordId, b: &RecordId| format!("{} / {}", called(Side::A, a), called(Side::B, b));
    match difference {
        Difference::Field {
            a: a_id,
            b: b_id,
            field,
            value_a,
            value_b,
        } => {
            let (value_a, value_b) = (shown(&plain(value_a)), shown(&plain(value_b)));
            format!(
                "{}: {field} is {value_a} in {a}, {value_b} in {b}",
                pair(a_id, b_id)
            )
        }
        Difference::Missing { side, record } => {
            format!("{}: is gone, though it is linked", called(*side, record))
        }
        Difference::Unlinked { side, record } => {
            format!("{}: has no partner", called(*side, record))
        }
        Difference::Apart {
            a: a_id,
            b: b_id,
            fields,
        } => format!(
            "{}: both are in use and differ in {}, but are not linked any more",
            pair(a_id, b_id),
            fields.join(", ")
        ),
        Difference::Unreadable {
            side,
            record,
            reason,
        } => {
            let record = record.as_ref();
            let record = record.map_or_else(
                || format!("{} a record", name(side)),
                |record| called(*side, record),
            );
            format!("{record}: cannot be read: {reason}")
        }
    }
}

/// The open question that a difference waits for, or the answer by which it stays.
fn waits(comparison: &Comparison, difference: &Difference) -> String {
    let asked = comparison
        .question(difference)
        .map(|asked| asked.to_string());
    let left = || comparison.left_by(difference).map(ToString::to_string);
    let why = asked.or_else(left);
    why.map_or_else(String::new, |why| format!("; it {why}"))
}

/// A record by its system, its id, and what people call it.
fn called(connection: &ConnectionName, record: &RecordId, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{connection} {record} {}", shown(&name.into())),
        None => format!("{connection} {record}"),
    }
}

fn verdict(sync: &SyncName, comparison: &Comparison) -> String {
    if Side::BOTH.into_iter().any(|side| comparison.is_blind(side)) {
        return "NOT compared: an empty list says nothing of agreement".to_owned();
    }
    let count = comparison.unanswered();
    if count == 0 && comparison.in_part > 0 {
        return format!(
            "nothing differs in what was compared, but {} pairs were compared only in part",
            comparison.in_part
        );
    }
    if count == 0 && comparison.unclear > 0 {
        return format!(
            "nothing differs between the pairs, but whether both sides agree is not known before a person has answered {} \
             questions",
            comparison.unclear
        );
    }
    let excepted = excepted(comparison);
    match (count, comparison.pairs, excepted.is_empty()) {
        (0, 0, true) => format!(
            "no pair of {sync} is linked and nothing waits for a partner: there was nothing to compare"
        ),
        (0, _, true) => "both sides agree".to_owned(),
        (0, ..) => format!("both sides agree, but for {excepted}"),
        (count, ..) => match comparison.differences.len() - count {
            0 => format!("both sides do NOT agree: {count} differences"),
            left => format!(
                "both sides do NOT agree: {count} differences, and {left} that a person's answer has left"
            ),
        },
    }
}

/// What was not compared, in a few words.
fn excepted(comparison: &Comparison) -> String {
    let parts = [
        (
            comparison.differences.len() - comparison.unanswered(),
            "differences that a person's answer has left",
        ),
        (comparison.left_alone, "records left alone"),
        (comparison.retired(), "records whose partner is gone"),
        (comparison.filtered, "pairs left out by the filters"),
        (
            comparison.beside_left_out,
            "records beside their like that the filters leave out",
        ),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use tandem_store::QuestionKind;
    use tandem_worker::Question;

    use super::*;

    #[test]
    fn what_to_do_is_said_only_where_something_differs_and_questions_are_counted() {
        let sync = "customers".parse().expect("a name");
        let mut comparison = Comparison::default();
        assert_eq!(next(&sync, &comparison, 4), Vec::<String>::new());
        comparison.differences.push(Difference::Unlinked {
            side: Side::A,
            record: RecordId::new("17"),
        });
        assert_eq!(next(&sync, &comparison, 0).len(), 1);
        let told = next(&sync, &comparison, 4).join("\n");
        for part in [
            "tandem explain customers RECORD",
            "open questions: 4",
            "tandem conflicts list --sync customers",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn nobody_is_told_that_both_sides_agree_while_it_is_asked_what_belongs_together() {
        let sync = "customers".parse().expect("a name");
        let mut comparison = Comparison {
            pairs: 7,
            ..Comparison::default()
        };
        assert_eq!(verdict(&sync, &comparison), "both sides agree");
        assert!(comparison.agrees());
        comparison.unclear = 2;
        let said = verdict(&sync, &comparison);
        assert!(said.contains("answered 2 questions"), "{said}");
        assert!(!said.starts_with("both sides agree"), "{said}");
        assert!(!comparison.agrees());
    }

    #[test]
    fn what_is_left_out_of_the_comparison_is_said_in_one_breath_with_that_both_sides_agree() {
        let sync = "customers".parse().expect("a name");
        let comparison = Comparison {
            pairs: 7,
            left_alone: 3,
            filtered: 2,
            ..Comparison::default()
        };
        assert_eq!(
            verdict(&sync, &comparison),
            "both sides agree, but for 3 records left alone, 2 pairs left out by the filters"
        );
        let partly = Comparison {
            in_part: 1,
            ..comparison
        };
        assert!(!verdict(&sync, &partly).contains("both sides agree"));
    }

    #[test]
    fn a_record_that_differs_is_told_with_its_name_beside_its_id() {
        let (crm, id) = ("crm".parse().expect("a name"), RecordId::new("17"));
        assert_eq!(called(&crm, &id, Some("Acme\n")), "crm 17 \"Acme\\n\"");
        assert_eq!(called(&crm, &id, None), "crm 17");
        let mut comparison = Comparison::default();
        comparison
            .names
            .insert((Side::A, id.clone()), "Acme".to_owned());
        let missing = |side| Difference::Missing {
            side,
            record: id.clone(),
        };
        assert_eq!(difference(&comparison, &missing(Side::A))["name"], "Acme");
        assert_eq!(
            difference(&comparison, &missing(Side::B))["name"],
            Json::Null
        );
    }

    #[test]
    fn a_difference_that_an_open_question_holds_is_told_with_it() {
        let missing = |record| Difference::Missing {
            side: Side::B,
            record: RecordId::new(record),
        };
        let asked = Question {
            kind: QuestionKind::NotMade,
            id: "cfl_01m8h8nq5afeab5tnngpb0vbsq".parse().expect("an id"),
        };
        let mut comparison = Comparison::default();
        comparison.held.insert(missing("506").about(), asked);
        let said = difference(&comparison, &missing("506"));
        assert_eq!(said["question"], "cfl_01m8h8nq5afeab5tnngpb0vbsq");
        assert_eq!(
            difference(&comparison, &missing("507"))["question"],
            Json::Null
        );
        let waits = waits(&comparison, &missing("506"));
        assert!(
            waits.contains("tandem conflicts show cfl_01m8h8nq5afeab5tnngpb0vbsq"),
            "{waits}"
        );
    }
}
