//! Takes durable jobs out of the store, runs them, and writes down how they ended.
//!
//! The row is the job; a [`Doorbell`] only says that there may be one: [`InProcessDoorbell`] within a
//! process, [`RedisDoorbell`] between the processes of a fleet. The [`Runner`] claims rows
//! under leases, hands them to a [`JobHandler`] inside apalis' worker runtime, renews the leases
//! while they run, and ends them in batches. A [`Gate`] keeps back the jobs that cannot run now:
//! [`Breakers`] those of a system that is down, [`SyncLimits`] those of a sync that is paused or busy.
//!
//! This crate has no SQL, knows no connector, reads no clock and draws no random number: time and
//! chance come in as [`Clock`](tandem_domain::Clock) and [`Entropy`](tandem_domain::Entropy).
//! Jobs whose lease ended elsewhere are not rescued here; a pass of the scheduler does that.

mod backend;
mod backoff;
mod breaker;
mod breakers;
mod claimer;
mod completer;
mod doorbell;
mod gate;
mod handler;
mod heartbeat;
mod in_flight;
mod layers;
mod outcome;
mod redis_doorbell;
mod runner;
mod runner_core;
mod shares;
mod sync_limits;
mod telemetry;

pub use breaker::{Breaker, BreakerConfig, BreakerState, Passage};
pub use breakers::Breakers;
pub use doorbell::{Doorbell, InProcessDoorbell};
pub use gate::{Admission, Gate, Gates, OpenGate};
pub use handler::{Handled, JobContext, JobHandler, LeaseEnd};
pub use outcome::outcome_for;
pub use redis_doorbell::{DoorbellRole, RedisDoorbell, RedisDoorbellError, RedisDoorbellOptions};
pub use runner::{Drained, Runner, RunnerConfig, RunnerError, RunnerParts};
pub use sync_limits::SyncLimits;
