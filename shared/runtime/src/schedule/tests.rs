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
            "weekly on caturday",
            "UTC",
            "`weekly on caturday` is not a schedule; write `every 5 minutes`, `hourly`, `every 4 hours`, `daily at 02:00`, `weekly`, five cron fields such as `0 2 * * 1-5`, or `manual`",
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
