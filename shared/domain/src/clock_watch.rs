//! Noticing that a clock was set back. Whoever keeps instants to wait for asks this first: what a clock that was ahead
//! has written lies as far ahead as the clock was.

use std::time::Duration;

use crate::Timestamp;

/// Clocks are slewed, and threads read them in any order: less than this is no setting.
const SET_BACK_MIN: Duration = Duration::from_secs(1);

/// Remembers the last instant that a clock has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockWatch {
    last: Option<Timestamp>,
}

impl ClockWatch {
    /// How far the clock was set back since the last look, if it was, by a second or more. To be told once: the next
    /// look compares with `now`.
    pub fn set_back(&mut self, now: Timestamp) -> Option<Duration> {
        let back = self.last.map_or(Duration::ZERO, |last| last.since(now));
        let is_set_back = back >= SET_BACK_MIN;
        if is_set_back || back.is_zero() {
            self.last = Some(now);
        }
        is_set_back.then_some(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn a_clock_that_is_set_back_is_told_once_with_how_far() {
        let hour = Duration::from_secs(3_600);
        let mut watch = ClockWatch::default();
        assert_eq!(watch.set_back(NOW.plus(hour)), None);
        assert_eq!(watch.set_back(NOW), Some(hour));
        assert_eq!(watch.set_back(NOW), None);
        assert_eq!(watch.set_back(NOW.plus(hour)), None);
    }

    #[test]
    fn a_clock_that_is_slewed_is_not_set_back() {
        let mut watch = ClockWatch::default();
        assert_eq!(watch.set_back(NOW), None);
        assert_eq!(watch.set_back(NOW.minus(Duration::from_millis(999))), None);
    }
}
