//! Looking at the journal.

use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_domain::{IntentId, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{Intent, StoreError};

use super::row;
use crate::{alone, rows, sql};

fn read(rows: &[PgRow]) -> Result<Vec<Intent>, StoreError> {
    rows.iter().map(row::intent).collect()
}

/// Open creates into a side with one of the keys, or without a key.
pub(super) async fn open_creates(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
    keys: &[String],
) -> Result<Vec<Intent>, StoreError> {
    let keys: Vec<_> = keys.iter().map(|key| sql::key(key)).collect();
    let keys = sql::json("key", &keys)?;
    let args = (sync, side, keys);
    let found = alone::verb(pool, &args, |(sync, side, keys)| {
        sqlx::query(OPEN_CREATES)
            .bind(sync.as_str())
            .bind(side.as_str())
            .bind(keys)
    });
    read(&found.await?)
}

const OPEN_CREATES: &str = "-- open_creates
SELECT to_json(i)::text AS intent FROM (
    SELECT * FROM intents
    WHERE sync = $1 AND side = $2 AND op = 'create' AND state IN ('planned', 'sent', 'unknown')
      AND (match_key IS NULL OR match_key IN (SELECT json_array_elements_text($3::json)))) i
ORDER BY i.created_at, i.id";

/// Intents about a record, or of a link that it belongs or belonged to, oldest first.
pub(super) async fn intents_of(
    pool: &PgPool,
    sync: &SyncName,
    record: &RecordId,
) -> Result<Vec<Intent>, StoreError> {
    let args = (sync, record);
    let found = alone::verb(pool, &args, |(sync, record)| {
        sqlx::query(INTENTS_OF)
            .bind(sync.as_str())
            .bind(sql::plain(record.as_str()))
    });
    read(&found.await?)
}

const INTENTS_OF: &str = "-- intents_of
WITH links_of AS (
    SELECT id FROM links WHERE state = 'active' AND sync = $1 AND a_id = $2
    UNION ALL SELECT id FROM links WHERE state = 'active' AND sync = $1 AND b_id = $2
    UNION ALL SELECT id FROM links WHERE state = 'retired' AND sync = $1 AND a_id = $2
    UNION ALL SELECT id FROM links WHERE state = 'retired' AND sync = $1 AND b_id = $2)
SELECT to_json(i)::text AS intent FROM (
    SELECT * FROM intents WHERE sync = $1 AND source = $2
    UNION SELECT * FROM intents WHERE sync = $1 AND target = $2
    UNION SELECT n.* FROM links_of o JOIN intents n ON n.link = o.id) i
ORDER BY i.created_at, i.id";

/// One entry of the journal.
pub(super) async fn intent(pool: &PgPool, id: IntentId) -> Result<Option<Intent>, StoreError> {
    let found = alone::verb(pool, &id, |id| sqlx::query(INTENT).bind(id.to_string()));
    Ok(read(&found.await?)?.into_iter().next())
}

const INTENT: &str = "-- intent
SELECT to_json(i)::text AS intent FROM intents i WHERE i.id = $1";

/// The newest writes to a link's records that may have had an effect, oldest first.
pub(super) async fn writes_of(
    pool: &PgPool,
    link: LinkId,
    since: Timestamp,
    limit: usize,
) -> Result<Vec<Intent>, StoreError> {
    let args = (link, since, limit);
    let found = alone::verb(pool, &args, |(link, since, limit)| {
        sqlx::query(WRITES_OF)
            .bind(link.to_string())
            .bind(since.as_micros())
            .bind(sql::limit(*limit))
    });
    read(&found.await?)
}

const WRITES_OF: &str = "-- writes_of
SELECT to_json(i)::text AS intent FROM (
    SELECT * FROM intents
    WHERE link = $1 AND created_at >= $2 AND state IN ('sent', 'unknown', 'confirmed')
    ORDER BY created_at DESC, id DESC LIMIT $3) i
ORDER BY i.created_at, i.id";

/// What is made: into a side of a sync, from a source, with a match key.
pub(super) type Made<'a> = (&'a SyncName, Side, &'a RecordId, Option<&'a str>);

/// How many creates made a record.
pub(super) async fn creates_of(
    pool: &PgPool,
    made: Made<'_>,
    since: Timestamp,
) -> Result<u64, StoreError> {
    let (sync, side, source, match_key) = made;
    let args = (sync, side, source, match_key.map(sql::key), since);
    let found = alone::verb(pool, &args, |(sync, side, source, match_key, since)| {
        sqlx::query(CREATES_OF)
            .bind(sync.as_str())
            .bind(side.as_str())
            .bind(sql::plain(source.as_str()))
            .bind(match_key.as_deref())
            .bind(since.as_micros())
    });
    let found = found.await?;
    found
        .first()
        .map_or(Ok(0), |row| rows::count(row, "creates"))
}

const CREATES_OF: &str = "-- creates_of
SELECT count(*) AS creates FROM (
    SELECT id FROM intents
    WHERE source = $3 AND sync = $1 AND side = $2 AND op = 'create'
      AND (state = 'confirmed' OR target IS NOT NULL) AND created_at >= $5
    UNION
    SELECT id FROM intents
    WHERE sync = $1 AND side = $2 AND match_key = $4 AND op = 'create'
      AND (state = 'confirmed' OR target IS NOT NULL) AND created_at >= $5) i";

/// Open intents that were planned long ago.
pub(super) async fn stale_intents(
    pool: &PgPool,
    before: Timestamp,
    after: Option<(Timestamp, IntentId)>,
    limit: usize,
) -> Result<Vec<Intent>, StoreError> {
    let args = (before, after, limit);
    let found = alone::verb(pool, &args, |(before, after, limit)| {
        sqlx::query(STALE)
            .bind(before.as_micros())
            .bind(sql::limit(*limit))
            .bind(after.map_or(i64::MIN, |(at, _)| at.as_micros()))
            .bind(after.map(|(_, id)| id.to_string()).unwrap_or_default())
    });
    read(&found.await?)
}

const STALE: &str = "-- stale_intents
SELECT to_json(i)::text AS intent FROM (
    SELECT * FROM intents
    WHERE created_at < $1 AND state IN ('planned', 'sent', 'unknown')
      AND created_at >= $3 AND (created_at > $3 OR id > $4)
    ORDER BY created_at, id LIMIT $2) i
ORDER BY i.created_at, i.id";
