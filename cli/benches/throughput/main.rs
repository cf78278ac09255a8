//! How much Tandem takes: signed webhooks a second, jobs a second, reconciled changes a second.
//!
//! Each figure is measured beside its baseline, in the same run on the same machine: what the disk or
//! the network gives to a program that does the same work without Tandem. The load generator shares
//! the machine, and its cost is part of each figure. Prints one line of JSON a figure, then a table.
//!
//! Not here: statistics over many runs. A figure is one measurement, long enough to be steady.

mod baseline;
mod client;
#[allow(
    dead_code,
    reason = "the wiring of `tandem up`; not all that commands need of it is needed here"
)]
#[path = "../../src/embedded.rs"]
mod embedded;
mod figure;
mod jobs;
mod pair;
mod reconcile;
mod webhooks;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use figure::Figure;

/// Measures Tandem's throughput.
#[derive(Parser)]
struct Args {
    /// A smoke run of a few seconds, whose figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Signed webhooks to send.
    #[arg(long, default_value_t = 50_000)]
    webhooks: usize,
    /// Connections that send them.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// No-op jobs to queue.
    #[arg(long, default_value_t = 100_000)]
    jobs: usize,
    /// Jobs, and requests to one system, at once.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Companies in the population of the two simulated systems.
    #[arg(long, default_value_t = 2_000)]
    records: usize,
    /// The folder for the databases, on the disk to measure; removed at the end.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn shrunk(self) -> Self {
        match self.quick {
            true => Self {
                webhooks: 500,
                connections: 16,
                jobs: 500,
                records: 30,
                ..self
            },
            false => self,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse().shrunk();
    // As many threads as `tandem up` has.
    tokio::runtime::Runtime::new()
        .context("starting the runtime")?
        .block_on(measure(&args))
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&args.folder)
        .with_context(|| format!("making a folder in {}", args.folder.display()))?;
    let at = |name: &str| folder.path().join(name);
    // First, because it starts the product and with it the metrics: the others are counted too.
    let reconciled = reconcile::measure(&at("reconcile"), args.records, args.concurrency).await?;
    reconciled.print_json()?;
    let webhooks = webhooks::measure(&at("webhooks"), args.webhooks, args.connections).await?;
    webhooks.print_json()?;
    let jobs = jobs::measure(&at("jobs"), args.jobs, args.concurrency).await?;
    jobs.print_json()?;
    println!("\n{}", Figure::table(&[webhooks, jobs, reconciled]));
    Ok(())
}
