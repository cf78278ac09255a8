//! Keeps back jobs that cannot run now, without costing them an attempt.

use std::sync::Arc;

use tandem_domain::{SyncName, Timestamp};
use tandem_store::Job;

/// Asked before each claim, and again for each claimed job, since one claim may bring many jobs of
/// the same sync. Implementations answer from memory.
pub trait Gate: Send + Sync {
    /// The syncs whose jobs are not to be claimed now.
    fn blocked_syncs(&self, now: Timestamp) -> Vec<SyncName>;

    /// Whether a claimed job may run. Each `Run` is followed by one [`Gate::release`].
    fn admit(&self, job: &Job, now: Timestamp) -> Admission;

    /// Says that an admitted job is over, however it ended.
    fn release(&self, job: &Job, now: Timestamp);

    /// The next instant at which a blocked sync opens by time alone.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp>;
}

/// A gate's answer about one claimed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may run.
    Run,
    /// It goes back to waiting until this instant, its attempt not counted.
    Defer {
        /// Not claimed before this instant.
        until: Timestamp,
    },
}

/// Lets everything through.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

impl Gate for OpenGate {
    fn blocked_syncs(&self, _now: Timestamp) -> Vec<SyncName> {
        Vec::new()
    }

    fn admit(&self, _job: &Job, _now: Timestamp) -> Admission {
        Admission::Run
    }

    fn release(&self, _job: &Job, _now: Timestamp) {}

    fn next_change(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
}

/// Several gates, one behind the other: a job runs when all let it through.
#[derive(Clone)]
pub struct Gates(Vec<Arc<dyn Gate>>);

impl Gates {
    /// Puts gates one behind the other; they are asked in this order.
    #[must_use]
    pub fn new(gates: Vec<Arc<dyn Gate>>) -> Self {
        Self(gates)
    }
}

impl Gate for Gates {
    fn blocked_syncs(&self, now: Timestamp) -> Vec<SyncName> {
        let mut blocked: Vec<SyncName> = self
            .0
            .iter()
            .flat_map(|gate| gate.blocked_syncs(now))
            .collect();
        blocked.sort_unstable();
        blocked.dedup();
        blocked
    }

    fn admit(&self, job: &Job, now: Timestamp) -> Admission {
        for (passed, gate) in self.0.iter().enumerate() {
            if let Admission::Defer { until } = gate.admit(job, now) {
                for earlier in &self.0[..passed] {
                    earlier.release(job, now);
                }
                return Admission::Defer { until };
            }
        }
        Admission::Run
    }

    fn release(&self, job: &Job, now: Timestamp) {
        for gate in &self.0 {
            gate.release(job, now);
        }
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|gate| gate.next_change(now)).min()
    }
}
