//! How a connection stands, in words that say what to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_connectors::CREDENTIALS_ADVICE;
use tandem_domain::line::line;
use tandem_domain::{ConnectionName, Timestamp};
use tandem_store::{ClockNote, ConnectionHealth, ConnectionState, HeldUp};

use super::{to_the_second, when_opt};

/// Webhooks that were signed wrongly are told of for so long.
const BADLY_SIGNED_SHOWN: Duration = Duration::from_secs(15 * 60);

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
    /// Webhooks signed wrongly in the last minute of trouble; 0 when there was none of late, or one was signed rightly
    /// since.
    pub badly_signed: u32,
    /// When the last of them came.
    #[serde(with = "when_opt")]
    pub badly_signed_at: Option<Timestamp>,
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
        let lately = known.filter(|known| {
            known
                .badly_signed_at
                .is_some_and(|at| now.since(at) < BADLY_SIGNED_SHOWN)
        });
        let badly_signed = lately.map_or(0, |known| known.badly_signed);
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
        let last_at = lately.and_then(|known| known.badly_signed_at);
        if let Some(last_at) = last_at {
            words.push_str("; ");
            words.push_str(&match badly_signed {
                0 => rightly_signed_words(connection, last_at),
                count => badly_signed_words(connection, count),
            });
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
            badly_signed,
            badly_signed_at: last_at,
            in_trouble: is_down
                || left.is_some()
                || badly_signed > 0
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
fn doubted_clock(known: &ConnectionHealth, now: Timestamp) -> Option<&ClockNote> {
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

/// What is said of webhooks with wrong signatures.
#[must_use]
pub fn badly_signed_words(connection: &ConnectionName, count: u32) -> String {
    format!(
        "webhooks for {connection} are signed wrongly: {count} in the last minute; check `webhook.secrets` of this \
         connection against the secret with which its system signs"
    )
}

/// What is said when one was signed rightly after them.
#[must_use]
pub fn rightly_signed_words(connection: &ConnectionName, last_at: Timestamp) -> String {
    format!(
        "webhooks for {connection} are signed rightly again; the last that was refused came at {}",
        to_the_second(last_at)
    )
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
            badly_signed: 3,
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
            "3 in the last minute",
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
    fn a_webhook_that_is_signed_rightly_ends_the_complaint_and_the_last_refused_one_is_named() {
        let crm = "crm".parse().expect("a name");
        let known = ConnectionHealth {
            badly_signed: 0,
            ..health(ConnectionState::Up)
        };
        let soon = HealthView::new(&crm, Some(&known), Timestamp::from_secs(1_700_000_070));
        assert!(!soon.in_trouble, "{soon:?}");
        for part in ["signed rightly again", "2023-11-14T22:14:20Z"] {
            assert!(soon.words.contains(part), "{part}: {}", soon.words);
        }
        assert!(!soon.words.contains("webhook.secrets"), "{}", soon.words);
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
