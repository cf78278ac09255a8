//! `tandem up`: ingress, scheduler and workers in one process.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tandem_runtime::config::read_listen_address;
use tandem_runtime::telemetry::{LogFormat, TelemetryOptions, init};

use super::options::{ConfigOptions, StorageOptions};
use super::storage::load;
use crate::embedded::{Embedded, EmbeddedOptions};

/// How to run.
#[derive(Args)]
pub struct UpArgs {
    #[command(flatten)]
    config: ConfigOptions,
    #[command(flatten)]
    storage: StorageOptions,
    /// Where to listen for webhooks and the API, instead of where the configuration says.
    #[arg(long, env = "TANDEM_LISTEN", value_name = "ADDRESS", value_parser = read_listen_address)]
    listen: Option<SocketAddr>,
    /// Remove connections and syncs that are stored and that the configuration does not name; without this, such a
    /// configuration refuses the start.
    #[arg(long)]
    prune: bool,
    /// Log as JSON, one object a line.
    #[arg(long)]
    json_logs: bool,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    args.storage.require_here()?;
    let format = if args.json_logs {
        LogFormat::Json
    } else {
        LogFormat::Human
    };
    let environment = tandem_runtime::config::process_environment;
    let telemetry = init(&TelemetryOptions::from_environment(
        format,
        "tandem",
        "tandem-up",
        &environment,
    )?)?;
    let shutdown = tandem_runtime::shutdown_token().context("listening for signals")?;
    let configuration = load(&args.config.config)?;
    let options = EmbeddedOptions {
        storage: args.storage.storage(true),
        listen: args.listen,
        prune: args.prune,
        environment: Box::new(environment),
        file: Some(args.config.config.clone()),
    };
    let mut embedded = Embedded::start(&configuration, options).await?;
    tracing::info!(address = %embedded.address, syncs = embedded.topology.syncs.len(), "tandem is up");
    if configuration.syncs.is_empty() {
        let file = args.config.config.display();
        tracing::warn!(
            connections = configuration.connections.len(),
            "{file} has no syncs, so nothing is kept equal: write under `connections:` the two systems and under `syncs:` which \
             of their streams are kept equal; it is read again at once by `tandem apply`, or a SIGHUP"
        );
    }
    tokio::select! {
        () = shutdown.cancelled() => tracing::info!("stopping"),
        error = embedded.failed() => tracing::error!("a part of the process has failed, stopping: {error:#}"),
    }
    embedded.stop().await?;
    telemetry.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
