//! What Tandem asks of a connected system. Implementations speak the system's protocol; callers see
//! canonical fields, typed errors that say what happens next, and nothing of HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::line::line;
use tandem_domain::{
    Disposition, ErrorCode, FieldType, Fields, MeasuredOffset, RecordId, StreamName, Timestamp,
};

use crate::RawRecord;
use crate::clock_state::ClockState;
use crate::pulse::{HoldUp, Pulse};

/// A record as a system holds it now.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteRecord {
    /// The system's id of it.
    pub id: RecordId,
    /// Every field of the stream that the manifest names and that could be read, under the manifest's names.
    pub fields: Fields,
    /// What is wrong with the fields that could not be read, by name. They are not in `fields`, where a field
    /// that is not there counts as empty: whoever uses one of them must look here first ([`crate::NeededFields`]).
    pub unreadable: BTreeMap<String, String>,
    /// The fields of which the answer says nothing at all, wholly or in part: a member that they are read from is not
    /// there. In `fields` they are as if they were empty. Listings and answers to writes often show less of a record
    /// than a read by its id; only of the latter does a member that is not there mean that the field is empty.
    pub left_out: BTreeSet<String>,
    /// Only of what a search found: it shows no more of the record than this, and under its id the system has none. The
    /// record may well be there, and what is left out may hold anything ([`crate::NeededFields`]).
    pub in_part: bool,
    /// What an expected-version check compares, where the system has one.
    pub version: Option<String>,
    /// When the system says it was last changed, by the system's own clock.
    pub updated_at: Option<Timestamp>,
    /// The same time once more: a local time without an offset comes twice where clocks are put back. `updated_at` is then
    /// the first of the two, and nobody knows which it is.
    pub updated_again: Option<Timestamp>,
    /// When the system says it was made, by the system's own clock: the same for as long as it is the same record.
    pub created_at: Option<Timestamp>,
    /// Whether it is archived or inactive: out of use, yet readable.
    pub archived: bool,
    /// The external reference that Tandem wrote at creation, where the stream has a field for it.
    pub reference: Option<String>,
    /// The record as answered, for partial nested writes (`current` in manifest templates).
    pub raw: RawRecord,
}

/// What reading one id gave.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadOutcome {
    /// The record.
    Found(Box<RemoteRecord>),
    /// The system says, for certain, that there is no such record (any more).
    Missing,
    /// There is one, and it cannot be read: what is wrong with it, and where.
    Unreadable(String),
}

/// Which records a listing wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Listing {
    /// Every record.
    All,
    /// Those changed at or after this instant of the system's clock (the overlap is already in it).
    Since(Timestamp),
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The records of the page, in the system's order.
    pub records: Vec<RemoteRecord>,
    /// Where the next page starts; `None` when this was the last.
    pub next: Option<PageToken>,
    /// Rows of the page that could not be read, with the reason; they never stop a listing.
    pub unreadable: Vec<UnreadableRow>,
}

/// A row of a listing that could not be turned into a record.
#[derive(Clone, Debug, PartialEq)]
pub struct UnreadableRow {
    /// The id, if at least that could be read.
    pub id: Option<RecordId>,
    /// What is wrong with it, and where.
    pub reason: String,
}

/// Where a listing goes on. Opaque to callers; may be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageToken(pub serde_json::Value);

/// A write that is about to be sent.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// The fields to set, under the manifest's names. [`tandem_domain::Value::Null`] empties a field.
    pub fields: &'a Fields,
    /// The transaction id: sent as idempotency key and as external reference where the system has them.
    pub transaction: &'a str,
    /// The version that the record must still have, where the system can check it.
    pub expected_version: Option<&'a str>,
    /// The record as last read (`None` for a create).
    pub current: Option<&'a RemoteRecord>,
}

/// A deletion that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    /// The transaction id: sent as idempotency key where the system has them.
    pub transaction: &'a str,
    /// The version that the record must still have, where the system can check it
    /// ([`Capabilities::guarded_delete`]).
    pub expected_version: Option<&'a str>,
    /// The record as last read.
    pub current: Option<&'a RemoteRecord>,
}

/// What a write gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The id of the record written.
    pub id: RecordId,
    /// The record as stored, if the answer held it whole; otherwise it must be read back.
    pub record: Option<Box<RemoteRecord>>,
}

/// What a stream is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamInfo {
    /// Its name in the manifest.
    pub name: StreamName,
    /// Its fields.
    pub fields: BTreeMap<String, FieldInfo>,
    /// How many bytes the values that a sync uses of one record may have together.
    pub record_bytes_max: usize,
    /// What can be done with it.
    pub capabilities: Capabilities,
}

/// What a field is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldInfo {
    /// The type of its canonical value.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Whether it can be written.
    pub writable: bool,
    /// Whether a create without it is refused.
    pub required: bool,
}

/// What can be done with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Whether a listing can ask for changes since an instant. If not, every poll is a full sweep.
    pub changed_since: bool,
    /// Whether records can be created.
    pub create: bool,
    /// Whether records can be changed.
    pub update: bool,
    /// Whether records can be deleted or archived.
    pub delete: bool,
    /// Whether a create with an idempotency key sent twice creates once.
    pub idempotent_create: bool,
    /// Whether the transaction id is stored in a field that [`Connector::find`] can search.
    pub external_reference: bool,
    /// Whether an update can name the version that it expects.
    pub expected_version: bool,
    /// Whether a deletion can name the version that it expects. If not, an edit between our reading and our
    /// deleting is lost.
    pub guarded_delete: bool,
    /// How many ids one read may name; 1 when the system reads one at a time.
    pub read_batch: usize,
}

/// What [`Connector::check`] found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Round-trip time of the last request, in milliseconds.
    pub latency_ms: u64,
    /// The system's clock minus ours, in milliseconds; `None` while it is not known, or not believed.
    pub clock_offset_ms: Option<i64>,
    /// Why the system's clock is not used, if it is not.
    pub clock_doubt: Option<String>,
    /// What happened on each stream: the number of records on the first page, or the error.
    pub streams: BTreeMap<StreamName, Result<usize, String>>,
}

/// What an application-level search is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<'a> {
    /// By the external reference that a create of ours wrote.
    Reference(&'a str),
    /// By the value of one field, as the system compares it.
    Field {
        /// The field's name in the manifest.
        name: &'a str,
        /// The value looked for.
        value: &'a tandem_domain::Value,
    },
}

/// What to do where a system refuses the credentials. Said in one way wherever it is said: two ways of saying it look like
/// two things to do.
pub const CREDENTIALS_ADVICE: &str = "correct what `credentials` of this connection names, or what `variables` says of \
                                      the account or tenant, try it with `tandem check`, and start Tandem again";

/// Why a request to a system failed.
#[derive(Debug, thiserror::Error, Clone)]
pub enum ConnectorError {
    /// No effect has happened: the system could not be reached, or said that it is down.
    #[error(
        "{system} cannot be reached: {}. Its jobs wait and go on by themselves",
        line(reason)
    )]
    Unreachable {
        /// Connection name.
        system: String,
        /// What was seen.
        reason: String,
        /// When the system said to come back (`Retry-After` of a 503).
        retry_after: Option<Duration>,
    },
    /// No effect has happened: the system asked to slow down.
    #[error("{system} asks to slow down for {} s", retry_after.as_secs())]
    RateLimited {
        /// Connection name.
        system: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The credentials were not accepted, also after a fresh login.
    #[error("{system} refuses the credentials: {}; {advice}", line(reason), advice = CREDENTIALS_ADVICE)]
    Unauthorized {
        /// Connection name.
        system: String,
        /// What was answered, secrets removed.
        reason: String,
    },
    /// The system refused this write for what it says.
    #[error("{system} refused {operation}: {}{}", prefix(.field.as_deref()), line(message))]
    Refused {
        /// Connection name.
        system: String,
        /// What was tried.
        operation: String,
        /// The system's own message.
        message: String,
        /// The field it complains of, if it names one.
        field: Option<String>,
    },
    /// The record to write has changed since it was read, or is gone.
    #[error("{system}: the record changed meanwhile: {}", line(message))]
    VersionConflict {
        /// Connection name.
        system: String,
        /// The system's own message.
        message: String,
    },
    /// The record to write does not exist.
    #[error("{system} has no record {}", line(id.as_str()))]
    NotFound {
        /// Connection name.
        system: String,
        /// The record.
        id: RecordId,
    },
    /// A write was sent and no clear answer came: its effect may have happened.
    #[error(
        "{system}: the answer to {operation} was lost: {}. It will be looked up before anything is sent again",
        line(reason)
    )]
    ResponseLost {
        /// Connection name.
        system: String,
        /// What was sent.
        operation: String,
        /// What was seen.
        reason: String,
    },
    /// An answer that does not fit the manifest.
    #[error(
        "{system} answered something the manifest does not expect ({operation}): {}",
        line(reason)
    )]
    Malformed {
        /// Connection name.
        system: String,
        /// What was asked.
        operation: String,
        /// What does not fit, with the place.
        reason: String,
    },
    /// One record cannot be read; the system and its other records are fine.
    #[error(
        "record {} of {system} cannot be read: {}. Correct it there; the other records go on",
        line(record.as_str()),
        line(reason)
    )]
    Unreadable {
        /// Connection name.
        system: String,
        /// The record.
        record: RecordId,
        /// What is wrong with it, with the place.
        reason: String,
    },
    /// A listing that would never come to an end: its pages repeat, or go in a circle.
    #[error(
        "the listing of `{stream}` in {system} does not end: {reason}. Nothing was concluded from it; correct the paging in the manifest, or say in `ends` how a listing ends"
    )]
    Endless {
        /// Connection name.
        system: String,
        /// The stream.
        stream: String,
        /// What was seen.
        reason: String,
    },
    /// The write was not sent: the lease under which it was to be sent had ended.
    #[error(
        "nothing was sent to {system}: the lease on this job has ended, and another worker may have it"
    )]
    RightEnded {
        /// Connection name.
        system: String,
    },
    /// The manifest or mapping asks for what the stream does not have.
    #[error("{system} is misconfigured: {reason}")]
    Misconfigured {
        /// Connection name.
        system: String,
        /// What to change.
        reason: String,
    },
}

/// A system that cannot be reached is asked again after this long, unless it named a time.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(1);

/// The field that a refusal is about, to stand before the system's message.
fn prefix(field: Option<&str>) -> String {
    field.map_or_else(String::new, |field| format!("`{field}`: "))
}

impl ConnectorError {
    /// What happens next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { retry_after, .. } => {
                Disposition::RetryAfter(retry_after.unwrap_or(UNREACHABLE_PAUSE))
            }
            Self::RateLimited { retry_after, .. } => Disposition::RetryAfter(*retry_after),
            Self::RightEnded { .. } => Disposition::RetryAfter(Duration::ZERO),
            Self::Unauthorized { .. } => Disposition::RetryAfter(Duration::from_secs(60)),
            // Asking again would only go round once more.
            Self::Refused { .. } | Self::Misconfigured { .. } | Self::Endless { .. } => {
                Disposition::Park
            }
            // An unreadable record may be mended meanwhile; when the attempts are used up, it is a dead letter.
            Self::VersionConflict { .. }
            | Self::NotFound { .. }
            | Self::Malformed { .. }
            | Self::Unreadable { .. } => Disposition::Retry,
            Self::ResponseLost { .. } => Disposition::Verify,
        }
    }

    /// The connection that failed.
    #[must_use]
    pub fn system(&self) -> &str {
        match self {
            Self::Unreachable { system, .. }
            | Self::RateLimited { system, .. }
            | Self::Unauthorized { system, .. }
            | Self::Refused { system, .. }
            | Self::VersionConflict { system, .. }
            | Self::NotFound { system, .. }
            | Self::ResponseLost { system, .. }
            | Self::Malformed { system, .. }
            | Self::Unreadable { system, .. }
            | Self::Endless { system, .. }
            | Self::RightEnded { system }
            | Self::Misconfigured { system, .. } => system,
        }
    }

    /// The stable word for this failure.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable { .. } => ErrorCode::Unreachable,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::Unauthorized { .. } => ErrorCode::Unauthorized,
            // Of a record that a reading shows, "there is none" is a refusal to write it.
            Self::Refused { .. } | Self::NotFound { .. } => ErrorCode::Refused,
            Self::VersionConflict { .. } => ErrorCode::VersionConflict,
            Self::ResponseLost { .. } => ErrorCode::ResponseLost,
            Self::Malformed { .. } | Self::Endless { .. } => ErrorCode::Malformed,
            Self::Unreadable { .. } => ErrorCode::Unreadable,
            Self::RightEnded { .. } => ErrorCode::Storage,
            Self::Misconfigured { .. } => ErrorCode::Misconfigured,
        }
    }
}

/// A connected system.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What the stream is like, or `None` if the manifest has no such stream.
    fn stream(&self, stream: &StreamName) -> Option<&StreamInfo>;

    /// The names of all streams.
    fn streams(&self) -> Vec<StreamName>;

    /// The system's clock minus ours, in microseconds, from the `Date` header of its answers; zero
    /// while it is not known, or not believed.
    fn clock_offset_micros(&self) -> i64;

    /// What is known of the system's clock; measured, where nobody doubts it.
    fn clock_state(&self) -> ClockState {
        ClockState::Measured
    }

    /// How far the system's clock is from ours, and when that was last heard; `None` while it is not known, or not believed.
    fn clock_measured(&self) -> Option<MeasuredOffset> {
        None
    }

    /// Asks the system until it is known how its clock stands, if it is not yet. How that went shows in
    /// [`Connector::clock_state`]; a system that does not answer is not asked again for a while.
    async fn settle_clock(&self) {}

    /// How long a request is waited for before its answer counts as lost.
    fn timeout(&self) -> Duration;

    /// How the system is, by the last requests to it; `None` where nobody takes its pulse, or before the first.
    fn pulse(&self) -> Option<Pulse> {
        None
    }

    /// What holds requests up just now; nothing where nobody looks.
    fn hold_up(&self) -> HoldUp {
        HoldUp::default()
    }

    /// A text of the system without the secrets of its connection, also those that are known only since it signed in: for
    /// what is stored or logged of a webhook, which no request of ours has cleaned.
    fn masked(&self, text: &str) -> String {
        text.to_owned()
    }

    /// An operator has the system tried again at once: what it asked to wait for, and what it refused, is forgotten.
    async fn try_again(&self) {}

    /// Reaches the system, signs in, and reads the first page of each stream.
    async fn check(&self) -> Result<CheckReport, ConnectorError>;

    /// One page of a listing; `token` is that of the page before, or `None` for the first.
    async fn list(
        &self,
        stream: &StreamName,
        listing: &Listing,
        token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError>;

    /// Reads records afresh; the answers are in the order of `ids`.
    async fn read(
        &self,
        stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError>;

    /// The records that match, archived ones included where the system can tell.
    /// `Ok(None)` when the manifest declares no way to look this up.
    async fn find(
        &self,
        stream: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError>;

    /// Creates a record.
    async fn create(
        &self,
        stream: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError>;

    /// Changes the named fields of a record.
    async fn update(
        &self,
        stream: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError>;

    /// Deletes or archives a record, as the manifest says. A record already gone is a success; one that is
    /// no longer the version expected is a [`ConnectorError::VersionConflict`].
    async fn delete(
        &self,
        stream: &StreamName,
        id: &RecordId,
        delete: &Delete<'_>,
    ) -> Result<(), ConnectorError>;
}
