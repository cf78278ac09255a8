//! The zone of times that a system writes without one.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Deserializer, de};
use tandem_domain::Timestamp;

/// No place on earth is further from UTC, in seconds.
const OFFSET_SECS_MAX: i32 = 14 * 3_600;

/// A zone of the IANA database, or an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// `Europe/Vienna`, `+01:00`, `UTC`. The database is part of the program, so that it is the same everywhere.
    ///
    /// # Errors
    /// What cannot be read, and what can be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let zone = DateTimeParser::new().parse_time_zone(text).ok();
        let exists = |zone: &TimeZone| {
            let offset = zone.to_fixed_offset();
            offset.map_or(true, |offset| offset.seconds().abs() <= OFFSET_SECS_MAX)
        };
        zone.filter(exists).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not a time zone; write a name such as Europe/Vienna or UTC, or an offset such as +01:00"
            )
        })
    }

    /// A local time as an instant. Of one that comes twice, in the night when clocks are put back, it is the first:
    /// whoever goes on from there reads something again, and skips nothing.
    pub(crate) fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let zoned = local.to_zoned(self.0.clone()).ok()?;
        Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
    }

    /// The same local time once more, if clocks are put back over it.
    pub(crate) fn again(&self, local: DateTime) -> Option<Timestamp> {
        let times = self.0.to_ambiguous_timestamp(local);
        let is_twice = matches!(times.offset(), AmbiguousOffset::Fold { .. });
        let second = times.later().ok().filter(|_| is_twice)?;
        Some(Timestamp::from_micros(second.as_microsecond()))
    }

    /// From where on to ask for changes, so that none is skipped whose local time is written without a zone: of the times
    /// that come twice the second are written as the first, so the whole of them is asked for again.
    pub(crate) fn asked_from(&self, since: Timestamp) -> Timestamp {
        let Ok(instant) = jiff::Timestamp::from_microsecond(since.as_micros()) else {
            return since;
        };
        let local = self.0.to_datetime(instant);
        let is_first = self.again(local).is_some_and(|again| again > since);
        let Some(put_back) = self.0.following(instant).next().filter(|_| is_first) else {
            return since;
        };
        let (before, after) = (self.0.to_offset(instant), put_back.offset());
        let twice = Duration::from_secs(u64::from(before.seconds().abs_diff(after.seconds())));
        let begins = Timestamp::from_micros(put_back.timestamp().as_microsecond()).minus(twice);
        begins.min(since)
    }

    /// The zone as the library has it.
    pub(crate) const fn inner(&self) -> &TimeZone {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_offsets_are_zones_and_nothing_else() {
        let ten: DateTime = "2026-07-01 10:00:00".parse().expect("a local time");
        for (text, instant) in [
            ("Europe/Vienna", "2026-07-01T08:00:00Z"),
            ("+01:00", "2026-07-01T09:00:00Z"),
            ("-03:30", "2026-07-01T13:30:00Z"),
            ("UTC", "2026-07-01T10:00:00Z"),
        ] {
            let zone = Zone::parse(text).expect(text);
            assert_eq!(
                zone.instant(ten).map(|at| at.to_string()).as_deref(),
                Some(instant)
            );
        }
        for wrong in ["", "Europe/Viena", "1", "+25:00", "summer"] {
            let refused = Zone::parse(wrong).expect_err(wrong);
            assert!(
                refused.contains("Europe/Vienna") && refused.contains("+01:00"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_local_time_that_comes_twice_is_the_first_of_the_two() {
        let twice: DateTime = "2026-10-25 02:30:00".parse().expect("a local time");
        let zone = Zone::parse("Europe/Vienna").expect("a zone");
        let at = zone.instant(twice).map(|at| at.to_string());
        assert_eq!(at.as_deref(), Some("2026-10-25T00:30:00Z"));
    }

    #[test]
    fn a_local_time_says_that_it_comes_twice_only_in_the_hour_that_does() {
        let vienna = Zone::parse("Europe/Vienna").expect("a zone");
        let fixed = Zone::parse("+01:00").expect("a zone");
        for (local, again) in [
            ("2026-10-25 01:59:59", None),
            ("2026-10-25 02:00:00", Some("2026-10-25T01:00:00Z")),
            ("2026-10-25 02:59:59", Some("2026-10-25T01:59:59Z")),
            ("2026-10-25 03:00:00", None),
            // In spring this hour is left out.
            ("2026-03-29 02:30:00", None),
        ] {
            let time: DateTime = local.parse().expect("a local time");
            let found = vienna.again(time).map(|at| at.to_string());
            assert_eq!(found.as_deref(), again, "{local}");
            assert_eq!(fixed.again(time), None, "{local}");
        }
    }

    #[test]
    fn changes_are_asked_for_from_the_beginning_of_the_hour_that_comes_twice() {
        let zone = Zone::parse("Europe/Vienna").expect("a zone");
        for (since, from) in [
            ("2026-10-24T23:59:59Z", "2026-10-24T23:59:59Z"),
            ("2026-10-25T00:00:00Z", "2026-10-25T00:00:00Z"),
            ("2026-10-25T00:59:38Z", "2026-10-25T00:00:00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"),
            ("2026-10-25T02:00:00Z", "2026-10-25T02:00:00Z"),
            ("2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z"),
        ] {
            let asked = zone.asked_from(since.parse().expect("an instant"));
            assert_eq!(asked.to_string(), from, "{since}");
        }
    }
}
