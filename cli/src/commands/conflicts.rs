//! `tandem conflicts …`: questions that only a person can answer.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use comfy_table::Table;
use tandem_domain::{ConflictId, RecordId, Side, SyncName};
use tandem_operator::ConflictQuery;
use tandem_operator::views::{ConflictView, ShownView};
use tandem_store::{ConflictKind, ConflictState, Resolution};

use super::ask::YesOption;
use super::desk::Desk;
use super::hooks::HookOptions;
use super::options::{DataOptions, NO, PageOptions, record_id, words};
use super::output::{cell, fitted, moment, or_dash, say, say_json, say_page, shown, table, word};
use super::span::SpanOptions;
use super::storage::{operator, operator_with_systems, require_sync};

/// All states, for parsing.
const STATES: [ConflictState; 3] = [
    ConflictState::Open,
    ConflictState::Answered,
    ConflictState::Closed,
];

/// So many records are shown beside each other.
const RECORDS_ABREAST: usize = 3;

/// What to do with questions.
#[derive(Args)]
pub struct ConflictsArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    data: DataOptions,
}

#[derive(Subcommand)]
enum Action {
    /// List questions, the newest first.
    List {
        /// Only of this sync.
        #[arg(long)]
        sync: Option<SyncName>,
        /// Only in this state.
        #[arg(long, default_value = "open", conflicts_with = "all", value_parser = words(&STATES, ConflictState::as_str))]
        state: ConflictState,
        /// In every state.
        #[arg(long)]
        all: bool,
        /// Only of this kind.
        #[arg(long, value_parser = PossibleValuesParser::new(ConflictKind::WORDS))]
        kind: Option<String>,
        #[command(flatten)]
        span: SpanOptions,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show a question, and the answers that fit it.
    Show {
        /// The question.
        id: ConflictId,
    },
    /// Answer a question, or with --all many alike. An answer that is not carried out yet can be changed.
    Resolve(Resolve),
}

#[derive(Args)]
struct Resolve {
    /// The question.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<ConflictId>,
    /// All open questions, or those that --sync, --kind, --since and --until choose. They are counted first.
    #[arg(long)]
    all: bool,
    /// Only of this sync.
    #[arg(long, requires = "all")]
    sync: Option<SyncName>,
    /// Only of this kind.
    #[arg(long, requires = "all", value_parser = PossibleValuesParser::new(ConflictKind::WORDS))]
    kind: Option<String>,
    #[command(flatten)]
    span: SpanOptions,
    #[command(flatten)]
    answer: Answer,
    #[command(flatten)]
    yes: YesOption,
    #[command(flatten)]
    config: HookOptions,
}

/// Exactly one answer.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Answer {
    /// The value of this side is right: a or b.
    #[arg(long, value_name = "SIDE", value_parser = words(&Side::BOTH, Side::as_str))]
    take: Option<Side>,
    /// The record is the same as this one of the other side.
    #[arg(long, value_name = "RECORD", value_parser = record_id)]
    link: Option<RecordId>,
    /// The record is none of those of the other side: make a new one there.
    #[arg(long)]
    create: bool,
    /// Leave the record alone from now on.
    #[arg(long)]
    ignore: bool,
    /// Carry out the held delete.
    #[arg(long)]
    approve: bool,
    /// Do not carry out the held delete.
    #[arg(long)]
    reject: bool,
    /// Leave both records as they are; only the question closes.
    #[arg(long)]
    dismiss: bool,
}

impl Answer {
    fn resolution(self) -> Resolution {
        match self {
            Self {
                take: Some(side), ..
            } => Resolution::Take { side },
            Self {
                link: Some(record), ..
            } => Resolution::LinkTo { record },
            Self { create: true, .. } => Resolution::CreateNew,
            Self { approve: true, .. } => Resolution::Approve,
            Self { reject: true, .. } => Resolution::Reject,
            Self { dismiss: true, .. } => Resolution::Dismiss,
            // The parser lets exactly one through, and this is the one that is left.
            Self { .. } => Resolution::Ignore,
        }
    }
}

/// Does it.
pub async fn run(args: ConflictsArgs) -> anyhow::Result<ExitCode> {
    let operator = operator(&args.data.storage).await?;
    let json = args.data.output.json;
    match args.action {
        Action::List {
            sync,
            state,
            all,
            kind,
            span,
            page,
        } => {
            let (cursor, limit) = (page.cursor()?, page.limit());
            let query = ConflictQuery {
                sync,
                state: (!all).then_some(state),
                cursor,
                limit,
                kind,
                since: span.since,
                until: span.until,
            };
            let page = operator.conflicts(query).await?;
            if json {
                say_json(&page)?;
            } else {
                let mut rows = table(&["id", "sync", "kind", "state", "since", "question"]);
                for conflict in &page.items {
                    rows.add_row(row(conflict));
                }
                say_page(&page, &rows, "no such question")?;
            }
        }
        Action::Show { id } => {
            let conflict = operator.conflict(id).await?;
            if json {
                say_json(&conflict)?;
            } else {
                say(&told(&conflict))?;
            }
        }
        Action::Resolve(resolve) => return answer(resolve, &args.data).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn answer(args: Resolve, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let desk = operator_with_systems(&data.storage, &args.config).await?;
    let json = data.output.json;
    let Some(id) = args.id else {
        return answer_all(&desk, args, json).await;
    };
    let conflict = desk.resolve(id, args.answer.resolution()).await?;
    if json {
        say_json(&conflict)?;
    } else {
        say(&format!(
            "{id} is {}; a running `tandem up` carries the answer out",
            conflict.state.as_str()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is answered is exactly what was counted.
async fn answer_all(desk: &Desk, args: Resolve, json: bool) -> anyhow::Result<ExitCode> {
    if let Some(sync) = &args.sync {
        require_sync(desk, sync).await?;
    }
    let query = ConflictQuery {
        sync: args.sync,
        state: Some(ConflictState::Open),
        kind: args.kind,
        since: args.span.since,
        until: args.span.until,
        ..ConflictQuery::default()
    };
    let open = desk.all_conflicts(&query).await?;
    let resolution = args.answer.resolution();
    if !open.is_empty() {
        args.yes.require(&format!(
            "open questions to be answered alike: {}. The answer: {}",
            counted(&open),
            word_of(&resolution)
        ))?;
    }
    let ids: Vec<ConflictId> = open.iter().map(|conflict| conflict.id).collect();
    let outcome = desk.resolve_all(&ids, &resolution).await?;
    if json {
        say_json(&outcome)?;
    } else if ids.is_empty() {
        say("no open question matches")?;
    } else {
        let left = outcome.skipped.iter();
        let left = left.map(|one| format!("left as it is: {}, because {}", one.id, one.reason));
        let first = format!("{} answered", outcome.resolved.len());
        let lines: Vec<String> = std::iter::once(first).chain(left).collect();
        say(&lines.join("\n"))?;
    }
    Ok(if outcome.skipped.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

/// `3 (2 ambiguous, 1 field)`.
fn counted(open: &[ConflictView]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for conflict in open {
        *kinds.entry(&conflict.kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    format!("{} ({})", open.len(), kinds.join(", "))
}

fn word_of(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Take { side } => format!("the value of side {side} is right"),
        Resolution::LinkTo { record } => format!("link with {record}"),
        Resolution::CreateNew => "make a new record on the other side".to_owned(),
        Resolution::Ignore => "leave the records alone from now on".to_owned(),
        Resolution::Approve => "carry out the held deletes".to_owned(),
        Resolution::Dismiss => "leave everything as it is, and close the questions".to_owned(),
        Resolution::Reject => "do not carry out the held deletes".to_owned(),
    }
}

fn row(conflict: &ConflictView) -> [String; 6] {
    [
        conflict.id.to_string(),
        conflict.sync.to_string(),
        conflict.kind.clone().into_owned(),
        conflict.state.as_str().to_owned(),
        moment(conflict.created_at),
        cell(&conflict.asks),
    ]
}

fn told(conflict: &ConflictView) -> String {
    let ConflictView { id, sync, kind, .. } = conflict;
    let mut lines = vec![
        format!("{id}: {kind}, {}", conflict.state.as_str()),
        format!("  {}", conflict.asks),
        format!("  sync      {sync}"),
        format!("  link      {}", or_dash(conflict.link)),
        format!("  since     {}", moment(conflict.created_at)),
    ];
    if let Some(resolution) = &conflict.resolution {
        let at = or_dash(conflict.answered_at.map(moment));
        lines.push(format!("  answered  {} at {at}", word(resolution)));
    }
    for some in conflict.records.chunks(RECORDS_ABREAST) {
        lines.push(String::new());
        lines.push(fitted(&abreast(some)));
    }
    let how = match conflict.state {
        ConflictState::Open => "Answer with one of",
        ConflictState::Answered => "Until the answer is carried out it can be changed, with one of",
        ConflictState::Closed => return lines.join("\n"),
    };
    lines.push(format!("\n{how}"));
    lines.extend(options(conflict));
    lines.join("\n")
}

/// Records beside each other, a row a field; what differs is marked.
fn abreast(records: &[ShownView]) -> Table {
    let mut header = vec![String::new()];
    header.extend(records.iter().map(|one| {
        let ShownView { part, side, id, .. } = one;
        format!("{} {side} {id}", part.as_str())
    }));
    header.push(String::new());
    let mut rows = table(&header.iter().map(String::as_str).collect::<Vec<&str>>());
    let fields: BTreeSet<&String> = records
        .iter()
        .filter_map(|one| one.fields.as_object())
        .flat_map(serde_json::Map::keys)
        .collect();
    for field in fields {
        let values: Vec<String> = records
            .iter()
            .map(|one| cell(&shown(&one.fields[field.as_str()])))
            .collect();
        let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
        let mut row = vec![format!("  {field}")];
        row.extend(values);
        row.push(if differs { "differs" } else { "" }.to_owned());
        rows.add_row(row);
    }
    rows
}

/// The answers that fit, ready to be copied, and what each means.
fn options(conflict: &ConflictView) -> Vec<String> {
    let command = format!("  tandem conflicts resolve {}", conflict.id);
    let other = conflict.side.other();
    let mut lines = Vec::new();
    for answer in &conflict.answers {
        match answer.as_ref() {
            "take" => lines.extend(Side::BOTH.map(|side| {
                let value = value_of(conflict, side);
                format!("{command} --take {side}  # {value}")
            })),
            "link_to" => {
                let candidates = conflict.question["candidates"].as_array();
                lines.extend(candidates.into_iter().flatten().filter_map(|candidate| {
                    let id = candidate.as_str()?;
                    let name = name_of(conflict, other, id);
                    Some(format!("{command} --link {}{name}", for_shell(id)))
                }));
                if candidates.is_none_or(Vec::is_empty) {
                    lines.push(format!("{command} --link RECORD"));
                }
            }
            plain => lines.push(format!("{command} {}", option(plain))),
        }
    }
    lines
}

/// The value that a side has for the field that is asked about.
fn value_of(conflict: &ConflictView, side: Side) -> String {
    let question = &conflict.question;
    let name = match (conflict.kind.as_ref(), side == conflict.side) {
        ("not_kept", true) => "kept",
        ("not_kept", false) => "sent",
        _ => side.as_str(),
    };
    shown(&question[name])
}

fn name_of(conflict: &ConflictView, side: Side, id: &str) -> String {
    let found = conflict
        .records
        .iter()
        .find(|one| one.side == side && one.id.as_str() == id);
    found
        .and_then(|one| one.name.as_deref())
        .map_or_else(String::new, |name| format!("  # {name}"))
}

/// An id as it can be pasted.
fn for_shell(id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+".contains(c);
    if !id.is_empty() && id.chars().all(plain) {
        return id.to_owned();
    }
    format!("'{}'", id.replace('\'', "'\\''"))
}

/// The option of `resolve` for an answer.
fn option(answer: &str) -> &str {
    match answer {
        "create_new" => "--create",
        "dismiss" => "--dismiss",
        "approve" => "--approve",
        "reject" => "--reject",
        _ => "--ignore",
    }
}
