//! Rows of `links` and `intents`.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use tandem_domain::{IntentId, JobId, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    FieldChange, Intent, IntentOp, IntentState, Link, LinkState, NewLink, SideMemory, SideState,
    StoreError,
};

use crate::{rows, sql};

/// Reads a whole row of `links`.
pub(super) fn link(row: &PgRow) -> Result<Link, StoreError> {
    Ok(Link {
        id: rows::parsed(row, "id")?,
        sync: rows::parsed(row, "sync")?,
        a: SideState {
            id: rows::record_opt(row, "a_id")?,
            version: rows::get(row, "a_version")?,
            checksum: rows::get(row, "a_checksum")?,
            updated_at: rows::instant_opt(row, "a_updated_at")?,
            memory: memory(row, "a_memory")?,
        },
        b: SideState {
            id: rows::record_opt(row, "b_id")?,
            version: rows::get(row, "b_version")?,
            checksum: rows::get(row, "b_checksum")?,
            updated_at: rows::instant_opt(row, "b_updated_at")?,
            memory: memory(row, "b_memory")?,
        },
        base: rows::document(row, "base")?,
        state: rows::word(row, "state")?,
        revision: rows::get(row, "revision")?,
        created_at: rows::instant(row, "created_at")?,
        updated_at: rows::instant(row, "updated_at")?,
        kept_apart: rows::get(row, "kept_apart")?,
    })
}

/// What a link remembers of a side; nothing for one that was stored before links remembered.
fn memory(row: &PgRow, column: &'static str) -> Result<SideMemory, StoreError> {
    Ok(rows::document_opt(row, column)?.unwrap_or_default())
}

fn memory_text(side: &SideState) -> Result<Option<String>, StoreError> {
    let memory = (!side.memory.is_blank()).then(|| sql::json("link", &side.memory));
    memory.transpose()
}

/// Both sides of a link, as they go into a statement.
#[derive(Serialize)]
pub(super) struct Sides<'a> {
    a_id: Option<&'a str>,
    a_version: Option<&'a str>,
    a_checksum: Option<&'a str>,
    a_updated_at: Option<i64>,
    /// JSON in itself.
    a_memory: Option<String>,
    b_id: Option<&'a str>,
    b_version: Option<&'a str>,
    b_checksum: Option<&'a str>,
    b_updated_at: Option<i64>,
    /// JSON in itself.
    b_memory: Option<String>,
    filtered: bool,
}

impl<'a> Sides<'a> {
    pub(super) fn new(a: &'a SideState, b: &'a SideState) -> Result<Self, StoreError> {
        Ok(Self {
            a_id: a.id.as_ref().map(RecordId::as_str),
            a_version: a.version.as_deref(),
            a_checksum: a.checksum.as_deref(),
            a_updated_at: a.updated_at.map(Timestamp::as_micros),
            a_memory: memory_text(a)?,
            b_id: b.id.as_ref().map(RecordId::as_str),
            b_version: b.version.as_deref(),
            b_checksum: b.checksum.as_deref(),
            b_updated_at: b.updated_at.map(Timestamp::as_micros),
            b_memory: memory_text(b)?,
            filtered: a.memory.filtered.is_some() || b.memory.filtered.is_some(),
        })
    }
}

/// A new link, as it goes into a statement.
#[derive(Serialize)]
pub(super) struct LinkRow<'a> {
    id: String,
    sync: &'a str,
    #[serde(flatten)]
    sides: Sides<'a>,
    base: String,
}

impl<'a> LinkRow<'a> {
    pub(super) fn new(link: &'a NewLink) -> Result<Self, StoreError> {
        Ok(Self {
            id: link.id.to_string(),
            sync: link.sync.as_str(),
            sides: Sides::new(&link.a, &link.b)?,
            base: sql::json("base", &link.base)?,
        })
    }
}

/// What a link is to be, as it goes into a statement.
#[derive(Serialize)]
pub(super) struct NewState<'a> {
    #[serde(flatten)]
    pub(super) sides: Sides<'a>,
    pub(super) state: LinkState,
    pub(super) base: String,
}

/// A row of `intents` as the database writes it as JSON: so intents can be part of the answer to a
/// question about something else.
#[derive(Deserialize)]
pub(super) struct IntentDocument {
    id: IntentId,
    sync: SyncName,
    link: Option<LinkId>,
    side: Side,
    op: IntentOp,
    source: Option<RecordId>,
    target: Option<RecordId>,
    match_key: Option<String>,
    expected_version: Option<String>,
    state: IntentState,
    sends: u32,
    job: Option<JobId>,
    created_at: i64,
    sent_at: Option<i64>,
    error: Option<String>,
    /// JSON in itself.
    fields: String,
    /// JSON in itself.
    decided: Option<String>,
}

impl TryFrom<IntentDocument> for Intent {
    type Error = StoreError;

    fn try_from(stored: IntentDocument) -> Result<Self, StoreError> {
        Ok(Self {
            id: stored.id,
            sync: stored.sync,
            link: stored.link,
            side: stored.side,
            op: stored.op,
            source: stored.source,
            target: stored.target,
            fields: serde_json::from_str(&stored.fields).map_err(|error| StoreError::Corrupt {
                what: "intent",
                reason: error.to_string(),
            })?,
            match_key: stored.match_key,
            expected_version: stored.expected_version,
            state: stored.state,
            sends: stored.sends,
            job: stored.job,
            created_at: Timestamp::from_micros(stored.created_at),
            sent_at: stored.sent_at.map(Timestamp::from_micros),
            error: stored.error,
            decided: decided(stored.decided.as_deref())?,
        })
    }
}

fn decided(text: Option<&str>) -> Result<Vec<FieldChange>, StoreError> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        what: "intent",
        reason: error.to_string(),
    })
}

/// Reads the intent in the column of that name.
pub(super) fn intent(row: &PgRow) -> Result<Intent, StoreError> {
    rows::document::<IntentDocument>(row, "intent")?.try_into()
}

/// Reads the array of intents in the column of that name.
pub(super) fn intents(row: &PgRow) -> Result<Vec<Intent>, StoreError> {
    rows::document::<Vec<IntentDocument>>(row, "intents")?
        .into_iter()
        .map(Intent::try_from)
        .collect()
}
