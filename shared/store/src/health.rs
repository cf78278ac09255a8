//! What the processes found out about each connection, for whoever asks: one row a connection, written when
//! something changes and not for each request.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, Timestamp};

use crate::StoreError;

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Nothing was asked of it yet.
    Unknown,
    /// It answers, and accepts the credentials.
    Up,
    /// It does not answer.
    Unreachable,
    /// It refuses the credentials.
    Unauthorized,
}

impl ConnectionState {
    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionHealth {
    /// The connection.
    pub connection: ConnectionName,
    /// How it stands.
    pub state: ConnectionState,
    /// What was answered, or what happened instead; without secrets.
    pub reason: Option<String>,
    /// Since when it stands so.
    pub since: Timestamp,
    /// Webhooks in the last minute of trouble whose signature was wrong.
    pub badly_signed: u32,
    /// When that was counted.
    pub badly_signed_at: Option<Timestamp>,
}

/// The health of the connections.
#[async_trait]
pub trait HealthStore: Send + Sync {
    /// Notes how a connection stands. False, and nothing is changed, when that was known already.
    async fn note_health(
        &self,
        connection: &ConnectionName,
        state: ConnectionState,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Notes how many webhooks of a connection were signed wrongly in the minute that ends `now`.
    async fn note_badly_signed(
        &self,
        connection: &ConnectionName,
        count: u32,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// All that is known, by connection.
    async fn health(&self) -> Result<Vec<ConnectionHealth>, StoreError>;
}
