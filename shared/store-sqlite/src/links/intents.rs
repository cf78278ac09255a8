//! Looking at the journal.

use tandem_domain::{IntentId, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{Intent, StoreError};

use super::row;
use crate::rows;
use crate::sql::{self, Statement};
use crate::watch::Readers;

async fn read(readers: &Readers, statement: Statement<'_>) -> Result<Vec<Intent>, StoreError> {
    sql::all(readers, statement)
        .await?
        .iter()
        .map(row::intent)
        .collect()
}

/// Open creates into a side with one of the keys, or without a key.
pub(super) async fn open_creates(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
    keys: &[String],
) -> Result<Vec<Intent>, StoreError> {
    let statement = sqlx::query(OPEN_CREATES)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(sql::json("key", keys)?);
    read(readers, statement).await
}

const OPEN_CREATES: &str = "-- open_creates
SELECT * FROM intents
WHERE sync = ?1 AND side = ?2 AND op = 'create' AND state IN ('planned', 'sent', 'unknown')
  AND (match_key IS NULL OR match_key IN (SELECT value FROM json_each(?3)))
ORDER BY created_at, id";

/// Intents about a record, or of a link that it belongs or belonged to, oldest first.
pub(super) async fn intents_of(
    readers: &Readers,
    sync: &SyncName,
    record: &RecordId,
) -> Result<Vec<Intent>, StoreError> {
    let statement = sqlx::query(INTENTS_OF)
        .bind(sync.as_str().to_owned())
        .bind(record.as_str().to_owned());
    read(readers, statement).await
}

const INTENTS_OF: &str = "-- intents_of
WITH links_of (id) AS (
    SELECT id FROM links WHERE state = 'active' AND sync = ?1 AND a_id = ?2
    UNION ALL SELECT id FROM links WHERE state = 'active' AND sync = ?1 AND b_id = ?2
    UNION ALL SELECT id FROM links WHERE state = 'retired' AND sync = ?1 AND a_id = ?2
    UNION ALL SELECT id FROM links WHERE state = 'retired' AND sync = ?1 AND b_id = ?2)
SELECT * FROM intents WHERE sync = ?1 AND source = ?2
UNION SELECT * FROM intents WHERE sync = ?1 AND target = ?2
UNION SELECT * FROM intents WHERE link IN (SELECT id FROM links_of)
ORDER BY created_at, id";

/// One entry of the journal.
pub(super) async fn intent(readers: &Readers, id: IntentId) -> Result<Option<Intent>, StoreError> {
    const INTENT: &str = "-- intent\nSELECT * FROM intents WHERE id = ?1";
    let found = read(readers, sqlx::query(INTENT).bind(id.to_string())).await?;
    Ok(found.into_iter().next())
}

/// The newest writes to a link's records that may have had an effect, oldest first.
pub(super) async fn writes_of(
    readers: &Readers,
    link: LinkId,
    since: Timestamp,
    limit: usize,
) -> Result<Vec<Intent>, StoreError> {
    let statement = sqlx::query(WRITES_OF)
        .bind(link.to_string())
        .bind(since.as_micros())
        .bind(sql::limit(limit));
    read(readers, statement).await
}

const WRITES_OF: &str = "-- writes_of
SELECT * FROM (
    SELECT * FROM intents
    WHERE link = ?1 AND link IS NOT NULL AND created_at >= ?2 AND state IN ('sent', 'unknown', 'confirmed')
    ORDER BY created_at DESC, id DESC LIMIT ?3)
ORDER BY created_at, id";

/// What is made: into a side of a sync, from a source, with a match key.
pub(super) type Made<'a> = (&'a SyncName, Side, &'a RecordId, Option<&'a str>);

/// How many creates made a record.
pub(super) async fn creates_of(
    readers: &Readers,
    (sync, side, source, match_key): Made<'_>,
    since: Timestamp,
) -> Result<u64, StoreError> {
    let statement = sqlx::query(CREATES_OF)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(source.as_str().to_owned())
        .bind(match_key.map(str::to_owned))
        .bind(since.as_micros());
    rows::count(&sql::one(readers, statement).await?, "creates")
}

const CREATES_OF: &str = "-- creates_of
SELECT count(*) AS creates FROM (
    SELECT id FROM intents
    WHERE source = ?3 AND sync = ?1 AND side = ?2 AND op = 'create'
      AND (state = 'confirmed' OR target IS NOT NULL) AND created_at >= ?5
    UNION
    SELECT id FROM intents
    WHERE sync = ?1 AND side = ?2 AND match_key = ?4 AND op = 'create'
      AND (state = 'confirmed' OR target IS NOT NULL) AND created_at >= ?5)";

/// Open intents that were planned long ago.
pub(super) async fn stale_intents(
    readers: &Readers,
    before: Timestamp,
    after: Option<(Timestamp, IntentId)>,
    limit: usize,
) -> Result<Vec<Intent>, StoreError> {
    let statement = sqlx::query(STALE)
        .bind(before.as_micros())
        .bind(sql::limit(limit))
        .bind(after.map_or(i64::MIN, |(at, _)| at.as_micros()))
        .bind(after.map(|(_, id)| id.to_string()).unwrap_or_default());
    read(readers, statement).await
}

const STALE: &str = "-- stale_intents
SELECT * FROM intents
WHERE created_at < ?1 AND state IN ('planned', 'sent', 'unknown')
  AND created_at >= ?3 AND (created_at > ?3 OR id > ?4)
ORDER BY created_at, id LIMIT ?2";
