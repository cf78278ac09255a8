//! Configuration, telemetry, shutdown, and the wiring of everything else. The only crate that reads
//! the real clock and draws real randomness.

pub mod config;
pub mod process;
mod real;
pub mod schedule;
mod shutdown;
pub mod telemetry;
mod topology;

pub use config::{ConfigError, Configuration};
pub use real::{SystemClock, SystemEntropy};
pub use schedule::{Schedule, ScheduleError};
pub use shutdown::shutdown_token;
pub use topology::{Archived, DeleteBrake, End, SyncDefinition, Topology};
