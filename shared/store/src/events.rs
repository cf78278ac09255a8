//! The inbox: what webhook senders posted, kept as it came, and the jobs that it caused.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{
    ConnectionName, DeliveryId, EventId, JobId, RecordId, Side, StreamName, SyncName, Timestamp,
};

use crate::StoreError;

/// One verified HTTP request, taken apart.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Made by the caller.
    pub id: DeliveryId,
    /// Who sent it.
    pub connection: ConnectionName,
    /// The headers as received, credentials removed.
    pub headers: Vec<(String, String)>,
    /// The body as received: bytes, not text, because text columns cannot hold all of them.
    pub body: Arc<[u8]>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Which of the active secrets verified it (0 is the newest).
    pub secret_index: usize,
    /// W3C `traceparent` of the request's span.
    pub traceparent: Option<String>,
    /// The events in it, at least one (an unreadable body is one quarantined event).
    pub events: Vec<NewEvent>,
}

impl NewDelivery {
    /// The delivery, for another part of its events: one with many may be handed over in parts, one after the
    /// other, and is one delivery all the same.
    #[must_use]
    pub fn clone_without_events(&self) -> Self {
        Self {
            id: self.id,
            connection: self.connection.clone(),
            headers: self.headers.clone(),
            body: Arc::clone(&self.body),
            received_at: self.received_at,
            secret_index: self.secret_index,
            traceparent: self.traceparent.clone(),
            events: Vec::new(),
        }
    }
}

/// One event of a delivery.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Made by the caller.
    pub id: EventId,
    /// Unique within the connection; made from signed data only.
    pub dedupe_key: String,
    /// The record type that it speaks of, if known.
    pub stream: Option<StreamName>,
    /// The record that it speaks of, if known.
    pub record: Option<RecordId>,
    /// What it says has happened. A hint only.
    pub kind: EventKind,
    /// When it says it happened, by the sender's clock corrected to ours.
    pub occurred_at: Option<Timestamp>,
    /// How far the sender's clock was ahead of ours by what was known then, in microseconds.
    pub clock_offset: i64,
    /// Why it cannot be understood; such an event waits in quarantine and causes no job.
    pub problem: Option<String>,
    /// The syncs to wake. Empty when nothing maps this stream.
    pub targets: Vec<JobTarget>,
}

/// A sync that an event wakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTarget {
    /// The sync.
    pub sync: SyncName,
    /// The side of it that the event's connection is.
    pub side: Side,
    /// The job to insert if none waits in the lane; made by the caller.
    pub job: JobId,
    /// The job is not claimed before this instant (a quiet period defers, never drops).
    pub run_at: Timestamp,
}

/// What an event says has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A record was made.
    Created,
    /// A record was changed.
    Updated,
    /// A record was deleted or archived.
    Deleted,
    /// Something else; the record is read again all the same.
    Other,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// It caused at least one job.
    Accepted,
    /// It was understood, and nothing is configured for it.
    Ignored,
    /// It could not be understood; an operator can replay it after a fix.
    Quarantined,
    /// An operator discarded it.
    Discarded,
}

/// What became of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryOutcome {
    /// Events stored for the first time (quarantined ones included).
    pub new_events: usize,
    /// Events that were stored before.
    pub duplicates: usize,
    /// Events stored in quarantine.
    pub quarantined: usize,
    /// Jobs inserted or merged into, one for each new event and target, and for each duplicate that may tell of another
    /// change; due ones are to be rung.
    pub jobs: Vec<JobId>,
    /// How many of `jobs` merged into a waiting one.
    pub coalesced: usize,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The delivery it came in.
    pub delivery: DeliveryId,
    /// Who sent it.
    pub connection: ConnectionName,
    /// See [`NewEvent::dedupe_key`].
    pub dedupe_key: String,
    /// See [`NewEvent::stream`].
    pub stream: Option<StreamName>,
    /// See [`NewEvent::record`].
    pub record: Option<RecordId>,
    /// See [`NewEvent::kind`].
    pub kind: EventKind,
    /// See [`NewEvent::occurred_at`].
    pub occurred_at: Option<Timestamp>,
    /// See [`NewEvent::clock_offset`].
    #[serde(skip)]
    pub clock_offset: i64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Where it stands.
    pub state: EventState,
    /// Why it is in quarantine.
    pub problem: Option<String>,
    /// Why an operator discarded it last, if that was said.
    pub discarded_because: Option<String>,
    /// The jobs that it caused or merged into.
    pub jobs: Vec<JobId>,
    /// The raw body of its delivery; only filled when a single event is asked for.
    #[serde(skip)]
    pub body: Option<Vec<u8>>,
    /// The headers of its delivery; only filled when a single event is asked for.
    pub headers: Vec<(String, String)>,
}

impl Event {
    /// When it says it happened, by the sender's own clock.
    #[must_use]
    pub fn said_at(&self) -> Option<Timestamp> {
        self.occurred_at.map(|at| at.shifted(self.clock_offset))
    }
}

/// Which events to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this connection.
    pub connection: Option<ConnectionName>,
    /// Only in this state.
    pub state: Option<EventState>,
    /// Only about this record.
    pub record: Option<RecordId>,
    /// Only older than this event (cursor paging).
    pub before: Option<EventId>,
    /// At most so many, and never more than [`crate::PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// The inbox.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Stores deliveries, their events and the jobs that these cause, all in one transaction.
    /// Duplicates (connection and dedupe key seen before, also within the same call) are not stored, and cause nothing. But
    /// one that names another record or stream than the stored one, or came in another body, may tell of another change,
    /// because the key is what a person made of the event: its record is looked at again.
    /// The outcomes are in the order of the deliveries.
    async fn record_deliveries(
        &self,
        deliveries: Vec<NewDelivery>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryOutcome>, StoreError>;

    /// Lists events without bodies.
    async fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, StoreError>;

    /// One event with its raw body and headers.
    async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError>;

    /// Puts an event (again) to work: state, what it means by a new reading, and its jobs, in one
    /// transaction. Returns the jobs to ring.
    async fn replay_event(&self, event: NewEvent, now: Timestamp)
    -> Result<Vec<JobId>, StoreError>;

    /// Marks quarantined events as discarded, and keeps why. Returns how many were.
    async fn discard_events(
        &self,
        ids: &[EventId],
        because: Option<&str>,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Removes deliveries (and their events) received before `before` that are not in quarantine
    /// and whose jobs are all ended. Returns how many deliveries went, at most `limit`.
    async fn prune_events(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
