//! Spans of time on the command line: an instant, a day, or how long ago.

use clap::Args;
use tandem_domain::Timestamp;

use super::nothing::Filters;
use super::storage::now;

/// From when until when.
#[derive(Args, Clone, Copy)]
pub struct SpanOptions {
    /// Only since then: an instant (2026-01-31T12:00:00Z), a day (2026-01-31, UTC), or how long ago (2h, 3 days).
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    pub since: Option<Timestamp>,
    /// Only until then, said in the same ways.
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    pub until: Option<Timestamp>,
}

impl SpanOptions {
    /// As filters that found nothing.
    pub fn among(self, filters: Filters) -> Filters {
        filters
            .and("--since", self.since)
            .and("--until", self.until)
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    read(text, now())
}

fn read(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let utc = jiff::tz::TimeZone::UTC;
    if let Ok(day) = text.parse::<jiff::civil::Date>()
        && let Ok(midnight) = day.to_zoned(utc.clone())
    {
        return Ok(Timestamp::from_micros(
            midnight.timestamp().as_microsecond(),
        ));
    }
    let refused = || {
        format!(
            "`{text}` is neither an instant (2026-01-31T12:00:00Z), nor a day (2026-01-31), nor how long ago (2h, 3 days)"
        )
    };
    let ago: jiff::Span = text.parse().map_err(|_| refused())?;
    let now = jiff::Timestamp::from_microsecond(now.as_micros()).map_err(|_| refused())?;
    let then = now
        .to_zoned(utc)
        .checked_sub(ago.abs())
        .map_err(|_| refused())?;
    Ok(Timestamp::from_micros(then.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_as_an_instant_a_day_or_how_long_ago() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().expect("an instant");
        let cases = [
            ("2026-03-09T10:00:00+01:00", "2026-03-09T09:00:00Z"),
            ("2026-03-09", "2026-03-09T00:00:00Z"),
            ("2h", "2026-03-10T10:00:00Z"),
            ("90 minutes", "2026-03-10T10:30:00Z"),
            ("3 days", "2026-03-07T12:00:00Z"),
            ("3 days ago", "2026-03-07T12:00:00Z"),
            ("1 week", "2026-03-03T12:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                read(text, now).map(|at| at.to_string()),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        let now = Timestamp::from_secs(0);
        for text in ["yesterday", "2026-13-01", "3", ""] {
            let refused = read(text, now).expect_err(text);
            assert!(refused.contains("2h, 3 days"), "{refused}");
        }
    }
}
