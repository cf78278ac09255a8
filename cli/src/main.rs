//! `tandem`: the demo, the whole product in one process, and an operator's commands.

mod commands;
mod demo;
mod embedded;
mod removal;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use commands::options::{FAILED, Verbs};
use tandem_domain::line::lines;

/// What the exit codes mean, for the end of the help.
const EXIT_CODES: &str = "\
Operator commands work on what is kept here, or with --api URL on a Tandem that runs elsewhere.

Exit codes:
  0  done; the answer is yes
  1  the answer is no: both sides differ, a check failed, not everything could be done
  2  the command line is not understood
  3  it could not be done: the storage, the configuration or a system stands against it";

/// Keeps a company's CRM and its finance system in agreement.
#[derive(Parser)]
#[command(name = "tandem", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show it at work: two simulated systems with faults, kept in agreement. Needs nothing installed.
    Demo(demo::DemoArgs),
    /// Run everything in one process: ingress, scheduler and workers.
    Up(commands::up::UpArgs),
    /// Check the configuration, and whether its systems answer as it needs.
    Check(commands::check::CheckArgs),
    /// Check the database or make a copy of it; migrate that of a fleet.
    Db(Verbs<commands::db::Action>),
    /// Store the configuration, and print what changes by it.
    Apply(commands::apply::ApplyArgs),
    /// Print the configuration that is stored.
    Export(commands::apply::ExportArgs),
    /// See, pause and resume connected systems; have one tried again at once.
    Connections(Verbs<commands::connections::Action>),
    /// Plan, run and verify syncs; pause and resume them; see how they stand.
    Sync(Verbs<commands::sync::Action>),
    /// Show how everything stands; with --watch, again and again.
    Status(commands::sync::StatusArgs),
    /// Show first syncs, polls and sweeps.
    Runs(commands::runs::RunsArgs),
    /// Look at the queue: what waits, runs and ended.
    Jobs(Verbs<commands::jobs::Action>),
    /// Show the change log: what was written where, and why.
    Changes(commands::changes::ChangesArgs),
    /// Look at what gave up and waits for a person, replay it or discard it.
    Dlq(Verbs<commands::dlq::Action>),
    /// Look at questions that only a person can answer, and answer them.
    Conflicts(Verbs<commands::conflicts::Action>),
    /// Look at webhook events, read them again or discard them.
    Events(Verbs<commands::events::Action>),
    /// Show the pairs of records that a sync holds equal.
    Links(commands::links::LinksArgs),
    /// Tell the story of a record: what was changed when, by what and why.
    Explain(commands::explain::ExplainArgs),
    /// See when syncs run by themselves; pause, resume and trigger schedules.
    Schedules(Verbs<commands::schedules::Action>),
    /// Sign, verify and send webhooks.
    Webhook(commands::webhook::WebhookArgs),
    /// Run one of the simulated systems as a process of its own.
    Simulate(commands::simulate::SimulateArgs),
    /// Print the script by which a shell completes commands.
    Completions(commands::completions::CompletionsArgs),
}

/// The command line was not understood.
const USAGE: u8 = 2;

/// Verbs of syncs that one looks for at the top.
const OF_SYNCS: [&str; 6] = ["plan", "run", "verify", "pause", "resume", "list"];

/// Where a verb is that is not where it was looked for.
fn elsewhere(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let is_at_the_top = std::env::args().nth(1).as_deref() == Some(verb);
    (is_at_the_top && OF_SYNCS.contains(&verb.as_str())).then(|| {
        format!(
            "`tandem sync {verb}` does that; `tandem sync --help` lists what can be done with syncs"
        )
    })
}

/// What is missing where a verb of dead letters is told of none.
fn unnamed(error: &clap::Error) -> Option<String> {
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    let [noun, verb] = words.as_slice() else {
        return None;
    };
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) => missing.join(" "),
        _ => String::new(),
    };
    let is_meant = noun == "dlq" && ["replay", "discard"].contains(&verb.as_str());
    let are_ids_missing =
        error.kind() == ErrorKind::MissingRequiredArgument && missing.contains("IDS");
    (is_meant && are_ids_missing).then(|| {
        format!(
            "`tandem dlq {verb}` names no dead letter, and nothing was done: give ids, as `tandem dlq list` shows them, or say \
             --all, alone or with --sync, --code, --cause, --since or --until to choose among them"
        )
    })
}

/// What is said of a command line that is not understood.
fn refused(error: &clap::Error) -> ExitCode {
    if let Some(hint) = elsewhere(error) {
        eprintln!("error: there is no command of that name here: {hint}");
        return ExitCode::from(USAGE);
    }
    if let Some(hint) = unnamed(error) {
        eprintln!("error: {hint}");
        return ExitCode::from(USAGE);
    }
    error.exit()
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&anyhow::Error::from(error).context("the async runtime could not start"));
        }
    };
    match runtime.block_on(async {
        tandem_runtime::take_limits()?;
        run(cli.command).await
    }) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Up(args) => commands::up::run(args).await,
        Command::Check(args) => commands::check::run(args).await,
        Command::Db(args) => commands::db::run(args).await,
        Command::Apply(args) => commands::apply::apply(args).await,
        Command::Export(args) => commands::apply::export(args).await,
        Command::Connections(args) => commands::connections::run(args).await,
        Command::Sync(args) => commands::sync::run(args).await,
        Command::Status(args) => commands::sync::status(args).await,
        Command::Runs(args) => commands::runs::run(args).await,
        Command::Jobs(args) => commands::jobs::run(args).await,
        Command::Changes(args) => commands::changes::run(args).await,
        Command::Dlq(args) => commands::dlq::run(args).await,
        Command::Conflicts(args) => commands::conflicts::run(args).await,
        Command::Events(args) => commands::events::run(args).await,
        Command::Links(args) => commands::links::run(args).await,
        Command::Explain(args) => commands::explain::run(args).await,
        Command::Schedules(args) => commands::schedules::run(args).await,
        Command::Webhook(args) => commands::webhook::run(args).await,
        Command::Simulate(args) => commands::simulate::run(args).await,
        Command::Completions(args) => commands::completions::run(&args, Cli::command()),
    }
}

/// Prints an error with its causes, and gives the exit code of a failure.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", lines(&format!("{error:#}")));
    ExitCode::from(FAILED)
}
