//! How hard a connection is pushed: requests at once, requests a second, and pauses that the system asks for.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_domain::{Clock, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

/// A request waits this long for its turn; beyond that the job goes back and its worker does something else.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Requests that may start at once after an idle time, in seconds of the rate.
const BURST_SECS: f64 = 0.5;

/// What every request of a connection passes through.
pub(super) struct Gate {
    at_once: Semaphore,
    paused_until: AtomicI64,
    pace: Option<Pace>,
}

/// A leaky bucket kept as one instant (GCRA): when the next request would be exactly on time.
struct Pace {
    interval_micros: f64,
    burst_micros: f64,
    next: Mutex<f64>,
}

impl Pace {
    /// Takes a turn and says how long to wait for it, or takes none if that would be too long.
    fn turn(&self, now: Timestamp) -> Result<Duration, Duration> {
        // Poisoning cannot break a single number.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.as_micros() as f64;
        let wait = Duration::from_micros((*next - self.burst_micros - now).max(0.0) as u64);
        if wait > WAIT_MAX {
            return Err(wait);
        }
        *next = next.max(now) + self.interval_micros;
        Ok(wait)
    }
}

impl Gate {
    pub(super) fn new(at_once: u32, per_second: f64) -> Self {
        let pace = (per_second > 0.0).then(|| Pace {
            interval_micros: 1e6 / per_second,
            burst_micros: (BURST_SECS * 1e6).max(1e6 / per_second),
            next: Mutex::new(0.0),
        });
        Self {
            at_once: Semaphore::new(at_once.max(1) as usize),
            paused_until: AtomicI64::new(i64::MIN),
            pace,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// How long the wait would be, when it is too long to hold a worker.
    pub(super) async fn enter(&self, clock: &dyn Clock) -> Result<SemaphorePermit<'_>, Duration> {
        let Ok(permit) = self.at_once.acquire().await else {
            // The semaphore is never closed.
            unreachable!()
        };
        let pause = self.pause_left(clock.now());
        if pause > WAIT_MAX {
            return Err(pause);
        }
        let turn = self
            .pace
            .as_ref()
            .map_or(Ok(Duration::ZERO), |pace| pace.turn(clock.now()))?;
        let wait = pause.max(turn);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(permit)
    }

    /// Lets no request start for a while. A shorter pause never ends a longer one.
    pub(super) fn pause(&self, now: Timestamp, pause: Duration) {
        self.paused_until
            .fetch_max(now.plus(pause).as_micros(), Ordering::Relaxed);
    }

    fn pause_left(&self, now: Timestamp) -> Duration {
        Timestamp::from_micros(self.paused_until.load(Ordering::Relaxed)).since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(i64);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(self.0)
        }
    }

    #[tokio::test]
    async fn a_long_pause_turns_requests_away_until_it_is_over() {
        let gate = Gate::new(1, 0.0);
        gate.pause(Timestamp::from_secs(100), Duration::from_secs(30));
        gate.pause(Timestamp::from_secs(100), Duration::from_secs(1));
        assert_eq!(
            gate.enter(&At(110)).await.err(),
            Some(Duration::from_secs(20))
        );
        assert!(gate.enter(&At(130)).await.is_ok());
    }

    #[test]
    fn the_pace_lets_a_burst_through_and_then_one_by_one() {
        let pace = Pace {
            interval_micros: 100_000.0,
            burst_micros: 500_000.0,
            next: Mutex::new(0.0),
        };
        let now = Timestamp::from_secs(1_000);
        let waits: Vec<u128> = (0..8)
            .map(|_| pace.turn(now).map_or(u128::MAX, |wait| wait.as_millis()))
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 100, 200]);
    }
}
