//! All limits of a connection as one process counts them. Pure: time comes in, waits come out.

use std::time::Duration;

use tandem_domain::{ClockWatch, Timestamp};

use super::{Bucket, BudgetRefusal, DAILY, Hours, Observation, RateLimits, RefusalCause};

/// What is left of each limit, and how long the system asked to wait.
#[derive(Clone, Debug)]
pub struct Ledger {
    buckets: Vec<Bucket>,
    /// Per bucket, when the next request would be exactly on time, in microseconds since 1970.
    next: Vec<i64>,
    daily: Option<u64>,
    hours: Hours,
    paused_until: Timestamp,
    watch: ClockWatch,
}

impl Ledger {
    /// Every bucket full, as after an idle time.
    #[must_use]
    pub fn full(limits: RateLimits) -> Self {
        Self {
            next: vec![i64::MIN; limits.buckets.len()],
            buckets: limits.buckets,
            daily: limits.daily,
            hours: Hours::default(),
            paused_until: Timestamp::from_micros(i64::MIN),
            watch: ClockWatch::default(),
        }
    }

    /// Follows a clock that was set back, so that what was to be waited for is waited for no longer than before. Whoever
    /// passes `now` to what changes the ledger need not call it.
    pub fn follow(&mut self, now: Timestamp) {
        if let Some(back) = self.watch.set_back(now) {
            self.paused_until = self.paused_until.minus(back);
            for next in &mut self.next {
                *next = Timestamp::from_micros(*next).minus(back).as_micros();
            }
        }
    }

    /// Every bucket empty, as if all requests had just been made elsewhere.
    #[must_use]
    pub fn empty(limits: RateLimits, now: Timestamp) -> Self {
        let mut ledger = Self::full(limits);
        for (bucket, next) in ledger.buckets.iter().zip(&mut ledger.next) {
            *next = bucket.holding(0, now.as_micros());
        }
        ledger
    }

    /// Takes one request out of every limit, and says how long to wait before it may start.
    ///
    /// # Errors
    /// Nothing is taken when the wait would be longer than `wait_max`.
    pub fn take(&mut self, now: Timestamp, wait_max: Duration) -> Result<Duration, BudgetRefusal> {
        self.follow(now);
        let refused = |retry_after, cause| Err(BudgetRefusal { retry_after, cause });
        if self.daily.is_some_and(|most| self.hours.total(now) >= most) {
            return refused(self.hours.frees_in(now), RefusalCause::Daily);
        }
        let pause = self.pause_left(now);
        let starts = self.buckets.iter().zip(&self.next);
        let start = starts
            .map(|(bucket, next)| bucket.start(*next))
            .fold(now.plus(pause).as_micros(), i64::max);
        let wait = Timestamp::from_micros(start).since(now);
        if wait > wait_max {
            let cause = if wait == pause {
                RefusalCause::Paused
            } else {
                RefusalCause::Bucket
            };
            return refused(wait, cause);
        }
        for (bucket, next) in self.buckets.iter().zip(&mut self.next) {
            *next = bucket.after(*next, start);
        }
        if self.daily.is_some() {
            self.hours.add(now, 1);
        }
        Ok(wait)
    }

    /// Lets no request start for a while. A shorter pause never ends a longer one.
    pub fn pause(&mut self, now: Timestamp, pause: Duration) {
        self.follow(now);
        self.paused_until = self.paused_until.max(now.plus(pause));
    }

    /// Ends the pause.
    pub const fn lift_pause(&mut self) {
        self.paused_until = Timestamp::from_micros(i64::MIN);
    }

    /// The end of the latest pause.
    #[must_use]
    pub const fn paused_until(&self) -> Timestamp {
        self.paused_until
    }

    /// How much of the pause is left.
    #[must_use]
    pub fn pause_left(&self, now: Timestamp) -> Duration {
        self.paused_until.since(now)
    }

    /// Lowers a limit to what the system says is left of it; with nothing left, and a time named at which
    /// there is more, nothing starts before that.
    pub fn observe(&mut self, now: Timestamp, seen: &Observation) {
        self.follow(now);
        if seen.limit == DAILY {
            let left = self
                .daily
                .map_or(0, |most| most.saturating_sub(self.hours.total(now)));
            if left > seen.remaining {
                self.hours.add(now, left - seen.remaining);
            }
        } else if let Some(index) = self.buckets.iter().position(|b| b.name() == seen.limit) {
            let lowered = self.buckets[index].holding(seen.remaining, now.as_micros());
            self.next[index] = self.next[index].max(lowered);
        } else {
            return;
        }
        if let (0, Some(resets_in)) = (seen.remaining, seen.resets_in) {
            self.pause(now, resets_in);
        }
    }

    /// How many requests may start now: the least of all limits, `None` without any.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Option<u64> {
        if self.pause_left(now) > Duration::ZERO {
            return Some(0);
        }
        let buckets = self.buckets.iter().zip(&self.next);
        let day = self
            .daily
            .map(|most| most.saturating_sub(self.hours.total(now)));
        buckets
            .map(|(bucket, next)| bucket.remaining(*next, now.as_micros()))
            .chain(day)
            .min()
    }

    /// The requests of a day that count so far.
    #[must_use]
    pub const fn hours(&self) -> &Hours {
        &self.hours
    }

    /// Sets another daily limit; what was counted stays.
    pub const fn set_daily(&mut self, most: Option<u64>) {
        self.daily = most;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const NO_WAIT: Duration = Duration::ZERO;

    fn limits() -> RateLimits {
        RateLimits {
            buckets: vec![
                Bucket::window("second", 5, Duration::from_secs(1), Some(5)),
                Bucket::window("minute", 60, Duration::from_secs(60), Some(20)),
            ],
            daily: Some(100),
        }
    }

    fn seen(limit: &str, remaining: u64, resets_in: Option<u64>) -> Observation {
        Observation {
            limit: limit.to_owned(),
            remaining,
            resets_in: resets_in.map(Duration::from_secs),
        }
    }

    fn cause(taken: Result<Duration, BudgetRefusal>) -> Option<RefusalCause> {
        taken.err().map(|refusal| refusal.cause)
    }

    #[test]
    fn a_request_refused_by_one_limit_is_taken_from_none() {
        let mut ledger = Ledger::full(limits());
        for _ in 0..5 {
            assert_eq!(ledger.take(NOW, NO_WAIT), Ok(NO_WAIT));
        }
        for _ in 0..50 {
            assert_eq!(cause(ledger.take(NOW, NO_WAIT)), Some(RefusalCause::Bucket));
        }
        assert_eq!(ledger.hours().total(NOW), 5);
        let later = NOW.plus(Duration::from_secs(5));
        let taken = (0..20).filter(|_| ledger.take(later, NO_WAIT).is_ok());
        assert_eq!(taken.count(), 5);
    }

    #[test]
    fn waits_are_in_turn_and_no_longer_than_allowed() {
        let mut ledger = Ledger::empty(limits(), NOW);
        let most = Duration::from_secs(2);
        let waits: Vec<u128> = std::iter::from_fn(|| ledger.take(NOW, most).ok())
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits, [1_463], "60 s over 41 intervals, then 2.9 s");
    }

    #[test]
    fn a_day_holds_no_more_than_its_requests() {
        let mut ledger = Ledger::full(RateLimits {
            buckets: Vec::new(),
            daily: Some(3),
        });
        let taken = (0..9).filter(|_| ledger.take(NOW, NO_WAIT).is_ok());
        assert_eq!(taken.count(), 3);
        let refusal = ledger.take(NOW, NO_WAIT).expect_err("the day is used up");
        assert_eq!(refusal.cause, RefusalCause::Daily);
        assert!(refusal.retry_after > Duration::from_secs(24 * 3_600));
        let tomorrow = NOW.plus(refusal.retry_after);
        assert!(ledger.take(tomorrow, NO_WAIT).is_ok());
    }

    #[test]
    fn what_the_system_says_only_lowers_what_is_left() {
        let mut ledger = Ledger::full(limits());
        ledger.observe(NOW, &seen("minute", 55, None));
        assert_eq!(ledger.remaining(NOW), Some(5));
        ledger.observe(NOW, &seen("minute", 2, None));
        assert_eq!(ledger.remaining(NOW), Some(2));
        ledger.observe(NOW, &seen("minute", 40, None));
        assert_eq!(ledger.remaining(NOW), Some(2));
        ledger.observe(NOW, &seen("daily", 1, None));
        assert_eq!(ledger.remaining(NOW), Some(1));
        ledger.observe(NOW, &seen("unheard-of", 0, Some(60)));
        assert_eq!(ledger.remaining(NOW), Some(1));
    }

    #[test]
    fn with_nothing_left_the_named_time_is_waited_for() {
        let mut ledger = Ledger::full(limits());
        ledger.observe(NOW, &seen("second", 0, Some(30)));
        let refusal = ledger
            .take(NOW, Duration::from_secs(2))
            .expect_err("a pause");
        assert_eq!(refusal.cause, RefusalCause::Paused);
        assert_eq!(refusal.retry_after, Duration::from_secs(30));
        let later = NOW.plus(Duration::from_secs(30));
        assert_eq!(ledger.take(later, NO_WAIT), Ok(NO_WAIT));
    }

    #[test]
    fn after_a_clock_that_was_ahead_is_set_back_nothing_is_waited_for_longer_than_before() {
        let ahead = NOW.plus(Duration::from_secs(3_600));
        let mut ledger = Ledger::full(limits());
        while ledger.take(ahead, NO_WAIT).is_ok() {}
        ledger.pause(ahead, Duration::from_secs(30));
        let refusal = ledger.take(NOW, NO_WAIT).expect_err("a pause");
        assert_eq!(refusal.retry_after, Duration::from_secs(30));
        let later = NOW.plus(Duration::from_secs(31));
        assert_eq!(ledger.take(later, NO_WAIT), Ok(NO_WAIT));
    }

    #[test]
    fn a_shorter_pause_never_ends_a_longer_one() {
        let mut ledger = Ledger::full(RateLimits::default());
        ledger.pause(NOW, Duration::from_secs(30));
        ledger.pause(NOW, Duration::from_secs(1));
        let later = NOW.plus(Duration::from_secs(10));
        assert_eq!(ledger.pause_left(later), Duration::from_secs(20));
        assert_eq!(
            cause(ledger.take(later, NO_WAIT)),
            Some(RefusalCause::Paused)
        );
    }
}
