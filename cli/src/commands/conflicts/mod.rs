//! `tandem conflicts …`: questions that only a person can answer.

mod resolve;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use tandem_domain::{ConflictId, SyncName};
use tandem_operator::ConflictQuery;
use tandem_operator::views::ConflictView;
use tandem_store::{ConflictKind, ConflictState};

use super::desk::Desk;
use super::nothing::Filters;
use super::options::{PageOptions, Verbs, words};
use super::output::{moment, say, say_json, say_page, table};
use super::span::SpanOptions;
use super::storage::operator;

/// All states, for parsing.
const STATES: [ConflictState; 3] = [
    ConflictState::Open,
    ConflictState::Answered,
    ConflictState::Closed,
];

/// What to do with questions.
#[derive(Subcommand)]
pub enum Action {
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
    Resolve(resolve::Resolve),
    /// Take back `--ignore`: the records take part again, and the question is open again.
    Reopen {
        /// The question.
        id: ConflictId,
    },
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    let json = args.data.output.json;
    if let Action::Resolve(one) = args.action {
        return resolve::run(one, &args.data).await;
    }
    let operator = operator(&args.data.storage).await?;
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
            let filters = Filters::default()
                .and("--sync", sync.as_ref())
                .and("--kind", kind.as_ref())
                .and("--cursor", page.cursor.as_ref());
            let filters = span.among(filters);
            let state = (!all).then_some(state);
            let query = ConflictQuery {
                sync,
                state,
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
                let nothing = if page.items.is_empty() {
                    nothing(&operator, &filters, state).await?
                } else {
                    String::new()
                };
                say_page(&page, &rows, &nothing)?;
            }
        }
        Action::Show { id } => {
            let conflict = operator.conflict(id).await?;
            if json {
                say_json(&conflict)?;
            } else {
                say(&show::told(&conflict))?;
            }
        }
        Action::Reopen { id } => {
            let conflict = operator.reopen(id).await?;
            if json {
                say_json(&conflict)?;
            } else {
                say(&resolve::reopened(&conflict))?;
            }
        }
        // It was carried out above.
        Action::Resolve(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said where no question was found. The state is named as what they are, because it is chosen without a word
/// too.
async fn nothing(
    desk: &Desk,
    filters: &Filters,
    state: Option<ConflictState>,
) -> anyhow::Result<String> {
    let query = ConflictQuery {
        state,
        limit: Some(1),
        ..ConflictQuery::default()
    };
    let others = !filters.is_empty() && !desk.conflicts(query).await?.items.is_empty();
    let (what, command) = match state {
        None => (
            "questions".to_owned(),
            "tandem conflicts list --all".to_owned(),
        ),
        Some(state) => {
            let state = state.as_str();
            (
                format!("{state} questions"),
                format!("tandem conflicts list --state {state}"),
            )
        }
    };
    Ok(filters.nothing(&what, others, &command))
}

fn row(conflict: &ConflictView) -> [String; 6] {
    [
        conflict.id.to_string(),
        conflict.sync.to_string(),
        conflict.kind.clone().into_owned(),
        conflict.state.as_str().to_owned(),
        moment(conflict.created_at),
        conflict.asks.clone(),
    ]
}
