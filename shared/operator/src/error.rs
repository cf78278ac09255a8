//! Why an operator's wish was not done, and what to do about it.

use std::borrow::Cow;

use tandem_domain::IdParseError;
use tandem_domain::line::line;
use tandem_store::StoreError;

/// A wish that was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// What was named is not there.
    #[error("there is no {what} `{}`; {advice}", line(id))]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
        /// What to do, or what there is.
        advice: Cow<'static, str>,
    },
    /// What the address asks for cannot be: what a list is to be narrowed to, where it goes on, how long it is to be.
    #[error("{}", line(.0))]
    Unmeant(String),
    /// What is to be done was understood, and makes no sense.
    #[error("{}; {advice}", line(problem))]
    Invalid {
        /// What is wrong.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// The thing is not in a state in which this can be done.
    #[error("{}; {advice}", line(problem))]
    NotNow {
        /// What stands against it.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// It would write over something, and nobody has said that this is meant.
    #[error("{}; {advice}", line(problem))]
    Unconfirmed {
        /// What would be written over.
        problem: String,
        /// How to say that it is meant.
        advice: &'static str,
    },
    /// It could not be made sure of with the system concerned, so nothing was done.
    #[error("{}; {advice}", line(problem))]
    NotChecked {
        /// What could not be checked, and why.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// It is done and stored; the storage failed when what came of it was looked up.
    #[error("{done}, and that is stored; what came of it could not be looked up: {error}")]
    Unseen {
        /// What is done.
        done: &'static str,
        /// Why nothing more is known.
        error: StoreError,
    },
    /// The storage failed, and nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is looked up after `done` was stored: where that fails, it is not said that nothing was done.
pub(crate) fn after<T>(
    done: &'static str,
    seen: Result<T, OperatorError>,
) -> Result<T, OperatorError> {
    seen.map_err(|error| match error {
        OperatorError::Store(error) => OperatorError::Unseen { done, error },
        other => other,
    })
}

impl OperatorError {
    /// What was named is not there.
    #[must_use]
    pub fn not_found(
        what: &'static str,
        id: impl ToString,
        advice: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
            advice: advice.into(),
        }
    }
}

impl From<IdParseError> for OperatorError {
    fn from(error: IdParseError) -> Self {
        Self::Unmeant(format!("{error}; copy the id from a list"))
    }
}
