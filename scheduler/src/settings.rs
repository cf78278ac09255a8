//! What the scheduler is told.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_runtime::config::{Built, RetentionConfig, SchedulerConfig};
use tandem_store::ScheduleKey;

const SECS_PER_DAY: u64 = 86_400;

/// What the scheduler is told.
#[derive(Clone, Debug)]
pub struct SchedulerSettings {
    /// Polls, sweeps and whole comparisons under way or waiting at once; a schedule that is due beyond
    /// that stays due.
    pub runs_max: usize,
    /// The polling schedules that list the whole side, because the system cannot tell what changed.
    pub sweeping: BTreeSet<ScheduleKey>,
    /// How long is kept what has ended.
    pub retention: Retention,
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
            sweeping: built.sweeping.clone(),
            retention: retention.into(),
        }
    }
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            runs_max: SchedulerConfig::default().runs_max,
            sweeping: BTreeSet::new(),
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
