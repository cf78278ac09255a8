//! Configuration, telemetry, shutdown, and the wiring of everything else. The only crate that reads
//! the real clock and draws real randomness.

pub mod addresses;
pub mod config;
pub mod ends;
mod limits;
pub mod process;
mod real;
pub mod reload;
pub mod schedule;
mod shutdown;
pub mod telemetry;
mod topology;

pub use config::{ConfigError, Configuration};
pub use limits::take_limits;
pub use real::{SystemClock, SystemEntropy};
pub use schedule::{Schedule, ScheduleError};
pub use shutdown::shutdown_token;
pub use topology::{Archived, DeleteBrake, End, SyncDefinition, Topology};

/// Records, requests and rows are many small pieces of memory, made in one thread and given back in another:
/// with the C library's allocator a worker spends a third of its time there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
