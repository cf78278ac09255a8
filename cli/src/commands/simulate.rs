//! `tandem simulate crm|finance`: a simulated system as a process of its own.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tandem_simulator::{SimConfig, SimKind, Simulator, WebhookTarget};

use super::options::{decimal, number};

/// Which system.
#[derive(Clone, Copy, ValueEnum)]
enum System {
    /// A HubSpot-shaped CRM.
    Crm,
    /// A Xero-shaped finance system.
    Finance,
}

/// More companies than this do not fit into the memory of a machine for trying things.
const RECORDS_MAX: usize = 1_000_000;
/// A year, in seconds.
const SKEW_SECS_MAX: i64 = 366 * 86_400;
/// Ten minutes, in milliseconds.
const LATENCY_MS_MAX: u64 = 600_000;

/// What it is like.
#[derive(Args)]
pub struct SimulateArgs {
    /// Which system.
    system: System,
    /// Where it listens on 127.0.0.1; a free port when left out.
    #[arg(long)]
    port: Option<u16>,
    /// How many companies the shared population has; each side holds about 80 % of them. 0: it begins empty.
    #[arg(long, default_value_t = 500, value_parser = number(0, RECORDS_MAX))]
    records: usize,
    /// The same seed gives the same data, edits and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of requests that go wrong, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = decimal(0.0, 1.0))]
    faults: f64,
    /// Edits by simulated users, a second.
    #[arg(long, default_value_t = 0.0, value_parser = decimal(0.0, 1_000.0))]
    edits: f64,
    /// Where changes are posted, such as http://127.0.0.1:8080/hooks/crm.
    #[arg(long, requires = "secret")]
    webhook: Option<String>,
    /// The webhook's signing secret.
    #[arg(long, requires = "webhook")]
    secret: Option<String>,
    /// Its clock is ahead by this many seconds (negative: behind).
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = number(-SKEW_SECS_MAX, SKEW_SECS_MAX))]
    skew: i64,
    /// Every request takes at least this long, in milliseconds.
    #[arg(long, default_value_t = 0, value_parser = number(0, LATENCY_MS_MAX))]
    latency: u64,
    /// A request that is never answered is held this long, in seconds.
    #[arg(long, default_value_t = 5.0, value_parser = decimal(0.0, 3_600.0))]
    hang: f64,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let kind = match args.system {
        System::Crm => SimKind::Crm,
        System::Finance => SimKind::Finance,
    };
    let webhook = args
        .webhook
        .zip(args.secret)
        .map(|(url, secret)| WebhookTarget { url, secret });
    let config = SimConfig {
        port: args.port,
        records: args.records,
        seed: args.seed,
        faults: args.faults,
        edits_per_second: args.edits,
        webhook,
        clock_skew_secs: args.skew,
        latency_ms: args.latency,
        hang_secs: args.hang,
        ..SimConfig::new(kind)
    };
    let shutdown = tandem_runtime::shutdown_token().context("listening for signals")?;
    let simulator = Simulator::start(config)
        .await
        .context("starting the simulator")?;
    println!("{} listens on {}", kind.name(), simulator.base_url());
    match kind {
        SimKind::Crm => println!("  bearer token: {}", simulator.api_token()),
        SimKind::Finance => {
            let credentials = simulator.credentials();
            println!("  client id: {}", credentials.client_id);
            println!("  client secret: {}", credentials.client_secret);
            println!("  tenant id: {}", credentials.tenant_id);
        }
    }
    println!("  state: {}/_sim/state", simulator.base_url());
    shutdown.cancelled().await;
    simulator.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
