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
        let lowered = text.to_ascii_lowercase();
        let words: Vec<&str> = lowered.split_whitespace().collect();
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

/// A day of the week, whole or by its first three letters, as cron counts them.
fn cron_day(name: &str) -> Option<&'static str> {
    const DAYS: [(&str, &str); 7] = [
        ("sunday", "0"),
        ("monday", "1"),
        ("tuesday", "2"),
        ("wednesday", "3"),
        ("thursday", "4"),
        ("friday", "5"),
        ("saturday", "6"),
    ];
    DAYS.into_iter()
        .find(|(day, _)| *day == name || &day[..3] == name)
        .map(|(_, number)| number)
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
mod tests;
