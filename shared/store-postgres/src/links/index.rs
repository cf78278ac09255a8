//! What each side was last seen to hold. The keys are in a table of their own, written only when
//! they change, which is seldom.
//!
//! Whoever writes a record's keys holds the lock of its row in `records`, so that row and keys agree.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use sqlx::PgPool;
use tandem_domain::{LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    IndexedRecord, KnownRecord, NewJob, SeenRecord, Sight, StoreError, says_filtered,
};

use crate::jobs::enqueue::enqueue;
use crate::sql::Failed;
use crate::txn::Txn;
use crate::{alone, rows, sql};

/// What was known of a record before it was seen again.
struct Known {
    checksum: Option<String>,
    keys: Option<String>,
    link: Option<LinkId>,
    link_checksum: Option<String>,
    /// When it had last changed as it was last read.
    updated_at: Option<Timestamp>,
    ignored: bool,
    /// Whether both records of its newest retired link are in use, and nobody took them apart; `None` without
    /// such a link.
    both_alive: Option<bool>,
    /// How it was when a worker last looked at that link.
    looked_at: Option<String>,
    /// How it was when a person discarded its dead letter.
    let_be: Option<String>,
    /// How it was when something was refused, while its dead letter waits.
    refused: Option<String>,
    /// How it was when its pair was last found to wait for a question, while that is open.
    held: Option<String>,
}

/// What was known, by side and id.
type KnownRecords = HashMap<(Side, String), Known>;

/// The last reading of each record, in the order in which rows are locked.
type Latest<'a> = BTreeMap<(Side, &'a str), &'a IndexedRecord>;

#[derive(Serialize)]
struct RecordRow<'a> {
    side: Side,
    id: &'a str,
    keys: String,
    checksum: &'a str,
    updated_at: Option<i64>,
    filtered: bool,
    sight: Sight,
}

/// What a listing showed, and the job of each record, or none.
pub(super) struct Listing {
    pub(super) sync: SyncName,
    pub(super) side: Side,
    pub(super) records: Vec<IndexedRecord>,
    pub(super) jobs: Vec<NewJob>,
    pub(super) generation: i64,
    pub(super) now: Timestamp,
}

/// Stores what a listing showed, with the jobs of what is new or changed. Returns what was known before,
/// in the order of the records.
pub(super) async fn index_records(
    txn: &mut Txn,
    listing: &Listing,
) -> Result<Vec<SeenRecord>, Failed> {
    let latest: Latest<'_> = listing
        .records
        .iter()
        .map(|record| ((listing.side, record.id.as_str()), record))
        .collect();
    let known = store(txn, &listing.sync, &latest, Some(listing.generation)).await?;
    let seen = |(place, record): (usize, &IndexedRecord)| {
        let job = listing.jobs.get(place);
        let before = known.get(&(listing.side, record.id.as_str().to_owned()));
        SeenRecord {
            id: record.id.clone(),
            link: before.and_then(|before| before.link),
            retired: before.is_some_and(is_retired),
            ignored: before.is_some_and(|before| before.ignored),
            unchanged: before.map_or(record.filtered, |before| {
                is_unchanged(before, record) || is_let_be(before, record, job)
            }),
            job: None,
        }
    };
    let listed = listing.records.iter().enumerate();
    let mut seen: Vec<SeenRecord> = listed.map(seen).collect();
    let (changed, jobs): (Vec<&mut SeenRecord>, Vec<NewJob>) = seen
        .iter_mut()
        .zip(listing.jobs.iter().cloned())
        .filter(|(record, _)| !record.unchanged)
        .unzip();
    let standing = enqueue(txn, &jobs, listing.now).await?;
    for (record, standing) in changed.into_iter().zip(standing) {
        record.job = Some(standing.job);
    }
    Ok(seen)
}

/// Stores what was seen outside a listing. It counts as seen by the newest run, because it was read
/// while that was the newest; what only an answer has shown counts as seen by none.
pub(super) async fn see(
    txn: &mut Txn,
    sync: &SyncName,
    records: &[(Side, IndexedRecord)],
) -> Result<(), Failed> {
    let latest: Latest<'_> = records
        .iter()
        .map(|(side, record)| ((*side, record.id.as_str()), record))
        .collect();
    store(txn, sync, &latest, None).await.map(|_known| ())
}

const fn is_retired(before: &Known) -> bool {
    before.link.is_none() && before.both_alive.is_some()
}

/// A record whose link is retired, though both records are seen, is taken for unchanged only if it is as it was when that
/// pair was last looked at: the link was retired by mistake, or one of them has come back. One that the filters leave out has nothing to be done for it, unless
/// it is linked, or took part when it was last seen: then a person may be asked about it.
fn is_unchanged(before: &Known, record: &IndexedRecord) -> bool {
    if record.filtered && before.link.is_none() {
        return before.checksum.as_deref().is_none_or(says_filtered);
    }
    if is_retired(before) && before.both_alive == Some(true) && !before.ignored {
        return before.looked_at.as_deref() == Some(record.looked_at().as_str());
    }
    let checksum = match before.link {
        Some(_) => before.link_checksum.as_deref(),
        None => before.checksum.as_deref(),
    };
    checksum == Some(record.checksum.as_str())
        && !(record.in_part && record.is_later_than(before.updated_at))
}

/// A person has discarded the dead letter of the record, or it or its pair waits for one, and the record is as it was then. That
/// a listing shows it is no reason to try again what was refused, or to look at what is asked about: an event or a person is.
fn is_let_be(before: &Known, record: &IndexedRecord, job: Option<&NewJob>) -> bool {
    job.is_some_and(|job| job.trigger.is_listing())
        && (before.let_be.as_deref() == Some(record.checksum.as_str())
            || [&before.refused, &before.held].contains(&&Some(record.state())))
}

async fn store(
    txn: &mut Txn,
    sync: &SyncName,
    latest: &Latest<'_>,
    generation: Option<i64>,
) -> Result<KnownRecords, Failed> {
    if latest.is_empty() {
        return Ok(KnownRecords::new());
    }
    let wanted = wanted_keys(txn, sync, latest).await?;
    let records = latest
        .iter()
        .zip(&wanted)
        .map(|(((side, id), record), keys)| {
            Ok(RecordRow {
                side: *side,
                id,
                keys: sql::json("key", keys)?,
                checksum: &record.checksum,
                updated_at: record.updated_at.map(Timestamp::as_micros),
                filtered: record.filtered,
                sight: record.sight,
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let statement = sqlx::query(STORE)
        .bind(sync.as_str())
        .bind(sql::json("record", &records)?)
        .bind(generation);
    let mut known = KnownRecords::with_capacity(records.len());
    for row in txn.all(statement).await? {
        let before = Known {
            checksum: rows::get(&row, "checksum")?,
            keys: rows::get(&row, "keys")?,
            link: rows::parsed_opt(&row, "link")?,
            link_checksum: rows::get(&row, "link_checksum")?,
            updated_at: rows::instant_opt(&row, "updated_at")?,
            ignored: rows::get(&row, "ignored")?,
            both_alive: rows::get(&row, "both_alive")?,
            looked_at: rows::get(&row, "looked_at")?,
            let_be: rows::get(&row, "let_be")?,
            refused: rows::get(&row, "refused")?,
            held: rows::get(&row, "held")?,
        };
        known.insert(
            (rows::parsed(&row, "side")?, rows::get(&row, "id")?),
            before,
        );
    }
    store_keys(txn, sync, &rekeyed(latest, &wanted, &records, &known)).await?;
    Ok(known)
}

/// The keys that each record is to have. Those of which a listing shows only a part keep the ones that are known: only
/// then are these asked for, under the lock of the record's row.
async fn wanted_keys(
    txn: &mut Txn,
    sync: &SyncName,
    latest: &Latest<'_>,
) -> Result<Vec<Vec<String>>, Failed> {
    let in_part: Vec<PartRow<'_>> = latest
        .iter()
        .filter(|(_, record)| record.in_part)
        .map(|((side, id), _)| PartRow { side: *side, id })
        .collect();
    let mut known: HashMap<(Side, String), Vec<String>> = HashMap::new();
    if !in_part.is_empty() {
        let statement = sqlx::query(KNOWN_KEYS)
            .bind(sync.as_str())
            .bind(sql::json("record", &in_part)?);
        for row in txn.all(statement).await? {
            let place = (rows::parsed(&row, "side")?, rows::get(&row, "id")?);
            known.insert(place, rows::parsed_keys(rows::get(&row, "keys")?)?);
        }
    }
    let wanted = latest.iter().map(|((side, id), record)| {
        let known = known.remove(&(*side, (*id).to_owned()));
        record.keys_with(known.unwrap_or_default())
    });
    Ok(wanted.collect())
}

/// A record of which a listing shows only a part.
#[derive(Serialize)]
struct PartRow<'a> {
    side: Side,
    id: &'a str,
}

const KNOWN_KEYS: &str = "-- known_keys
WITH given AS MATERIALIZED (SELECT * FROM json_to_recordset($2::json) AS g (side text, id text))
SELECT k.side, k.id, k.keys FROM (SELECT side, id FROM given ORDER BY side COLLATE \"C\", id COLLATE \"C\") g
CROSS JOIN LATERAL (
    SELECT r.side, r.id, r.keys FROM records r
    WHERE r.id = g.id AND r.side = g.side AND r.sync = $1 FOR NO KEY UPDATE) k";

/// Each look-up is a subquery that cannot be planned otherwise than by its index: a plan that was made
/// while the table was empty is used when it is long. (`OFFSET 0` keeps it a subquery.)
///
/// Rows that are there are locked before they are replaced, so what is given as known is what was
/// replaced. A row that appears meanwhile was not known, and is replaced all the same. Of a record that the filters
/// leave out only what is known, or linked, is stored. For what was not listed nobody asks whether its pair waits.
const STORE: &str = "-- store_records
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset($2::json)
        AS g (side text, id text, keys text, checksum text, updated_at bigint, filtered boolean, sight text)),
known AS MATERIALIZED (
    SELECT k.* FROM (SELECT side, id FROM given ORDER BY side COLLATE \"C\", id COLLATE \"C\") g
    CROSS JOIN LATERAL (
        SELECT r.side, r.id, r.checksum, r.keys, r.ignored, r.updated_at, r.let_be, r.refused FROM records r
        WHERE r.id = g.id AND r.side = g.side AND r.sync = $1 FOR NO KEY UPDATE) k),
stored AS (
    INSERT INTO records (sync, side, id, checksum, updated_at, generation, keys, answered)
    SELECT $1, g.side, g.id, g.checksum, g.updated_at,
           CASE WHEN g.sight = 'answered' THEN 0 ELSE coalesce($3, (SELECT max(number) FROM runs), 0) END, g.keys,
           CASE g.sight WHEN 'answered' THEN g.checksum WHEN 'confirmed' THEN '' END
    FROM given g LEFT JOIN known k ON k.side = g.side AND k.id = g.id
    WHERE NOT g.filtered OR k.id IS NOT NULL
       OR (SELECT count(*) FROM (
               SELECT 1 FROM links WHERE g.side = 'a' AND state = 'active' AND sync = $1 AND a_id = g.id OFFSET 0) o) > 0
       OR (SELECT count(*) FROM (
               SELECT 1 FROM links WHERE g.side = 'b' AND state = 'active' AND sync = $1 AND b_id = g.id OFFSET 0) o) > 0
    ORDER BY g.side COLLATE \"C\", g.id COLLATE \"C\"
    ON CONFLICT (sync, side, id) DO UPDATE SET
        checksum = excluded.checksum, updated_at = excluded.updated_at, keys = excluded.keys,
        generation = greatest(records.generation, excluded.generation),
        answered = coalesce(excluded.answered, nullif(records.answered, excluded.checksum)))
SELECT g.side, g.id, k.checksum, k.keys, k.let_be, coalesce(la.id, lb.id) AS link,
       coalesce(la.a_checksum, lb.b_checksum) AS link_checksum, coalesce(k.ignored, false) AS ignored,
       CASE WHEN k.refused IS NOT NULL AND (
                SELECT count(*) FROM (VALUES ($1 || '/' || g.side || '/' || g.id), (coalesce(la.id, lb.id))) w (lane)
                CROSS JOIN LATERAL (
                    SELECT j.id FROM jobs j WHERE j.state = 'dead' AND j.lane = w.lane OFFSET 0) d) > 0
            THEN k.refused END AS refused,
       CASE WHEN coalesce(la.held, lb.held) IS NOT NULL AND (
                SELECT count(*) FROM (
                    SELECT 1 FROM conflicts c
                    WHERE c.id = coalesce(la.held, lb.held) ->> 'question' AND c.state = 'open' OFFSET 0) o) > 0
            THEN coalesce(la.held, lb.held) ->> 'state' END AS held,
       CASE WHEN coalesce(la.id, lb.id) IS NULL THEN k.updated_at ELSE coalesce(la.a_updated_at, lb.b_updated_at)
       END AS updated_at,
       coalesce(ra.both_alive, rb.both_alive) AS both_alive, coalesce(ra.looked_at, rb.looked_at) AS looked_at
FROM given g
LEFT JOIN known k ON k.side = g.side AND k.id = g.id
LEFT JOIN LATERAL (
    SELECT l.id, l.a_checksum, l.a_updated_at, CASE WHEN $3::bigint IS NOT NULL THEN l.a_memory::json -> 'held' END AS held FROM links l
    WHERE g.side = 'a' AND l.state = 'active' AND l.sync = $1 AND l.a_id = g.id OFFSET 0) la ON true
LEFT JOIN LATERAL (
    SELECT l.id, l.b_checksum, l.b_updated_at, CASE WHEN $3::bigint IS NOT NULL THEN l.b_memory::json -> 'held' END AS held FROM links l
    WHERE g.side = 'b' AND l.state = 'active' AND l.sync = $1 AND l.b_id = g.id OFFSET 0) lb ON true
LEFT JOIN LATERAL (
    SELECT (SELECT count(*) FROM (
                SELECT checksum FROM records WHERE id = l.b_id AND side = 'b' AND sync = $1 OFFSET 0) p
            WHERE coalesce(p.checksum, '') NOT LIKE 'gone:%') > 0
       AND (SELECT count(*) FROM (
                SELECT 1 FROM links WHERE state = 'active' AND sync = $1 AND b_id = l.b_id OFFSET 0) o) = 0
       AND NOT l.kept_apart
           AS both_alive, l.a_checksum AS looked_at
    FROM links l WHERE g.side = 'a' AND l.state = 'retired' AND l.sync = $1 AND l.a_id = g.id
    ORDER BY l.id DESC LIMIT 1) ra ON true
LEFT JOIN LATERAL (
    SELECT (SELECT count(*) FROM (
                SELECT checksum FROM records WHERE id = l.a_id AND side = 'a' AND sync = $1 OFFSET 0) p
            WHERE coalesce(p.checksum, '') NOT LIKE 'gone:%') > 0
       AND (SELECT count(*) FROM (
                SELECT 1 FROM links WHERE state = 'active' AND sync = $1 AND a_id = l.a_id OFFSET 0) o) = 0
       AND NOT l.kept_apart
           AS both_alive, l.b_checksum AS looked_at
    FROM links l WHERE g.side = 'b' AND l.state = 'retired' AND l.sync = $1 AND l.b_id = g.id
    ORDER BY l.id DESC LIMIT 1) rb ON true";

/// A record with the keys to be found by.
#[derive(Serialize)]
struct KeyedRow<'a> {
    side: Side,
    id: &'a str,
    keys: Vec<std::borrow::Cow<'a, str>>,
}

/// The records whose keys differ from those that were known, or that were not known: one of these may
/// have been stored meanwhile, with other keys.
fn rekeyed<'a>(
    latest: &Latest<'a>,
    wanted: &'a [Vec<String>],
    records: &[RecordRow<'_>],
    known: &KnownRecords,
) -> Vec<KeyedRow<'a>> {
    latest
        .keys()
        .zip(wanted)
        .zip(records)
        .filter(|(((side, id), _), row)| {
            let before = known.get(&(*side, (*id).to_owned()));
            let keys = before.and_then(|known| known.keys.as_deref());
            let is_linked = before.is_some_and(|known| known.link.is_some());
            let is_stored = !row.filtered || keys.is_some() || is_linked;
            is_stored && keys != Some(row.keys.as_str())
        })
        .map(|(((side, id), keys), _)| KeyedRow {
            side: *side,
            id,
            keys: keys.iter().map(|key| sql::key(key)).collect(),
        })
        .collect()
}

async fn store_keys(txn: &mut Txn, sync: &SyncName, keyed: &[KeyedRow<'_>]) -> Result<(), Failed> {
    if keyed.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = keyed.iter().map(|row| row.id).collect();
    let statement = sqlx::query(STORE_KEYS)
        .bind(sync.as_str())
        .bind(sql::json("key", keyed)?)
        .bind(ids);
    txn.run(statement).await.map(|_rows| ())
}

const STORE_KEYS: &str = "-- store_keys
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset($2::json) AS g (side text, id text, keys json)),
wanted AS MATERIALIZED (
    SELECT DISTINCT g.side, g.id, k.key FROM given g, json_array_elements_text(g.keys) AS k (key)),
dropped AS (
    DELETE FROM record_keys r
    WHERE r.id = ANY ($3::text[]) AND r.sync = $1
      AND (r.side, r.id) IN (SELECT g.side, g.id FROM given g)
      AND (r.side, r.id, r.key) NOT IN (SELECT w.side, w.id, w.key FROM wanted w))
INSERT INTO record_keys (sync, side, key, id)
SELECT $1, side, key, id FROM wanted
ON CONFLICT DO NOTHING";

#[derive(Serialize)]
struct GoneRow<'a> {
    side: Side,
    id: &'a str,
}

/// Removes records that are gone, so that nothing is matched with them.
pub(super) async fn forget(
    txn: &mut Txn,
    sync: &SyncName,
    gone: &[(Side, RecordId)],
) -> Result<(), Failed> {
    if gone.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = gone
        .iter()
        .map(|(_, record)| sql::plain(record.as_str()))
        .collect();
    let gone: Vec<GoneRow<'_>> = gone
        .iter()
        .map(|(side, record)| GoneRow {
            side: *side,
            id: record.as_str(),
        })
        .collect();
    let statement = sqlx::query(FORGET)
        .bind(sync.as_str())
        .bind(sql::json("record", &gone)?)
        .bind(ids);
    txn.run(statement).await.map(|_rows| ())
}

/// One that an operator said to leave alone stays known, should it come back.
const FORGET: &str = "-- forget_records
WITH gone AS MATERIALIZED (
    SELECT * FROM json_to_recordset($2::json) AS g (side text, id text)),
forgotten AS (
    DELETE FROM records r
    WHERE r.id = ANY ($3::text[]) AND r.sync = $1 AND NOT r.ignored
      AND (r.side, r.id) IN (SELECT g.side, g.id FROM gone g))
DELETE FROM record_keys k
WHERE k.id = ANY ($3::text[]) AND k.sync = $1
  AND (k.side, k.id) IN (SELECT g.side, g.id FROM gone g)";

/// Records that have any of the keys.
pub(super) async fn records_by_keys(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
    keys: &[String],
) -> Result<Vec<KnownRecord>, StoreError> {
    let keys: Vec<_> = keys.iter().map(|key| sql::key(key)).collect();
    let keys = sql::json("key", &keys)?;
    let args = (sync, side, keys);
    let found = alone::verb(pool, &args, |(sync, side, keys)| {
        let statement = match side {
            Side::A => sqlx::query(BY_KEYS_A),
            Side::B => sqlx::query(BY_KEYS_B),
        };
        statement.bind(sync.as_str()).bind(keys)
    });
    found
        .await?
        .iter()
        .map(|row| {
            Ok(KnownRecord {
                id: rows::record(row, "id")?,
                keys: rows::document(row, "keys")?,
                link: rows::parsed_opt(row, "link")?,
                ignored: rows::get(row, "ignored")?,
            })
        })
        .collect()
}

const BY_KEYS_A: &str = "-- records_by_keys_a
SELECT r.id, r.keys, r.ignored, l.id AS link
FROM (SELECT DISTINCT k.id FROM json_array_elements_text($2::json) AS w (key)
      CROSS JOIN LATERAL (
          SELECT id FROM record_keys WHERE key = w.key AND side = 'a' AND sync = $1 OFFSET 0) k) f
CROSS JOIN LATERAL (
    SELECT id, keys, ignored FROM records WHERE id = f.id AND side = 'a' AND sync = $1 OFFSET 0) r
LEFT JOIN LATERAL (
    SELECT id FROM links WHERE state = 'active' AND sync = $1 AND a_id = f.id OFFSET 0) l ON true
ORDER BY r.id";

const BY_KEYS_B: &str = "-- records_by_keys_b
SELECT r.id, r.keys, r.ignored, l.id AS link
FROM (SELECT DISTINCT k.id FROM json_array_elements_text($2::json) AS w (key)
      CROSS JOIN LATERAL (
          SELECT id FROM record_keys WHERE key = w.key AND side = 'b' AND sync = $1 OFFSET 0) k) f
CROSS JOIN LATERAL (
    SELECT id, keys, ignored FROM records WHERE id = f.id AND side = 'b' AND sync = $1 OFFSET 0) r
LEFT JOIN LATERAL (
    SELECT id FROM links WHERE state = 'active' AND sync = $1 AND b_id = f.id OFFSET 0) l ON true
ORDER BY r.id";

/// Which of these records a person has let be, or was asked about, and were last seen as they were then.
pub(super) async fn let_be(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
    records: &[RecordId],
) -> Result<Vec<RecordId>, StoreError> {
    let args = (sync, side, sql::json("record", records)?);
    let found = alone::verb(pool, &args, |(sync, side, records)| {
        let statement = sqlx::query(LET_BE).bind(sync.as_str());
        statement.bind(side.as_str()).bind(records)
    });
    let found = found.await?;
    found.iter().map(|row| rows::record(row, "id")).collect()
}

const LET_BE: &str = "-- records_let_be
SELECT r.id FROM json_array_elements_text($3::json) AS w (id)
CROSS JOIN LATERAL (
    SELECT id, checksum, let_be, refused = checksum || '@' || coalesce(updated_at::text, '') AS is_as_refused
    FROM records WHERE id = w.id AND side = $2 AND sync = $1 OFFSET 0) r
LEFT JOIN LATERAL (
    SELECT id FROM links WHERE $2 = 'a' AND state = 'active' AND sync = $1 AND a_id = r.id OFFSET 0) la ON true
LEFT JOIN LATERAL (
    SELECT id FROM links WHERE $2 = 'b' AND state = 'active' AND sync = $1 AND b_id = r.id OFFSET 0) lb ON true
WHERE r.let_be = r.checksum
   OR r.is_as_refused AND (
          SELECT count(*) FROM (VALUES ($1 || '/' || $2 || '/' || r.id), (coalesce(la.id, lb.id))) w (lane)
          CROSS JOIN LATERAL (
              SELECT j.id FROM jobs j WHERE j.state = 'dead' AND j.lane = w.lane OFFSET 0) d) > 0
ORDER BY r.id";

/// When the listing began that last showed a record in use.
pub(super) async fn listed_at(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<Option<Timestamp>, StoreError> {
    let args = (sync, side, record);
    let found = alone::verb(pool, &args, |(sync, side, record)| {
        sqlx::query(LISTED_AT)
            .bind(sync.as_str())
            .bind(side.as_str())
            .bind(sql::plain(record.as_str()))
    });
    let found = found.await?;
    found
        .first()
        .map(|row| rows::instant(row, "started_at"))
        .transpose()
}

const LISTED_AT: &str = "-- listed_at
SELECT n.started_at FROM records r JOIN runs n ON n.number = r.generation
WHERE r.sync = $1 AND r.side = $2 AND r.id = $3 AND r.checksum NOT LIKE 'gone:%'";

/// What only the answer to our last write to a record has shown.
pub(super) async fn answered_only(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<Option<String>, StoreError> {
    let args = (sync, side, record);
    let found = alone::verb(pool, &args, |(sync, side, record)| {
        sqlx::query(ANSWERED_ONLY)
            .bind(sync.as_str())
            .bind(side.as_str())
            .bind(sql::plain(record.as_str()))
    });
    let found = found.await?;
    found
        .first()
        .map(|row| rows::get(row, "answered"))
        .transpose()
}

const ANSWERED_ONLY: &str = "-- answered_only
SELECT answered FROM records WHERE sync = $1 AND side = $2 AND id = $3 AND answered <> ''";

/// Actively linked records that the generation has not shown.
pub(super) async fn unseen_records(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
    generation: i64,
    after: Option<&RecordId>,
    limit: usize,
) -> Result<Vec<RecordId>, StoreError> {
    let after = sql::plain(after.map_or("", RecordId::as_str));
    let args = (sync, side, generation, after, sql::limit(limit));
    let found = alone::verb(pool, &args, |(sync, side, generation, after, limit)| {
        let statement = match side {
            Side::A => sqlx::query(UNSEEN_A),
            Side::B => sqlx::query(UNSEEN_B),
        };
        statement
            .bind(sync.as_str())
            .bind(generation)
            .bind(after.as_ref())
            .bind(limit)
    });
    found
        .await?
        .iter()
        .map(|row| rows::record(row, "id"))
        .collect()
}

/// One that no listing has shown yet, because Tandem made it, counts as seen when its link was last
/// written.
const UNSEEN_A: &str = "-- unseen_records_a
SELECT l.a_id AS id FROM links l
LEFT JOIN LATERAL (
    SELECT generation FROM records WHERE id = l.a_id AND side = 'a' AND sync = $1 OFFSET 0) r ON true
WHERE l.state = 'active' AND l.sync = $1 AND l.a_id > $3
  AND coalesce(nullif(r.generation, 0) < $2, l.updated_at < coalesce((SELECT started_at FROM runs WHERE number = $2), l.updated_at + 1))
ORDER BY l.a_id LIMIT $4";

const UNSEEN_B: &str = "-- unseen_records_b
SELECT l.b_id AS id FROM links l
LEFT JOIN LATERAL (
    SELECT generation FROM records WHERE id = l.b_id AND side = 'b' AND sync = $1 OFFSET 0) r ON true
WHERE l.state = 'active' AND l.sync = $1 AND l.b_id > $3
  AND coalesce(nullif(r.generation, 0) < $2, l.updated_at < coalesce((SELECT started_at FROM runs WHERE number = $2), l.updated_at + 1))
ORDER BY l.b_id LIMIT $4";
