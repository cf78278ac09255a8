//! What happens next after something failed. Every error is turned into one [`Disposition`] by an
//! exhaustive match, so that no failure is ever without a consequence.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is to happen after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Try again after the backoff of the retry policy. Costs an attempt.
    Retry,
    /// Try again after this time: the system named it, or is known to be down. Costs no attempt.
    RetryAfter(Duration),
    /// The effect may have happened: read back before anything else is sent. Costs an attempt.
    Verify,
    /// Nothing can be done without a person: dead letter.
    Park,
    /// Nothing is left to do.
    Drop,
}

/// A stable word for a failure, for grouping dead letters and for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The system did not answer, or answered that it is down.
    Unreachable,
    /// The system asked to slow down.
    RateLimited,
    /// The credentials were not accepted.
    Unauthorized,
    /// The system refused the values or the operation.
    Refused,
    /// The record changed between our read and our write.
    VersionConflict,
    /// A write was sent, and no answer came.
    ResponseLost,
    /// The answer could not be read.
    Malformed,
    /// The configuration does not fit.
    Misconfigured,
    /// A parent record is not linked yet.
    ParentMissing,
    /// Our own storage failed.
    Storage,
    /// A defect of Tandem: a broken invariant, a panic.
    Internal,
    /// The event could not be understood, or the record could not be read.
    Unreadable,
    /// It waited for something, or was carried on, and nothing came of it for long.
    Stuck,
}

impl ErrorCode {
    /// Every code, for parsing and listing.
    pub const ALL: [Self; 13] = [
        Self::Unreachable,
        Self::RateLimited,
        Self::Unauthorized,
        Self::Refused,
        Self::VersionConflict,
        Self::ResponseLost,
        Self::Malformed,
        Self::Misconfigured,
        Self::ParentMissing,
        Self::Storage,
        Self::Internal,
        Self::Unreadable,
        Self::Stuck,
    ];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::VersionConflict => "version_conflict",
            Self::ResponseLost => "response_lost",
            Self::Malformed => "malformed",
            Self::Misconfigured => "misconfigured",
            Self::ParentMissing => "parent_missing",
            Self::Storage => "storage",
            Self::Internal => "internal",
            Self::Unreadable => "unreadable",
            Self::Stuck => "stuck",
        }
    }

    /// The code that a word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
