//! Seeded chance: one independent stream of random numbers for each purpose.
//!
//! Separate streams keep one use of chance from disturbing another: asking for one more fault does
//! not change which company is edited next. Nothing here reads the system's entropy.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// What a stream of random numbers is used for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Company,
    Membership,
    Untidiness,
    Ids,
    Faults,
    WebhookFaults,
    Tokens,
    EditsOfCrm,
    EditsOfFinance,
    ContestedEdits,
}

/// The `n`th stream for a purpose; equal arguments give equal streams.
pub(crate) fn rng_for(seed: u64, purpose: Purpose, n: u64) -> StdRng {
    StdRng::seed_from_u64(mix(mix(mix(seed) ^ purpose as u64) ^ n))
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): neighbouring inputs give unrelated outputs.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
