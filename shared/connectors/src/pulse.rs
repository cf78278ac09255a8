//! How a system is, by the last requests to it: whether it answers, and whether it accepts the credentials; and what
//! holds requests to it up just now.
//!
//! Kept in memory, for whoever looks. It decides nothing: what waits and what is tried again is decided elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tandem_domain::{ErrorCode, Timestamp};

use crate::connector::ConnectorError;

/// A system that did not answer so many times in a row is called unreachable; fewer pass without a word.
pub const UNANSWERED_MIN: u32 = 3;

/// How a system is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It answers, and accepts the credentials.
    Up,
    /// It does not answer; with what happened instead.
    Unreachable(String),
    /// It refuses the credentials; with what it answered.
    Unauthorized(String),
}

/// What holds requests to a system up just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldUp {
    /// The system asked to wait: no request goes out before.
    pub asked_until: Option<Timestamp>,
    /// When the request went out that has waited longest for its answer.
    pub unanswered_since: Option<Timestamp>,
}

/// The requests that are out, by when they went.
#[derive(Debug, Default)]
pub(crate) struct Underway(Mutex<Out>);

#[derive(Debug, Default)]
struct Out {
    number: u64,
    sent: BTreeMap<u64, Timestamp>,
}

/// A request that is out, until this is dropped.
pub(crate) struct Sent<'a> {
    of: &'a Underway,
    number: u64,
}

impl Underway {
    /// A request goes out.
    pub(crate) fn begin(&self, now: Timestamp) -> Sent<'_> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.number += 1;
        let number = out.number;
        out.sent.insert(number, now);
        Sent { of: self, number }
    }

    /// When the oldest of those went out that are still out.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.sent.values().min().copied()
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let mut out = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.sent.remove(&self.number);
    }
}

/// Takes the pulse of one system.
#[derive(Debug, Default)]
pub struct PulseWatch(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Requests without an answer since the last answer.
    unanswered: u32,
    pulse: Option<Pulse>,
}

impl PulseWatch {
    /// How a request ended.
    pub fn note(&self, error: Option<&ConnectorError>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pulse = match error.map(|error| (error.code(), error)) {
            None => Pulse::Up,
            Some((ErrorCode::Unreachable, error)) => {
                seen.unanswered = seen.unanswered.saturating_add(1);
                if seen.unanswered < UNANSWERED_MIN {
                    return;
                }
                Pulse::Unreachable(reason(error))
            }
            Some((ErrorCode::Unauthorized, error)) => Pulse::Unauthorized(reason(error)),
            Some((
                ErrorCode::RateLimited
                | ErrorCode::Refused
                | ErrorCode::VersionConflict
                | ErrorCode::Malformed
                | ErrorCode::Unreadable,
                _,
            )) => Pulse::Up,
            // Says nothing of the system.
            Some(_) => return,
        };
        if pulse == Pulse::Up {
            seen.unanswered = 0;
        }
        seen.pulse = Some(pulse);
    }

    /// How the system is; `None` before anything was asked of it.
    #[must_use]
    pub fn pulse(&self) -> Option<Pulse> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.pulse.clone()
    }
}

/// The message of an error, without the beginning that only names the connection again.
fn reason(error: &ConnectorError) -> String {
    match error {
        ConnectorError::Unreachable { reason, .. }
        | ConnectorError::Unauthorized { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> ConnectorError {
        ConnectorError::Unreachable {
            system: "crm".to_owned(),
            reason: "connection refused".to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn a_system_is_unreachable_after_three_requests_without_an_answer_and_back_with_the_first_one()
    {
        let watch = PulseWatch::default();
        assert_eq!(watch.pulse(), None);
        watch.note(None);
        for _ in 1..UNANSWERED_MIN {
            watch.note(Some(&unreachable()));
            assert_eq!(watch.pulse(), Some(Pulse::Up));
        }
        watch.note(Some(&unreachable()));
        let down = Pulse::Unreachable("connection refused".to_owned());
        assert_eq!(watch.pulse(), Some(down.clone()));
        let right_ended = ConnectorError::RightEnded {
            system: "crm".to_owned(),
        };
        watch.note(Some(&right_ended));
        assert_eq!(watch.pulse(), Some(down));
        watch.note(None);
        assert_eq!(watch.pulse(), Some(Pulse::Up));
    }

    #[test]
    fn the_request_that_has_been_out_longest_is_known_until_it_is_over() {
        let underway = Underway::default();
        assert_eq!(underway.oldest(), None);
        let at = Timestamp::from_secs;
        let first = underway.begin(at(1));
        let second = underway.begin(at(2));
        assert_eq!(underway.oldest(), Some(at(1)));
        drop(first);
        assert_eq!(underway.oldest(), Some(at(2)));
        drop(second);
        assert_eq!(underway.oldest(), None);
    }

    #[test]
    fn refused_credentials_show_at_once() {
        let watch = PulseWatch::default();
        watch.note(Some(&ConnectorError::Unauthorized {
            system: "crm".to_owned(),
            reason: "401".to_owned(),
        }));
        assert_eq!(watch.pulse(), Some(Pulse::Unauthorized("401".to_owned())));
    }
}
