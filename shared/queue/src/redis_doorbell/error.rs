//! What can be wrong with the Redis of a doorbell, said so that a person knows what to do.
//!
//! No message holds a password: a URL that cannot be read is not shown, any other without its password.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a doorbell over Redis does not start.
#[derive(Debug, thiserror::Error)]
pub enum RedisDoorbellError {
    /// The URL says nothing that could be connected to.
    #[error(
        "the Redis URL cannot be read; write it as redis://user:password@host:6379/0 (rediss:// for TLS, \
         user, password, port and database may be left out), with special characters of the \
         password percent-encoded (@ as %40, / as %2F, # as %23)"
    )]
    Url,
    /// Redis wants another user or password, or the user may not do what is needed.
    #[error(
        "Redis at {url} refused to let us in; check user and password in the Redis URL, and that the \
         user may run PING, XADD, XGROUP, XREADGROUP, XACK and XDEL"
    )]
    Refused {
        /// Without its password.
        url: String,
        /// What Redis said.
        source: RedisError,
    },
    /// No encrypted connection could be agreed upon.
    #[error(
        "no TLS connection to Redis at {url}; check that it speaks TLS on this port (rediss:// is TLS, \
         redis:// is not), and that this machine trusts its certificate"
    )]
    Tls {
        /// Without its password.
        url: String,
        /// What went wrong.
        source: RedisError,
    },
    /// Something answers that cannot be used.
    #[error(
        "what answers at {url} cannot be used as Redis; check host and port of the Redis URL, and that \
         it is Redis 6.2 or later and no cluster"
    )]
    Unusable {
        /// Without its password.
        url: String,
        /// What it said.
        source: RedisError,
    },
    /// Nothing answers. It may do so later.
    #[error(
        "Redis at {url} does not answer; check that it runs, that host and port of the Redis URL are \
         right, and that it begins with rediss:// exactly where Redis speaks TLS"
    )]
    Unreachable {
        /// Without its password.
        url: String,
        /// Why.
        source: RedisError,
    },
}

impl RedisDoorbellError {
    /// Whether waiting cannot help, because the configuration (here or of Redis) is wrong.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Url | Self::Refused { .. } | Self::Tls { .. } | Self::Unusable { .. } => true,
            Self::Unreachable { .. } => false,
        }
    }

    /// What this failure of a first connection to `url` (shown without its password) means.
    pub(super) fn of(source: RedisError, url: String) -> Self {
        match source.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Self::Refused { url, source }
            }
            ErrorKind::Extension if source.code().is_some_and(is_refusal) => {
                Self::Refused { url, source }
            }
            ErrorKind::Io if is_tls(&source) => Self::Tls { url, source },
            ErrorKind::Io
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain,
            ) => Self::Unreachable { url, source },
            // Not exhaustive in its crate: the rest are answers that Redis does not give to a greeting.
            _ => Self::Unusable { url, source },
        }
    }
}

fn is_refusal(code: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM"].contains(&code)
}

/// TLS failures arrive inside an error of input and output, which the client shares by an `Arc`.
fn is_tls(error: &RedisError) -> bool {
    type Shared = Arc<dyn Error + Send + Sync>;
    error
        .source()
        .and_then(|source| source.downcast_ref::<Shared>())
        .and_then(|shared| shared.downcast_ref::<io::Error>())
        .and_then(io::Error::get_ref)
        .is_some_and(|inner| inner.is::<rustls::Error>())
}
