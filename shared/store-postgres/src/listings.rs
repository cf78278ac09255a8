//! Pages of long listings, and where these go on.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::postgres::PgRow;
use tandem_domain::{RecordId, Side, SyncName};
use tandem_store::{Lane, ListingPlace, ListingStore, Run, StoreError, StoredPage, SurveyedRecord};

use crate::sql::Failed;
use crate::txn::{self, Txn};
use crate::{PostgresStore, alone, rows, sql};

/// A record as it goes into a statement.
#[derive(Serialize)]
struct SurveyedRow<'a> {
    id: &'a str,
    keys: String,
    document: String,
}

fn row(record: &SurveyedRecord) -> Result<SurveyedRow<'_>, StoreError> {
    Ok(SurveyedRow {
        id: record.id.as_str(),
        keys: sql::json("key", &record.keys)?,
        document: sql::json("record", record)?,
    })
}

async fn keep(
    txn: &mut Txn,
    number: i64,
    sync: &SyncName,
    lanes: &[Lane],
    page: &StoredPage,
) -> Result<(), Failed> {
    let progress = &page.place.progress;
    let got_on = sqlx::query(GET_ON)
        .bind(number)
        .bind(page.side.as_str())
        .bind(i64::try_from(progress.listed + progress.unreadable).unwrap_or(i64::MAX))
        .bind(sql::json("lane", lanes)?);
    txn.run(got_on).await?;
    let place = sqlx::query(KEEP_PLACE)
        .bind(number)
        .bind(page.side.as_str())
        .bind(sql::json("place", &page.place)?);
    if txn.run(place).await? == 0 {
        return Ok(());
    }
    if !page.records.is_empty() {
        // A page may hold a record twice; the later one counts.
        let latest: BTreeMap<&RecordId, &SurveyedRecord> =
            page.records.iter().map(|one| (&one.id, one)).collect();
        let records: Result<Vec<_>, StoreError> = latest.into_values().map(row).collect();
        let statement = sqlx::query(KEEP_RECORDS)
            .bind(number)
            .bind(sync.as_str().to_owned())
            .bind(page.side.as_str())
            .bind(sql::json("record", &records?)?);
        txn.run(statement).await?;
    }
    if !page.unreadable.is_empty() {
        let statement = sqlx::query(SEE_UNREADABLE)
            .bind(number)
            .bind(sync.as_str().to_owned())
            .bind(page.side.as_str())
            .bind(sql::json("record", &page.unreadable)?);
        txn.run(statement).await?;
    }
    Ok(())
}

/// The job of a run that has stored more rows than ever before has got on: what killed its processes was not one and
/// the same place. A listing that begins again has to come past where it was.
const GET_ON: &str = "-- get_on
UPDATE jobs SET crashes = 0, furthest = p.rows
FROM (
    SELECT $3::bigint + coalesce(sum(
        (document::json -> 'progress' ->> 'listed')::bigint
        + (document::json -> 'progress' ->> 'unreadable')::bigint), 0)::bigint AS rows
    FROM listing_places WHERE run = $1 AND side <> $2) p
WHERE jobs.state = 'running' AND jobs.lane = ANY (ARRAY(SELECT json_array_elements_text($4::json)))
  AND jobs.furthest < p.rows AND EXISTS (SELECT 1 FROM runs WHERE number = $1 AND state = 'running')";

/// Nothing is kept of a run that was given up meanwhile.
const KEEP_PLACE: &str = "-- keep_place
INSERT INTO listing_places (run, side, document)
SELECT $1::bigint, $2::text, $3::text FROM runs WHERE number = $1 AND state = 'running'
ON CONFLICT (run, side) DO UPDATE SET document = excluded.document";

const KEEP_RECORDS: &str = "-- keep_records
INSERT INTO surveyed (run, sync, side, id, keys, document)
SELECT $1, $2, $3, g.id, g.keys, g.document
FROM json_to_recordset($4::json) AS g (id text, keys text, document text)
ORDER BY g.id COLLATE \"C\"
ON CONFLICT (run, side, id) DO UPDATE SET keys = excluded.keys, document = excluded.document";

/// It has no checksum, so that it counts as changed when it can be read.
const SEE_UNREADABLE: &str = "-- see_unreadable
INSERT INTO records (sync, side, id, checksum, updated_at, generation, keys)
SELECT $2, $3, g.id, NULL, NULL, $1, '[]'
FROM (SELECT DISTINCT id FROM json_array_elements_text($4::json) AS e (id)) g
ORDER BY g.id COLLATE \"C\"
ON CONFLICT (sync, side, id) DO UPDATE SET
    generation = greatest(records.generation, excluded.generation)";

const PLACE: &str = "-- listing_place
SELECT document FROM listing_places WHERE run = $1 AND side = $2";

const KEYS_A: &str = "-- surveyed_keys_a
SELECT s.id, s.keys FROM surveyed s
LEFT JOIN LATERAL (
    SELECT id FROM links WHERE state = 'active' AND sync = s.sync AND a_id = s.id OFFSET 0) l ON true
WHERE s.run = $1 AND s.side = 'a' AND s.id > $2 AND l.id IS NULL
ORDER BY s.id LIMIT $3";

const KEYS_B: &str = "-- surveyed_keys_b
SELECT s.id, s.keys FROM surveyed s
LEFT JOIN LATERAL (
    SELECT id FROM links WHERE state = 'active' AND sync = s.sync AND b_id = s.id OFFSET 0) l ON true
WHERE s.run = $1 AND s.side = 'b' AND s.id > $2 AND l.id IS NULL
ORDER BY s.id LIMIT $3";

const SURVEYED: &str = "-- surveyed
SELECT s.document FROM (SELECT DISTINCT id FROM json_array_elements_text($3::json) AS e (id)) w
CROSS JOIN LATERAL (
    SELECT id, document FROM surveyed WHERE run = $1 AND side = $2 AND id = w.id OFFSET 0) s
ORDER BY s.id";

/// The runs of `listing_places` are few: those under way, and the newest that ended.
const FORGET_RECORDS: &str = "-- forget_surveyed
DELETE FROM surveyed WHERE ctid = ANY (ARRAY(
    SELECT s.at FROM listing_places p
    CROSS JOIN LATERAL (
        SELECT ctid AS at FROM surveyed WHERE run = p.run AND side = p.side LIMIT $1) s
    WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.number = p.run AND r.state = 'running')
    LIMIT $1))";

const FORGET_PLACES: &str = "-- forget_places
DELETE FROM listing_places
WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.number = listing_places.run AND r.state = 'running')";

const KEY_FORM: &str = "-- key_form
SELECT form FROM key_forms WHERE sync = $1";

const SET_KEY_FORM: &str = "-- set_key_form
INSERT INTO key_forms (sync, form) VALUES ($1, $2)
ON CONFLICT (sync) DO UPDATE SET form = excluded.form";

async fn forget(txn: &mut Txn, limit: usize) -> Result<usize, Failed> {
    let forgotten = txn
        .run(sqlx::query(FORGET_RECORDS).bind(sql::limit(limit)))
        .await?;
    if forgotten < limit {
        txn.run(sqlx::query(FORGET_PLACES)).await?;
    }
    Ok(forgotten)
}

fn keys_of(row: &PgRow) -> Result<(RecordId, Vec<String>), StoreError> {
    Ok((rows::record(row, "id")?, rows::document(row, "keys")?))
}

#[async_trait]
impl ListingStore for PostgresStore {
    async fn keep_page(&self, run: &Run, page: StoredPage) -> Result<(), StoreError> {
        let args = (run.number, run.sync.clone(), run.lanes(), page);
        txn::write(&self.pool, args, |txn, (number, sync, lanes, page)| {
            Box::pin(keep(txn, *number, sync, lanes, page))
        })
        .await
    }

    async fn listing_place(
        &self,
        run: &Run,
        side: Side,
    ) -> Result<Option<ListingPlace>, StoreError> {
        let statement = sqlx::query(PLACE).bind(run.number).bind(side.as_str());
        alone::first(&self.pool, statement)
            .await?
            .as_ref()
            .map(|row| rows::document(row, "document"))
            .transpose()
    }

    async fn surveyed_keys(
        &self,
        run: &Run,
        side: Side,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<(RecordId, Vec<String>)>, StoreError> {
        let statement = match side {
            Side::A => sqlx::query(KEYS_A),
            Side::B => sqlx::query(KEYS_B),
        };
        let statement = statement
            .bind(run.number)
            .bind(sql::plain(after.map_or("", RecordId::as_str)))
            .bind(sql::limit(limit));
        alone::all(&self.pool, statement)
            .await?
            .iter()
            .map(keys_of)
            .collect()
    }

    async fn surveyed(
        &self,
        run: &Run,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<SurveyedRecord>, StoreError> {
        let statement = sqlx::query(SURVEYED)
            .bind(run.number)
            .bind(side.as_str())
            .bind(sql::json("record", ids)?);
        alone::all(&self.pool, statement)
            .await?
            .iter()
            .map(|row| rows::document(row, "document"))
            .collect()
    }

    async fn forget_pages(&self, limit: usize) -> Result<usize, StoreError> {
        txn::write(&self.pool, limit, |txn, limit| {
            Box::pin(forget(txn, *limit))
        })
        .await
    }

    async fn key_form(&self, sync: &SyncName) -> Result<Option<String>, StoreError> {
        let statement = sqlx::query(KEY_FORM).bind(sync.as_str().to_owned());
        alone::first(&self.pool, statement)
            .await?
            .as_ref()
            .map(|row| rows::get(row, "form"))
            .transpose()
    }

    async fn set_key_form(&self, sync: &SyncName, form: &str) -> Result<(), StoreError> {
        let statement = sqlx::query(SET_KEY_FORM)
            .bind(sync.as_str().to_owned())
            .bind(sql::plain(form).into_owned());
        alone::run(&self.pool, statement).await?;
        Ok(())
    }
}
