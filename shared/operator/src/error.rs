//! Why an operator's wish was not done, and what to do about it.

use tandem_domain::IdParseError;
use tandem_store::StoreError;

/// A wish that was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// What was named is not there.
    #[error("there is no {what} `{id}`; {advice}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
        /// What to do.
        advice: &'static str,
    },
    /// What a list was to be narrowed to, or how long it was to be, cannot be.
    #[error("{0}")]
    Unmeant(String),
    /// The request itself makes no sense.
    #[error("{problem}; {advice}")]
    Invalid {
        /// What is wrong.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// The thing is not in a state in which this can be done.
    #[error("{problem}; {advice}")]
    NotNow {
        /// What stands against it.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// It could not be made sure of with the system concerned, so nothing was done.
    #[error("{problem}; {advice}")]
    NotChecked {
        /// What could not be checked, and why.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OperatorError {
    /// What was named is not there.
    #[must_use]
    pub fn not_found(what: &'static str, id: impl ToString, advice: &'static str) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
            advice,
        }
    }
}

impl From<IdParseError> for OperatorError {
    fn from(error: IdParseError) -> Self {
        Self::Invalid {
            problem: error.to_string(),
            advice: "copy the id from a list",
        }
    }
}
