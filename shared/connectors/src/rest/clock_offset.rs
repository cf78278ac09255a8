//! The difference between a system's clock and ours, from the `Date` headers of its answers.
//!
//! `Date` has whole seconds, so each answer only bounds the offset: the system's clock showed a time in
//! `[date, date + 1 s)` at some moment between sending and receiving. The intersection of many such bounds
//! is narrow, and quick answers narrow it most.

use std::sync::{Mutex, PoisonError};

use tandem_domain::Timestamp;

const SECOND_MICROS: i64 = 1_000_000;
/// Clocks drift, so bounds are widened by this …
const DRIFT_MICROS: i64 = 100_000;
/// … after each such time.
const DRIFT_AFTER_MICROS: i64 = 600 * SECOND_MICROS;

#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: i64,
    high: i64,
    since: i64,
}

/// What is known of the offset.
#[derive(Debug, Default)]
pub(super) struct ClockOffset(Mutex<Option<Bounds>>);

impl ClockOffset {
    /// Takes in one answer.
    pub(super) fn observe(&self, sent: Timestamp, received: Timestamp, date: Timestamp) {
        let low = date.as_micros().saturating_sub(received.as_micros());
        let high = date
            .as_micros()
            .saturating_add(SECOND_MICROS)
            .saturating_sub(sent.as_micros());
        if high < low {
            return;
        }
        // Poisoning cannot break three numbers.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = received.as_micros();
        let mut bounds = known.unwrap_or(Bounds {
            low,
            high,
            since: now,
        });
        if now.saturating_sub(bounds.since) > DRIFT_AFTER_MICROS {
            bounds = Bounds {
                low: bounds.low - DRIFT_MICROS,
                high: bounds.high + DRIFT_MICROS,
                since: now,
            };
        }
        let narrowed = Bounds {
            low: bounds.low.max(low),
            high: bounds.high.min(high),
            ..bounds
        };
        // No common ground: one of the clocks was set, so the old bounds are worth nothing.
        *known = Some(if narrowed.low <= narrowed.high {
            narrowed
        } else {
            Bounds {
                low,
                high,
                since: now,
            }
        });
    }

    /// The system's clock minus ours, in microseconds, if an answer told.
    pub(super) fn micros(&self) -> Option<i64> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.map(|bounds| bounds.low + (bounds.high - bounds.low) / 2)
    }
}

/// The instant of a `Date` or `Retry-After` header (RFC 9110, 5.6.7).
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let instant = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    Some(Timestamp::from_micros(instant.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn many_answers_narrow_the_offset_to_their_latency() {
        let offset = ClockOffset::default();
        // The system runs 90.4 s ahead; answers take 20 ms.
        for sent in (0..40).map(|step| 1_000_000 + step * 137) {
            let date = (sent + 10 + 90_400) / 1_000 * 1_000;
            offset.observe(millis(sent), millis(sent + 20), millis(date));
        }
        let micros = offset.micros().expect("answers were seen");
        assert!((90_350_000..=90_450_000).contains(&micros), "{micros}");
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        let offset = ClockOffset::default();
        offset.observe(millis(1_000_000), millis(1_000_010), millis(1_000_000));
        offset.observe(millis(1_001_000), millis(1_001_010), millis(4_601_000));
        assert!(offset.micros().expect("answers were seen") > 3_599_000_000);
    }

    #[test]
    fn the_date_header_is_read() {
        assert_eq!(
            http_date("Fri, 20 Nov 2026 23:53:53 GMT"),
            "2026-11-20T23:53:53Z".parse().ok()
        );
        assert_eq!(http_date("tomorrow"), None);
    }
}
