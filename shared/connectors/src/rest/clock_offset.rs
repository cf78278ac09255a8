//! The difference between a system's clock and ours, from the `Date` headers of its answers.
//!
//! `Date` has whole seconds, so each answer only bounds the offset: the system's clock showed a time in
//! `[date, date + 1 s)` at some moment between sending and receiving. The intersection of many such bounds
//! is narrow, and quick answers narrow it most.
//!
//! No answer is believed alone. Answers that agree earn trust, one that contradicts them costs more than one has earned,
//! and several that agree with each other and not with those before say that a clock was set.

use std::sync::{Mutex, PoisonError};

use tandem_domain::{MeasuredOffset, Timestamp};

use crate::clock_state::{ClockDoubt, ClockState};

const SECOND_MICROS: i64 = 1_000_000;
/// Clocks drift, so bounds are widened by this …
const DRIFT_MICROS: i64 = 100_000;
/// … after each such time.
const DRIFT_AFTER_MICROS: i64 = 600 * SECOND_MICROS;
/// Answers that are further apart contradict each other: the clocks of two servers of one system may differ a little.
const AGREE_WITHIN_MICROS: i64 = 2 * SECOND_MICROS;
/// No clock that anybody looks after is further from the right time, be it in the wrong time zone.
const FAR_OFF_MICROS: u64 = 24 * 60 * 60 * 1_000_000;
/// So many answers that agree are believed.
const AGREEING_MIN: u32 = 3;
/// As much trust as can be earned; a clock that jumped has to earn it all again …
const TRUST_MAX: u32 = 8;
/// … without a contradiction for so long: a date that stands still agrees with itself for a moment.
const CALM_MICROS: i64 = 60 * SECOND_MICROS;
/// Nobody sets a clock twice within this.
const SET_AGAIN_MICROS: i64 = 600 * SECOND_MICROS;
/// What a contradiction costs.
const CONTRADICTED: u32 = 4;
/// After so many answers it is known how it stands, though it may be that nothing can be known.
pub(super) const HEARD_ENOUGH: u32 = 6;

/// After so many it is not settled by asking: a cache may let one through now and then, for ever.
const HEARD_AT_MOST: u32 = 4 * HEARD_ENOUGH;

/// What an answer says of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This, with `Date`.
    Date(Timestamp),
    /// Nothing that counts: a cache has kept it for a while.
    Cached,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: i64,
    high: i64,
    /// What answers must agree with; the bounds themselves could follow a date that stands still.
    anchor: (i64, i64),
    since: i64,
}

impl Bounds {
    const fn new(low: i64, high: i64, since: i64) -> Self {
        Self {
            low,
            high,
            anchor: (low, high),
            since,
        }
    }

    fn agree_with(&self, seen: &Self) -> bool {
        let (low, high) = self.anchor;
        seen.low <= high.saturating_add(AGREE_WITHIN_MICROS)
            && seen.high >= low.saturating_sub(AGREE_WITHIN_MICROS)
    }

    fn narrowed(self, seen: &Self) -> Self {
        let mut bounds = self;
        if seen.since.saturating_sub(bounds.since) > DRIFT_AFTER_MICROS {
            let (low, high) = (bounds.low - DRIFT_MICROS, bounds.high + DRIFT_MICROS);
            bounds = Self::new(low, high, seen.since);
        }
        let (low, high) = (bounds.low.max(seen.low), bounds.high.min(seen.high));
        // No common ground: another server's clock, or one that was set a little. The latest is as good as any.
        let (low, high) = match low <= high {
            true => (low, high),
            false => (seen.low, seen.high),
        };
        Self {
            low,
            high,
            ..bounds
        }
    }

    const fn middle(&self) -> i64 {
        self.low + (self.high - self.low) / 2
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Untried,
    Believed,
    Jumps,
}

/// What the answers said so far.
#[derive(Debug, Default)]
struct Heard {
    answers: u32,
    cached: u32,
    dated: u32,
    bounds: Option<Bounds>,
    trust: u32,
    /// When an answer last agreed with them.
    agreed_at: i64,
    /// What the latest answers agree on among themselves, against the bounds, and how many there are of them.
    rival: Option<(Bounds, u32)>,
    contradicted_at: i64,
    /// When a clock was last taken to be set.
    set_at: Option<i64>,
    standing: Standing,
}

impl Heard {
    fn take(&mut self, seen: Bounds) {
        match self.bounds {
            None => {
                (self.bounds, self.trust) = (Some(seen), 1);
                self.agreed_at = seen.since;
            }
            Some(bounds) if bounds.agree_with(&seen) => {
                self.bounds = Some(bounds.narrowed(&seen));
                self.trust = (self.trust + 1).min(TRUST_MAX);
                self.agreed_at = seen.since;
                self.rival = None;
            }
            Some(_) => self.contradicted(seen),
        }
        self.judge(seen.since);
    }

    fn contradicted(&mut self, seen: Bounds) {
        let (rival, count) = match self.rival {
            Some((rival, count)) if rival.agree_with(&seen) => (rival.narrowed(&seen), count + 1),
            _ => {
                self.trust = self.trust.saturating_sub(CONTRADICTED);
                self.contradicted_at = seen.since;
                (seen, 1)
            }
        };
        if count < AGREEING_MIN {
            self.rival = Some((rival, count));
            return;
        }
        // One of the clocks was set; not twice in so short a time, but for a date that stands still.
        let before = self.set_at.replace(seen.since);
        let is_set = before.is_none_or(|at| seen.since.saturating_sub(at) >= SET_AGAIN_MICROS);
        self.trust = if is_set { AGREEING_MIN } else { 0 };
        self.bounds = Some(rival);
        self.agreed_at = seen.since;
        self.rival = None;
    }

    fn judge(&mut self, now: i64) {
        let is_calm = now.saturating_sub(self.contradicted_at) >= CALM_MICROS;
        self.standing = match self.standing {
            Standing::Untried if self.trust >= AGREEING_MIN => Standing::Believed,
            Standing::Untried if self.trust == 0 && self.dated >= HEARD_ENOUGH => Standing::Jumps,
            Standing::Believed if self.trust == 0 => Standing::Jumps,
            Standing::Jumps if self.trust == TRUST_MAX && is_calm => Standing::Believed,
            as_before => as_before,
        };
    }

    fn state(&self) -> ClockState {
        match (self.standing, self.bounds) {
            (Standing::Jumps, _) => ClockState::Doubted(ClockDoubt::Jumps),
            (Standing::Believed, Some(bounds)) => {
                let offset = bounds.middle();
                match offset.unsigned_abs() > FAR_OFF_MICROS {
                    true => ClockState::Doubted(ClockDoubt::FarOff(offset)),
                    false => ClockState::Measured,
                }
            }
            _ if self.answers < HEARD_ENOUGH && self.cached < AGREEING_MIN => ClockState::Unsettled,
            _ if self.dated > 0 && self.answers < HEARD_AT_MOST => ClockState::Unsettled,
            // Hardly any tell the time: no more are asked for because of it.
            _ if self.dated > self.cached => ClockState::Doubted(ClockDoubt::Jumps),
            _ if self.cached > 0 => ClockState::Doubted(ClockDoubt::Cached),
            _ => ClockState::Untold,
        }
    }
}

/// What is known of the offset.
#[derive(Debug, Default)]
pub(super) struct ClockOffset(Mutex<Heard>);

impl ClockOffset {
    /// Takes in one answer.
    pub(super) fn observe(&self, sent: Timestamp, received: Timestamp, said: Said) {
        let mut heard = self.heard();
        heard.answers = heard.answers.saturating_add(1);
        let date = match said {
            Said::Date(date) => date,
            Said::Cached => {
                heard.cached = heard.cached.saturating_add(1);
                return;
            }
            Said::Nothing => return,
        };
        let low = date.as_micros().saturating_sub(received.as_micros());
        let high = date
            .as_micros()
            .saturating_add(SECOND_MICROS)
            .saturating_sub(sent.as_micros());
        if high < low {
            return;
        }
        heard.dated = heard.dated.saturating_add(1);
        heard.take(Bounds::new(low, high, received.as_micros()));
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        // Poisoning cannot break a few numbers.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The system's clock minus ours, if it is believed.
    pub(super) fn measured(&self) -> Option<MeasuredOffset> {
        let heard = self.heard();
        let is_measured = heard.state() == ClockState::Measured;
        let bounds = heard.bounds.filter(|_| is_measured)?;
        Some(MeasuredOffset {
            micros: bounds.middle(),
            at: Timestamp::from_micros(heard.agreed_at),
        })
    }

    /// What is known of the clock.
    pub(super) fn state(&self) -> ClockState {
        self.heard().state()
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

    /// An answer a second, of systems whose clocks are so many seconds ahead of ours, in turn.
    fn heard(offsets_secs: &[i64]) -> ClockOffset {
        let clock = ClockOffset::default();
        for (at, offset) in (1_000..).zip(offsets_secs) {
            says(&clock, at, *offset);
        }
        clock
    }

    fn says(clock: &ClockOffset, at: i64, offset_secs: i64) {
        let (sent, received) = (millis(at * 1_000), millis(at * 1_000 + 10));
        let date = millis((at + offset_secs) * 1_000);
        clock.observe(sent, received, Said::Date(date));
    }

    fn secs(clock: &ClockOffset) -> Option<i64> {
        let measured = clock.measured()?;
        Some(measured.micros / SECOND_MICROS)
    }

    const DAY: i64 = 86_400;

    #[test]
    fn many_answers_narrow_the_offset_to_their_latency() {
        let offset = ClockOffset::default();
        // The system runs 90.4 s ahead; answers take 20 ms.
        for sent in (0..40).map(|step| 1_000_000 + step * 137) {
            let date = (sent + 10 + 90_400) / 1_000 * 1_000;
            offset.observe(millis(sent), millis(sent + 20), Said::Date(millis(date)));
        }
        let micros = offset.measured().expect("answers were seen").micros;
        assert!((90_350_000..=90_450_000).contains(&micros), "{micros}");
    }

    #[test]
    fn no_offset_is_believed_before_three_answers_agree() {
        assert_eq!(heard(&[3_600]).state(), ClockState::Unsettled);
        assert_eq!(secs(&heard(&[3_600, 3_600])), None);
        assert_eq!(secs(&heard(&[3_600, 3_600, 3_600])), Some(3_600));
        assert_eq!(
            secs(&heard(&[3_600, 0, 0, 0])),
            Some(0),
            "the first was odd"
        );
    }

    #[test]
    fn a_clock_that_a_cache_hides_but_now_and_then_is_not_asked_after_without_end() {
        let clock = heard(&[5]);
        let cached = || clock.observe(millis(2_000_000), millis(2_000_010), Said::Cached);
        (0..10).for_each(|_| cached());
        assert_eq!(clock.state(), ClockState::Unsettled);
        (0..20).for_each(|_| cached());
        assert_eq!(clock.state(), ClockState::Doubted(ClockDoubt::Cached));
        // What it says later is believed all the same.
        (3_000..3_003).for_each(|at| says(&clock, at, 5));
        assert_eq!(secs(&clock), Some(5));
    }

    #[test]
    fn the_last_answer_that_agreed_says_when_the_offset_was_measured() {
        let at = |said: &[i64]| heard(said).measured().map(|measured| measured.at);
        let (eight, nine) = (at(&[5; 8]), at(&[5; 9]));
        assert!(eight.is_some() && eight < nine);
        let mut said = vec![5; 8];
        said.push(9_000);
        assert_eq!(at(&said), eight, "the last was odd");
        said.push(5);
        assert_eq!(at(&said), at(&[5; 10]));
    }

    #[test]
    fn one_odd_answer_among_many_changes_nothing() {
        let mut said = vec![5; 8];
        said.extend([9_000, 5, 5, 5, 5, 5, 5, 900 * DAY, 5]);
        assert_eq!(secs(&heard(&said)), Some(5));
    }

    #[test]
    fn a_clock_that_was_set_is_followed_when_three_answers_say_so() {
        let before = [0; 8];
        let then = |answers| {
            let mut said = before.to_vec();
            said.extend(vec![3_600; answers]);
            secs(&heard(&said))
        };
        assert_eq!((then(1), then(2), then(3)), (Some(0), Some(0), Some(3_600)));
    }

    #[test]
    fn a_clock_that_is_years_off_is_not_used_and_told_of() {
        for years in [-3, 3] {
            let clock = heard(&[years * 365 * DAY; 3]);
            assert_eq!(clock.measured(), None);
            let ClockState::Doubted(doubt) = clock.state() else {
                panic!("{:?}", clock.state());
            };
            let way = if years < 0 {
                "behind ours"
            } else {
                "ahead of ours"
            };
            let said = doubt.to_string();
            assert!(said.contains(way) && said.contains("109"), "{said}");
        }
        assert_eq!(
            secs(&heard(&[14 * 3_600; 3])),
            Some(14 * 3_600),
            "a time zone"
        );
    }

    #[test]
    fn a_clock_that_jumps_is_not_used_until_a_minute_without_a_jump() {
        let clock = heard(&[0, 0, 0, 0, 7_200, 0, 7_200, 0, 7_200]);
        assert_eq!(clock.state(), ClockState::Doubted(ClockDoubt::Jumps));
        assert_eq!(clock.measured(), None);
        (1_010..1_020).for_each(|at| says(&clock, at, 0));
        assert_eq!(clock.measured(), None, "too soon");
        (1_060..1_070).for_each(|at| says(&clock, at, 0));
        assert_eq!(secs(&clock), Some(0));

        let random = heard(&[1, 500, 90_000, 7, 4_000, 333, 80]);
        assert_eq!(random.state(), ClockState::Doubted(ClockDoubt::Jumps));
    }

    #[test]
    fn a_date_that_stands_still_is_no_clock() {
        let clock = ClockOffset::default();
        for at in (1_000_000..1_060_000).step_by(250) {
            let kept = Said::Date(millis(1_000_000));
            clock.observe(millis(at), millis(at + 10), kept);
        }
        assert_eq!(clock.state(), ClockState::Doubted(ClockDoubt::Jumps));
    }

    #[test]
    fn servers_of_one_system_whose_clocks_differ_by_a_second_do_not_jump() {
        let clock = heard(&[10, 11, 10, 11, 11, 10, 11, 10, 11, 10]);
        assert!(matches!(secs(&clock), Some(10 | 11)));
    }

    #[test]
    fn what_a_cache_kept_says_nothing_of_the_clock_and_that_is_told() {
        let clock = ClockOffset::default();
        let hear = |said| clock.observe(millis(1_000), millis(1_010), said);
        (0..AGREEING_MIN).for_each(|_| hear(Said::Cached));
        let doubt = clock.state().doubt().expect("it is told");
        assert!(doubt.to_string().contains("cache") && !doubt.is_wrong());
        (0..3).for_each(|at| says(&clock, at, 0));
        assert_eq!(clock.state(), ClockState::Measured);

        let silent = ClockOffset::default();
        for _ in 0..HEARD_ENOUGH {
            silent.observe(millis(1_000), millis(1_010), Said::Nothing);
        }
        assert_eq!(silent.state(), ClockState::Untold);
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
