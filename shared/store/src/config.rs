//! Configuration as stored: documents by name, versioned, and the schedules with their clocks.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, SyncName, Timestamp};

use crate::StoreError;

/// A stored connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectionRow {
    /// Its name.
    pub name: ConnectionName,
    /// Its configuration; secrets only as references.
    pub document: serde_json::Value,
    /// Rises with each change.
    pub version: i64,
    /// While paused, webhooks are stored and answered 200, and its syncs' jobs wait.
    pub pause: Option<Pause>,
    /// The address under which its records were linked; `None` of a connection that was never worked with since such
    /// is kept.
    pub linked_to: Option<String>,
    /// When it was removed; its hook then answers 410.
    pub deleted_at: Option<Timestamp>,
    /// When an operator last had the system tried again at once: workers close its breaker when this moves.
    pub reset_at: Option<Timestamp>,
}

/// Since when something is paused, and why. Both are unknown of pauses that are older than their being kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why, for people.
    pub because: Option<String>,
    /// Of a connection that leads to another address than its records were linked under. Without a reason beside it,
    /// this is the reason.
    pub moved: Option<Moved>,
}

impl Pause {
    /// The pause of a connection: that of a person, that of a changed address, or both in one.
    #[must_use]
    pub fn of_connection(person: Option<Self>, moved: Option<(Timestamp, Moved)>) -> Option<Self> {
        let Some((since, moved)) = moved else {
            return person;
        };
        let pause = person.unwrap_or(Self {
            since: Some(since),
            ..Self::default()
        });
        Some(Self {
            moved: Some(moved),
            ..pause
        })
    }
}

/// A connection leads to another address than the one under which its records were linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The address under which they were linked.
    pub linked_to: String,
    /// The one that is configured.
    pub address: String,
}

/// The address with which a connection is about to be worked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addressed {
    /// Which connection.
    pub connection: ConnectionName,
    /// Its address, in words that are the same for the same account; no secret.
    pub address: String,
    /// The syncs that use it, also those that were removed: their links hold records of it.
    pub syncs: Vec<SyncName>,
}

/// A stored sync.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncRow {
    /// Its name.
    pub name: SyncName,
    /// Its configuration.
    pub document: serde_json::Value,
    /// Rises with each change.
    pub version: i64,
    /// While paused its jobs wait.
    pub pause: Option<Pause>,
    /// When it was removed.
    pub deleted_at: Option<Timestamp>,
}

/// What a schedule starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulePurpose {
    /// Polls side a.
    PollA,
    /// Polls side b.
    PollB,
    /// Compares both sides whole.
    Full,
}

impl SchedulePurpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PollA, Self::PollB, Self::Full];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PollA => "poll_a",
            Self::PollB => "poll_b",
            Self::Full => "full",
        }
    }
}

/// Names one schedule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ScheduleKey {
    /// The sync.
    pub sync: SyncName,
    /// What it starts.
    pub purpose: SchedulePurpose,
}

/// A schedule to store.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleRow {
    /// Which.
    pub key: ScheduleKey,
    /// When, in the words of the configuration (`every 5 minutes`, `0 2 * * * Europe/Brussels`).
    pub spec: String,
    /// When it is next due; `None` for manual only.
    pub next_at: Option<Timestamp>,
}

/// A stored schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredSchedule {
    /// Which.
    #[serde(flatten)]
    pub key: ScheduleKey,
    /// See [`ScheduleRow::spec`].
    pub spec: String,
    /// While paused it is never due.
    pub paused: bool,
    /// When it is next due.
    pub next_at: Option<Timestamp>,
    /// When it last started something.
    pub last_at: Option<Timestamp>,
}

/// What a process has to say to operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The process.
    pub process: String,
    /// What it says.
    pub text: String,
    /// Since when.
    pub at: Timestamp,
}

/// The configuration.
#[async_trait]
pub trait ConfigStore: Send + Sync {
    /// Makes the stored configuration equal to the given one, in one transaction: new and changed
    /// documents get a new version, missing ones are marked deleted, and schedules whose `spec` is
    /// unchanged keep their clocks and pauses; one with another `spec` gets the new clock.
    async fn apply_config(
        &self,
        connections: Vec<(ConnectionName, serde_json::Value)>,
        syncs: Vec<(SyncName, serde_json::Value)>,
        schedules: Vec<ScheduleRow>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// All connections, deleted ones too.
    async fn connections(&self) -> Result<Vec<ConnectionRow>, StoreError>;

    /// All syncs, deleted ones too.
    async fn syncs(&self) -> Result<Vec<SyncRow>, StoreError>;

    /// Keeps with which addresses connections are about to be worked with. One whose records were linked under
    /// another, and of whose syncs any has an active link, is paused by that ([`Pause::moved`]) until it is resumed or
    /// has its old address again. One without links, or of which no address was kept, takes the new one. Pauses of
    /// persons stay as they are.
    async fn note_addresses(
        &self,
        addresses: Vec<Addressed>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Pauses a connection for a reason, or with `None` resumes it. What is paused already stays so since when and
    /// why it is. The pause of a person is ended first; where there is none, resuming says that the address that it
    /// has now leads to the records that are linked. False when there is none.
    async fn pause_connection(
        &self,
        name: &ConnectionName,
        because: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Has all workers close the breaker of a connection. False when there is none.
    async fn reset_connection(
        &self,
        name: &ConnectionName,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// What a process has to say from now on; `None` when that is nothing.
    async fn put_notice(
        &self,
        process: &str,
        text: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// What processes have to say, in the order of their names.
    async fn notices(&self) -> Result<Vec<Notice>, StoreError>;

    /// Pauses or resumes a sync, as [`ConfigStore::pause_connection`] does a connection. False when there is none.
    async fn pause_sync(
        &self,
        name: &SyncName,
        because: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// All schedules.
    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError>;

    /// Moves a due schedule on, if its `next_at` is still `expected`: a second scheduler gets false,
    /// so no tick is doubled.
    async fn advance_schedule(
        &self,
        key: &ScheduleKey,
        expected: Timestamp,
        next_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Pauses or resumes a schedule, or makes it due (`next_at`). False when there is none.
    async fn edit_schedule(
        &self,
        key: &ScheduleKey,
        paused: Option<bool>,
        next_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}
