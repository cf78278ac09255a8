//! Events of the inbox.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, DeliveryId, EventId, JobId, RecordId, StreamName, Timestamp};
use tandem_store::{Event, EventKind, EventState};

use super::{when, when_opt};

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its id.
    pub id: EventId,
    /// The request it came in.
    pub delivery: DeliveryId,
    /// Who sent it.
    pub connection: ConnectionName,
    /// Unique within the connection.
    pub dedupe_key: String,
    /// The record type.
    pub stream: Option<StreamName>,
    /// The record.
    pub record: Option<RecordId>,
    /// What it says has happened.
    pub kind: EventKind,
    /// When it says it happened, by our clock.
    #[serde(with = "when_opt")]
    pub occurred_at: Option<Timestamp>,
    /// When it arrived.
    #[serde(with = "when")]
    pub received_at: Timestamp,
    /// Where it stands.
    pub state: EventState,
    /// Why it is in quarantine.
    pub problem: Option<String>,
    /// Why it was discarded, where it is and that was said.
    #[serde(default)]
    pub discarded_because: Option<String>,
    /// The jobs that it caused or merged into.
    pub jobs: Vec<JobId>,
}

/// An event with the request that it came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventDetail {
    /// The event.
    #[serde(flatten)]
    pub event: EventView,
    /// The headers, credentials removed.
    pub headers: Vec<(String, String)>,
    /// The raw body in base64.
    pub body_base64: String,
    /// The raw body as text, where it is UTF-8.
    pub body_text: Option<String>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            delivery: event.delivery,
            connection: event.connection,
            dedupe_key: event.dedupe_key,
            stream: event.stream,
            record: event.record,
            kind: event.kind,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            state: event.state,
            problem: event.problem,
            // One that was read again since is at work.
            discarded_because: event
                .discarded_because
                .filter(|_| event.state == EventState::Discarded),
            jobs: event.jobs,
        }
    }
}

impl From<Event> for EventDetail {
    fn from(mut event: Event) -> Self {
        let body = event.body.take().unwrap_or_default();
        let headers = std::mem::take(&mut event.headers);
        Self {
            event: event.into(),
            headers,
            body_base64: STANDARD.encode(&body),
            body_text: String::from_utf8(body).ok(),
        }
    }
}
