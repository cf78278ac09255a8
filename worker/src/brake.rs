//! The delete brake: deletes that come too many at once wait for a person.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tandem_domain::{SyncName, Timestamp};
use tandem_runtime::DeleteBrake;

/// Deletes are counted over this long.
const WINDOW: Duration = Duration::from_secs(3_600);

/// The deletes of the last hour, by sync.
#[derive(Default)]
pub struct Brakes {
    recent: Mutex<BTreeMap<SyncName, VecDeque<Timestamp>>>,
}

impl Brakes {
    /// Whether one more delete may pass; if so it is counted. A delete passes while the hour's count
    /// is within the number, or within the share of `links`.
    pub fn admit(&self, sync: &SyncName, brake: DeleteBrake, links: u64, now: Timestamp) -> bool {
        // A poisoned lock only means that another job panicked; the counts are still whole.
        let mut recent = self
            .recent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let times = recent.entry(sync.clone()).or_default();
        while times.front().is_some_and(|time| now.since(*time) > WINDOW) {
            times.pop_front();
        }
        let share = links.saturating_mul(u64::from(brake.percent)) / 100;
        let limit = u64::from(brake.count).max(share);
        let admitted = (times.len() as u64) < limit;
        if admitted {
            times.push_back(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_beyond_number_and_share_wait_until_the_hour_is_over() {
        let brakes = Brakes::default();
        let sync: SyncName = "s".parse().expect("a name");
        let brake = DeleteBrake {
            count: 2,
            percent: 10,
        };
        let now = Timestamp::from_secs(1_000);
        assert!(brakes.admit(&sync, brake, 10, now));
        assert!(brakes.admit(&sync, brake, 10, now));
        assert!(!brakes.admit(&sync, brake, 10, now));
        assert!(
            brakes.admit(&sync, brake, 100, now),
            "10 % of 100 links is more than 2"
        );
        assert!(brakes.admit(
            &sync,
            brake,
            10,
            now.plus(WINDOW).plus(Duration::from_secs(1))
        ));
    }
}
