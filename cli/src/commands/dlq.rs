//! `tandem dlq …`: what gave up and waits for a person: why, and what becomes of it.

pub mod show;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use tandem_domain::line::line;
use tandem_domain::{ErrorCode, SyncName};
use tandem_operator::{
    CauseGroup, DeadLetter, DeadLetterId, DeadLetterQuery, Discarded, EventQuery, Letter, Replayed,
    Skipped,
};
use tandem_store::EventState;

use super::ask::YesOption;
use super::desk::Desk;
use super::hooks::HookOptions;
use super::nothing::Filters;
use super::options::{DataOptions, NO, PageOptions, Verbs, error_code};
use super::output::{fitted, moment, say, say_json, say_page, table};
use super::span::SpanOptions;
use super::storage::{operator, operator_with_hooks, operator_with_systems, require_sync};

/// What to do with dead letters: jobs that gave up (`job_…`) and events in quarantine (`evt_…`).
#[derive(Subcommand)]
pub enum Action {
    /// List dead letters, the newest first.
    List(ListArgs),
    /// Print all dead letters, or those chosen, as comma-separated values.
    Export(Chosen),
    /// Show all that explains one: every attempt, the writes that were sent, events and changes.
    Show {
        /// The dead letter.
        id: DeadLetterId,
    },
    /// Put dead letters to work again. Exit code 1 when one could not be.
    Replay(ReplayArgs),
    /// Discard dead letters for good. Exit code 1 when one could not be.
    Discard(DiscardArgs),
}

#[derive(Args)]
pub struct DiscardArgs {
    /// The dead letters.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<DeadLetterId>,
    /// All of them, or all that --sync, --code, --cause, --since and --until choose. They are counted first.
    #[arg(long)]
    all: bool,
    /// Why, for whoever looks for them later.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    yes: YesOption,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Group them by cause.
    #[arg(long)]
    group: bool,
    #[command(flatten)]
    page: PageOptions,
}

#[derive(Args)]
pub struct ReplayArgs {
    /// The dead letters.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<DeadLetterId>,
    /// All of them, or all that --sync, --code, --cause, --since and --until choose. They are counted first.
    #[arg(long)]
    all: bool,
    /// A value that both systems are to have, whatever they hold: a mapped field of the sync, and its text; an
    /// empty text is no value. May be repeated. Only for one job
    #[arg(long, value_name = "FIELD=VALUE", value_parser = edit, conflicts_with = "all")]
    set: Vec<(String, String)>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    yes: YesOption,
    #[command(flatten)]
    hooks: HookOptions,
}

/// Which dead letters.
#[derive(Args)]
pub struct Chosen {
    /// Only of this sync; events in quarantine belong to none.
    #[arg(long)]
    sync: Option<SyncName>,
    /// Only with this failure.
    #[arg(long, value_parser = error_code())]
    code: Option<ErrorCode>,
    /// Only with this cause, as `list --group` shows it.
    #[arg(long)]
    cause: Option<String>,
    #[command(flatten)]
    span: SpanOptions,
}

impl Chosen {
    /// Refuses filters beside ids: they would be dropped without a word.
    fn require_alone(&self, ids: &[DeadLetterId]) -> anyhow::Result<()> {
        let given = [
            ("--sync", self.sync.is_some()),
            ("--code", self.code.is_some()),
            ("--cause", self.cause.is_some()),
            ("--since", self.span.since.is_some()),
            ("--until", self.span.until.is_some()),
        ];
        let filter = given.into_iter().find(|(_, is_given)| *is_given);
        if let (Some((filter, _)), false) = (filter, ids.is_empty()) {
            bail!(
                "dead letters are named, and {filter} would choose among all: nothing was done. Leave the ids out and say \
                 --all, or leave the filter out"
            );
        }
        Ok(())
    }

    fn filters(&self) -> Filters {
        let filters = Filters::default()
            .and("--sync", self.sync.as_ref())
            .and("--code", self.code)
            .and("--cause", self.cause.as_ref());
        self.span.among(filters)
    }

    fn query(self) -> DeadLetterQuery {
        DeadLetterQuery {
            sync: self.sync,
            code: self.code,
            cause: self.cause,
            since: self.span.since,
            until: self.span.until,
            ..DeadLetterQuery::default()
        }
    }
}

/// Does it.
pub async fn run(args: Verbs<Action>) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(list_args) => list(list_args, &args.data).await,
        Action::Show { id } => {
            let letter = operator(&args.data.storage).await?.dead_letter(id).await?;
            if args.data.output.json {
                say_json(&letter)?;
            } else {
                say(&show::told(&letter))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Export(chosen) => {
            let operator = operator(&args.data.storage).await?;
            let query = chosen.query();
            if args.data.output.json {
                let all = operator.all_dead_letters(&query).await?;
                say_json(&all)?;
            } else {
                say(operator.dead_letters_csv(&query).await?.trim_end())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Replay(replay_args) => replay(replay_args, &args.data).await,
        Action::Discard(discard_args) => discard(discard_args, &args.data).await,
    }
}

async fn list(args: ListArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let operator = operator(&data.storage).await?;
    let filters = args.chosen.filters();
    let filters = filters.and("--cursor", args.page.cursor.as_ref());
    let query = DeadLetterQuery {
        cursor: args.page.cursor.clone(),
        limit: args.page.limit(),
        ..args.chosen.query()
    };
    if args.group {
        let groups = operator.dead_letter_groups(query).await?;
        if data.output.json {
            say_json(&groups)?;
        } else if groups.items.is_empty() {
            say(&nothing(&operator, &filters).await?)?;
        } else {
            say(&format!(
                "{} dead letters by cause\n\n{}",
                groups.count,
                groups_table(&groups.items)
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let page = operator.dead_letters(query).await?;
    if data.output.json {
        say_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["id", "what", "code", "since", "message"]);
    for letter in &page.items {
        rows.add_row([
            letter.id.to_string(),
            what(letter),
            letter.code.to_string(),
            moment(letter.since),
            letter.message.clone(),
        ]);
    }
    if page.items.is_empty() {
        say(&nothing(&operator, &filters).await?)?;
    } else {
        say_page(&page, &rows, "")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said where the filters found no dead letter.
async fn nothing(desk: &Desk, filters: &Filters) -> anyhow::Result<String> {
    let query = DeadLetterQuery {
        limit: Some(1),
        ..DeadLetterQuery::default()
    };
    let others = !filters.is_empty() && !desk.dead_letters(query).await?.items.is_empty();
    Ok(filters.nothing("dead letters", others, "tandem dlq list"))
}

fn groups_table(groups: &[CauseGroup]) -> String {
    let mut rows = table(&["count", "code", "since", "example", "cause"]);
    for group in groups {
        rows.add_row([
            group.count.to_string(),
            group.code.to_string(),
            moment(group.oldest),
            group.example.to_string(),
            group.cause.clone(),
        ]);
    }
    fitted(&rows)
}

fn what(letter: &DeadLetter) -> String {
    match &letter.letter {
        Letter::Job(job) => {
            let parts = [
                Some(job.kind.clone().into_owned()),
                job.sync.as_ref().map(ToString::to_string),
                job.side.map(|side| side.to_string()),
                job.record.as_ref().map(ToString::to_string),
            ];
            parts
                .into_iter()
                .flatten()
                .collect::<Vec<String>>()
                .join(" ")
        }
        Letter::Event(event) => format!("event from {}", event.connection),
    }
}

fn edit(text: &str) -> Result<(String, String), String> {
    let (field, value) = text
        .split_once('=')
        .ok_or("write it as field=value, for example email=office@example.com")?;
    Ok((field.to_owned(), value.to_owned()))
}

async fn replay_edited(args: ReplayArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let [id @ DeadLetterId::Job(job)] = args.ids.as_slice() else {
        bail!("--set goes with one job; name its id alone");
    };
    let edits = args.set.into_iter().collect();
    let operator = operator_with_systems(&data.storage, &args.hooks).await?;
    operator.replay_edited(*job, &edits).await?;
    let replayed = Replayed {
        replayed: vec![*id],
        ..Replayed::default()
    };
    say_replayed(&replayed, data)
}

/// What is replayed is exactly what was counted.
async fn replay(args: ReplayArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    args.chosen.require_alone(&args.ids)?;
    if !args.set.is_empty() {
        return replay_edited(args, data).await;
    }
    let filters = args.chosen.filters();
    let query = args.chosen.query();
    let mut operator = operator(&data.storage).await?;
    if events_are_meant(&operator, &args.ids, args.all.then_some(&query)).await? {
        operator = operator_with_hooks(&data.storage, &args.hooks).await?;
    }
    let replayed = if args.all {
        let letters = operator.all_dead_letters(&query).await?;
        if letters.is_empty() && !data.output.json {
            say(&format!(
                "{}: nothing to replay",
                nothing(&operator, &filters).await?
            ))?;
            return Ok(ExitCode::SUCCESS);
        }
        if !letters.is_empty() {
            args.yes.require(&format!(
                "dead letters to be put to work again: {} ({})",
                letters.len(),
                by_code(&letters)
            ))?;
        }
        let ids: Vec<DeadLetterId> = letters.iter().map(|letter| letter.id).collect();
        operator.replay(&ids).await?
    } else {
        operator.replay(&args.ids).await?
    };
    say_replayed(&replayed, data)
}

/// What is discarded is exactly what was counted.
async fn discard(args: DiscardArgs, data: &DataOptions) -> anyhow::Result<ExitCode> {
    args.chosen.require_alone(&args.ids)?;
    if !args.all {
        return discard_letters(&args.ids, &args.reason, data).await;
    }
    let desk = operator(&data.storage).await?;
    if let Some(sync) = &args.chosen.sync {
        require_sync(&desk, sync).await?;
    }
    let filters = args.chosen.filters();
    let letters = desk.all_dead_letters(&args.chosen.query()).await?;
    if letters.is_empty() && !data.output.json {
        say(&format!(
            "{}: nothing to discard",
            nothing(&desk, &filters).await?
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !letters.is_empty() {
        args.yes.require(&format!(
            "dead letters to be discarded for good: {} ({})",
            letters.len(),
            by_code(&letters)
        ))?;
    }
    let ids: Vec<DeadLetterId> = letters.iter().map(|letter| letter.id).collect();
    discard_letters(&ids, &args.reason, data).await
}

/// `2 refused, 1 unreadable`.
fn by_code(letters: &[DeadLetter]) -> String {
    let mut codes: BTreeMap<ErrorCode, usize> = BTreeMap::new();
    for letter in letters {
        *codes.entry(letter.code).or_default() += 1;
    }
    let codes: Vec<String> = codes
        .into_iter()
        .map(|(code, count)| format!("{count} {code}"))
        .collect();
    codes.join(", ")
}

/// Only events need the configuration; jobs are replayed without.
async fn events_are_meant(
    operator: &Desk,
    ids: &[DeadLetterId],
    query: Option<&DeadLetterQuery>,
) -> anyhow::Result<bool> {
    let Some(query) = query else {
        return Ok(ids.iter().any(|id| matches!(id, DeadLetterId::Event(_))));
    };
    if query.sync.is_some() || query.code.is_some_and(|code| code != ErrorCode::Unreadable) {
        return Ok(false);
    }
    let quarantined = EventQuery {
        state: Some(EventState::Quarantined),
        limit: Some(1),
        ..EventQuery::default()
    };
    Ok(!operator.events(quarantined).await?.items.is_empty())
}

/// Says what became of letters to replay.
pub fn say_replayed(replayed: &Replayed, data: &DataOptions) -> anyhow::Result<ExitCode> {
    let Replayed {
        replayed: done,
        skipped,
        ..
    } = replayed;
    if data.output.json {
        say_json(replayed)?;
    } else {
        say(&with_skipped(
            format!("{} at work again", done.len()),
            skipped,
        ))?;
    }
    Ok(verdict(skipped))
}

/// Discards, and says what became of each.
pub async fn discard_letters(
    ids: &[DeadLetterId],
    reason: &str,
    data: &DataOptions,
) -> anyhow::Result<ExitCode> {
    let outcome = operator(&data.storage).await?.discard(ids, reason).await?;
    let Discarded {
        discarded, skipped, ..
    } = &outcome;
    if data.output.json {
        say_json(&outcome)?;
    } else {
        say(&with_skipped(format!("{discarded} discarded"), skipped))?;
    }
    Ok(verdict(skipped))
}

fn with_skipped(first: String, skipped: &[Skipped]) -> String {
    let lines = skipped
        .iter()
        .map(|one| format!("left as it is: {}, because {}", one.id, line(&one.reason)));
    std::iter::once(first)
        .chain(lines)
        .collect::<Vec<String>>()
        .join("\n")
}

fn verdict(skipped: &[Skipped]) -> ExitCode {
    if skipped.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    }
}
