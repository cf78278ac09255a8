//! The real clock and real randomness: the only places of the product that ask the machine for either.

use rand::Rng;
use tandem_domain::{Clock, Entropy, Timestamp};

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the replacement that the ban names"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }
}

/// The machine's randomness, of cryptographic quality.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the replacement that the ban names"
    )]
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_gives_a_plausible_time_and_the_entropy_does_not_repeat_itself() {
        let first_release = Timestamp::from_secs(1_700_000_000);
        assert!(SystemClock.now() > first_release);
        let drawn: std::collections::BTreeSet<u64> =
            (0..100).map(|_| SystemEntropy.next_u64()).collect();
        assert_eq!(drawn.len(), 100);
    }
}
