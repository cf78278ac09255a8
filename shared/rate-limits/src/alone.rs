//! This process's share of a connection's limits, while Redis is away.

use std::time::Duration;

use tandem_connectors::budget::{
    Bucket, BudgetRefusal, Ledger, Observation, Place, RateLimits, RefusalCause,
};
use tandem_domain::Timestamp;

/// A process without a share asks again after this long.
const NO_SHARE_PAUSE: Duration = Duration::from_secs(5);

/// The share and what was used of it since Redis was last there.
pub(crate) struct Alone {
    /// `None`: there are fewer requests than processes, and this one has none.
    ledger: Option<Ledger>,
    spent: u64,
}

impl Alone {
    /// The share, empty: until now requests were taken out of the whole.
    pub(crate) fn new(limits: &RateLimits, place: Place, late: Duration, now: Timestamp) -> Self {
        let shares: Option<Vec<Bucket>> = limits
            .buckets
            .iter()
            .map(|bucket| Some(bucket.share(place)?.counted_early(late)))
            .collect();
        let ledger = shares.map(|buckets| {
            let daily = limits.daily;
            Ledger::empty(RateLimits { buckets, daily }, now)
        });
        Self { ledger, spent: 0 }
    }

    /// Takes a request out of the share; `daily` is the share of what was left of the day.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        wait_max: Duration,
        daily: Option<u64>,
        paused_until: Timestamp,
    ) -> Result<Duration, BudgetRefusal> {
        let Some(ledger) = &mut self.ledger else {
            return Err(BudgetRefusal {
                retry_after: NO_SHARE_PAUSE,
                cause: RefusalCause::Alone,
            });
        };
        ledger.set_daily(daily);
        ledger.pause(now, paused_until.since(now));
        let wait = ledger.take(now, wait_max)?;
        self.spent += 1;
        Ok(wait)
    }

    pub(crate) const fn lift_pause(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.lift_pause();
        }
    }

    pub(crate) fn observe(&mut self, now: Timestamp, seen: &Observation) {
        if let Some(ledger) = &mut self.ledger {
            ledger.observe(now, seen);
        }
    }

    pub(crate) fn remaining(&self, now: Timestamp) -> Option<u64> {
        match &self.ledger {
            Some(ledger) => ledger.remaining(now),
            None => Some(0),
        }
    }

    /// The requests used.
    pub(crate) const fn spent(&self) -> u64 {
        self.spent
    }

    /// The requests used of a day, by the hour.
    pub(crate) fn hours(&self, now: Timestamp) -> Vec<(i64, u64)> {
        self.ledger
            .as_ref()
            .map(|ledger| ledger.hours().counted(now).collect())
            .unwrap_or_default()
    }
}
