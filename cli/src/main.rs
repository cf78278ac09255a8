//! `tandem`: the demo, the whole product in one process, and an operator's commands.

mod commands;
mod demo;
mod embedded;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps a company's CRM and its finance system in agreement.
#[derive(Parser)]
#[command(name = "tandem", version, about)]
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
    /// Run one of the simulated systems as a process of its own.
    Simulate(commands::simulate::SimulateArgs),
    /// Sign, verify and send webhooks.
    Webhook(commands::webhook::WebhookArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("the async runtime could not start")),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Up(args) => commands::up::run(args).await,
        Command::Simulate(args) => commands::simulate::run(args).await,
        Command::Webhook(args) => commands::webhook::run(args).await,
    }
}

/// Prints an error with its causes, and gives the exit code of a failure.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
