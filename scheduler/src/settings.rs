//! What the scheduler is told.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tandem_runtime::config::{Built, RetentionConfig, SchedulerConfig};
use tandem_runtime::reload::Reloads;
use tandem_store::{ConnectionRow, ScheduleKey};

const SECS_PER_DAY: u64 = 86_400;

/// What the scheduler is told.
#[derive(Clone, Debug)]
pub struct SchedulerSettings {
    /// Polls, sweeps and whole comparisons under way or waiting at once; a schedule that is due beyond
    /// that stays due.
    pub runs_max: usize,
    /// The polling schedules that list the whole side, because the system cannot tell what changed.
    pub sweeping: Sweeping,
    /// How long is kept what has ended.
    pub retention: Retention,
}

/// Polling schedules that list the whole side; another configuration may name others.
#[derive(Clone, Debug, Default)]
pub struct Sweeping(Arc<RwLock<BTreeSet<ScheduleKey>>>);

impl From<BTreeSet<ScheduleKey>> for Sweeping {
    fn from(schedules: BTreeSet<ScheduleKey>) -> Self {
        Self(Arc::new(RwLock::new(schedules)))
    }
}

impl Sweeping {
    pub(crate) fn contains(&self, schedule: &ScheduleKey) -> bool {
        // Nothing panics while it is held.
        let schedules = self.0.read().unwrap_or_else(PoisonError::into_inner);
        schedules.contains(schedule)
    }
}

impl Reloads for Sweeping {
    fn reload(&self, built: &Built, _connections: &[ConnectionRow]) {
        let mut schedules = self.0.write().unwrap_or_else(PoisonError::into_inner);
        schedules.clone_from(&built.sweeping);
    }
}

/// How long is kept what has ended. What is open stays.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Webhook deliveries.
    pub events: Duration,
    /// Jobs that ended well or were discarded.
    pub jobs: Duration,
    /// The change log.
    pub changes: Duration,
    /// Runs.
    pub runs: Duration,
}

impl SchedulerSettings {
    /// The settings of a configuration.
    #[must_use]
    pub fn new(built: &Built, scheduler: SchedulerConfig, retention: RetentionConfig) -> Self {
        Self {
            runs_max: scheduler.runs_max,
            sweeping: Sweeping::from(built.sweeping.clone()),
            retention: retention.into(),
        }
    }
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            runs_max: SchedulerConfig::default().runs_max,
            sweeping: Sweeping::default(),
            retention: RetentionConfig::default().into(),
        }
    }
}

impl From<RetentionConfig> for Retention {
    fn from(config: RetentionConfig) -> Self {
        let days = |days: u32| Duration::from_secs(u64::from(days) * SECS_PER_DAY);
        Self {
            events: days(config.events_days),
            jobs: days(config.jobs_days),
            changes: days(config.changes_days),
            runs: days(config.runs_days),
        }
    }
}
