//! Whether the doorbell works, told once when that changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use redis::RedisError;
use tracing::{debug, info, warn};

/// The first try after a failure is made at once, the second after about this.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(2);
/// The first failure may be a connection that Redis closed while nobody used it; a second one in a row
/// is worth a warning.
const FAILURES_WARNED: u32 = 2;

/// The connections of a doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Sends ids.
    Rings,
    /// Hears of them.
    Hears,
}

/// What to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Lost,
    Back,
}

#[derive(Debug, Default)]
struct State {
    rings: LinkState,
    hears: LinkState,
    told_lost: bool,
}

#[derive(Debug)]
struct LinkState {
    is_used: bool,
    works: bool,
    failures: u32,
}

impl Default for LinkState {
    fn default() -> Self {
        Self {
            is_used: true,
            works: false,
            failures: 0,
        }
    }
}

impl LinkState {
    const fn works_or_is_unused(&self) -> bool {
        self.works || !self.is_used
    }
}

impl State {
    fn link(&mut self, link: Link) -> &mut LinkState {
        match link {
            Link::Rings => &mut self.rings,
            Link::Hears => &mut self.hears,
        }
    }

    const fn is_connected(&self) -> bool {
        self.rings.works_or_is_unused() && self.hears.works_or_is_unused()
    }

    /// Returns the failures of the link in a row as well.
    fn failed(&mut self, link: Link) -> (u32, Option<News>) {
        let state = self.link(link);
        state.works = false;
        state.failures = state.failures.saturating_add(1);
        let failures = state.failures;
        let is_news = failures >= FAILURES_WARNED && !self.told_lost;
        self.told_lost |= is_news;
        (failures, is_news.then_some(News::Lost))
    }

    fn worked(&mut self, link: Link) -> Option<News> {
        let state = self.link(link);
        state.works = true;
        state.failures = 0;
        let is_news = self.told_lost && self.is_connected();
        self.told_lost &= !is_news;
        is_news.then_some(News::Back)
    }
}

/// How the connections of one doorbell are.
pub(super) struct Health {
    state: Mutex<State>,
    /// The URL without its password.
    redis: String,
}

impl Health {
    pub(super) fn new(redis: &str, hears: bool) -> Self {
        let mut state = State::default();
        state.hears.is_used = hears;
        gauge!("tandem_doorbell_connected").set(0.0);
        Self {
            state: Mutex::new(state),
            redis: redis.to_owned(),
        }
    }

    /// Whether rings go out and, where that is wanted, come in.
    pub(super) fn is_connected(&self) -> bool {
        self.lock().is_connected()
    }

    /// Says that a connection is of no use any more. Returns how long to wait before the next: nothing
    /// at first, then more and more. `chance` is any random number.
    pub(super) fn failed(&self, link: Link, error: &RedisError, chance: u64) -> Duration {
        let (failures, news) = self.change(|state| state.failed(link));
        if news.is_some() {
            warn!(
                redis = self.redis, %error,
                "the doorbell is out of order: Redis fails; jobs are found by polling until it is back"
            );
        } else {
            debug!(redis = self.redis, %error, failures, ?link, "a connection of the doorbell failed");
        }
        wait_after(failures, chance)
    }

    /// Says that a connection does what it is for.
    pub(super) fn worked(&self, link: Link) {
        if self.change(|state| state.worked(link)).is_some() {
            info!(redis = self.redis, "the doorbell works again");
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        gauge!("tandem_doorbell_connected").set(f64::from(u8::from(state.is_connected())));
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        gauge!("tandem_doorbell_connected").set(0.0);
    }
}

/// Doubles up to the longest; half of it is left to chance, so that a fleet does not return in step.
fn wait_after(failures: u32, chance: u64) -> Duration {
    let Some(doublings) = failures.checked_sub(FAILURES_WARNED) else {
        return Duration::ZERO;
    };
    let wait = WAIT_MIN
        .saturating_mul(1 << doublings.min(16))
        .min(WAIT_MAX);
    let half = wait / 2;
    // At most a second, so it fits.
    let half_millis = u64::try_from(half.as_millis()).unwrap_or(0);
    half + Duration::from_millis(chance % (half_millis + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_both_connections_is_told_once_and_so_is_its_end() {
        let mut state = State::default();
        assert_eq!(state.worked(Link::Rings), None);
        assert_eq!(state.worked(Link::Hears), None);
        assert!(state.is_connected());
        assert_eq!(state.failed(Link::Hears), (1, None));
        assert!(!state.is_connected());
        assert_eq!(state.failed(Link::Hears), (2, Some(News::Lost)));
        assert_eq!(state.failed(Link::Rings), (1, None));
        assert_eq!(state.failed(Link::Rings), (2, None));
        assert_eq!(state.failed(Link::Hears), (3, None));
        assert_eq!(state.worked(Link::Hears), None);
        assert_eq!(state.worked(Link::Rings), Some(News::Back));
        assert_eq!(state.worked(Link::Rings), None);
    }

    #[test]
    fn a_connection_that_is_at_once_replaced_is_not_told() {
        let mut state = State::default();
        assert_eq!(state.failed(Link::Rings), (1, None));
        assert_eq!(state.worked(Link::Rings), None);
        assert_eq!(state.failed(Link::Rings), (1, None));
    }

    #[test]
    fn waits_begin_at_nothing_and_double_up_to_two_seconds_with_jitter() {
        let longest: Vec<u128> = (1..9)
            .map(|failures| {
                (0..2_000)
                    .map(|chance| wait_after(failures, chance).as_millis())
                    .max()
                    .expect("some")
            })
            .collect();
        assert_eq!(longest, [0, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(wait_after(9, 0).as_millis(), 1_000);
    }
}
