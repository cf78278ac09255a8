//! The wait between calls to a storage that does not answer.

use std::time::Duration;

const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Doubles from [`WAIT_MIN`] to [`WAIT_MAX`] until something worked.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// How long to wait after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let wait = self
            .last
            .map_or(WAIT_MIN, |last| last.saturating_mul(2).min(WAIT_MAX));
        self.last = Some(wait);
        wait
    }

    /// Says that it worked; returns whether it had failed before.
    pub(crate) fn worked(&mut self) -> bool {
        self.last.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew_after_success() {
        let mut backoff = Backoff::default();
        let millis: Vec<u128> = (0..8).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert!(backoff.worked());
        assert!(!backoff.worked());
        assert_eq!(backoff.failed().as_millis(), 100);
    }
}
