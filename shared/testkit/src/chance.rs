//! Chance that repeats.

use std::sync::atomic::{AtomicU64, Ordering};

use tandem_domain::Entropy;

/// The step of SplitMix64 (Steele, Lea, Flood 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The same numbers for the same seed: SplitMix64.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// Begins with a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (one, other) = (SeededEntropy::new(7), SeededEntropy::new(7));
        let numbers: Vec<u64> = (0..3).map(|_| one.next_u64()).collect();
        assert_eq!(
            numbers,
            (0..3).map(|_| other.next_u64()).collect::<Vec<_>>()
        );
        assert_ne!(numbers[0], numbers[1]);
    }
}
