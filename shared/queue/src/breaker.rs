//! The circuit breaker of one connection: a state machine without a clock, a lock or chance of its own.
//!
//! Closed, everything passes. After some failures in a row it opens for a time that doubles with each
//! failed probe. Then it is half open: one job passes as a probe, and its success closes the breaker.

use std::time::Duration;

use tandem_domain::{JobId, Timestamp};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerConfig {
    /// So many failures in a row open it; at least 1.
    pub failures: u32,
    /// Failures in a row count from the first one for this long.
    pub window: Duration,
    /// How long it is open at first.
    pub open_min: Duration,
    /// How long it is open at most, before jitter.
    pub open_max: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(60),
            open_min: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
        }
    }
}

/// A breaker stays open by up to this part longer, so that workers do not all probe at once.
const JITTER_PERCENT: u128 = 20;
/// While a probe is out, the others look again after this; its end wakes them earlier.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// How a breaker stands, as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// The system answers.
    Closed,
    /// The system is tried with one job.
    HalfOpen,
    /// The system is left alone.
    Open {
        /// Until then.
        until: Timestamp,
    },
}

/// Whether a job may go to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Free,
    /// Not before this instant.
    Wait {
        /// Then it may ask again.
        until: Timestamp,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
        first_failure: Timestamp,
    },
    Open {
        until: Timestamp,
        span: Duration,
    },
    HalfOpen {
        probe: Option<JobId>,
        span: Duration,
    },
}

/// One breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
}

const CLOSED: State = State::Closed {
    failures: 0,
    first_failure: Timestamp::from_micros(0),
};

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: CLOSED,
        }
    }

    /// How it stands now.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.at(now) {
            State::Closed { .. } => BreakerState::Closed,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Open { until, .. } => BreakerState::Open { until },
        }
    }

    /// Whether a job would pass now; takes no probe.
    #[must_use]
    pub fn passage(&self, now: Timestamp) -> Passage {
        match self.at(now) {
            State::Closed { .. } | State::HalfOpen { probe: None, .. } => Passage::Free,
            State::HalfOpen { probe: Some(_), .. } => Passage::Wait {
                until: now.plus(PROBE_WAIT),
            },
            State::Open { until, .. } => Passage::Wait { until },
        }
    }

    /// Lets a job pass if it may; half open, it becomes the probe.
    pub fn enter(&mut self, job: JobId, now: Timestamp) -> Passage {
        let passage = self.passage(now);
        if passage == Passage::Free
            && let State::HalfOpen { span, .. } = self.at(now)
        {
            self.state = State::HalfOpen {
                probe: Some(job),
                span,
            };
        }
        passage
    }

    /// Says that a job that passed is over. A probe that found out nothing leaves room for another.
    pub fn leave(&mut self, job: JobId) {
        if let State::HalfOpen { probe, .. } = &mut self.state
            && *probe == Some(job)
        {
            *probe = None;
        }
    }

    /// Says that the system answered.
    pub fn succeeded(&mut self, now: Timestamp) {
        match self.at(now) {
            State::Closed { .. } | State::HalfOpen { .. } => self.state = CLOSED,
            // An answer to what was sent before; the time is waited out.
            State::Open { .. } => {}
        }
    }

    /// Says that the system did not answer. `chance` is any random number.
    pub fn failed(&mut self, now: Timestamp, chance: u64) {
        match self.at(now) {
            State::Closed {
                failures,
                first_failure,
            } => {
                let in_a_row = failures > 0 && now.since(first_failure) <= self.config.window;
                let (failures, first_failure) = if in_a_row {
                    (failures.saturating_add(1), first_failure)
                } else {
                    (1, now)
                };
                self.state = State::Closed {
                    failures,
                    first_failure,
                };
                if failures >= self.config.failures {
                    self.open(self.config.open_min, now, chance);
                }
            }
            State::HalfOpen { span, .. } => self.open(span.saturating_mul(2), now, chance),
            // A late answer to what was sent before says nothing new.
            State::Open { .. } => {}
        }
    }

    /// Closes it at once: an operator says that the system is back.
    pub fn reset(&mut self) {
        self.state = CLOSED;
    }

    /// Opens it at once, whatever was counted. `chance` is any random number.
    pub fn trip(&mut self, now: Timestamp, chance: u64) {
        match self.at(now) {
            State::Closed { .. } => self.open(self.config.open_min, now, chance),
            State::HalfOpen { span, .. } => self.open(span.saturating_mul(2), now, chance),
            State::Open { .. } => {}
        }
    }

    fn open(&mut self, span: Duration, now: Timestamp, chance: u64) {
        let span = span.min(self.config.open_max);
        let spread = span.as_micros() * JITTER_PERCENT / 100;
        let jitter = u128::from(chance) % (spread + 1);
        // At most a fifth of the longest span, so it fits.
        let jitter = Duration::from_micros(u64::try_from(jitter).unwrap_or(0));
        self.state = State::Open {
            until: now.plus(span).plus(jitter),
            span,
        };
    }

    /// The state at `now`: an open breaker is half open once its time is over. So is one that would be open for longer than it
    /// can be: a clock that was ahead has opened it.
    fn at(&self, now: Timestamp) -> State {
        let longest = self.config.open_max * 2;
        match self.state {
            State::Open { until, span } if now >= until || until.since(now) > longest => {
                State::HalfOpen { probe: None, span }
            }
            state => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tandem_domain::Entropy;

    use super::*;

    struct Fixed(u64);
    impl Entropy for Fixed {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    fn job(number: u64) -> JobId {
        JobId::new(Timestamp::default(), &Fixed(number))
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_breaker_that_a_clock_ahead_has_opened_is_tried_once_the_clock_is_right() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        let ahead = at(1_000_000_000);
        breaker.trip(ahead, 0);
        assert!(matches!(breaker.state(ahead), BreakerState::Open { .. }));
        assert_eq!(breaker.state(at(1_000)), BreakerState::HalfOpen);
    }

    fn opened_at(secs: i64) -> Breaker {
        let mut breaker = Breaker::new(BreakerConfig::default());
        breaker.trip(at(secs), 0);
        breaker
    }

    #[test]
    fn the_fifth_failure_in_a_row_opens_it_for_five_seconds() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for second in 0..4 {
            breaker.failed(at(second), 0);
            assert_eq!(breaker.state(at(second)), BreakerState::Closed);
        }
        breaker.failed(at(4), 0);
        assert_eq!(breaker.state(at(4)), BreakerState::Open { until: at(9) });
        assert_eq!(breaker.state(at(9)), BreakerState::HalfOpen);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for second in 0..4 {
            breaker.failed(at(second), 0);
        }
        breaker.succeeded(at(4));
        breaker.failed(at(5), 0);
        assert_eq!(breaker.state(at(5)), BreakerState::Closed);
    }

    #[test]
    fn failures_older_than_the_window_do_not_count() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..4 {
            breaker.failed(at(0), 0);
        }
        breaker.failed(at(61), 0);
        assert_eq!(breaker.state(at(61)), BreakerState::Closed);
    }

    #[test]
    fn half_open_lets_one_probe_through_and_its_success_closes_it() {
        let mut breaker = opened_at(0);
        assert_eq!(breaker.enter(job(1), at(1)), Passage::Wait { until: at(5) });
        assert_eq!(breaker.enter(job(1), at(5)), Passage::Free);
        assert_eq!(breaker.enter(job(2), at(5)), Passage::Wait { until: at(6) });
        breaker.succeeded(at(6));
        assert_eq!(breaker.enter(job(2), at(6)), Passage::Free);
        assert_eq!(breaker.state(at(6)), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_found_out_nothing_leaves_room_for_another() {
        let mut breaker = opened_at(0);
        assert_eq!(breaker.enter(job(1), at(5)), Passage::Free);
        breaker.leave(job(2));
        assert_ne!(breaker.passage(at(5)), Passage::Free);
        breaker.leave(job(1));
        assert_eq!(breaker.enter(job(2), at(5)), Passage::Free);
    }

    #[test]
    fn each_failed_probe_doubles_the_time_up_to_a_minute() {
        let mut breaker = opened_at(0);
        let mut now = at(5);
        for secs in [10, 20, 40, 60, 60] {
            breaker.failed(now, 0);
            let until = now.plus(Duration::from_secs(secs));
            assert_eq!(breaker.state(now), BreakerState::Open { until });
            now = until;
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_at_most_one_probe_is_out_and_it_never_stays_open_beyond_its_longest_time(
            steps in proptest::collection::vec((0u8..5, 0i64..20, any::<u64>()), 1..200)
        ) {
            let mut breaker = Breaker::new(BreakerConfig::default());
            let mut now = at(0);
            let mut probe: Option<JobId> = None;
            for (number, (step, wait, chance)) in steps.into_iter().enumerate() {
                now = now.plus(Duration::from_secs(wait.unsigned_abs()));
                let half_open = breaker.state(now) == BreakerState::HalfOpen;
                match step {
                    0 => breaker.succeeded(now),
                    1 => breaker.failed(now, chance),
                    2 => breaker.trip(now, chance),
                    3 => {
                        let id = job(number as u64);
                        if breaker.enter(id, now) == Passage::Free && half_open {
                            prop_assert_eq!(probe, None);
                            probe = Some(id);
                        }
                    }
                    _ => if let Some(id) = probe.take() { breaker.leave(id) },
                }
                if breaker.state(now) != BreakerState::HalfOpen {
                    probe = None;
                }
                if let BreakerState::Open { until } = breaker.state(now) {
                    prop_assert!(until > now);
                    prop_assert!(until.since(now) <= Duration::from_secs(72));
                }
            }
        }
    }
}
