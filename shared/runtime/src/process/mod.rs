//! What every process of the fleet does before its own work: read its options and the configuration,
//! connect to the database and to Redis, start telemetry, listen for signals; and how it ends.
//!
//! This is the one place that chooses implementations: SQLite and a doorbell in the process, or
//! PostgreSQL and Redis.

mod api_token;
mod args;
mod begin;
mod error;
mod health;
mod platform;
mod program;
mod readiness;
mod status;
mod storage;
mod tasks;

pub use api_token::{API_TOKEN_FILE, ApiTokenFileError, keep_api_token, read_api_token};
pub use args::{API_TOKEN_VARIABLE, ProcessArgs, ProcessCli, ProcessCommand, STATUS_LISTEN};
pub use begin::{Process, Role, check_applied};
pub use error::StartError;
pub use health::ask_ready;
pub use platform::Platform;
pub use program::main;
pub use readiness::Readiness;
pub use status::serve_status;
pub use storage::{PostgresUrl, Storage};
pub use tasks::{TaskError, Tasks};
