//! The passes, one a file.

mod due_schedules;
mod moot_questions;
mod orphaned_runs;
mod prune;
mod queue_gauges;
mod rescue_expired;
mod ring_due_jobs;
mod stale_intents;
#[cfg(test)]
pub(crate) mod support;

use async_trait::async_trait;
use tandem_domain::Timestamp;
use tandem_store::StoreError;

pub use due_schedules::DueSchedules;
pub use moot_questions::MootQuestions;
pub use orphaned_runs::OrphanedRuns;
pub use prune::Prune;
pub use queue_gauges::QueueGauges;
pub use rescue_expired::RescueExpired;
pub use ring_due_jobs::RingDueJobs;
pub use stale_intents::StaleIntents;

/// Brings one thing in the store back to where it should be.
#[async_trait]
pub trait Pass: Send + Sync {
    /// The word for it in logs and metrics.
    fn name(&self) -> &'static str;

    /// Does what is missing at this time. Doing it twice is doing it once.
    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError>;
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// How many things it changed.
    pub handled: usize,
    /// When it should run again, if before its regular time.
    pub next: Option<Timestamp>,
}
