//! Configuration, telemetry, shutdown, and the wiring of everything else. The only crate that reads
//! the real clock and draws real randomness.

mod topology;

pub use topology::{DeleteBrake, End, SyncDefinition, Topology};
