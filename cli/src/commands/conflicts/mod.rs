//! `tandem conflicts …`: questions that only a person can answer.

mod resolve;
mod show;

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use tandem_domain::{ConflictId, SyncName};
use tandem_operator::ConflictQuery;
use tandem_operator::views::ConflictView;
use tandem_store::{ConflictKind, ConflictState};

use super::options::{DataOptions, PageOptions, words};
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
    Resolve(resolve::Resolve),
    /// Take back `--ignore`: the records take part again, and the question is open again.
    Reopen {
        /// The question.
        id: ConflictId,
    },
}

/// Does it.
pub async fn run(args: ConflictsArgs) -> anyhow::Result<ExitCode> {
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
