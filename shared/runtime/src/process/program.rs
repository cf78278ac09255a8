//! The main function of a program of the fleet.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

use super::{
    Process, ProcessCli, ProcessCommand, Role, STATUS_LISTEN, StartError, Tasks, ask_ready,
};

/// The exit code of a process that could not start, or a part of which failed.
const FAILED: u8 = 3;
/// The exit code of `health` when the process is not ready.
const NOT_READY: u8 = 1;

/// Reads the command line, starts the process and its parts, and runs until it is asked to end.
pub fn main<S>(role: Role, start: S) -> ExitCode
where
    S: AsyncFnOnce(&Process, &mut Tasks) -> Result<SocketAddr, StartError>,
{
    let cli = ProcessCli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(role, &error),
    };
    runtime.block_on(async {
        match cli.command {
            Some(ProcessCommand::Health) => health(role, cli.args.listen).await,
            None => run(role, &cli, start).await,
        }
    })
}

async fn run<S>(role: Role, cli: &ProcessCli, start: S) -> ExitCode
where
    S: AsyncFnOnce(&Process, &mut Tasks) -> Result<SocketAddr, StartError>,
{
    if let Err(error) = crate::take_limits() {
        return fail(role, &StartError::Signals(error));
    }
    let environment = crate::config::process_environment;
    let process = match Process::begin(role, &cli.args, &environment).await {
        Ok(process) => process,
        Err(error) => return fail(role, &error),
    };
    let mut tasks = Tasks::default();
    match start(&process, &mut tasks).await {
        Ok(address) => {
            tracing::info!(%address, instance = %process.instance, "{} is up", role.program())
        }
        Err(error) => return fail(role, &error),
    }
    if let Some(file) = &cli.args.config {
        let following = process
            .reloader(file.clone())
            .run(process.platform.shutdown.clone());
        tasks.spawn_endless("following the configuration", following);
    }
    match process.run_to_end(tasks).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(role, &error),
    }
}

async fn health(role: Role, listen: Option<SocketAddr>) -> ExitCode {
    let listen = listen.unwrap_or(match role {
        Role::Api => crate::config::ServerConfig::default().listen,
        Role::Scheduler | Role::Worker => STATUS_LISTEN,
    });
    match ask_ready(listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{}: {reason}", role.program());
            ExitCode::from(NOT_READY)
        }
    }
}

/// One message on standard error, whether logs are on or not.
fn fail(role: Role, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{}: {error}", role.program());
    ExitCode::from(FAILED)
}
