//! The simulator's clock and the time formats of the two vendors.
//!
//! This is the one place of the crate that reads the machine's clock: the simulators stand in for
//! remote systems, and those have clocks of their own, wrong by a skew that tests choose.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A clock that is wrong by a fixed amount.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    skew_ms: i64,
}

impl SimClock {
    /// A clock that runs `skew_secs` ahead of the machine's (behind it when negative).
    pub fn new(skew_secs: i64) -> SimClock {
        SimClock {
            skew_ms: skew_secs.saturating_mul(1_000),
        }
    }

    /// The simulated system's idea of now, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.real_ms().saturating_add(self.skew_ms)
    }

    /// The machine's own now, in milliseconds since 1970: webhooks are signed with this one, since
    /// a vendor's signing service keeps good time even where its application servers do not.
    #[expect(
        clippy::disallowed_methods,
        reason = "a simulated system stands outside the product and has its own clock"
    )]
    pub fn real_ms(&self) -> i64 {
        Timestamp::now().as_millisecond()
    }
}

/// `2026-01-31T09:30:00.123Z`, as HubSpot writes instants.
pub(crate) fn iso_millis(ms: i64) -> String {
    format!("{:.3}", timestamp(ms))
}

/// `2026-01-31T09:30:00.123`, as Xero writes instants in webhooks: UTC, and not saying so.
pub(crate) fn iso_millis_without_zone(ms: i64) -> String {
    let mut text = iso_millis(ms);
    text.truncate(text.len() - 1);
    text
}

/// `/Date(1769851800123+0000)/`, as Xero writes instants in records.
pub(crate) fn ms_json_date(ms: i64) -> String {
    format!("/Date({ms}+0000)/")
}

/// `Sat, 31 Jan 2026 09:30:00 GMT`, for the `Date` header.
pub(crate) fn http_date(secs: i64) -> String {
    timestamp(secs.saturating_mul(1_000))
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// Reads an instant with or without a zone (then UTC) and with or without a fraction.
pub(crate) fn parse_instant_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let civil: DateTime = text.parse().ok()?;
    Some(
        civil
            .to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

/// Out-of-range values cannot come from a clock; a hostile skew is cut to the nearest end.
fn timestamp(ms: i64) -> Timestamp {
    let fallback = if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(ms).unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_the_vendors_write_them() {
        let ms = 1_769_851_800_123;
        assert_eq!(iso_millis(ms), "2026-01-31T09:30:00.123Z");
        assert_eq!(iso_millis_without_zone(ms), "2026-01-31T09:30:00.123");
        assert_eq!(ms_json_date(ms), "/Date(1769851800123+0000)/");
        assert_eq!(http_date(ms / 1_000), "Sat, 31 Jan 2026 09:30:00 GMT");
    }

    #[test]
    fn an_instant_without_a_zone_is_read_as_utc() {
        assert_eq!(
            parse_instant_ms("2026-01-31T09:30:00"),
            Some(1_769_851_800_000)
        );
        assert_eq!(
            parse_instant_ms("2026-01-31T09:30:00.5"),
            Some(1_769_851_800_500)
        );
        assert_eq!(
            parse_instant_ms("2026-01-31T10:30:00.5+01:00"),
            Some(1_769_851_800_500)
        );
        assert_eq!(parse_instant_ms("yesterday"), None);
    }

    #[test]
    fn a_skewed_clock_is_off_by_its_skew() {
        let ahead = SimClock::new(120);
        let gap = ahead.now_ms() - ahead.real_ms();
        assert!((119_000..=120_000).contains(&gap), "gap was {gap} ms");
    }
}
