//! What is known of a system's clock, and why one is not believed.
//!
//! A time that a system says is only worth something against ours once its clock is known. One word does not make it
//! known: several answers must agree, and what no clock can be that is right is never taken for one.

use std::fmt;

const DAY_MICROS: u64 = 24 * 60 * 60 * 1_000_000;

/// What is known of a system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// Too few answers were heard.
    Unsettled,
    /// Its answers name no time; its clock is taken for ours.
    Untold,
    /// Several answers agree how far it is from ours.
    Measured,
    /// Not used, for this reason.
    Doubted(ClockDoubt),
}

impl ClockState {
    /// Whether the times that the system gives its records can be held against ours.
    #[must_use]
    pub const fn has_usable_times(self) -> bool {
        match self {
            Self::Unsettled | Self::Untold | Self::Measured => true,
            Self::Doubted(doubt) => !doubt.is_wrong(),
        }
    }

    /// Why the clock is not used.
    #[must_use]
    pub const fn doubt(self) -> Option<ClockDoubt> {
        match self {
            Self::Doubted(doubt) => Some(doubt),
            Self::Unsettled | Self::Untold | Self::Measured => None,
        }
    }
}

/// Why a system's clock is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockDoubt {
    /// Its answers agree on a time that is more than a day from ours; this far, in microseconds.
    FarOff(i64),
    /// Its answers contradict each other.
    Jumps,
    /// All its answers were kept by a cache, so their dates are of another time.
    Cached,
}

impl ClockDoubt {
    /// Whether it is known to be wrong, and not only unknown.
    #[must_use]
    pub const fn is_wrong(self) -> bool {
        match self {
            Self::FarOff(_) | Self::Jumps => true,
            Self::Cached => false,
        }
    }
}

impl fmt::Display for ClockDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNUSED: &str = "it is not used, and where both sides edit a field the sync's `prefer` decides instead of the time";
        match self {
            Self::FarOff(micros) => {
                let days = micros.unsigned_abs() / DAY_MICROS;
                let way = if *micros < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "its clock (`Date` of its answers) is {days} day(s) {way} ours: {UNUSED}; set the clock of the system \
                     or of what stands before it, or ours"
                )
            }
            Self::Jumps => write!(
                f,
                "its clock (`Date` of its answers) jumps from answer to answer: {UNUSED}; see whether several servers \
                 answer whose clocks differ, or a cache stands before them"
            ),
            Self::Cached => f.write_str(
                "its answers come from a cache (`Age`), so how far its clock is from ours is not known: its times are taken \
                 as they are; have the cache let these requests through",
            ),
        }
    }
}
