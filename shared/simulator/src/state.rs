//! What `GET /_sim/state` shows: everything a simulated system holds, in canonical names, so that
//! the two systems can be compared directly and by programs that know neither vendor.

use serde::{Deserialize, Serialize};

use crate::config::SimKind;
use crate::fields::{Changes, Fields};

/// Everything one simulated system holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimState {
    pub system: SimKind,
    /// The system's own clock, in milliseconds since 1970.
    pub now: i64,
    pub records: Vec<SimRecord>,
    /// Writes taken through the API, oldest first; only the newest 200,000 are kept.
    pub writes: Vec<SimWrite>,
    pub counters: SimCounters,
}

/// One record of a simulated system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimRecord {
    pub id: String,
    pub fields: Fields,
    /// The external reference (`tandem_key`, `AccountNumber`) that somebody wrote into it.
    pub reference: Option<String>,
    pub archived: bool,
    /// Who archived it last, while it is archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_by: Option<Origin>,
    /// Who created it.
    pub origin: Origin,
    /// By the system's own clock, in milliseconds since 1970.
    pub updated_at: i64,
}

/// Who did something to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was there from the start.
    Seed,
    /// A simulated user did it.
    User,
    /// It came in through the vendor's API.
    Api,
}

/// One write taken through the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimWrite {
    /// By the system's own clock, in milliseconds since 1970.
    pub at: i64,
    pub op: WriteOp,
    pub id: String,
    pub idempotency_key: Option<String>,
    /// The fields the caller named, with the values stored for them.
    pub fields: Changes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteOp {
    Create,
    Update,
    Archive,
}

/// What a simulated system has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimCounters {
    /// API requests, faulted ones included; `/_sim` requests are not counted.
    pub requests: u64,
    /// API requests that were made to go wrong.
    pub faults: u64,
    /// Webhook requests made, repeats included.
    pub webhooks_sent: u64,
    /// Webhook requests answered with success.
    pub webhooks_delivered: u64,
    /// Edits, creations and deletions by users.
    pub user_edits: u64,
    pub api_creates: u64,
    /// Updates and archivings through the API.
    pub api_updates: u64,
}
