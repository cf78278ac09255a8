//! What each side was last seen to hold. The keys are in a table of their own, written only when
//! they change, which is seldom.

use std::collections::HashMap;

use serde::Serialize;
use tandem_domain::{LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    IndexedRecord, KnownRecord, NewJob, SeenRecord, Sight, StoreError, says_filtered,
};

use crate::jobs::enqueue::enqueue;
use crate::watch::Readers;
use crate::writer::Txn;
use crate::{rows, sql};

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

#[derive(Serialize)]
struct RecordRow<'a> {
    side: Side,
    id: &'a str,
    keys: String,
    checksum: &'a str,
    updated_at: Option<i64>,
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
    listing: Listing,
) -> Result<Vec<SeenRecord>, StoreError> {
    let side = listing.side;
    let records: Vec<(Side, IndexedRecord)> = listing
        .records
        .into_iter()
        .map(|record| (side, record))
        .collect();
    let mut known = known(txn, &listing.sync, &records).await?;
    let (kept, generation) = (kept(&records, &known), Some(listing.generation));
    store(txn, &listing.sync, &kept, &known, generation).await?;
    let mut seen: Vec<SeenRecord> = records
        .into_iter()
        .enumerate()
        .map(|(place, (side, record))| {
            let job = listing.jobs.get(place);
            let before = known.get_mut(&(side, record.id.as_str().to_owned()));
            SeenRecord {
                link: before.as_ref().and_then(|before| before.link),
                retired: before.as_ref().is_some_and(|before| is_retired(before)),
                ignored: before.as_ref().is_some_and(|before| before.ignored),
                unchanged: before.map_or(record.filtered, |before| {
                    is_unchanged(before, &record) || is_let_be(before, &record, job)
                }),
                id: record.id,
                job: None,
            }
        })
        .collect();
    let (changed, jobs): (Vec<&mut SeenRecord>, Vec<NewJob>) = seen
        .iter_mut()
        .zip(listing.jobs)
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
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let known = known(txn, sync, records).await?;
    store(txn, sync, &kept(records, &known), &known, None).await
}

/// What is stored of what was seen: of a record that the filters leave out only what is known, or linked.
fn kept<'a>(
    records: &'a [(Side, IndexedRecord)],
    known: &KnownRecords,
) -> Vec<&'a (Side, IndexedRecord)> {
    let is_known = |side: Side, id: &RecordId| {
        let before = known.get(&(side, id.as_str().to_owned()));
        before.is_some_and(|before| before.keys.is_some() || before.link.is_some())
    };
    let kept = records
        .iter()
        .filter(|(side, record)| !record.filtered || is_known(*side, &record.id));
    kept.collect()
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

async fn known(
    txn: &mut Txn,
    sync: &SyncName,
    records: &[(Side, IndexedRecord)],
) -> Result<KnownRecords, StoreError> {
    let ids: Vec<(Side, &RecordId)> = records
        .iter()
        .map(|(side, record)| (*side, &record.id))
        .collect();
    let statement = sqlx::query(KNOWN)
        .bind(sync.as_str().to_owned())
        .bind(sql::json("record", &ids)?);
    txn.all(statement)
        .await?
        .iter()
        .map(|row| {
            let known = Known {
                checksum: rows::get(row, "checksum")?,
                keys: rows::get(row, "keys")?,
                link: rows::parsed_opt(row, "link")?,
                link_checksum: rows::get(row, "link_checksum")?,
                updated_at: rows::instant_opt(row, "updated_at")?,
                ignored: rows::get(row, "ignored")?,
                both_alive: rows::get(row, "both_alive")?,
                looked_at: rows::get(row, "looked_at")?,
                let_be: rows::get(row, "let_be")?,
                refused: rows::get(row, "refused")?,
                held: rows::get(row, "held")?,
            };
            Ok(((rows::parsed(row, "side")?, rows::get(row, "id")?), known))
        })
        .collect()
}

const KNOWN: &str = "-- known_records
SELECT s.value ->> 0 AS side, s.value ->> 1 AS id, r.checksum, r.keys, r.let_be, coalesce(la.id, lb.id) AS link,
       coalesce(la.a_checksum, lb.b_checksum) AS link_checksum, coalesce(r.ignored, 0) AS ignored,
       CASE WHEN r.refused IS NOT NULL AND EXISTS (
           SELECT 1 FROM jobs d WHERE d.state = 'dead'
             AND d.lane IN (?1 || '/' || (s.value ->> 0) || '/' || (s.value ->> 1), coalesce(la.id, lb.id)))
       THEN r.refused END AS refused,
       CASE WHEN EXISTS (
           SELECT 1 FROM conflicts c WHERE c.state = 'open'
             AND c.id = coalesce(la.a_memory, lb.b_memory) ->> '$.held.question')
       THEN coalesce(la.a_memory, lb.b_memory) ->> '$.held.state' END AS held,
       CASE WHEN coalesce(la.id, lb.id) IS NULL THEN r.updated_at ELSE coalesce(la.a_updated_at, lb.b_updated_at)
       END AS updated_at,
       CASE WHEN s.value ->> 0 = 'a' THEN (
           SELECT EXISTS (SELECT 1 FROM records p WHERE p.sync = ?1 AND p.side = 'b' AND p.id = l.b_id
                            AND coalesce(p.checksum, '') NOT LIKE 'gone:%')
              AND NOT EXISTS (SELECT 1 FROM links o WHERE o.state = 'active' AND o.sync = ?1 AND o.b_id = l.b_id)
              AND l.kept_apart = 0
           FROM links l WHERE l.state = 'retired' AND l.sync = ?1 AND l.a_id = s.value ->> 1
           ORDER BY l.id DESC LIMIT 1)
       ELSE (
           SELECT EXISTS (SELECT 1 FROM records p WHERE p.sync = ?1 AND p.side = 'a' AND p.id = l.a_id
                            AND coalesce(p.checksum, '') NOT LIKE 'gone:%')
              AND NOT EXISTS (SELECT 1 FROM links o WHERE o.state = 'active' AND o.sync = ?1 AND o.a_id = l.a_id)
              AND l.kept_apart = 0
           FROM links l WHERE l.state = 'retired' AND l.sync = ?1 AND l.b_id = s.value ->> 1
           ORDER BY l.id DESC LIMIT 1)
       END AS both_alive,
       CASE WHEN s.value ->> 0 = 'a' THEN (
           SELECT l.a_checksum FROM links l WHERE l.state = 'retired' AND l.sync = ?1 AND l.a_id = s.value ->> 1
           ORDER BY l.id DESC LIMIT 1)
       ELSE (
           SELECT l.b_checksum FROM links l WHERE l.state = 'retired' AND l.sync = ?1 AND l.b_id = s.value ->> 1
           ORDER BY l.id DESC LIMIT 1)
       END AS looked_at
FROM json_each(?2) s
LEFT JOIN records r ON r.sync = ?1 AND r.side = s.value ->> 0 AND r.id = s.value ->> 1
LEFT JOIN links la ON s.value ->> 0 = 'a' AND la.state = 'active' AND la.sync = ?1
                  AND la.a_id = s.value ->> 1
LEFT JOIN links lb ON s.value ->> 0 = 'b' AND lb.state = 'active' AND lb.sync = ?1
                  AND lb.b_id = s.value ->> 1";

async fn store(
    txn: &mut Txn,
    sync: &SyncName,
    records: &[&(Side, IndexedRecord)],
    known: &KnownRecords,
    generation: Option<i64>,
) -> Result<(), StoreError> {
    let mut all = Vec::with_capacity(records.len());
    let mut rekeyed: HashMap<(Side, &str), Vec<String>> = HashMap::new();
    for (side, record) in records.iter().copied() {
        let before = known.get(&(*side, record.id.as_str().to_owned()));
        let before = before.and_then(|known| known.keys.as_deref());
        let wanted = match before {
            Some(known) if record.in_part => record.keys_with(rows::parsed_keys(known)?),
            Some(_) | None => record.keys.clone(),
        };
        let keys = sql::json("key", &wanted)?;
        let place = (*side, record.id.as_str());
        if before.unwrap_or("[]") != keys || rekeyed.contains_key(&place) {
            rekeyed.insert(place, wanted);
        }
        all.push(RecordRow {
            side: *side,
            id: record.id.as_str(),
            keys,
            checksum: &record.checksum,
            updated_at: record.updated_at.map(Timestamp::as_micros),
            sight: record.sight,
        });
    }
    let statement = sqlx::query(STORE)
        .bind(sync.as_str().to_owned())
        .bind(sql::json("record", &all)?)
        .bind(generation);
    txn.run(statement).await?;
    if !rekeyed.is_empty() {
        let keyed: Vec<(Side, &str, Vec<String>)> = rekeyed
            .into_iter()
            .map(|((side, id), keys)| (side, id, keys))
            .collect();
        store_keys(txn, sync, &sql::json("key", &keyed)?).await?;
    }
    Ok(())
}

const STORE: &str = "-- store_records
INSERT INTO records (sync, side, id, checksum, updated_at, generation, keys, answered)
SELECT ?1, value ->> 'side', value ->> 'id', value ->> 'checksum', value ->> 'updated_at',
       CASE WHEN value ->> 'sight' = 'answered' THEN 0 ELSE coalesce(?3, (SELECT max(number) FROM runs), 0) END,
       value ->> 'keys',
       CASE value ->> 'sight' WHEN 'answered' THEN value ->> 'checksum' WHEN 'confirmed' THEN '' END
FROM json_each(?2) WHERE true
ON CONFLICT (sync, side, id) DO UPDATE SET
    checksum = excluded.checksum, updated_at = excluded.updated_at, keys = excluded.keys,
    generation = max(records.generation, excluded.generation),
    answered = coalesce(excluded.answered, nullif(records.answered, excluded.checksum))";

async fn store_keys(txn: &mut Txn, sync: &SyncName, keyed: &str) -> Result<(), StoreError> {
    for text in [DROP_KEYS, ADD_KEYS] {
        let statement = sqlx::query(text)
            .bind(sync.as_str().to_owned())
            .bind(keyed.to_owned());
        txn.run(statement).await?;
    }
    Ok(())
}

const DROP_KEYS: &str = "-- drop_keys
DELETE FROM record_keys WHERE sync = ?1
  AND (side, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))";

const ADD_KEYS: &str = "-- add_keys
INSERT INTO record_keys (sync, side, key, id)
SELECT ?1, r.value ->> 0, k.value, r.value ->> 1
FROM json_each(?2) r JOIN json_each(r.value ->> 2) k WHERE true
ON CONFLICT DO NOTHING";

/// Removes a record that is gone.
pub(super) async fn forget(
    txn: &mut Txn,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<(), StoreError> {
    for text in [FORGET_KEYS, FORGET_RECORD] {
        let statement = sqlx::query(text)
            .bind(sync.as_str().to_owned())
            .bind(side.as_str())
            .bind(record.as_str().to_owned());
        txn.run(statement).await?;
    }
    Ok(())
}

const FORGET_KEYS: &str = "-- forget_keys
DELETE FROM record_keys WHERE sync = ?1 AND side = ?2 AND id = ?3";

/// One that an operator said to leave alone stays known, should it come back.
const FORGET_RECORD: &str = "-- forget_record
DELETE FROM records WHERE sync = ?1 AND side = ?2 AND id = ?3 AND ignored = 0";

/// Records that have any of the keys.
pub(super) async fn records_by_keys(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
    keys: &[String],
) -> Result<Vec<KnownRecord>, StoreError> {
    let statement = match side {
        Side::A => sqlx::query(BY_KEYS_A),
        Side::B => sqlx::query(BY_KEYS_B),
    };
    let statement = statement
        .bind(sync.as_str().to_owned())
        .bind(sql::json("key", keys)?);
    sql::all(readers, statement)
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

/// `CROSS` fixes the order: left to itself, SQLite walks the whole side and looks each record up among
/// the keys that are wanted.
const BY_KEYS_A: &str = "-- records_by_keys_a
SELECT r.id, r.keys, r.ignored, l.id AS link
FROM (SELECT DISTINCT k.id FROM json_each(?2) w
      CROSS JOIN record_keys k ON k.sync = ?1 AND k.side = 'a' AND k.key = w.value) f
CROSS JOIN records r ON r.sync = ?1 AND r.side = 'a' AND r.id = f.id
LEFT JOIN links l ON l.state = 'active' AND l.sync = ?1 AND l.a_id = r.id
ORDER BY r.id";

const BY_KEYS_B: &str = "-- records_by_keys_b
SELECT r.id, r.keys, r.ignored, l.id AS link
FROM (SELECT DISTINCT k.id FROM json_each(?2) w
      CROSS JOIN record_keys k ON k.sync = ?1 AND k.side = 'b' AND k.key = w.value) f
CROSS JOIN records r ON r.sync = ?1 AND r.side = 'b' AND r.id = f.id
LEFT JOIN links l ON l.state = 'active' AND l.sync = ?1 AND l.b_id = r.id
ORDER BY r.id";

/// Which of these records a person has let be, or was asked about, and were last seen as they were then.
pub(super) async fn let_be(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
    records: &[RecordId],
) -> Result<Vec<RecordId>, StoreError> {
    let statement = sqlx::query(LET_BE)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(sql::json("record", records)?);
    let found = sql::all(readers, statement).await?;
    found.iter().map(|row| rows::record(row, "id")).collect()
}

const LET_BE: &str = "-- records_let_be
SELECT r.id FROM json_each(?3) w
CROSS JOIN records r ON r.sync = ?1 AND r.side = ?2 AND r.id = w.value
WHERE r.let_be = r.checksum
   OR (r.refused = r.checksum || '@' || coalesce(r.updated_at, '') AND EXISTS (
           SELECT 1 FROM jobs d WHERE d.state = 'dead' AND d.lane IN (
               r.sync || '/' || r.side || '/' || r.id,
               (SELECT l.id FROM links l WHERE r.side = 'a' AND l.state = 'active' AND l.sync = r.sync AND l.a_id = r.id),
               (SELECT l.id FROM links l WHERE r.side = 'b' AND l.state = 'active' AND l.sync = r.sync AND l.b_id = r.id))))
ORDER BY r.id";

/// When the listing began that last showed a record in use.
pub(super) async fn listed_at(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<Option<Timestamp>, StoreError> {
    let statement = sqlx::query(LISTED_AT)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(record.as_str().to_owned());
    let row = sql::first(readers, statement).await?;
    row.as_ref()
        .map(|row| rows::instant(row, "started_at"))
        .transpose()
}

const LISTED_AT: &str = "-- listed_at
SELECT n.started_at FROM records r JOIN runs n ON n.number = r.generation
WHERE r.sync = ?1 AND r.side = ?2 AND r.id = ?3 AND r.checksum NOT LIKE 'gone:%'";

/// What only the answer to our last write to a record has shown.
pub(super) async fn answered_only(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<Option<String>, StoreError> {
    let statement = sqlx::query(ANSWERED_ONLY)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(record.as_str().to_owned());
    let row = sql::first(readers, statement).await?;
    row.as_ref()
        .map(|row| rows::get(row, "answered"))
        .transpose()
}

const ANSWERED_ONLY: &str = "-- answered_only
SELECT answered FROM records WHERE sync = ?1 AND side = ?2 AND id = ?3 AND answered <> ''";

/// Actively linked records that the generation has not shown.
pub(super) async fn unseen_records(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
    generation: i64,
    after: Option<&RecordId>,
    limit: usize,
) -> Result<Vec<RecordId>, StoreError> {
    let statement = match side {
        Side::A => sqlx::query(UNSEEN_A),
        Side::B => sqlx::query(UNSEEN_B),
    };
    let statement = statement
        .bind(sync.as_str().to_owned())
        .bind(generation)
        .bind(after.map_or_else(String::new, |id| id.as_str().to_owned()))
        .bind(sql::limit(limit));
    sql::all(readers, statement)
        .await?
        .iter()
        .map(|row| rows::record(row, "id"))
        .collect()
}

/// One that no listing has shown yet, because Tandem made it, counts as seen when its link was last
/// written.
const UNSEEN_A: &str = "-- unseen_records_a
SELECT l.a_id AS id FROM links l
LEFT JOIN records r ON r.sync = ?1 AND r.side = 'a' AND r.id = l.a_id
WHERE l.state = 'active' AND l.sync = ?1 AND l.a_id > ?3
  AND coalesce(nullif(r.generation, 0) < ?2, l.updated_at < coalesce((SELECT started_at FROM runs WHERE number = ?2), l.updated_at + 1))
ORDER BY l.a_id LIMIT ?4";

const UNSEEN_B: &str = "-- unseen_records_b
SELECT l.b_id AS id FROM links l
LEFT JOIN records r ON r.sync = ?1 AND r.side = 'b' AND r.id = l.b_id
WHERE l.state = 'active' AND l.sync = ?1 AND l.b_id > ?3
  AND coalesce(nullif(r.generation, 0) < ?2, l.updated_at < coalesce((SELECT started_at FROM runs WHERE number = ?2), l.updated_at + 1))
ORDER BY l.b_id LIMIT ?4";
