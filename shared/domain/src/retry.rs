//! How often and how soon a failed job is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Exponential backoff with jitter. The default tries 3 more times, after 2 s, 4 s and 8 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// How many retries follow the first attempt before the job is a dead letter.
    pub retries: u32,
    /// The wait before the first retry, in seconds; it doubles with each further one.
    pub base_secs: u32,
    /// The longest wait, in seconds.
    pub max_secs: u32,
}

/// Jitter moves a wait by up to this part of it either way, so that jobs do not return in step.
const JITTER_PERCENT: u64 = 20;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 3,
            base_secs: 2,
            max_secs: 600,
        }
    }
}

impl RetryPolicy {
    /// The wait after failed attempt number `attempt` (the first is 1), or `None` when the attempts
    /// are used up. `chance` is any random number; it only moves the wait within the jitter.
    #[must_use]
    pub fn delay(&self, attempt: u32, chance: u64) -> Option<Duration> {
        if attempt > self.retries {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let secs = u64::from(self.base_secs)
            .saturating_mul(1 << doublings)
            .min(u64::from(self.max_secs));
        let millis = secs * 1_000;
        let spread = millis * JITTER_PERCENT / 100;
        let jitter = if spread == 0 {
            0
        } else {
            chance % (2 * spread + 1)
        };
        Some(Duration::from_millis(millis - spread + jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_waits_about_two_four_and_eight_seconds_then_gives_up() {
        let policy = RetryPolicy::default();
        for (attempt, secs) in [(1, 2), (2, 4), (3, 8)] {
            for chance in [0, 17, u64::MAX] {
                let millis = policy
                    .delay(attempt, chance)
                    .expect("attempts are left")
                    .as_millis();
                assert!(
                    (secs * 800..=secs * 1_200).contains(&millis),
                    "{attempt}: {millis} ms"
                );
            }
        }
        assert_eq!(policy.delay(4, 0), None);
    }

    #[test]
    fn the_wait_is_capped() {
        let policy = RetryPolicy {
            retries: 100,
            base_secs: 60,
            max_secs: 100,
        };
        assert!(policy.delay(99, 0).expect("attempts are left") <= Duration::from_secs(120));
    }
}
