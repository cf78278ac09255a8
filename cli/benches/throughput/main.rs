//! How much Tandem takes: signed webhooks a second, jobs a second, reconciled changes a second; in one
//! process over SQLite, and in production form over PostgreSQL and Redis; how long a change takes through
//! an idle fleet, and what more workers bring.
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
mod exchange;
mod figure;
mod fleet;
mod fleet_jobs;
mod hubspot;
mod jobs;
mod latency;
mod pair;
mod reconcile;
#[path = "../../src/removal.rs"]
mod removal;
mod rows;
mod scaling;
mod servers;
mod systems;
mod tap;
mod webhooks;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use figure::Figure;
use servers::Servers;
use systems::Plan;

/// Measures Tandem's throughput.
#[derive(Parser)]
struct Args {
    /// A smoke run of a few seconds, whose figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Measure these alone.
    #[arg(long, value_name = "FIGURE")]
    only: Vec<Row>,
    /// Signed webhooks to send.
    #[arg(long, default_value_t = 50_000)]
    webhooks: usize,
    /// Connections that send them.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// No-op jobs to queue.
    #[arg(long, default_value_t = 100_000)]
    jobs: usize,
    /// Jobs, and requests to one system, at once in a process.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Companies in the population of the two simulated systems.
    #[arg(long, default_value_t = 2_000)]
    records: usize,
    /// Single edits through the idle fleet.
    #[arg(long, default_value_t = 200)]
    edits: usize,
    /// Changes for each worker when workers are added.
    #[arg(long, default_value_t = 300)]
    changes: usize,
    /// Jobs at once in a worker when workers are added: few, so that the machine is not the limit.
    #[arg(long, default_value_t = 4)]
    slots: usize,
    /// How long the systems take for a request when workers are added, in milliseconds.
    #[arg(long, default_value_t = 50)]
    latency_ms: u64,
    /// The folder for the databases, on the disk to measure; removed at the end. When this runs as root,
    /// PostgreSQL's account must be able to get there.
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
                edits: 5,
                changes: 20,
                latency_ms: 5,
                ..self
            },
            false => self,
        }
    }

    /// What is to be measured, in order. What starts the product comes first, and with it the metrics:
    /// the others are counted too.
    fn rows(&self) -> Vec<Row> {
        match self.only.as_slice() {
            [] => Row::value_variants().to_vec(),
            only => only.to_vec(),
        }
    }
}

/// What can be measured, by the names of the figures.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    Reconciled,
    Webhooks,
    Jobs,
    WebhooksPostgres,
    JobsPostgres,
    ReconciledFleet,
    LatencyFleet,
    ScalingFleet,
}

impl Row {
    const fn is_of_fleet(self) -> bool {
        match self {
            Self::ReconciledFleet | Self::LatencyFleet | Self::ScalingFleet => true,
            Self::Reconciled
            | Self::Webhooks
            | Self::Jobs
            | Self::WebhooksPostgres
            | Self::JobsPostgres => false,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse().shrunk();
    // As many threads as `tandem up` has.
    tokio::runtime::Runtime::new()
        .context("starting the runtime")?
        .block_on(measure(args))
}

async fn measure(args: Args) -> anyhow::Result<()> {
    let rows = args.rows();
    if rows.iter().any(|row| row.is_of_fleet()) {
        fleet::check_programs()?;
    }
    let folder = tempfile::tempdir_in(&args.folder)
        .with_context(|| format!("making a folder in {}", args.folder.display()))?;
    let bench = Bench {
        args,
        folder,
        servers: OnceCell::new(),
    };
    let mut figures = Vec::with_capacity(rows.len());
    for row in rows {
        let figure = bench.measure(row).await?;
        figure.print_json()?;
        figures.push(figure);
    }
    println!("\n{}", Figure::table(&figures));
    Ok(())
}

/// What the measurements share.
struct Bench {
    args: Args,
    folder: TempDir,
    /// Started when they are first needed.
    servers: OnceCell<Servers>,
}

impl Bench {
    async fn measure(&self, row: Row) -> anyhow::Result<Figure> {
        let args = &self.args;
        let at = |name: &str| self.folder.path().join(name);
        let plan = Plan {
            records: args.records,
            concurrency: args.concurrency,
            latency_ms: 0,
            webhooks: true,
        };
        let webhooks = webhooks::Load {
            webhooks: args.webhooks,
            connections: args.connections,
        };
        match row {
            Row::Reconciled => reconcile::measure(&at("reconciled"), plan).await,
            Row::Webhooks => webhooks::measure(&at("webhooks"), webhooks).await,
            Row::Jobs => jobs::measure(&at("jobs"), args.jobs, args.concurrency).await,
            Row::WebhooksPostgres => {
                webhooks::measure_postgres(self.servers().await, webhooks).await
            }
            Row::JobsPostgres => {
                fleet_jobs::measure(self.servers().await, args.jobs, args.concurrency).await
            }
            Row::ReconciledFleet => {
                let servers = self.servers().await;
                reconcile::measure_fleet(servers, &at("reconciled-fleet"), plan).await
            }
            Row::LatencyFleet => {
                // It tells of the edits itself, and nothing else disturbs.
                let plan = Plan {
                    webhooks: false,
                    ..plan
                };
                let servers = self.servers().await;
                latency::measure(servers, &at("latency-fleet"), args.edits, plan).await
            }
            Row::ScalingFleet => {
                let load = scaling::Load {
                    changes_each: args.changes,
                    concurrency: args.slots,
                    latency_ms: args.latency_ms,
                };
                let servers = self.servers().await;
                scaling::measure(servers, &at("scaling-fleet"), load).await
            }
        }
    }

    async fn servers(&self) -> &Servers {
        let start = || Servers::start(&self.args.folder);
        self.servers.get_or_init(start).await
    }
}
