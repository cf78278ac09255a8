//! How a connection stands, in words that say what to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_connectors::CREDENTIALS_ADVICE;
use tandem_domain::line::line;
use tandem_domain::{ConnectionName, Timestamp};
use tandem_store::{ClockNote, ConnectionHealth, ConnectionState, HeldUp};

use super::{to_the_second, when_opt};

/// Webhooks that were signed wrongly are told of for so long.
pub const BADLY_SIGNED_SHOWN: Duration = Duration::from_secs(15 * 60);

/// Right and wrong ones come by turns for as long as a wrong one is not older than this: a sender that signs wrongly now
/// and then does not make the state go to and fro.
const BY_TURNS: Duration = Duration::from_secs(5 * 60);

/// A connection of which no process has told for so long is looked after by none: a running one tells every minute.
const LOOKED_AFTER: Duration = Duration::from_secs(3 * 60);

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// The word for programs.
    pub state: ConnectionState,
    /// Since when it stands so.
    #[serde(with = "when_opt")]
    pub since: Option<Timestamp>,
    /// When a process last looked after it, and which: nobody knows how it stands since then.
    #[serde(default, with = "when_opt")]
    pub seen_at: Option<Timestamp>,
    /// The process.
    #[serde(default)]
    pub seen_by: Option<String>,
    /// Until when no request goes out, because the system asked to wait.
    #[serde(default, with = "when_opt")]
    pub asked_until: Option<Timestamp>,
    /// Since when a request waits for an answer.
    #[serde(default, with = "when_opt")]
    pub unanswered_since: Option<Timestamp>,
    /// Why the times of the system are not held against ours.
    #[serde(default)]
    pub clock_doubt: Option<String>,
    /// What was answered, or happened instead.
    pub reason: Option<String>,
    /// How it stands and what to do, for people.
    pub words: String,
    /// Webhooks signed wrongly, counted since `badly_signed_from`; 0 when there was none of late.
    pub badly_signed: u32,
    /// When the first of them came.
    #[serde(default, with = "when_opt")]
    pub badly_signed_from: Option<Timestamp>,
    /// When the last of them came.
    #[serde(with = "when_opt")]
    pub badly_signed_at: Option<Timestamp>,
    /// When the last one came that was signed rightly, as far as that was noted beside wrong ones.
    #[serde(default, with = "when_opt")]
    pub rightly_signed_at: Option<Timestamp>,
    /// Whether somebody should do something.
    pub in_trouble: bool,
}

impl HealthView {
    /// How a connection stands by what is known of it.
    #[must_use]
    pub fn new(
        connection: &ConnectionName,
        known: Option<&ConnectionHealth>,
        now: Timestamp,
    ) -> Self {
        let state = known.map_or(ConnectionState::Unknown, |known| known.state);
        let signed = known.and_then(|known| Signed::of(known, now));
        let left = known.and_then(|known| left_alone(known, now));
        let mut words = match &left {
            Some(words) => words.clone(),
            None => state_words(state, known),
        };
        let held_up = known.and_then(|known| held_up(known, now));
        let held_words = held_up
            .filter(|_| left.is_none())
            .and_then(|held_up| held_words(connection, held_up, now));
        if let Some(held) = held_words {
            words.push_str("; ");
            words.push_str(&held);
        }
        let clock = known
            .filter(|_| left.is_none())
            .and_then(|known| doubted_clock(known, now));
        if let Some(doubt) = clock.and_then(|clock| clock.doubt.as_deref()) {
            words.push_str("; ");
            words.push_str(&line(doubt));
        }
        if let Some(signed) = &signed {
            words.push_str("; ");
            words.push_str(&signed.words(connection));
        }
        let is_down = matches!(
            state,
            ConnectionState::Unreachable | ConnectionState::Unauthorized
        );
        Self {
            state,
            since: known
                .filter(|known| known.state != ConnectionState::Unknown)
                .map(|known| known.since),
            seen_at: known.and_then(|known| known.seen_at),
            seen_by: known.and_then(|known| known.seen_by.clone()),
            asked_until: held_up.and_then(|held_up| held_up.asked_until),
            unanswered_since: held_up.and_then(|held_up| held_up.unanswered_since),
            clock_doubt: clock.and_then(|clock| clock.doubt.clone()),
            reason: known.and_then(|known| known.reason.clone()),
            words,
            badly_signed: signed.as_ref().map_or(0, |signed| signed.refused),
            badly_signed_from: signed.as_ref().map(|signed| signed.from),
            badly_signed_at: signed.as_ref().map(|signed| signed.refused_at),
            rightly_signed_at: signed.as_ref().and_then(|signed| signed.accepted_at),
            in_trouble: is_down
                || left.is_some()
                || signed.is_some_and(|signed| signed.is_trouble())
                || clock.is_some_and(|clock| clock.is_wrong),
        }
    }
}

/// What holds requests to a connection up now: what was told of long ago, or for a time that is over, does not.
fn held_up(known: &ConnectionHealth, now: Timestamp) -> Option<&HeldUp> {
    let held_up = known.held_up.as_ref()?;
    let is_fresh = now.since(held_up.told_at) < LOOKED_AFTER;
    let is_asked = held_up.asked_until.is_some_and(|until| until > now);
    let is_out = held_up.unanswered_since.is_some();
    (is_asked || (is_fresh && is_out)).then_some(held_up)
}

/// A clock that is doubted now: whoever doubts it says so every minute.
pub(crate) fn doubted_clock(known: &ConnectionHealth, now: Timestamp) -> Option<&ClockNote> {
    let clock = known.clock.as_ref()?;
    (now.since(clock.told_at) < LOOKED_AFTER && clock.doubt.is_some()).then_some(clock)
}

fn held_words(connection: &ConnectionName, held_up: &HeldUp, now: Timestamp) -> Option<String> {
    let asked = held_up.asked_until.filter(|until| *until > now);
    let asked = asked.map(|until| {
        format!(
            "it asked us to wait until {}, by `Retry-After` or what else it says of its rate limit: no request goes \
             out before; `tandem connections reset {connection}` has it asked at once",
            to_the_second(until)
        )
    });
    let out = held_up.unanswered_since.map(|since| {
        format!(
            "a request has been waiting for an answer for {} s",
            now.since(since).as_secs()
        )
    });
    match (asked, out) {
        (None, None) => None,
        (Some(words), None) | (None, Some(words)) => Some(words),
        (Some(asked), Some(out)) => Some(format!("{out}; {asked}")),
    }
}

/// What is said of a connection that no process looks after any more: how it stood then is no news.
fn left_alone(known: &ConnectionHealth, now: Timestamp) -> Option<String> {
    let seen_at = known.seen_at.filter(|at| now.since(*at) >= LOOKED_AFTER)?;
    let since = to_the_second(known.since);
    let stood = match known.state {
        ConnectionState::Unknown => "nothing had been asked of it yet".to_owned(),
        ConnectionState::Up => format!("it answered, since {since}"),
        ConnectionState::Unreachable => format!("it was unreachable, since {since}"),
        ConnectionState::Unauthorized => format!("it refused the credentials, since {since}"),
    };
    let by = known.seen_by.as_deref().unwrap_or("a process");
    Some(format!(
        "not looked after since {}, when {} last did: then {stood}; how it stands now is not known. Does Tandem run?",
        to_the_second(seen_at),
        line(by)
    ))
}

fn state_words(state: ConnectionState, known: Option<&ConnectionHealth>) -> String {
    let since = known.map_or_else(String::new, |known| to_the_second(known.since));
    let reason = known.and_then(|known| known.reason.as_deref());
    let reason = reason.map_or_else(String::new, |reason| format!(" ({})", line(reason)));
    match state {
        ConnectionState::Unknown => "nothing was asked of it yet".to_owned(),
        ConnectionState::Up => format!("answers, since {since}"),
        ConnectionState::Unreachable => format!(
            "unreachable since {since}{reason}: its jobs wait, and go on by themselves when it answers; check its \
             address (`base_url`) and whether it runs, `tandem check` tries it"
        ),
        ConnectionState::Unauthorized => format!(
            "refuses the credentials since {since}{reason}: its jobs wait; {CREDENTIALS_ADVICE}"
        ),
    }
}

/// How webhooks of a connection are signed, of which some were signed wrongly of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// How many were refused.
    refused: u32,
    /// When the first of them came.
    from: Timestamp,
    /// When the last of them came.
    refused_at: Timestamp,
    /// When the last that was right came, if any did.
    accepted_at: Option<Timestamp>,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// None was right since.
    Wrongly,
    /// Both come, by turns.
    ByTurns,
    /// No wrong one came any more for a while, and a right one did.
    RightlyAgain,
}

impl Signed {
    /// Nothing when none was signed wrongly of late.
    #[must_use]
    pub fn of(known: &ConnectionHealth, now: Timestamp) -> Option<Self> {
        let is_late = |at: &Timestamp| now.since(*at) < BADLY_SIGNED_SHOWN;
        let refused_at = known.badly_signed_at.filter(is_late)?;
        let from = known.badly_signed_from.unwrap_or(refused_at);
        let accepted_at = known.rightly_signed_at;
        let was_right_since = accepted_at.is_some_and(|at| at >= from && is_late(&at));
        let is_quiet = now.since(refused_at) >= BY_TURNS;
        let how = match accepted_at.filter(|_| was_right_since) {
            Some(at) if at > refused_at && is_quiet => How::RightlyAgain,
            Some(_) => How::ByTurns,
            None => How::Wrongly,
        };
        (known.badly_signed > 0).then_some(Self {
            refused: known.badly_signed,
            from,
            refused_at,
            accepted_at,
            how,
        })
    }

    /// How they are signed and what to do, for people.
    #[must_use]
    pub fn words(&self, connection: &ConnectionName) -> String {
        let Self {
            refused,
            from,
            refused_at,
            accepted_at,
            how,
        } = self;
        let (from, last) = (to_the_second(*from), to_the_second(*refused_at));
        let accepted = accepted_at.map(to_the_second);
        let right = accepted.unwrap_or_else(|| "before that".to_owned());
        let refused = format!("{refused} refused since {from}, the last at {last}");
        match how {
            How::Wrongly => {
                let right = accepted_at.map_or_else(String::new, |_| {
                    format!("; the last that was signed rightly came at {right}")
                });
                format!(
                    "webhooks for {connection} are signed wrongly: {refused}{right}; check `webhook.secrets` of this \
                     connection against the secret with which its system signs"
                )
            }
            How::ByTurns => format!(
                "some webhooks for {connection} are signed rightly and some wrongly: the last right one came at \
                 {right}; {refused}; where two senders sign with two secrets, `webhook.secrets` takes both"
            ),
            How::RightlyAgain => format!(
                "webhooks for {connection} are signed rightly again, the last at {right}; {refused}"
            ),
        }
    }

    /// Whether wrong ones still come.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.how != How::RightlyAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(state: ConnectionState) -> ConnectionHealth {
        ConnectionHealth {
            connection: "crm".parse().expect("a name"),
            state,
            reason: Some("connection refused".to_owned()),
            since: Timestamp::from_secs(1_700_000_000),
            seen_at: Some(Timestamp::from_secs(1_700_000_060)),
            seen_by: Some("tandem up (process 7)".to_owned()),
            held_up: None,
            clock: None,
            clock_offset: None,
            badly_signed: 3,
            badly_signed_from: Some(Timestamp::from_secs(1_700_000_030)),
            rightly_signed_at: None,
            badly_signed_at: Some(Timestamp::from_secs(1_700_000_060)),
        }
    }

    #[test]
    fn a_connection_in_trouble_is_told_with_since_when_and_what_to_do() {
        let crm = "crm".parse().expect("a name");
        let soon = Timestamp::from_secs(1_700_000_070);
        let late = Timestamp::from_secs(1_700_009_000);
        let looked_after = |state| ConnectionHealth {
            seen_at: Some(late),
            ..health(state)
        };
        let down = HealthView::new(&crm, Some(&health(ConnectionState::Unreachable)), soon);
        assert!(down.in_trouble);
        for part in [
            "unreachable since 2023-11-14T22:13:20Z",
            "connection refused",
            "base_url",
            "3 refused since 2023-11-14T22:13:50Z, the last at 2023-11-14T22:14:20Z",
            "webhook.secrets",
        ] {
            assert!(down.words.contains(part), "{part}: {}", down.words);
        }
        let refused = HealthView::new(
            &crm,
            Some(&looked_after(ConnectionState::Unauthorized)),
            late,
        );
        assert!(refused.words.contains("credentials"), "{}", refused.words);
        assert!(
            !refused.words.contains("signed wrongly"),
            "that was long ago"
        );
        let up = HealthView::new(&crm, Some(&looked_after(ConnectionState::Up)), late);
        assert!(!up.in_trouble && up.words.starts_with("answers"), "{up:?}");
        assert_eq!(
            HealthView::new(&crm, None, soon).state,
            ConnectionState::Unknown
        );
    }

    #[test]
    fn a_connection_that_no_process_looks_after_any_more_is_not_said_to_answer() {
        let crm = "crm".parse().expect("a name");
        let seen = Timestamp::from_secs(1_700_000_060);
        for (state, then) in [
            (
                ConnectionState::Up,
                "then it answered, since 2023-11-14T22:13:20Z",
            ),
            (ConnectionState::Unreachable, "then it was unreachable"),
            (
                ConnectionState::Unauthorized,
                "then it refused the credentials",
            ),
        ] {
            let known = health(state);
            let soon = HealthView::new(&crm, Some(&known), seen.plus(Duration::from_secs(90)));
            assert!(!soon.words.contains("not looked after"), "{}", soon.words);
            let late = HealthView::new(&crm, Some(&known), seen.plus(LOOKED_AFTER));
            for part in [
                "not looked after since 2023-11-14T22:14:20Z",
                "tandem up (process 7)",
                then,
            ] {
                assert!(late.words.contains(part), "{part}: {}", late.words);
            }
            assert!(late.in_trouble);
        }
    }

    #[test]
    fn what_holds_requests_up_is_told_for_as_long_as_it_does() {
        let crm = "crm".parse().expect("a name");
        let told_at = Timestamp::from_secs(1_700_000_100);
        let secs = |secs| told_at.plus(Duration::from_secs(secs));
        let held = |asked_until, unanswered_since| ConnectionHealth {
            badly_signed_at: None,
            seen_at: Some(told_at),
            held_up: Some(HeldUp {
                asked_until,
                unanswered_since,
                told_by: "tandem up (process 7)".to_owned(),
                told_at,
            }),
            ..health(ConnectionState::Up)
        };
        let words = |known: &ConnectionHealth, now| HealthView::new(&crm, Some(known), now).words;
        let asked = held(Some(secs(170)), None);
        for part in [
            "answers",
            "asked us to wait until 2023-11-14T22:17:50Z",
            "Retry-After",
            "tandem connections reset crm",
        ] {
            let words = words(&asked, secs(100));
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(!words(&asked, secs(171)).contains("wait"), "it is over");
        let hangs = held(None, Some(told_at));
        let shown = words(&hangs, secs(20));
        assert!(
            shown.contains("a request has been waiting for an answer for 20 s"),
            "{shown}"
        );
        // Whoever told of it does not run any more.
        let late = words(&hangs, told_at.plus(LOOKED_AFTER));
        assert!(!late.contains("waiting for an answer"), "{late}");
    }

    #[test]
    fn a_clock_that_is_not_used_is_told_of_for_as_long_as_somebody_says_so() {
        let crm = "crm".parse().expect("a name");
        let told_at = Timestamp::from_secs(1_700_000_100);
        let doubted = |is_wrong| ConnectionHealth {
            badly_signed_at: None,
            seen_at: Some(told_at),
            clock: Some(ClockNote {
                doubt: Some("its clock jumps".to_owned()),
                is_wrong,
                told_by: "tandem up (process 7)".to_owned(),
                told_at,
            }),
            badly_signed: 0,
            ..health(ConnectionState::Up)
        };
        let soon = told_at.plus(Duration::from_secs(70));
        let view = HealthView::new(&crm, Some(&doubted(true)), soon);
        assert!(view.words.ends_with("; its clock jumps"), "{}", view.words);
        assert!(view.in_trouble);
        assert_eq!(view.clock_doubt.as_deref(), Some("its clock jumps"));
        let unknown = HealthView::new(&crm, Some(&doubted(false)), soon);
        assert!(unknown.words.contains("jumps") && !unknown.in_trouble);
        let mut known = doubted(true);
        known.seen_at = Some(told_at.plus(LOOKED_AFTER));
        let late = HealthView::new(&crm, Some(&known), told_at.plus(LOOKED_AFTER));
        assert!(!late.words.contains("jumps"), "{}", late.words);
    }

    #[test]
    fn webhooks_signed_rightly_and_wrongly_by_turns_are_told_with_both_and_do_not_end_the_complaint()
     {
        let crm = "crm".parse().expect("a name");
        let at = |secs| Timestamp::from_secs(1_700_000_000 + secs);
        let known = |right: i64, wrong: i64| ConnectionHealth {
            rightly_signed_at: Some(at(right)),
            badly_signed_at: Some(at(wrong)),
            ..health(ConnectionState::Up)
        };
        let view = |right, wrong, now| HealthView::new(&crm, Some(&known(right, wrong)), at(now));
        for (right, wrong) in [(60, 70), (80, 70), (80, 90)] {
            let told = view(right, wrong, 100);
            assert!(told.in_trouble, "{told:?}");
            for part in [
                "signed rightly and some wrongly",
                "takes both",
                "3 refused since",
            ] {
                assert!(told.words.contains(part), "{part}: {}", told.words);
            }
            assert_eq!(
                (told.rightly_signed_at, told.badly_signed_at),
                (Some(at(right)), Some(at(wrong)))
            );
        }
        let before = view(10, 70, 100);
        assert!(
            before.words.contains("signed wrongly: 3 refused"),
            "{}",
            before.words
        );
        assert!(
            before
                .words
                .contains("rightly came at 2023-11-14T22:13:30Z"),
            "{}",
            before.words
        );
    }

    #[test]
    fn a_while_after_the_last_wrong_one_a_right_one_ends_the_complaint_and_the_last_refused_one_is_named()
     {
        let crm = "crm".parse().expect("a name");
        let known = ConnectionHealth {
            rightly_signed_at: Some(Timestamp::from_secs(1_700_000_080)),
            seen_at: None,
            ..health(ConnectionState::Up)
        };
        let later = Timestamp::from_secs(1_700_000_060).plus(BY_TURNS);
        let told = HealthView::new(&crm, Some(&known), later);
        assert!(!told.in_trouble, "{told:?}");
        for part in ["signed rightly again", "the last at 2023-11-14T22:14:20Z"] {
            assert!(told.words.contains(part), "{part}: {}", told.words);
        }
        assert!(!told.words.contains("webhook.secrets"), "{}", told.words);
    }

    #[test]
    fn wrong_credentials_are_advised_about_in_one_way() {
        let crm = "crm".parse().expect("a name");
        let known = health(ConnectionState::Unauthorized);
        let view = HealthView::new(&crm, Some(&known), Timestamp::from_secs(1_700_000_070));
        let error = tandem_connectors::ConnectorError::Unauthorized {
            system: "crm".to_owned(),
            reason: "401".to_owned(),
        };
        for words in [view.words, error.to_string()] {
            assert!(words.contains(CREDENTIALS_ADVICE), "{words}");
            assert!(!words.contains("resume"), "nothing is paused: {words}");
        }
    }
}
