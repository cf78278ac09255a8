//! What a failed exchange means. Every failure becomes one [`ConnectorError`], and through it one thing that
//! happens next. The question that matters is whether a write may have happened:
//!
//! | seen | read | write |
//! | --- | --- | --- |
//! | no connection | unreachable | unreachable: nothing was sent |
//! | timeout, connection lost after sending | unreachable | response lost |
//! | 502, 504 and other 5xx | unreachable | response lost |
//! | 503 | unreachable | unreachable, unless the manifest says that it may have had an effect |
//! | 500 | malformed: it may be this one record | response lost |
//! | 429 | rate limited | rate limited |
//! | 2xx, but not what the manifest expects | malformed | response lost |
//!
//! Rules of the request come first, then those of the manifest, then this table.

use std::time::Duration;

use tandem_domain::{RecordId, Timestamp};
use url::Url;

use super::clock_offset::http_date;
use super::response::{Answer, Body, shortened};
use crate::connector::ConnectorError;
use crate::manifest::{ErrorClass, ErrorRule, Statuses};
use crate::redactor::Redactor;
use crate::template::Predicate;

/// The wait after a 429 that names none.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(5);

/// What is being done, for messages and for what a failure means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    /// `read`, `create`, …
    pub(super) verb: &'static str,
    /// The stream, or `login`.
    pub(super) subject: &'a str,
    /// Whether it changes something in the system.
    pub(super) writes: bool,
    /// The record, if it is about one.
    pub(super) id: Option<&'a RecordId>,
    /// An answer for which this holds is no failure, whatever its status.
    pub(super) accept: Option<&'a Predicate>,
    /// Failures that say that a listing has no such page, because it ended before.
    pub(super) past_end: Option<PastEnd<'a>>,
}

/// Which failures mean that a listing ended before the page that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum PastEnd<'a> {
    /// Those that the manifest names.
    Said(&'a Statuses),
    /// The system's own "not found" after a page that was not full.
    Likely,
}

impl PastEnd<'_> {
    fn holds(self, answer: &Answer) -> bool {
        match self {
            Self::Said(statuses) => statuses.contain(answer.status) && !answer.is_success(),
            Self::Likely => {
                matches!(answer.status, 404 | 410) && !matches!(answer.body, Body::Other(_))
            }
        }
    }
}

impl Operation<'_> {
    /// The call that makes a session.
    pub(super) const SIGN_IN: Operation<'static> = Operation {
        verb: "sign",
        subject: "in",
        writes: false,
        id: None,
        accept: None,
        past_end: None,
    };

    /// Whether the answer is what was hoped for, whatever its status.
    pub(super) fn accepts(&self, answer: &Answer) -> bool {
        self.accept
            .is_some_and(|predicate| predicate.holds(&answer.scope()))
            || self.past_end.is_some_and(|ended| ended.holds(answer))
    }

    fn signs_in(&self) -> bool {
        self.verb == Self::SIGN_IN.verb
    }
}

impl std::fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.subject)?;
        self.id.map_or(Ok(()), |id| write!(f, " {id}"))
    }
}

/// What failures of a connection are judged by.
pub(super) struct Judge<'a> {
    pub(super) system: &'a str,
    pub(super) rules: [&'a [ErrorRule]; 2],
    pub(super) unavailable_may_have_effect: bool,
    pub(super) now: Timestamp,
    /// Takes secrets out of the words of the system, before they are cut.
    pub(super) redactor: &'a Redactor,
}

impl Judge<'_> {
    /// What a failed answer means.
    pub(super) fn failure(&self, operation: &Operation<'_>, answer: &Answer) -> ConnectorError {
        if (300..400).contains(&answer.status) {
            return self.redirected(answer);
        }
        let scope = answer.scope();
        let fits = |rule: &&ErrorRule| {
            rule.status
                .as_ref()
                .is_none_or(|statuses| statuses.contain(answer.status))
                && rule.when.as_ref().is_none_or(|when| when.holds(&scope))
        };
        let Some(rule) = self.rules.into_iter().flatten().find(fits) else {
            return self.error(
                self.class_by_status(operation, answer),
                operation,
                answer.message(self.redactor),
                None,
                self.wait(answer, None),
            );
        };
        let message = rule
            .message
            .as_ref()
            .and_then(|message| message.text(&scope));
        let message = message.map_or_else(
            || answer.message(self.redactor),
            |text| shortened(&text, self.redactor),
        );
        let field = rule.field.as_ref().and_then(|field| field.text(&scope));
        let field = field.map(|field| shortened(&field, self.redactor));
        let pause = rule
            .retry_after_secs
            .map(|secs| Duration::from_secs(u64::from(secs)));
        self.error(
            rule.class,
            operation,
            message,
            field,
            self.wait(answer, pause),
        )
    }

    /// Redirects are not followed: a POST would lose its body on the way.
    fn redirected(&self, answer: &Answer) -> ConnectorError {
        let target = answer
            .header("location")
            .map(|location| place_of(&self.redactor.clean(location)))
            .map_or_else(
                || "an unnamed address".to_owned(),
                |place| shortened(&place, self.redactor),
            );
        let reason = format!(
            "it redirects to {target} (HTTP {}); correct `base_url` or the path in the manifest",
            answer.status
        );
        ConnectorError::Misconfigured {
            system: self.system.to_owned(),
            reason,
        }
    }

    /// A 2xx answer that does not hold what the manifest expects.
    pub(super) fn unexpected(
        &self,
        operation: &Operation<'_>,
        reason: impl Into<String>,
    ) -> ConnectorError {
        let class = if operation.writes {
            ErrorClass::Lost
        } else {
            ErrorClass::Malformed
        };
        self.error(class, operation, reason.into(), None, None)
    }

    /// An exchange that ended without a whole answer.
    pub(super) fn broken(
        &self,
        operation: &Operation<'_>,
        error: &reqwest::Error,
    ) -> ConnectorError {
        if error.is_builder() {
            // Such as an address that a value has made too long. It says nothing of the system.
            let reason = format!("the request cannot be made: {}", chain(error));
            return self.error(ErrorClass::Refused, operation, reason, None, None);
        }
        let sent = !error.is_connect();
        let class = if sent && operation.writes {
            ErrorClass::Lost
        } else {
            ErrorClass::Unreachable
        };
        self.error(class, operation, chain(error), None, None)
    }

    fn class_by_status(&self, operation: &Operation<'_>, answer: &Answer) -> ErrorClass {
        let is_json = matches!(answer.body, Body::Json(_));
        match (answer.status, operation.writes) {
            (200..=299, _) => {
                if is_json {
                    ErrorClass::Refused
                } else {
                    ErrorClass::Malformed
                }
            }
            (401, _) => ErrorClass::Unauthorized,
            (404 | 410, true) if is_json => ErrorClass::NotFound,
            (404 | 410, _) => ErrorClass::Malformed,
            (408, true) => ErrorClass::Lost,
            (408, false) => ErrorClass::Unreachable,
            (412, _) => ErrorClass::VersionConflict,
            (429, _) => ErrorClass::RateLimited,
            (400..=499, _) => ErrorClass::Refused,
            // No record stands behind a login, so its 500 concerns the system.
            (500, false) if !operation.signs_in() => ErrorClass::Malformed,
            (503, true) if self.unavailable_may_have_effect => ErrorClass::Lost,
            (503, _) => ErrorClass::Unreachable,
            (500..=599, true) => ErrorClass::Lost,
            (500..=599, false) => ErrorClass::Unreachable,
            (_, _) => ErrorClass::Malformed,
        }
    }

    fn error(
        &self,
        class: ErrorClass,
        operation: &Operation<'_>,
        message: String,
        field: Option<String>,
        wait: Option<Duration>,
    ) -> ConnectorError {
        let system = self.system.to_owned();
        match class {
            ErrorClass::Unreachable => ConnectorError::Unreachable {
                system,
                reason: message,
                retry_after: wait,
            },
            ErrorClass::RateLimited => ConnectorError::RateLimited {
                system,
                retry_after: wait.unwrap_or(RATE_LIMIT_PAUSE),
            },
            ErrorClass::Unauthorized => ConnectorError::Unauthorized {
                system,
                // Our own sentence goes on after it.
                reason: message.trim_end_matches('.').to_owned(),
            },
            ErrorClass::Refused => ConnectorError::Refused {
                system,
                operation: operation.to_string(),
                message,
                field,
            },
            ErrorClass::VersionConflict => ConnectorError::VersionConflict { system, message },
            ErrorClass::NotFound => match operation.id {
                Some(id) => ConnectorError::NotFound {
                    system,
                    id: id.clone(),
                },
                None => ConnectorError::Malformed {
                    system,
                    operation: operation.to_string(),
                    reason: message,
                },
            },
            ErrorClass::Lost if operation.writes => ConnectorError::ResponseLost {
                system,
                operation: operation.to_string(),
                reason: message,
            },
            ErrorClass::Lost | ErrorClass::Malformed => ConnectorError::Malformed {
                system,
                operation: operation.to_string(),
                reason: message,
            },
        }
    }

    /// How long the answer asks to wait, by its `Retry-After` (RFC 9110, 10.2.3). What becomes of it is said in
    /// [`super::restraint`].
    fn wait(&self, answer: &Answer, otherwise: Option<Duration>) -> Option<Duration> {
        let asked = answer.header("retry-after").and_then(|text| {
            let text = text.trim();
            if let Ok(secs) = text.parse::<u64>() {
                return Some(Duration::from_secs(secs));
            }
            // The date is by the system's clock, and so is its `Date`.
            let now = answer
                .header("date")
                .and_then(http_date)
                .unwrap_or(self.now);
            http_date(text).map(|at| at.since(now))
        });
        asked.or(otherwise)
    }
}

/// Scheme, host and path of an address, or its path alone. Who signs in and what is asked may be secret.
fn place_of(location: &str) -> String {
    let bare = location.split(['?', '#']).next().unwrap_or_default();
    match Url::parse(bare) {
        Ok(mut url) if url.has_host() => {
            let hidden = url.set_username("").and_then(|()| url.set_password(None));
            hidden.map_or_else(|()| UNREADABLE.to_owned(), |()| url.to_string())
        }
        Err(url::ParseError::RelativeUrlWithoutBase) if !bare.contains('@') => bare.to_owned(),
        Ok(_) | Err(_) => UNREADABLE.to_owned(),
    }
}

const UNREADABLE: &str = "an address that cannot be read";

/// An error with its causes; reqwest's own text leaves them out.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        String::new()
    };
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let mut last = String::new();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    if !last.is_empty() {
        let gap = if text.is_empty() { "" } else { ": " };
        text = format!("{text}{gap}{last}");
    }
    text
}
