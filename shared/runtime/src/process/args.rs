//! The options that every process of the fleet has.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::read_listen_address;
use crate::telemetry::LogFormat;

/// Where the status of a scheduler or worker is served unless told otherwise.
pub const STATUS_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

/// The environment variable that holds the token of the API.
pub const API_TOKEN_VARIABLE: &str = "TANDEM_API_TOKEN";

/// The command line of a program of the fleet: without a command it runs.
#[derive(Parser, Clone)]
#[command(version)]
pub struct ProcessCli {
    /// Something else than to run.
    #[command(subcommand)]
    pub command: Option<ProcessCommand>,
    /// How to run.
    #[command(flatten)]
    pub args: ProcessArgs,
}

/// What a program of the fleet does beside running.
#[derive(Subcommand, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessCommand {
    /// Ask the process that runs on this machine whether it is ready; exit with 0 if it is, 1 if not.
    Health,
}

/// Where things are. Each option is also an environment variable, which is how containers are told.
#[derive(Args, Clone)]
pub struct ProcessArgs {
    /// The configuration file.
    #[arg(long, env = "TANDEM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The PostgreSQL database: postgres://user:password@host:5432/database.
    #[arg(
        long,
        env = "TANDEM_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// Takes the place of the password in the database's address, so that the address is no secret.
    #[arg(
        long,
        env = "TANDEM_DATABASE_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub database_password: Option<String>,
    /// Connections to the database at most; those of all processes must stay below its max_connections.
    #[arg(long, env = "TANDEM_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=500), value_name = "NUMBER")]
    pub database_connections: u32,
    /// The Redis that wakes workers: redis://:password@host:6379/0. Without it they look for jobs
    /// every second.
    #[arg(
        long,
        env = "TANDEM_REDIS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub redis_url: Option<String>,
    /// How many workers there are at most. While Redis is away each keeps to its part of a system's rate
    /// limit.
    #[arg(long, env = "TANDEM_FLEET_SIZE", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "NUMBER")]
    pub fleet_size: u32,
    /// Where to listen for HTTP.
    #[arg(long, env = "TANDEM_LISTEN", value_name = "ADDRESS", global = true, value_parser = read_listen_address)]
    pub listen: Option<SocketAddr>,
    /// How log lines look: `human` or `json`.
    #[arg(
        long,
        env = "TANDEM_LOG_FORMAT",
        default_value = "json",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
}
