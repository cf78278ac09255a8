//! `tandem demo`: two simulated systems that go wrong in all the ways real ones do, Tandem between
//! them, and a verdict that comes from asking the systems themselves, not Tandem's own tables.

mod edits;
mod operator;
mod summary;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tandem_domain::{Clock, Side};
use tandem_runtime::SystemClock;
use tandem_runtime::telemetry::{LogFormat, init_logs};
use tandem_simulator::{Comparison, SimState, compare};
use tandem_store::{RunFilter, RunKind, RunState};

use crate::commands::options::{decimal, number};
use summary::Summary;
use world::World;

/// How the demo runs.
#[derive(Args, Clone)]
pub struct DemoArgs {
    /// How many companies there are; each system holds about 80 % of them.
    #[arg(long, default_value_t = 500, value_parser = number(1, RECORDS_MAX))]
    records: usize,
    /// The same seed gives the same data, edits and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of requests and webhooks that go wrong, 0 to 1.
    #[arg(long, default_value_t = 0.05, value_parser = decimal(0.0, 1.0))]
    faults: f64,
    /// For how long people edit on both sides, in seconds.
    #[arg(long, default_value_t = 10, value_parser = number(0, SECONDS_MAX))]
    seconds: u64,
    /// Stay up at the end, so that the systems can be looked at; ends with Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
}

/// More companies than this take longer than anybody watches.
const RECORDS_MAX: usize = 100_000;
/// A day, in seconds.
const SECONDS_MAX: u64 = 86_400;
/// Agreement must be reached this long after the last edit at the latest.
const SETTLE_SECS_MAX: u64 = 120;
/// The first sync may take this long for every 1,000 records.
const FIRST_SYNC_SECS_PER_1000: u64 = 60;
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the demo; exit code 0 only when both systems agree, with nothing lost and nothing doubled.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    init_logs(
        LogFormat::Human,
        Some(&std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned())),
    )?;
    let started = SystemClock.now();
    let quiet = args.json;
    let say = |text: String| {
        if !quiet {
            println!("{text}");
        }
    };
    say(format!(
        "Tandem demo: {} companies, seed {}, {} of requests and webhooks go wrong\n",
        args.records,
        args.seed,
        summary::percent(args.faults)
    ));
    let world = World::start(&args).await?;
    say(world.introduction());
    let initial = world.states();

    preview(&world, &say).await?;
    first_sync(&world, &args, quiet).await?;
    let answered = operator::answer_questions(&world).await?;
    say(format!(
        "  operator: {answered} unclear matches answered (duplicates in the CRM: one linked, the others left alone)"
    ));

    say(format!(
        "\nLive: people edit both systems for {} s, often the same record at once",
        args.seconds
    ));
    let edits = edits::live(&world, &args, quiet).await?;
    world.quiet();
    let verdict = settle(&world, &initial, quiet).await?;

    let summary = Summary::gather(&world, &args, edits, &verdict, started).await?;
    if !quiet {
        summary.print(&verdict);
    }
    if args.keep {
        say(world.addresses());
        tandem_runtime::shutdown_token()
            .context("listening for signals")?
            .cancelled()
            .await;
    }
    world.stop().await?;
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(if summary.agree {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says what the first sync will do, before it does it.
async fn preview(world: &World, say: &impl Fn(String)) -> anyhow::Result<()> {
    let sync = world.sync();
    let survey = tandem_worker::survey(world.store(), &sync, &|_, _| ()).await?;
    let preview = survey.preview(&sync);
    say(format!(
        "First sync, preview (nothing is written yet)\n  \
         crm holds {} records, books {}\n  \
         {} pairs match, {} of them equal already\n  \
         would create {} in crm and {} in books, update {} in crm and {} in books\n  \
         {} records wait for a person: the match is not clear",
        preview.listed_a,
        preview.listed_b,
        preview.matched,
        preview.equal,
        preview.create_a,
        preview.create_b,
        preview.update_a,
        preview.update_b,
        preview.held
    ));
    Ok(())
}

fn bar(length: u64, quiet: bool) -> ProgressBar {
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(length)
    };
    let style = ProgressStyle::with_template("  {msg:12} [{bar:32}] {pos}/{len} {elapsed}");
    bar.set_style(style.map_or_else(
        |_| ProgressStyle::default_bar(),
        |style| style.progress_chars("=> "),
    ));
    bar
}

/// Backfills with a progress bar, until no job waits.
async fn first_sync(world: &World, args: &DemoArgs, quiet: bool) -> anyhow::Result<()> {
    world.start_first_sync().await?;
    let limit = Duration::from_secs(60 + FIRST_SYNC_SECS_PER_1000 * (args.records as u64) / 1000);
    let begun = SystemClock.now();
    let progress = bar(0, quiet);
    progress.set_message("backfill");
    loop {
        tokio::time::sleep(LOOK).await;
        let filter = RunFilter {
            kind: Some(RunKind::Backfill),
            limit: 10,
            ..RunFilter::default()
        };
        let runs = world.store().runs(&filter).await?;
        let ended = runs
            .iter()
            .find(|run| matches!(run.state, RunState::Succeeded | RunState::Partial));
        if let Some(run) = ended {
            let counts = world.store().job_counts(None, SystemClock.now()).await?;
            let open = counts.available + counts.running;
            progress.set_length(run.progress.queued.max(open));
            progress.set_position(run.progress.queued.saturating_sub(open));
            if open == 0 {
                break;
            }
        }
        if SystemClock.now().since(begun) > limit {
            anyhow::bail!("the first sync has not ended after {} s", limit.as_secs());
        }
    }
    progress.finish();
    Ok(())
}

/// Waits until nothing is left to do, and asks both systems whether they agree.
async fn settle(
    world: &World,
    initial: &(SimState, SimState),
    quiet: bool,
) -> anyhow::Result<Comparison> {
    let begun = SystemClock.now();
    let progress = bar(0, quiet);
    progress.set_message("settling");
    let mut next_poll = 0;
    loop {
        let seconds = SystemClock.now().since(begun).as_secs();
        let counts = world.store().job_counts(None, SystemClock.now()).await?;
        let open = counts.available + counts.running;
        progress.set_length(progress.length().unwrap_or(0).max(open));
        progress.set_position(progress.length().unwrap_or(0).saturating_sub(open));
        if open == 0 {
            operator::replay_dead(world).await?;
            operator::answer_questions(world).await?;
            let (crm, finance) = world.states();
            let verdict = compare(&crm, &finance, &initial.0, &initial.1);
            if verdict.agree || seconds > SETTLE_SECS_MAX {
                progress.finish();
                return Ok(verdict);
            }
        }
        if seconds >= next_poll {
            // Webhooks get lost; what they would have told is found by polling.
            world.poll(Side::A).await?;
            world.poll(Side::B).await?;
            next_poll = seconds + 5;
        }
        if seconds > SETTLE_SECS_MAX + 30 {
            let (crm, finance) = world.states();
            return Ok(compare(&crm, &finance, &initial.0, &initial.1));
        }
        tokio::time::sleep(LOOK).await;
    }
}
