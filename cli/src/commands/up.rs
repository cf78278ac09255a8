//! `tandem up`: ingress, scheduler and workers in one process, over SQLite.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tandem_runtime::Configuration;
use tandem_runtime::telemetry::{LogFormat, init_logs};

use crate::embedded::{Embedded, EmbeddedOptions};

/// How to run.
#[derive(Args)]
pub struct UpArgs {
    /// The configuration file.
    #[arg(long, env = "TANDEM_CONFIG")]
    config: PathBuf,
    /// The folder that holds the database.
    #[arg(long, env = "TANDEM_DATA", default_value = "tandem-data")]
    data: PathBuf,
    /// Log as JSON, one object a line.
    #[arg(long)]
    json_logs: bool,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let format = if args.json_logs {
        LogFormat::Json
    } else {
        LogFormat::Human
    };
    init_logs(format, std::env::var("RUST_LOG").ok().as_deref())?;
    let shutdown = tandem_runtime::shutdown_token().context("listening for signals")?;
    let configuration = Configuration::load(&args.config)?;
    let options = EmbeddedOptions {
        data: args.data,
        environment: Box::new(|name| std::env::var(name).ok()),
    };
    let mut embedded = Embedded::start(&configuration, options).await?;
    tracing::info!(address = %embedded.address, syncs = embedded.topology.syncs.len(), "tandem is up");
    tokio::select! {
        () = shutdown.cancelled() => tracing::info!("stopping"),
        error = embedded.failed() => tracing::error!("a part of the process has failed, stopping: {error:#}"),
    }
    embedded.stop().await?;
    Ok(ExitCode::SUCCESS)
}
