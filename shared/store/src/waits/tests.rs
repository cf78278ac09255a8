//! How long is waited for what, and when waiting ends.

use proptest::prelude::*;

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn on_time(now: Timestamp) -> Turn {
    Turn { due: now, now }
}

fn waited(verdict: Verdict) -> (Timestamp, Waits) {
    match verdict {
        Verdict::Wait { run_at, waits } => (run_at, waits),
        Verdict::TooLong { failure } => panic!("{failure:?}"),
    }
}

/// The waits, in milliseconds, when the handler names no time.
fn floors(reason: Waiting, count: usize) -> Vec<u128> {
    let (mut waits, mut now) = (Waits::default(), at(1_000));
    let mut floors = Vec::new();
    for _ in 0..count {
        let (run_at, next) = waited(waits.again(reason, now, None, on_time(now)));
        floors.push(run_at.since(now).as_millis());
        (waits, now) = (next, run_at);
    }
    floors
}

#[test]
fn every_wait_has_a_floor_that_doubles() {
    assert_eq!(floors(Waiting::SystemDown, 4), [1_000, 2_000, 4_000, 8_000]);
    assert_eq!(floors(Waiting::KeyBusy, 4), [20, 40, 80, 160]);
    assert_eq!(floors(Waiting::FirstSync, 3), [2_000, 4_000, 8_000]);
    assert_eq!(floors(Waiting::SystemDown, 20)[19], 300_000);
    assert_eq!(floors(Waiting::Partner, 20)[19], 30_000);
}

#[test]
fn what_looked_often_within_seconds_does_not_wait_for_minutes_for_the_next_thing() {
    let (mut waits, mut now) = (Waits::default(), at(0));
    for _ in 0..10 {
        (now, waits) = waited(waits.again(Waiting::Elsewhere, now, None, on_time(now)));
    }
    let looked = now.since(at(0));
    assert!(looked < Duration::from_secs(30), "{looked:?}");
    let mut longest = looked;
    for _ in 0..6 {
        let before = now;
        (now, waits) = waited(waits.again(Waiting::SystemDown, now, None, on_time(now)));
        let pause = now.since(before);
        assert!(pause <= longest + Duration::from_secs(1), "{pause:?}");
        longest = now.since(at(0));
    }
}

#[test]
fn a_longer_time_that_a_system_names_is_kept_but_not_for_ever() {
    let now = at(1_000);
    let named =
        |secs| waited(Waits::default().again(Waiting::Throttled, at(secs), None, on_time(now))).0;
    assert_eq!(named(1_090), at(1_090));
    assert_eq!(named(999_999_999), at(1_000 + 3_600));
    assert_eq!(named(500), at(1_001), "a time that is past is none");
}

#[test]
fn what_waits_in_vain_for_an_hour_becomes_a_dead_letter_that_names_it() {
    let (mut waits, mut now) = (Waits::default(), at(0));
    let failure = loop {
        match waits.again(Waiting::Partner, now, None, on_time(now)) {
            Verdict::Wait {
                run_at,
                waits: next,
            } => (waits, now) = (next, run_at),
            Verdict::TooLong { failure } => break failure,
        }
    };
    assert!(now >= at(3_600) && now < at(4_000), "{now}");
    assert_eq!(failure.code, ErrorCode::Stuck);
    assert!(failure.chain[0].contains("its partner"), "{failure:?}");
}

#[test]
fn a_system_that_is_down_is_waited_for_as_long_as_it_takes() {
    let (mut waits, mut now) = (Waits::default(), at(0));
    while now < at(30 * 24 * 3_600) {
        (now, waits) = waited(waits.again(Waiting::SystemDown, now, None, on_time(now)));
    }
    // And the month is not held against what comes after it.
    waited(waits.again(Waiting::KeyBusy, now, None, on_time(now)));
}

/// Waits until it is in vain, when each pause is named so and each look comes so late. Returns when that was, how
/// often it looked, and why.
fn until_in_vain(reason: Waiting, named: u64, late: u64) -> (Timestamp, u32, Failure) {
    let (mut waits, mut due, mut looks) = (Waits::default(), at(0), 0);
    loop {
        let now = due.plus(Duration::from_secs(late));
        looks += 1;
        let named = now.plus(Duration::from_secs(named));
        match waits.again(reason, named, None, Turn { due, now }) {
            Verdict::Wait {
                run_at,
                waits: next,
            } => (waits, due) = (next, run_at),
            Verdict::TooLong { failure } => return (now, looks, failure),
        }
    }
}

#[test]
fn an_hour_in_vain_is_an_hour_whatever_pauses_are_named() {
    for named in [0, 30, 300, 1_800, 3_600, 999_999] {
        let (end, looks, _) = until_in_vain(Waiting::Elsewhere, named, 0);
        assert!(end >= at(3_600) && end <= at(3_900), "{named}: {end}");
        assert!(looks > LOOKS_MIN, "{named}: {looks} looks");
    }
}

#[test]
fn a_process_that_stood_still_is_not_held_against_its_jobs() {
    let turn = |due, now| Turn {
        due: at(due),
        now: at(now),
    };
    // It had looked often already, and then stood still for a day.
    let (mut waits, mut now) = (Waits::default(), at(0));
    while now < at(1_800) {
        (now, waits) = waited(waits.again(Waiting::Partner, now, None, on_time(now)));
    }
    let due = now;
    now = due.plus(Duration::from_secs(86_400));
    (_, waits) = waited(waits.again(Waiting::Partner, now, None, Turn { due, now }));
    // Nor is a gate, after the outage of a system, when it has looked hundreds of times.
    let late = now.plus(Duration::from_secs(9_000));
    (now, waits) = waited(waits.again(Waiting::Gate, late, None, on_time(now)));
    (_, waits) = waited(waits.again(Waiting::Partner, now, None, on_time(now)));
    assert!(now.since(waits.since.expect("it waits")) < Duration::from_secs(2_000));

    let (_, waits) = waited(Waits::default().again(Waiting::Partner, at(0), None, turn(0, 0)));
    waited(waits.again(Waiting::Partner, at(99_999), None, turn(1, 99_999)));
}

#[test]
fn a_long_first_sync_is_not_held_against_what_is_waited_for_next() {
    let (mut waits, mut now) = (Waits::default(), at(0));
    while now < at(10 * 3_600) {
        (now, waits) = waited(waits.again(Waiting::FirstSync, now, None, on_time(now)));
    }
    waited(waits.again(Waiting::Partner, now, None, on_time(now)));
}

#[test]
fn a_dead_letter_names_each_of_two_things_that_it_waited_for() {
    let (mut waits, mut now) = (Waits::default(), at(0));
    let mut reasons = [Waiting::KeyBusy, Waiting::Elsewhere].into_iter().cycle();
    let failure = loop {
        let reason = reasons.next().expect("it cycles");
        match waits.again(reason, now, None, on_time(now)) {
            Verdict::Wait {
                run_at,
                waits: next,
            } => (waits, now) = (next, run_at),
            Verdict::TooLong { failure } => break failure,
        }
    };
    for part in [
        "the same match key",
        "an earlier write to show",
        "before that",
    ] {
        assert!(failure.chain[0].contains(part), "{part}: {failure:?}");
    }
}

#[test]
fn steps_with_waits_between_them_end_in_a_dead_letter_that_says_what_was_waited_for() {
    let (mut waits, mut now) = (Waits::default(), at(0));
    let steps = [
        Waiting::Partner,
        Waiting::Elsewhere,
        Waiting::Progress,
        Waiting::Progress,
    ];
    let mut reasons = steps.into_iter().cycle();
    let failure = loop {
        let reason = reasons.next().expect("it cycles");
        match waits.again(reason, now, None, on_time(now)) {
            Verdict::Wait {
                run_at,
                waits: next,
            } => (waits, now) = (next, run_at),
            Verdict::TooLong { failure } => break failure,
        }
    };
    let said = &failure.chain[0];
    assert!(
        said.contains("the last time for the effect of an earlier write to show"),
        "{said}"
    );
    assert!(!said.contains("moved"), "{said}");
}

#[test]
fn steps_follow_at_once_and_a_job_without_an_end_is_slowed_and_then_stopped() {
    let (mut waits, mut now, mut steps) = (Waits::default(), at(0), 0);
    let failure = loop {
        match waits.again(Waiting::Progress, now, None, on_time(now)) {
            Verdict::Wait {
                run_at,
                waits: next,
            } => {
                steps += 1;
                assert_eq!(run_at == now, steps <= STEPS_FREE, "{steps}");
                (waits, now) = (next, run_at);
            }
            Verdict::TooLong { failure } => break failure,
        }
    };
    assert_eq!(steps, STEPS_MAX);
    assert!(
        failure.chain[0].contains("each time there was more to do"),
        "{failure:?}"
    );
}

/// Ways back to waiting that a handler can take; the others are of the runner itself.
const OF_HANDLERS: [Waiting; 10] = [
    Waiting::SystemDown,
    Waiting::Throttled,
    Waiting::Storage,
    Waiting::Partner,
    Waiting::KeyBusy,
    Waiting::Superseded,
    Waiting::FirstSync,
    Waiting::Elsewhere,
    Waiting::Missing,
    Waiting::Progress,
];

proptest! {
    /// 20 ms doubled until 30 s are 12 waits, and 118 more fill the hour; each step may begin that anew.
    #[test]
    fn no_job_runs_more_than_so_often_an_hour_without_coming_forward(
        reasons in proptest::collection::vec(0usize..9, 1..2_000)
    ) {
        let (mut waits, mut now, mut runs) = (Waits::default(), at(0), 0);
        for reason in reasons.into_iter().cycle().take(2_000) {
            match waits.again(OF_HANDLERS[reason], now, None, on_time(now)) {
                Verdict::Wait { run_at, waits: next } => (waits, now) = (next, run_at),
                Verdict::TooLong { .. } => break,
            }
            if now > at(3_600) { break }
            runs += 1;
        }
        prop_assert!(runs <= 135, "{runs} runs in an hour");
    }

    /// However late it is looked at, however long the pauses that are named, and whatever else was waited for.
    #[test]
    fn no_job_is_given_up_before_it_was_looked_at_ten_times_or_long_after_its_patience_is_over(
        turns in proptest::collection::vec((0usize..6, 0u64..10_000, 0u64..100_000), 1..20),
        is_late in any::<bool>(),
    ) {
        let (mut waits, mut due, mut looks) = (Waits::default(), at(0), 0);
        for (reason, pause, late) in turns.into_iter().cycle() {
            let reason = [
                Waiting::Partner, Waiting::KeyBusy, Waiting::Superseded, Waiting::Elsewhere, Waiting::Missing,
                Waiting::Storage,
            ][reason];
            let now = due.plus(Duration::from_secs(if is_late { late } else { 0 }));
            looks += 1;
            let named = now.plus(Duration::from_secs(pause));
            match waits.again(reason, named, None, Turn { due, now }) {
                Verdict::Wait { run_at, waits: next } => (waits, due) = (next, run_at),
                Verdict::TooLong { .. } => {
                    prop_assert!(is_late || now <= at(3_600 + 300), "{now}");
                    break;
                }
            }
            prop_assert!(looks < 200, "{looks} looks");
        }
        prop_assert!(looks > LOOKS_MIN, "{looks} looks");
    }

    #[test]
    fn no_job_goes_on_for_ever_by_taking_steps(
        reasons in proptest::collection::vec(0usize..10, 1..50)
    ) {
        let (mut waits, mut now, mut runs) = (Waits::default(), at(0), 0);
        for reason in reasons.iter().copied().cycle().take(2_000) {
            match waits.again(OF_HANDLERS[reason], now, None, on_time(now)) {
                Verdict::Wait { run_at, waits: next } => (waits, now) = (next, run_at),
                Verdict::TooLong { .. } => break,
            }
            if now > at(3_600) { break }
            runs += 1;
        }
        prop_assert!(runs <= 41 * 14 + 135, "{runs} runs in an hour");
    }
}
