//! Dead letters: jobs that gave up, and events in quarantine, in one list.

mod act;
mod cause;
mod export;
mod list;
mod offers;
mod selection;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tandem_domain::{ErrorCode, EventId, IdParseError, JobId, SyncName, Timestamp};

use crate::views::{ChangeView, EventDetail, EventView, IntentView, JobDetail, JobView};

pub(crate) use act::check_reason;
pub use act::{Discarded, Replayed, Skipped};

pub use list::{CauseGroup, DeadLetterGroups};
pub use offers::Offers;
pub use selection::Selection;

/// Names a dead letter: `job_…` or `evt_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeadLetterId {
    /// A job.
    Job(JobId),
    /// An event.
    Event(EventId),
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => id.fmt(f),
            Self::Event(id) => id.fmt(f),
        }
    }
}

impl FromStr for DeadLetterId {
    type Err = IdParseError;
    fn from_str(text: &str) -> Result<Self, IdParseError> {
        if text.starts_with("evt_") {
            text.parse().map(Self::Event)
        } else {
            text.parse().map(Self::Job)
        }
    }
}

impl Serialize for DeadLetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeadLetterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which dead letters are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterQuery {
    /// Only of this sync; events in quarantine belong to none.
    pub sync: Option<SyncName>,
    /// Only with this failure; events in quarantine have [`ErrorCode::Unreadable`].
    pub code: Option<ErrorCode>,
    /// Only with this cause, as the groups show it.
    pub cause: Option<String>,
    /// Only those that gave up at or after this instant.
    #[serde(with = "crate::views::when_opt")]
    pub since: Option<Timestamp>,
    /// Only those that gave up until this instant.
    #[serde(with = "crate::views::when_opt")]
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// How many.
    pub limit: Option<usize>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// The stable word for the failure.
    pub code: ErrorCode,
    /// The root cause with what differs from case to case taken out; the same in a whole group.
    pub cause: String,
    /// The message, outermost.
    pub message: String,
    /// Since when it waits.
    #[serde(with = "crate::views::when")]
    pub since: Timestamp,
    /// What waits.
    #[serde(flatten)]
    pub letter: Letter,
}

/// What waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Letter {
    /// A job that gave up.
    Job(Box<JobView>),
    /// An event that could not be understood.
    Event(Box<EventView>),
}

/// A dead letter with all that may explain it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "letter", rename_all = "snake_case")]
pub enum DeadLetterDetail {
    /// A job that gave up.
    Job {
        /// The job with its failed attempts.
        job: Box<JobDetail>,
        /// The writes that were journalled for its record.
        intents: Vec<IntentView>,
        /// The events that caused it.
        events: Vec<EventView>,
        /// The newest changes of its record.
        changes: Vec<ChangeView>,
        /// What can be done with it.
        #[serde(default)]
        offers: Offers,
    },
    /// An event that could not be understood.
    Event {
        /// The event with its raw body.
        event: Box<EventDetail>,
        /// What can be done with it.
        #[serde(default)]
        offers: Offers,
    },
}
