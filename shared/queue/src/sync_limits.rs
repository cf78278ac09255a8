//! How many jobs of a sync run at once in this process, and which syncs are paused.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_domain::{SyncName, Timestamp};
use tandem_store::Job;

use crate::gate::{Admission, Gate};

/// A job that was claimed beyond the limit looks again after this.
const LIMIT_WAIT: Duration = Duration::from_millis(500);

/// Limits by sync; a sync without one is only bound by the runner's slots.
#[derive(Debug, Default)]
pub struct SyncLimits {
    rules: Mutex<HashMap<SyncName, Rule>>,
}

#[derive(Debug, Default)]
struct Rule {
    limit: Option<usize>,
    paused: bool,
    in_flight: usize,
}

impl Rule {
    fn is_blocked(&self) -> bool {
        self.paused || self.limit.is_some_and(|limit| self.in_flight >= limit)
    }
}

impl SyncLimits {
    /// Lets at most `limit` jobs of a sync run at once; `None` takes the limit away.
    pub fn set_limit(&self, sync: &SyncName, limit: Option<usize>) {
        self.with_rule(sync, |rule| rule.limit = limit);
    }

    /// Leaves the jobs of a sync waiting; what runs goes on.
    pub fn pause(&self, sync: &SyncName) {
        self.with_rule(sync, |rule| rule.paused = true);
    }

    /// Takes a pause back. The runner notices within its poll interval.
    pub fn resume(&self, sync: &SyncName) {
        self.with_rule(sync, |rule| rule.paused = false);
    }

    /// Whether the jobs of a sync are left waiting.
    #[must_use]
    pub fn is_paused(&self, sync: &SyncName) -> bool {
        self.lock().get(sync).is_some_and(|rule| rule.paused)
    }

    fn with_rule<T>(&self, sync: &SyncName, change: impl FnOnce(&mut Rule) -> T) -> T {
        let mut rules = self.lock();
        match rules.get_mut(sync) {
            Some(rule) => change(rule),
            None => change(rules.entry(sync.clone()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SyncName, Rule>> {
        // No code panics between two changes that belong together.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for SyncLimits {
    fn blocked_syncs(&self, _now: Timestamp) -> Vec<SyncName> {
        self.lock()
            .iter()
            .filter(|(_, rule)| rule.is_blocked())
            .map(|(sync, _)| sync.clone())
            .collect()
    }

    fn admit(&self, job: &Job, now: Timestamp) -> Admission {
        let Some(sync) = job.kind.sync() else {
            return Admission::Run;
        };
        self.with_rule(sync, |rule| {
            if rule.is_blocked() {
                let until = now.plus(LIMIT_WAIT);
                return Admission::Defer { until };
            }
            rule.in_flight += 1;
            Admission::Run
        })
    }

    fn release(&self, job: &Job, _now: Timestamp) {
        if let Some(sync) = job.kind.sync() {
            self.with_rule(sync, |rule| {
                rule.in_flight = rule.in_flight.saturating_sub(1);
            });
        }
    }

    /// Limits open when a job ends, and the runner looks then anyway.
    fn next_change(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
}
