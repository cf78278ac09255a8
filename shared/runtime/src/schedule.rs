//! When something is due: presets in words, cron with a time zone, or only by hand.
//!
//! A wall-clock schedule (`daily at 02:00`, or cron with fixed hours) fires exactly once for each
//! local time that it names, also on the days when clocks change: a time that is skipped in spring
//! fires when the gap ends, a time that comes twice in autumn fires the first time. Cron with `*` in
//! its hour field follows real time instead. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use cronexpr::{Crontab, MakeTimestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tandem_domain::Timestamp;

/// The shortest interval: below this a schedule would be a busy loop against somebody's API.
const INTERVAL_SECS_MIN: u64 = 1;
/// The longest interval: a year.
const INTERVAL_SECS_MAX: u64 = 366 * 86_400;
/// A wall-clock time that never lies after the instant asked for is given up after so many steps;
/// one repeated hour holds 60 minutes, so the second step over 60 cannot be needed.
const FOLD_STEPS_MAX: usize = 64;
/// Fields of a cron expression without a zone.
const CRON_FIELDS: usize = 5;

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Manual,
    Every(Duration),
    Cron(Box<Cron>),
}

#[derive(Clone, Debug)]
struct Cron {
    /// In the zone itself, for hours that follow real time.
    zoned: Crontab,
    /// As if the wall clock were UTC, for hours that are named.
    wall: Crontab,
    zone: TimeZone,
    names_hours: bool,
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither a preset nor cron.
    #[error(
        "`{0}` is not a schedule; write `every 5 minutes`, `hourly`, `every 4 hours`, `daily at 02:00`, `weekly`, five cron fields such as `0 2 * * 1-5`, or `manual`"
    )]
    Unknown(String),
    /// A number outside its limits.
    #[error("`{0}`: the interval must lie between 1 second and 366 days")]
    Interval(String),
    /// A time of day that is none.
    #[error("`{0}` is not a time of day; write hours and minutes such as `02:00`")]
    TimeOfDay(String),
    /// A time zone that is none.
    #[error("`{0}` is not a time zone; write a name such as `Europe/Brussels` or `UTC`")]
    TimeZone(String),
    /// Five fields, but not of cron.
    #[error("`{text}` is not a cron expression: {reason}")]
    Cron {
        /// What was written.
        text: String,
        /// What the parser says.
        reason: String,
    },
    /// A cron expression that no day fulfils.
    #[error("`{0}` never comes, for example because that month has no such day")]
    Never(String),
}

impl Schedule {
    /// Reads a schedule in words; wall-clock times are those of `zone` unless the text ends in a zone
    /// of its own.
    ///
    /// # Errors
    /// [`ScheduleError`] says what to write instead.
    pub fn parse(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["manual"] => Ok(Self::new("manual", Rule::Manual)),
            ["hourly"] => every(text, 1, 3_600),
            ["every", unit] => every(text, 1, unit_secs(text, unit)?),
            ["every", count, unit] => {
                let count = count
                    .parse()
                    .map_err(|_| ScheduleError::Unknown(text.to_owned()))?;
                every(text, count, unit_secs(text, unit)?)
            }
            ["daily" | "weekly", ..] => wall_clock(text, &words, zone),
            _ => cron(text, zone),
        }
    }

    fn new(text: impl Into<String>, rule: Rule) -> Self {
        Self {
            text: text.into(),
            rule,
        }
    }

    /// The first time after `after` at which it is due; `None` for a manual one.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Manual => None,
            Rule::Every(interval) => Some(after.plus(*interval)),
            Rule::Cron(cron) if cron.names_hours => cron.next_on_the_wall(after),
            Rule::Cron(cron) => cron.next_in_real_time(after),
        }
    }

    /// Whether only a person starts it.
    #[must_use]
    pub const fn is_manual(&self) -> bool {
        matches!(self.rule, Rule::Manual)
    }
}

impl fmt::Display for Schedule {
    /// The form that is stored; wall-clock schedules with their zone, so that it reads back alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;
    /// Reads what [`fmt::Display`] wrote.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Self::parse(text, "UTC")
    }
}

fn unit_secs(text: &str, unit: &str) -> Result<u64, ScheduleError> {
    match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => Ok(1),
        "minute" => Ok(60),
        "hour" => Ok(3_600),
        "day" => Ok(86_400),
        _ => Err(ScheduleError::Unknown(text.to_owned())),
    }
}

fn every(text: &str, count: u64, unit_secs: u64) -> Result<Schedule, ScheduleError> {
    let secs = count.saturating_mul(unit_secs);
    if !(INTERVAL_SECS_MIN..=INTERVAL_SECS_MAX).contains(&secs) {
        return Err(ScheduleError::Interval(text.to_owned()));
    }
    Ok(Schedule::new(
        text.trim(),
        Rule::Every(Duration::from_secs(secs)),
    ))
}

/// `daily [at HH:MM] [ZONE]` and `weekly [on DAY] [at HH:MM] [ZONE]`; 02:00 and Sunday when not said.
fn wall_clock(text: &str, words: &[&str], zone: &str) -> Result<Schedule, ScheduleError> {
    let unknown = || ScheduleError::Unknown(text.to_owned());
    let (kind, mut rest) = words.split_first().ok_or_else(unknown)?;
    let mut day = if *kind == "weekly" { "0" } else { "*" };
    if let ["on", named, others @ ..] = rest
        && *kind == "weekly"
    {
        day = cron_day(named).ok_or_else(unknown)?;
        rest = others;
    }
    let (mut hour, mut minute) = (2, 0);
    if let ["at", time, others @ ..] = rest {
        (hour, minute) = time_of_day(time)?;
        rest = others;
    }
    let zone = match rest {
        [] => zone.to_owned(),
        // The zone as written: the words were lowered, and names of zones have capitals.
        [_] => text.split_whitespace().last().unwrap_or(zone).to_owned(),
        _ => return Err(unknown()),
    };
    let rule = cron_rule(text, &format!("{minute} {hour} * * {day}"), &zone)?;
    let said = words[..words.len() - rest.len()].join(" ");
    Ok(Schedule::new(format!("{said} {zone}"), rule))
}

fn cron_day(name: &str) -> Option<&'static str> {
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    DAYS.into_iter()
        .find(|day| name.starts_with(day) && name.trim_start_matches(day).len() <= "nesday".len())
}

fn time_of_day(text: &str) -> Result<(u8, u8), ScheduleError> {
    let wrong = || ScheduleError::TimeOfDay(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let hour: u8 = hour.parse().map_err(|_| wrong())?;
    let minute: u8 = minute.parse().map_err(|_| wrong())?;
    if hour < 24 && minute < 60 {
        Ok((hour, minute))
    } else {
        Err(wrong())
    }
}

fn cron(text: &str, zone: &str) -> Result<Schedule, ScheduleError> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let (fields, zone) = match parts.len() {
        CRON_FIELDS => (parts.join(" "), zone),
        n if n == CRON_FIELDS + 1 => (parts[..CRON_FIELDS].join(" "), parts[CRON_FIELDS]),
        _ => return Err(ScheduleError::Unknown(text.to_owned())),
    };
    let rule = cron_rule(text, &fields, zone)?;
    Ok(Schedule::new(format!("{fields} {zone}"), rule))
}

fn cron_rule(text: &str, fields: &str, zone: &str) -> Result<Rule, ScheduleError> {
    let time_zone = TimeZone::get(zone).map_err(|_| ScheduleError::TimeZone(zone.to_owned()))?;
    let parse = |zone: &str| {
        cronexpr::parse_crontab(&format!("{fields} {zone}")).map_err(|error| ScheduleError::Cron {
            text: text.to_owned(),
            reason: error.to_string(),
        })
    };
    let cron = Cron {
        wall: parse("UTC")?,
        zoned: parse(zone)?,
        zone: time_zone,
        names_hours: fields
            .split(' ')
            .nth(1)
            .is_some_and(|hours| !hours.starts_with('*')),
    };
    if cron.next_on_the_wall(Timestamp::default()).is_none() {
        return Err(ScheduleError::Never(text.to_owned()));
    }
    Ok(Rule::Cron(Box::new(cron)))
}

impl Cron {
    fn next_in_real_time(&self, after: Timestamp) -> Option<Timestamp> {
        let after = MakeTimestamp::from_microsecond(after.as_micros()).ok()?;
        let next = self.zoned.find_next(after).ok()?;
        Some(Timestamp::from_micros(next.timestamp().as_microsecond()))
    }

    /// Finds the next wall-clock time, then the instant at which clocks show it: the first one if
    /// they show it twice, the end of the gap if they never do.
    fn next_on_the_wall(&self, after: Timestamp) -> Option<Timestamp> {
        let instant = jiff::Timestamp::from_microsecond(after.as_micros()).ok()?;
        let mut wall = self.zone.to_datetime(instant);
        for _ in 0..FOLD_STEPS_MAX {
            wall = self.next_wall_time(wall)?;
            let due = self.zone.to_ambiguous_zoned(wall).compatible().ok()?;
            if due.timestamp() > instant {
                return Some(Timestamp::from_micros(due.timestamp().as_microsecond()));
            }
        }
        None
    }

    fn next_wall_time(&self, wall: DateTime) -> Option<DateTime> {
        let as_if_utc = TimeZone::UTC.to_timestamp(wall).ok()?;
        let next = self.wall.find_next(MakeTimestamp(as_if_utc)).ok()?;
        Some(next.datetime())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn next(schedule: &str, zone: &str, after: &str) -> String {
        Schedule::parse(schedule, zone)
            .expect(schedule)
            .next_after(at(after))
            .expect("it comes")
            .to_string()
    }

    #[test]
    fn intervals_count_from_the_instant_given() {
        for (schedule, expected) in [
            ("every 5 minutes", "2026-01-01T00:05:07Z"),
            ("every minute", "2026-01-01T00:01:07Z"),
            ("every 30 seconds", "2026-01-01T00:00:37Z"),
            ("hourly", "2026-01-01T01:00:07Z"),
            ("Every 4 Hours", "2026-01-01T04:00:07Z"),
            ("every 12 hours", "2026-01-01T12:00:07Z"),
        ] {
            assert_eq!(next(schedule, "UTC", "2026-01-01T00:00:07Z"), expected);
        }
    }

    #[test]
    fn wall_clock_schedules_follow_their_zone() {
        let after = "2026-01-15T12:00:00Z";
        let zone = "Europe/Brussels";
        assert_eq!(next("daily at 02:00", zone, after), "2026-01-16T01:00:00Z");
        assert_eq!(next("daily", zone, after), "2026-01-16T01:00:00Z");
        assert_eq!(next("weekly", zone, after), "2026-01-18T01:00:00Z");
        assert_eq!(
            next("weekly on wednesday at 23:30", zone, after),
            "2026-01-21T22:30:00Z"
        );
        assert_eq!(
            next("0 2 * * 1-5 America/New_York", zone, after),
            "2026-01-16T07:00:00Z"
        );
        assert_eq!(next("*/15 * * * *", zone, after), "2026-01-15T12:15:00Z");
    }

    #[test]
    fn a_time_that_spring_skips_fires_when_the_gap_ends_and_only_then() {
        let zone = "Europe/Brussels";
        // Clocks go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
        for schedule in ["daily at 02:30", "30 2 * * *"] {
            let due = next(schedule, zone, "2026-03-28T12:00:00Z");
            assert_eq!(due, "2026-03-29T01:30:00Z", "{schedule}");
            assert_eq!(next(schedule, zone, &due), "2026-03-30T00:30:00Z");
        }
    }

    #[test]
    fn a_time_that_autumn_repeats_fires_once() {
        let zone = "Europe/Brussels";
        // Clocks go from 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
        for schedule in ["daily at 02:30", "30 2 * * *"] {
            let due = next(schedule, zone, "2026-10-24T12:00:00Z");
            assert_eq!(due, "2026-10-25T00:30:00Z", "{schedule}");
            assert_eq!(next(schedule, zone, &due), "2026-10-26T01:30:00Z");
            let inside_the_second_hour = "2026-10-25T01:10:00Z";
            assert_eq!(
                next(schedule, zone, inside_the_second_hour),
                "2026-10-26T01:30:00Z"
            );
        }
    }

    #[test]
    fn hours_that_are_not_named_follow_real_time_through_both_changes() {
        let zone = "Europe/Brussels";
        for day in ["2026-03-29", "2026-10-25"] {
            let mut now = format!("{day}T00:00:00Z");
            for hour in 1..4 {
                now = next("0 * * * *", zone, &now);
                assert_eq!(now, format!("{day}T0{hour}:00:00Z"));
            }
        }
    }

    #[test]
    fn a_manual_schedule_is_never_due() {
        let manual = Schedule::parse("manual", "UTC").expect("manual");
        assert!(manual.is_manual());
        assert_eq!(manual.next_after(Timestamp::default()), None);
    }

    #[test]
    fn what_is_stored_reads_back_without_its_configuration() {
        for (text, stored) in [
            ("every 5 minutes", "every 5 minutes"),
            ("daily at 02:00", "daily at 02:00 Asia/Tokyo"),
            ("0  2 * * 1-5", "0 2 * * 1-5 Asia/Tokyo"),
            ("weekly on friday UTC", "weekly on friday UTC"),
            ("manual", "manual"),
        ] {
            let schedule = Schedule::parse(text, "Asia/Tokyo").expect(text);
            assert_eq!(schedule.to_string(), stored);
            let again: Schedule = stored.parse().expect(stored);
            assert_eq!(again.to_string(), stored);
            let now = at("2026-05-01T00:00:00Z");
            assert_eq!(again.next_after(now), schedule.next_after(now));
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_advice() {
        for (text, zone, expected) in [
            (
                "sometimes",
                "UTC",
                "`sometimes` is not a schedule; write `every 5 minutes`, `hourly`, `every 4 hours`, `daily at 02:00`, `weekly`, five cron fields such as `0 2 * * 1-5`, or `manual`",
            ),
            (
                "every 0 minutes",
                "UTC",
                "`every 0 minutes`: the interval must lie between 1 second and 366 days",
            ),
            (
                "daily at 25:00",
                "UTC",
                "`25:00` is not a time of day; write hours and minutes such as `02:00`",
            ),
            (
                "daily at 02:00",
                "Europe/Brussel",
                "`Europe/Brussel` is not a time zone; write a name such as `Europe/Brussels` or `UTC`",
            ),
            (
                "0 0 31 2 *",
                "UTC",
                "`0 0 31 2 *` never comes, for example because that month has no such day",
            ),
        ] {
            let error = Schedule::parse(text, zone).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
        let error = Schedule::parse("61 * * * *", "UTC").expect_err("no such minute");
        assert!(
            error
                .to_string()
                .starts_with("`61 * * * *` is not a cron expression: ")
        );
    }
}
