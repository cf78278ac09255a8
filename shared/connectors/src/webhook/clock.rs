//! Signed timestamps: strict reading, and a window on both sides of now.

use super::{Reason, TimestampUnit};

/// What Standard Webhooks, Stripe, HubSpot, Slack and Recurly all recommend, in seconds.
pub(super) const TOLERANCE_SECS: u32 = 300;
/// A day. A wider window would make the timestamp meaningless.
pub(super) const TOLERANCE_SECS_MAX: u32 = 86_400;
/// Fifteen digits reach the year 33658 in milliseconds and cannot overflow when seconds become milliseconds.
const TIMESTAMP_DIGITS_MAX: usize = 15;
const MILLIS_PER_SEC: i64 = 1_000;

/// A timestamp from a request, in milliseconds since 1970 whatever the unit on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    millis: i64,
}

impl Stamp {
    /// Reads digits only: no sign, space, fraction or leading zero, each of which would let two texts mean one time.
    pub(super) fn parse(text: &[u8], unit: TimestampUnit) -> Result<Self, Reason> {
        let canonical = text.len() == 1 || !text.starts_with(b"0");
        if text.is_empty() || text.len() > TIMESTAMP_DIGITS_MAX || !canonical {
            return Err(Reason::BadTimestamp);
        }
        let mut value: i64 = 0;
        for byte in text {
            if !byte.is_ascii_digit() {
                return Err(Reason::BadTimestamp);
            }
            value = value * 10 + i64::from(byte - b'0');
        }
        let millis = match unit {
            TimestampUnit::Seconds => value * MILLIS_PER_SEC,
            TimestampUnit::Milliseconds => value,
        };
        Ok(Self { millis })
    }

    pub(super) fn unix_secs(self) -> i64 {
        self.millis / MILLIS_PER_SEC
    }

    /// Refuses a time further than the tolerance from now. Exactly at the edge is still accepted.
    pub(super) fn check_window(
        self,
        now_unix_secs: i64,
        tolerance_secs: u32,
    ) -> Result<(), Reason> {
        let ahead_millis = self
            .millis
            .saturating_sub(now_unix_secs.saturating_mul(MILLIS_PER_SEC));
        let tolerance_millis = i64::from(tolerance_secs) * MILLIS_PER_SEC;
        if ahead_millis > tolerance_millis {
            Err(Reason::FutureTimestamp)
        } else if ahead_millis < -tolerance_millis {
            Err(Reason::StaleTimestamp)
        } else {
            Ok(())
        }
    }
}

/// The text that a sender puts on the wire for this time; `None` when it would not be accepted back.
pub(super) fn stamp_text(unix_secs: i64, unit: TimestampUnit) -> Option<String> {
    let value = match unit {
        TimestampUnit::Seconds => unix_secs,
        TimestampUnit::Milliseconds => unix_secs.checked_mul(MILLIS_PER_SEC)?,
    };
    let text = value.to_string();
    Stamp::parse(text.as_bytes(), unit).ok().map(|_| text)
}
