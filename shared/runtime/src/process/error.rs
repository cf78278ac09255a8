//! Why a process cannot start. Each message says what to change; none holds a secret.

use std::net::SocketAddr;

use tandem_domain::SyncName;
use tandem_store::StoreError;

use super::ApiTokenFileError;
use crate::config::ConfigError;
use crate::telemetry::TelemetryError;

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something was not named.
    #[error("{what} is not named; do so with {flag} or the environment variable {variable}")]
    Missing {
        /// What.
        what: &'static str,
        /// The option.
        flag: &'static str,
        /// The environment variable.
        variable: &'static str,
    },
    /// An option or environment variable has a value that cannot be used.
    #[error("{name}: {reason}")]
    Option {
        /// Which.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logs, metrics or traces could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The database cannot be used.
    #[error("{0}")]
    Storage(String),
    /// Redis refuses this process, or its address is none.
    #[error("{0}")]
    Redis(String),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}; is another process there? Choose another with TANDEM_LISTEN"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says. It is part of the message, so it is no source as well.
        reason: std::io::Error,
    },
    /// Others than programs of this machine could reach the API, and it has no token.
    #[error(
        "the API needs a token, because {reason}. Set TANDEM_API_TOKEN to a random text of at least 16 characters, such as from `openssl rand -hex 32`; programs then show it as `Authorization: Bearer <token>`"
    )]
    TokenNeeded {
        /// How they could reach it.
        reason: String,
    },
    /// The token in the data folder.
    #[error(transparent)]
    TokenFile(#[from] ApiTokenFileError),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// The database does not know a sync of the file.
    #[error(
        "the sync `{0}` of the configuration file was not applied to the database; run `tandem apply`"
    )]
    NotApplied(SyncName),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Storage(match error {
            // These are written for a running process, which tries again; this one does not.
            StoreError::Unavailable(reason) => reason,
            other => other.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever prints an error with its causes says each of them once.
    #[test]
    fn what_the_system_says_stands_once_in_an_error_and_its_causes() {
        let address = "127.0.0.1:80".parse().expect("an address");
        let reason = || std::io::Error::from_raw_os_error(98);
        for error in [
            StartError::Listen {
                address,
                reason: reason(),
            },
            StartError::Signals(reason()),
        ] {
            let mut said = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                said.push_str(&error.to_string());
                cause = error.source();
            }
            assert_eq!(said.matches("os error 98").count(), 1, "{said}");
        }
    }
}
