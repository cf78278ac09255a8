//! What the processes found out about each connection, for whoever asks: one row a connection, written when
//! something changes and not for each request.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, MeasuredOffset, Timestamp};

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

/// What holds the requests of a process to a connection up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldUp {
    /// The system asked to wait until then.
    pub asked_until: Option<Timestamp>,
    /// When a request went out that is not answered.
    pub unanswered_since: Option<Timestamp>,
    /// The process that told of it.
    pub told_by: String,
    /// When it did: it says so again and again for as long as it is so.
    pub told_at: Timestamp,
}

/// What a process found out about the clock of a connection's system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClockNote {
    /// Why it is not used, and what to do; `None` where nobody doubts it.
    pub doubt: Option<String>,
    /// Whether it is known to be wrong, and not only unknown.
    pub is_wrong: bool,
    /// The process that told of it.
    pub told_by: String,
    /// When it did: it says so again and again for as long as it is so.
    pub told_at: Timestamp,
}

/// Webhooks that were signed wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: u32,
    /// When the first of them came.
    pub first_at: Timestamp,
    /// When the last of them came.
    pub last_at: Timestamp,
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
    /// When a process last looked after it; what is older than that may be so no more.
    pub seen_at: Option<Timestamp>,
    /// The process that did, as it names itself to people.
    pub seen_by: Option<String>,
    /// What holds requests to it up, if that was told of.
    pub held_up: Option<HeldUp>,
    /// Why the system's clock is not used, if that was told of.
    pub clock: Option<ClockNote>,
    /// How far the system's clock is from ours, as it was measured last.
    pub clock_offset: Option<MeasuredOffset>,
    /// Webhooks whose signature was wrong, since wrong ones come again.
    pub badly_signed: u32,
    /// Since when they are counted.
    pub badly_signed_from: Option<Timestamp>,
    /// When the last of them came.
    pub badly_signed_at: Option<Timestamp>,
    /// When the last one came whose signature was right, as far as that was noted: only beside wrong ones it is.
    pub rightly_signed_at: Option<Timestamp>,
}

/// The health of the connections.
#[async_trait]
pub trait HealthStore: Send + Sync {
    /// Notes how a connection stands, and that the process of this name looked. False when it was known already to
    /// stand so: then only the look is noted.
    async fn note_health(
        &self,
        connection: &ConnectionName,
        state: ConnectionState,
        reason: Option<String>,
        seen_by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Notes what holds requests to a connection up. With nothing in it, it ends what the same process told of, and
    /// leaves what others did.
    async fn note_held_up(
        &self,
        connection: &ConnectionName,
        held_up: HeldUp,
    ) -> Result<(), StoreError>;

    /// Notes that the clock of a connection's system is not used. Without a doubt, it ends what the same process told of,
    /// and leaves what others did.
    async fn note_clock(
        &self,
        connection: &ConnectionName,
        clock: ClockNote,
    ) -> Result<(), StoreError>;

    /// Keeps how far the clock of a connection's system is from ours; what was kept before is forgotten.
    async fn keep_clock_offset(
        &self,
        connection: &ConnectionName,
        offset: MeasuredOffset,
    ) -> Result<(), StoreError>;

    /// Adds webhooks of a connection that were signed wrongly. Where the last ones before them came earlier than
    /// `anew`, they are counted anew.
    async fn note_badly_signed(
        &self,
        connection: &ConnectionName,
        refused: Refused,
        anew: Timestamp,
    ) -> Result<(), StoreError>;

    /// Notes when a webhook of a connection was signed rightly; the latest stays. Nothing is noted of a connection of
    /// which nothing is known.
    async fn note_rightly_signed(
        &self,
        connection: &ConnectionName,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// All that is known, by connection.
    async fn health(&self) -> Result<Vec<ConnectionHealth>, StoreError>;
}
