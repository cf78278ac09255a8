//! What a manifest says about webhooks: how they are signed, and where their events say what.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;
use tandem_domain::StreamName;

use super::{Paths, Stamp};
use crate::path::Path;
use crate::template::Text;
use crate::webhook::{Scheme, SchemeOptions};

/// The system's webhooks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// How requests are signed.
    pub signature: Signature,
    /// Where the events stand in a body: a list, or one event.
    pub events: Path,
    /// What tells an event from every other: made of signed data only, and the same when it is sent again.
    pub key: Text,
    /// The event's type, to be looked up in `types`.
    #[serde(rename = "type")]
    pub event_type: Text,
    /// The types that matter. Others are acknowledged and dropped.
    pub types: BTreeMap<String, EventType>,
    /// Where the id of the record stands.
    pub record: Paths,
    /// When it happened.
    #[serde(default)]
    pub occurred_at: Option<Stamp>,
}

/// How webhook requests are signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The scheme.
    pub scheme: Spanned<Scheme>,
    /// What the scheme leaves open.
    #[serde(default)]
    pub options: SchemeOptions,
}

/// What an event type means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// The stream of the record.
    pub stream: Spanned<StreamName>,
    /// What happened to it.
    pub kind: EventKind,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It is new.
    Created,
    /// It changed.
    Updated,
    /// It was deleted or archived.
    Deleted,
}
