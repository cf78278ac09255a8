//! One limit of so many requests in so much time, as a token bucket kept as one instant.
//!
//! The instant is when the next request would be exactly on time (GCRA, the leaky bucket of ITU-T I.371).
//! With a burst of `b` and one more request each `interval`, no window holds more than `b` requests and
//! then one for each interval in it; the interval of [`Bucket::window`] is chosen so that this sum is the
//! limit, wherever the window begins.

use std::time::Duration;

/// The part of a limit that may be used at once after an idle time, as a divisor.
const BURST_DIVISOR: u64 = 10;
/// The requests that a pace lets start at once after an idle time, in seconds of it.
const PACE_BURST_SECS: f64 = 0.5;
/// A pace is kept on average over this time, or over its interval where that is longer.
const PACE_WINDOW_MICROS: u64 = 10_000_000;

/// A limit on requests in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    requests: u64,
    window_micros: u64,
    burst: u64,
    interval_micros: u64,
}

/// Which of how many processes divide a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// This one's number, from 0.
    pub rank: u64,
    /// How many there are; at least 1.
    pub of: u64,
}

impl Bucket {
    /// At most `requests` in any span of `per`; `burst` of them at once, a tenth when not said.
    #[must_use]
    pub fn window(name: &str, requests: u32, per: Duration, burst: Option<u32>) -> Self {
        let requests = u64::from(requests.max(1));
        let burst = burst.map_or(requests / BURST_DIVISOR, u64::from);
        let window_micros = u64::try_from(per.as_micros()).unwrap_or(u64::MAX).max(1);
        Self::new(name, requests, window_micros, burst)
    }

    /// Requests at a steady pace, with a burst of half a second's after an idle time.
    #[must_use]
    pub fn pace(name: &str, per_second: f64) -> Self {
        let interval_micros = (1e6 / per_second).ceil().max(1.0) as u64;
        let burst = ((PACE_BURST_SECS * per_second) as u64).max(1);
        let window_micros = PACE_WINDOW_MICROS.max(interval_micros);
        Self {
            name: name.to_owned(),
            requests: window_micros / interval_micros + burst - 1,
            window_micros,
            burst,
            interval_micros,
        }
    }

    fn new(name: &str, requests: u64, window_micros: u64, burst: u64) -> Self {
        let burst = burst.clamp(1, requests);
        Self {
            name: name.to_owned(),
            requests,
            window_micros,
            burst,
            interval_micros: window_micros.div_ceil(requests - burst + 1),
        }
    }

    /// Its name, by which answers and other processes refer to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The requests that may start at once after an idle time.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The time after which there is room for one more request, in microseconds.
    #[must_use]
    pub const fn interval_micros(&self) -> u64 {
        self.interval_micros
    }

    /// How far ahead of time a request may be, in microseconds: the burst as a time.
    #[must_use]
    pub const fn burst_micros(&self) -> u64 {
        self.burst.saturating_mul(self.interval_micros)
    }

    /// The same limit for requests that may start up to `late` after they were counted.
    #[must_use]
    pub fn counted_early(&self, late: Duration) -> Self {
        let window = u128::from(self.window_micros);
        let stretched = u128::from(self.interval_micros) * (window + late.as_micros());
        Self {
            interval_micros: u64::try_from(stretched.div_ceil(window)).unwrap_or(u64::MAX),
            ..self.clone()
        }
    }

    /// The part of one process, so that all parts together keep the limit. `None` for processes beyond the
    /// number of requests: there is not one for each.
    #[must_use]
    pub fn share(&self, place: Place) -> Option<Self> {
        let sharers = place.of.clamp(1, self.requests);
        let requests = self.requests / sharers;
        let burst = self.burst / sharers;
        (place.rank < sharers).then(|| Self::new(&self.name, requests, self.window_micros, burst))
    }

    /// When a request could start, given the instant kept so far.
    pub(super) fn start(&self, next: i64) -> i64 {
        let ahead = self.burst_micros() - self.interval_micros;
        next.saturating_sub_unsigned(ahead)
    }

    /// The instant to keep after a request at `start`.
    pub(super) fn after(&self, next: i64, start: i64) -> i64 {
        next.max(start)
            .saturating_add_unsigned(self.interval_micros)
    }

    /// The instant to keep so that at most `requests` may start at once.
    pub(super) fn holding(&self, requests: u64, now: i64) -> i64 {
        let taken = self.burst - requests.min(self.burst);
        now.saturating_add_unsigned(taken.saturating_mul(self.interval_micros))
    }

    /// How many requests may start at once.
    pub(super) fn remaining(&self, next: i64, now: i64) -> u64 {
        let ahead = u64::try_from(next.saturating_sub(now)).unwrap_or(0);
        self.burst_micros().saturating_sub(ahead) / self.interval_micros
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The starts of requests that are asked for as early as possible, after an idle time.
    fn greedy(bucket: &Bucket, count: usize) -> Vec<i64> {
        let mut next = i64::MIN / 2;
        (0..count)
            .map(|_| {
                let start = bucket.start(next).max(0);
                next = bucket.after(next, start);
                start
            })
            .collect()
    }

    /// `starts` are in order.
    fn most_in_a_window(starts: &[i64], window: i64) -> usize {
        let until = |from: i64| starts.partition_point(|at| *at < from + window);
        let within = |(index, from): (usize, &i64)| until(*from) - index;
        starts.iter().enumerate().map(within).max().unwrap_or(0)
    }

    #[test]
    fn sixty_a_minute_are_six_at_once_and_then_one_in_somewhat_more_than_a_second() {
        let bucket = Bucket::window("minute", 60, Duration::from_secs(60), None);
        let starts = greedy(&bucket, 8);
        assert_eq!(
            starts,
            [0, 0, 0, 0, 0, 0, 1_090_910, 2_181_820],
            "60 s over 55 intervals"
        );
    }

    #[test]
    fn a_pace_lets_half_a_second_through_and_then_one_by_one() {
        let starts = greedy(&Bucket::pace("pace", 10.0), 7);
        assert_eq!(starts, [0, 0, 0, 0, 0, 100_000, 200_000]);
    }

    #[test]
    fn with_fewer_requests_than_processes_only_the_first_ones_have_a_share() {
        let bucket = Bucket::window("second", 2, Duration::from_secs(1), None);
        let share = |rank| bucket.share(Place { rank, of: 3 });
        assert_eq!(share(1).map(|share| share.interval_micros), Some(1_000_000));
        assert_eq!(share(2), None);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_limit(
            requests in 1u32..200,
            secs in 1u64..100,
            burst in proptest::option::of(1u32..200),
        ) {
            let bucket = Bucket::window("x", requests, Duration::from_secs(secs), burst);
            let starts = greedy(&bucket, 3 * requests as usize);
            let most = most_in_a_window(&starts, secs as i64 * 1_000_000);
            prop_assert!(most <= requests as usize, "{most} of {requests}");
        }

        #[test]
        fn the_shares_of_all_processes_together_keep_the_limit(
            requests in 1u32..200,
            of in 1u64..40,
        ) {
            let window = 10_000_000;
            let bucket = Bucket::window("x", requests, Duration::from_micros(window), None);
            let mut starts: Vec<i64> = (0..of)
                .filter_map(|rank| bucket.share(Place { rank, of }))
                .flat_map(|share| greedy(&share, requests as usize))
                .collect();
            starts.sort_unstable();
            let most = most_in_a_window(&starts, window as i64);
            prop_assert!(most <= requests as usize, "{most} of {requests}");
        }
    }
}
