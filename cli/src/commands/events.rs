//! `tandem events …`: the inbox of webhooks.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tandem_domain::line::line;
use tandem_domain::{ConnectionName, EventId, RecordId};
use tandem_operator::views::{EventDetail, EventView};
use tandem_operator::{DeadLetterId, EventQuery};
use tandem_store::EventState;

use super::desk::Desk;
use super::dlq::{discard_letters, say_replayed};
use super::hooks::HookOptions;
use super::nothing::Filters;
use super::options::{DataOptions, PageOptions, Verbs, record_id, words};
use super::output::{moment, or_dash, say, say_json, say_page, table, word};
use super::span::SpanOptions;
use super::storage::{operator, operator_with_hooks};

/// All states, for parsing.
const STATES: [EventState; 4] = [
    EventState::Accepted,
    EventState::Ignored,
    EventState::Quarantined,
    EventState::Discarded,
];

/// What to do with events.
#[derive(Subcommand)]
pub enum Action {
    /// List events, the newest first.
    List(ListArgs),
    /// Show an event with its headers and its body as it came.
    Show {
        /// The event.
        id: EventId,
    },
    /// Read events in quarantine again, after the manifest or the configuration was mended.
    Replay {
        /// The events.
        #[arg(required = true)]
        ids: Vec<EventId>,
        #[command(flatten)]
        hooks: HookOptions,
    },
    /// Discard events in quarantine for good.
    Discard {
        /// The events.
        #[arg(required = true)]
        ids: Vec<EventId>,
        /// Why, for whoever looks for them later.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Args)]
pub struct ListArgs {
    /// Only of this connection.
    #[arg(long)]
    connection: Option<ConnectionName>,
    /// Only in this state.
    #[arg(long, value_parser = words(&STATES, state_word))]
    state: Option<EventState>,
    /// Only about this record.
    #[arg(long, value_parser = record_id)]
    record: Option<RecordId>,
    #[command(flatten)]
    span: SpanOptions,
    #[command(flatten)]
    page: PageOptions,
}

const fn state_word(state: EventState) -> &'static str {
    match state {
        EventState::Accepted => "accepted",
        EventState::Ignored => "ignored",
        EventState::Quarantined => "quarantined",
        EventState::Discarded => "discarded",
    }
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(list_args) => list(list_args, &args.data).await,
        Action::Show { id } => show(id, &args.data).await,
        Action::Replay { ids, hooks } => replay(&ids, &hooks, &args.data).await,
        Action::Discard { ids, reason } => {
            let ids: Vec<DeadLetterId> = ids.into_iter().map(DeadLetterId::Event).collect();
            discard_letters(&ids, &reason, &args.data).await
        }
    }
}

async fn list(args: ListArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let filters = Filters::default()
        .and("--connection", args.connection.as_ref())
        .and("--state", args.state.map(state_word))
        .and("--record", args.record.as_ref())
        .and("--cursor", args.page.cursor.as_ref());
    let filters = args.span.among(filters);
    let query = EventQuery {
        connection: args.connection,
        state: args.state,
        record: args.record,
        cursor: args.page.cursor()?,
        limit: args.page.limit(),
        since: args.span.since,
        until: args.span.until,
    };
    let desk = operator(&data.storage).await?;
    let page = desk.events(query).await?;
    if data.output.json {
        say_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&[
        "event",
        "connection",
        "stream",
        "record",
        "kind",
        "state",
        "received",
        "problem",
    ]);
    for event in &page.items {
        rows.add_row([
            event.id.to_string(),
            event.connection.to_string(),
            or_dash(event.stream.as_ref()),
            or_dash(event.record.as_ref()),
            word(&event.kind),
            state_word(event.state).to_owned(),
            moment(event.received_at),
            why(event),
        ]);
    }
    let others = page.items.is_empty() && !filters.is_empty() && any(&desk).await?;
    let nothing = filters.nothing("events", others, "tandem events list");
    say_page(&page, &rows, &nothing)?;
    Ok(ExitCode::SUCCESS)
}

/// Why it is in quarantine, or was discarded.
fn why(event: &EventView) -> String {
    match (&event.discarded_because, &event.problem) {
        (Some(because), _) => format!("discarded because: {because}"),
        (None, problem) => problem.clone().unwrap_or_default(),
    }
}

/// Whether there is any event at all.
async fn any(desk: &Desk) -> anyhow::Result<bool> {
    let query = EventQuery {
        limit: Some(1),
        ..EventQuery::default()
    };
    Ok(!desk.events(query).await?.items.is_empty())
}

async fn show(id: EventId, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let event = operator(&data.storage).await?.event(id).await?;
    if data.output.json {
        say_json(&event)?;
    } else {
        say(&told(&event))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An event as text.
pub fn told(detail: &EventDetail) -> String {
    let event = &detail.event;
    let jobs: Vec<String> = event.jobs.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!(
            "{}: {} from {}, {}",
            event.id,
            word(&event.kind),
            event.connection,
            state_word(event.state)
        ),
        format!("  received    {}", moment(event.received_at)),
        format!("  happened    {}", or_dash(event.occurred_at.map(moment))),
        format!("  stream      {}", or_dash(event.stream.as_ref())),
        format!("  record      {}", or_dash(event.record.as_ref())),
        format!("  dedupe key  {}", line(&event.dedupe_key)),
        format!("  delivery    {}", event.delivery),
        format!(
            "  jobs        {}",
            if jobs.is_empty() {
                "none".to_owned()
            } else {
                jobs.join(", ")
            }
        ),
    ];
    lines.extend(
        event
            .problem
            .iter()
            .map(|problem| format!("  problem     {}", line(problem))),
    );
    let because = event.discarded_because.iter();
    lines.extend(because.map(|why| format!("  discarded   because: {}", line(why))));
    lines.push("\nHeaders".to_owned());
    lines.extend(
        detail
            .headers
            .iter()
            .map(|(name, value)| format!("  {}: {}", line(name), line(value))),
    );
    lines.push("\nBody".to_owned());
    match &detail.body_text {
        // Its lines are marked, so that none looks like one of ours.
        Some(text) => lines.extend(text.lines().map(|text| format!("  | {}", line(text)))),
        None => lines.push(format!("  not UTF-8; in base64: {}", detail.body_base64)),
    }
    lines.join("\n")
}

async fn replay(
    ids: &[EventId],
    hooks: &HookOptions,
    data: &DataOptions,
) -> anyhow::Result<ExitCode> {
    let operator = operator_with_hooks(&data.storage, hooks).await?;
    let ids: Vec<DeadLetterId> = ids.iter().copied().map(DeadLetterId::Event).collect();
    say_replayed(&operator.replay(&ids).await?, data)
}
