//! Rows of `links` and `intents`.

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use tandem_domain::Timestamp;
use tandem_store::{BaseValue, Intent, Link, NewLink, SideMemory, SideState, StoreError};

use crate::{rows, sql};

/// Reads a whole row of `links`.
pub(super) fn link(row: &SqliteRow) -> Result<Link, StoreError> {
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
fn memory(row: &SqliteRow, column: &'static str) -> Result<SideMemory, StoreError> {
    Ok(rows::document_opt(row, column)?.unwrap_or_default())
}

/// One side of a link, as it goes into a statement.
#[derive(Serialize)]
pub(super) struct SideRow<'a> {
    id: Option<&'a str>,
    version: Option<&'a str>,
    checksum: Option<&'a str>,
    updated_at: Option<i64>,
    /// JSON in itself.
    memory: Option<String>,
    filtered: bool,
}

impl<'a> TryFrom<&'a SideState> for SideRow<'a> {
    type Error = StoreError;

    fn try_from(side: &'a SideState) -> Result<Self, StoreError> {
        let memory = (!side.memory.is_blank()).then(|| sql::json("link", &side.memory));
        Ok(Self {
            id: side.id.as_ref().map(tandem_domain::RecordId::as_str),
            version: side.version.as_deref(),
            checksum: side.checksum.as_deref(),
            updated_at: side.updated_at.map(Timestamp::as_micros),
            memory: memory.transpose()?,
            filtered: side.memory.filtered.is_some(),
        })
    }
}

/// A link, as it goes into a statement.
#[derive(Serialize)]
pub(super) struct LinkRow<'a> {
    id: String,
    sync: &'a str,
    a: SideRow<'a>,
    b: SideRow<'a>,
    base: String,
}

impl<'a> LinkRow<'a> {
    /// A new link.
    pub(super) fn new(link: &'a NewLink) -> Result<Self, StoreError> {
        Ok(Self {
            id: link.id.to_string(),
            sync: link.sync.as_str(),
            a: SideRow::try_from(&link.a)?,
            b: SideRow::try_from(&link.b)?,
            base: base_text(&link.base)?,
        })
    }
}

/// The base as stored.
pub(super) fn base_text(
    base: &std::collections::BTreeMap<String, BaseValue>,
) -> Result<String, StoreError> {
    sql::json("base", base)
}

/// Reads a whole row of `intents`.
pub(super) fn intent(row: &SqliteRow) -> Result<Intent, StoreError> {
    Ok(Intent {
        id: rows::parsed(row, "id")?,
        sync: rows::parsed(row, "sync")?,
        link: rows::parsed_opt(row, "link")?,
        side: rows::parsed(row, "side")?,
        op: rows::word(row, "op")?,
        source: rows::record_opt(row, "source")?,
        target: rows::record_opt(row, "target")?,
        fields: rows::document(row, "fields")?,
        match_key: rows::get(row, "match_key")?,
        expected_version: rows::get(row, "expected_version")?,
        state: rows::word(row, "state")?,
        sends: rows::small(row, "sends")?,
        job: rows::parsed_opt(row, "job")?,
        created_at: rows::instant(row, "created_at")?,
        sent_at: rows::instant_opt(row, "sent_at")?,
        error: rows::get(row, "error")?,
        decided: rows::document_opt(row, "decided")?.unwrap_or_default(),
    })
}
