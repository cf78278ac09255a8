//! How many requests were made in which hour.
//!
//! A day's budget is kept over any 24 hours, because systems differ in when their day begins: some count
//! the last 24 hours, some start anew at midnight of a time zone that the manifest cannot know. Whole
//! hours are counted, so the span is that of 24 to 25 hours.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_domain::Timestamp;

/// The present hour and the 24 before it.
const HOURS_KEPT: i64 = 25;
const HOUR_SECS: i64 = 3_600;

/// Requests by the hour, counted from 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(BTreeMap<i64, u64>);

impl Hours {
    /// The hour of an instant.
    #[must_use]
    pub const fn of(now: Timestamp) -> i64 {
        now.as_secs().div_euclid(HOUR_SECS)
    }

    /// Counts requests that are made now, and forgets hours that no longer matter.
    pub fn add(&mut self, now: Timestamp, requests: u64) {
        let hour = Self::of(now);
        self.0.retain(|kept, _| *kept > hour - HOURS_KEPT);
        *self.0.entry(hour).or_default() += requests;
    }

    /// Sets what is known of an hour.
    pub fn set(&mut self, hour: i64, requests: u64) {
        self.0.insert(hour, requests);
    }

    /// The hours that count now, with their requests.
    pub fn counted(&self, now: Timestamp) -> impl Iterator<Item = (i64, u64)> + '_ {
        let hour = Self::of(now);
        self.0
            .range(hour - HOURS_KEPT + 1..=hour)
            .map(|(hour, requests)| (*hour, *requests))
    }

    /// The requests that count now.
    #[must_use]
    pub fn total(&self, now: Timestamp) -> u64 {
        self.counted(now).map(|(_, requests)| requests).sum()
    }

    /// How long until the oldest hour with requests no longer counts.
    #[must_use]
    pub fn frees_in(&self, now: Timestamp) -> Duration {
        let oldest = self.counted(now).find(|(_, requests)| *requests > 0);
        let hour = oldest.map_or(Self::of(now), |(hour, _)| hour);
        Timestamp::from_secs((hour + HOURS_KEPT) * HOUR_SECS).since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_for_a_day_and_the_rest_of_its_hour() {
        let noon = Timestamp::from_secs(1_767_268_800);
        let mut hours = Hours::default();
        hours.add(noon.plus(Duration::from_secs(1_800)), 7);
        hours.add(noon.plus(Duration::from_secs(7_200)), 1);
        let later = noon.plus(Duration::from_secs(24 * 3_600 + 3_599));
        assert_eq!(hours.total(later), 8);
        assert_eq!(hours.frees_in(later), Duration::from_secs(1));
        assert_eq!(hours.total(later.plus(Duration::from_secs(1))), 1);
    }
}
