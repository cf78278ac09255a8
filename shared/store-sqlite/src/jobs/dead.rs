//! Dead letters. A record has one: a newer try that dies updates it, so that the one that was listed stays the
//! one to replay. It closes by itself when its record has synced since, and one that was discarded is not made
//! anew before its record changes. Nor do listings have tried again what was refused, while it waits and its record is as it was.
//!
//! The dead letter of a record may be older than its link: it is looked for in the lane of the link, and in
//! those of both records.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use tandem_domain::{ErrorCode, JobId, Timestamp};
use tandem_store::{ATTEMPTS_KEPT, Failure, Lease, StoreError};

use super::finish::log_attempts;
use super::waiting::{Waiting, end_merged};
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{rows, sql};

#[derive(Serialize)]
struct Dead<'a> {
    id: JobId,
    token: String,
    code: &'static str,
    chain: &'a [String],
}

/// Ends claimed jobs that wait for a person from now on. Returns which of them were held.
pub(crate) async fn park(
    txn: &mut Txn,
    dead: &[(Lease, Failure)],
    now: Timestamp,
) -> Result<HashSet<JobId>, StoreError> {
    if dead.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<Dead<'_>> = dead
        .iter()
        .map(|(lease, failure)| Dead {
            id: lease.job,
            token: lease.token.to_string(),
            code: failure.code.as_str(),
            chain: &failure.chain,
        })
        .collect();
    let statement = sqlx::query(PARK)
        .bind(sql::json("job", &rows)?)
        .bind(now.as_micros());
    let parked: Vec<Waiting> = txn
        .all(statement)
        .await?
        .iter()
        .map(Waiting::read)
        .collect::<Result<_, _>>()?;
    let failures: Vec<_> = dead
        .iter()
        .map(|(lease, failure)| (lease.job, failure, true))
        .collect();
    let held = log_attempts(txn, &parked, &failures, now).await?;
    keep_one_a_record(txn, &parked, now).await?;
    Ok(held)
}

const PARK: &str = "-- park_jobs
UPDATE jobs SET state = 'dead', ended_at = ?2, failure_code = f.value ->> 'code',
                failure_chain = f.value ->> 'chain', lease_token = NULL, lease_until = NULL, crashes = 0
FROM json_each(?1) f
WHERE jobs.id = f.value ->> 'id' AND jobs.lease_token = f.value ->> 'token'
RETURNING *";

/// Ends jobs that nobody holds any more.
pub(super) async fn bury(
    txn: &mut Txn,
    jobs: Vec<Waiting>,
    failure: &Failure,
    now: Timestamp,
) -> Result<(), StoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    let statement = sqlx::query(BURY)
        .bind(sql::json("job", &ids)?)
        .bind(now.as_micros())
        .bind(failure.code.as_str())
        .bind(sql::json("failure", &failure.chain)?);
    let buried: Vec<Waiting> = txn
        .all(statement)
        .await?
        .iter()
        .map(Waiting::read)
        .collect::<Result<_, _>>()?;
    let mut failures = Vec::with_capacity(buried.len());
    for job in &buried {
        failures.push((super::waiting::parse(&job.id)?, failure, true));
    }
    log_attempts(txn, &buried, &failures, now).await?;
    keep_one_a_record(txn, &buried, now).await
}

const BURY: &str = "-- bury_jobs
UPDATE jobs SET state = 'dead', ended_at = ?2, failure_code = ?3, failure_chain = ?4,
                lease_token = NULL, lease_until = NULL
WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'running'
RETURNING *";

/// Of jobs that have just died, those whose record has a dead letter already update that one, and those about
/// which a person was asked before are let be. The others are dead letters of their own.
async fn keep_one_a_record(
    txn: &mut Txn,
    dead: &[Waiting],
    now: Timestamp,
) -> Result<(), StoreError> {
    remember_refused(txn, dead).await?;
    let older = find_older(txn, dead).await?;
    let told: Vec<(&Waiting, String)> = dead
        .iter()
        .filter_map(|job| Some((job, older.get(&job.id)?.clone())))
        .collect();
    update_older(txn, &told, now).await?;
    let let_be = let_be(txn, dead, &older, now).await?;
    for job in dead {
        if !older.contains_key(&job.id) && !let_be.contains(&job.id) {
            txn.tally.add(&job.sync, Counter::Dead, 1);
        }
    }
    Ok(())
}

/// What was refused is not tried again before its record changes: how the records are is remembered. What failed for another
/// reason may work at any moment.
async fn remember_refused(txn: &mut Txn, dead: &[Waiting]) -> Result<(), StoreError> {
    let ids: Vec<&str> = dead.iter().map(|job| job.id.as_str()).collect();
    let statement = sqlx::query(REMEMBER_REFUSED)
        .bind(sql::json("job", &ids)?)
        .bind(ErrorCode::Refused.as_str());
    txn.run(statement).await?;
    Ok(())
}

const REMEMBER_REFUSED: &str = "-- remember_refused
WITH dead AS MATERIALIZED (
    SELECT d.sync, d.side, d.record, d.lane, d.failure_code = ?2 AS is_refused FROM json_each(?1) j CROSS JOIN jobs d
    WHERE d.id = j.value AND d.kind = 'reconcile'
)
UPDATE records SET refused = CASE WHEN m.is_refused THEN checksum || '@' || coalesce(updated_at, '') END
FROM (SELECT sync, side, record AS id, is_refused FROM dead
      UNION SELECT l.sync, 'a', l.a_id, is_refused FROM dead CROSS JOIN links l WHERE l.id = dead.lane
      UNION SELECT l.sync, 'b', l.b_id, is_refused FROM dead CROSS JOIN links l WHERE l.id = dead.lane) m
WHERE records.sync = m.sync AND records.side = m.side AND records.id = m.id";

#[derive(Serialize)]
struct Place<'a> {
    id: &'a str,
    lane: &'a str,
}

fn places(jobs: &[Waiting]) -> Vec<Place<'_>> {
    jobs.iter()
        .map(|job| Place {
            id: &job.id,
            lane: &job.lane,
        })
        .collect()
}

/// The oldest dead letter of the record of each job, where it has one.
async fn find_older(
    txn: &mut Txn,
    dead: &[Waiting],
) -> Result<HashMap<String, String>, StoreError> {
    let statement = sqlx::query(OLDER).bind(sql::json("job", &places(dead))?);
    txn.all(statement)
        .await?
        .iter()
        .map(|row| Ok((rows::get(row, "newer")?, rows::get(row, "older")?)))
        .collect()
}

const OLDER: &str = "-- older_dead_jobs
SELECT n.value ->> 'id' AS newer, min(d.id) AS older
FROM json_each(?1) n
LEFT JOIN links l ON l.id = n.value ->> 'lane'
JOIN jobs d ON d.state = 'dead'
  AND d.lane IN (n.value ->> 'lane', l.sync || '/a/' || l.a_id, l.sync || '/b/' || l.b_id)
WHERE d.id NOT IN (SELECT value ->> 'id' FROM json_each(?1))
GROUP BY n.value ->> 'id'";

#[derive(Serialize)]
struct Told<'a> {
    newer: &'a str,
    older: &'a str,
}

/// The older says what the newer would, and keeps its id and the history of both.
async fn update_older(
    txn: &mut Txn,
    told: &[(&Waiting, String)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if told.is_empty() {
        return Ok(());
    }
    let rows: Vec<Told<'_>> = told
        .iter()
        .map(|(newer, older)| Told {
            newer: &newer.id,
            older,
        })
        .collect();
    let rows = sql::json("job", &rows)?;
    let update = sqlx::query(UPDATE_OLDER)
        .bind(rows.clone())
        .bind(now.as_micros());
    txn.run(update).await?;
    txn.run(sqlx::query(HAND_OVER_ATTEMPTS).bind(rows.clone()))
        .await?;
    let trim = sqlx::query(TRIM_ATTEMPTS).bind(rows).bind(ATTEMPTS_KEPT);
    txn.run(trim).await?;
    end_merged(txn, told, now).await
}

const UPDATE_OLDER: &str = "-- update_older_dead_jobs
UPDATE jobs SET ended_at = ?2, lane = n.lane, class = min(jobs.class, n.class), attempt = n.attempt,
                merged = jobs.merged + n.merged + 1, failure_code = n.failure_code,
                failure_chain = n.failure_chain, edits = coalesce(n.edits, jobs.edits),
                edited_a = max(coalesce(jobs.edited_a, n.edited_a), coalesce(n.edited_a, jobs.edited_a)),
                edited_b = max(coalesce(jobs.edited_b, n.edited_b), coalesce(n.edited_b, jobs.edited_b))
FROM json_each(?1) t CROSS JOIN jobs n
WHERE n.id = t.value ->> 'newer' AND jobs.id = t.value ->> 'older' AND jobs.state = 'dead'";

const HAND_OVER_ATTEMPTS: &str = "-- hand_over_attempts
UPDATE job_attempts SET job = t.value ->> 'older'
FROM json_each(?1) t WHERE job_attempts.job = t.value ->> 'newer' AND job_attempts.counted = 1";

const TRIM_ATTEMPTS: &str = "-- trim_attempts
DELETE FROM job_attempts WHERE seq IN (
    SELECT a.seq FROM json_each(?1) t CROSS JOIN job_attempts a
    WHERE a.job = t.value ->> 'older'
      AND a.seq <= (SELECT k.seq FROM job_attempts k WHERE k.job = t.value ->> 'older'
                    ORDER BY k.seq DESC LIMIT 1 OFFSET ?2))";

/// Those about records that a person has settled by discarding, and that have not changed since. An event or
/// a person is a reason to ask again; that a listing showed the same is none.
async fn let_be(
    txn: &mut Txn,
    dead: &[Waiting],
    older: &HashMap<String, String>,
    now: Timestamp,
) -> Result<HashSet<String>, StoreError> {
    let ids: Vec<&str> = dead
        .iter()
        .filter(|job| !older.contains_key(&job.id))
        .map(|job| job.id.as_str())
        .collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = sqlx::query(LET_BE)
        .bind(sql::json("job", &ids)?)
        .bind(now.as_micros());
    txn.all(statement)
        .await?
        .iter()
        .map(|row| rows::get(row, "id"))
        .collect()
}

const LET_BE: &str = "-- let_be
UPDATE jobs SET state = 'discarded', ended_at = ?2,
                note = 'let be: it was discarded before, and its record has not changed since'
WHERE id IN (SELECT value FROM json_each(?1)) AND kind = 'reconcile'
  AND cause IN ('poll', 'backfill', 'schedule')
  AND EXISTS (SELECT 1 FROM records r WHERE r.sync = jobs.sync AND r.side = jobs.side AND r.id = jobs.record
                AND r.let_be = r.checksum)
RETURNING id";

/// A job that ended with its record settled.
#[derive(Serialize)]
pub(super) struct Settled {
    id: String,
    lane: String,
}

impl Settled {
    /// Reads the two from a row of `jobs`.
    pub(super) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: rows::get(row, "id")?,
            lane: rows::get(row, "lane")?,
        })
    }
}

/// Closes the dead letters of records that have synced since. One that holds values of an operator stays:
/// nothing has written those.
pub(super) async fn heal(
    txn: &mut Txn,
    settled: &[Settled],
    now: Timestamp,
) -> Result<(), StoreError> {
    if settled.is_empty() || txn.first(sqlx::query(ANY_DEAD)).await?.is_none() {
        return Ok(());
    }
    let statement = sqlx::query(HEAL)
        .bind(sql::json("job", settled)?)
        .bind(now.as_micros());
    for row in txn.all(statement).await? {
        let sync: String = rows::get(&row, "sync")?;
        txn.tally.add(&sync, Counter::Healed, 1);
        txn.tally.add(&sync, Counter::DoneRows, 1);
    }
    Ok(())
}

const ANY_DEAD: &str = "-- any_dead_job
SELECT 1 AS found FROM jobs WHERE state = 'dead' LIMIT 1";

const HEAL: &str = "-- heal_dead_jobs
UPDATE jobs SET state = 'done', ended_at = ?2, note = 'healed: its record has synced since, by ' || h.healer
FROM (SELECT d.id AS dead, max(s.value ->> 'id') AS healer
      FROM json_each(?1) s
      LEFT JOIN links l ON l.id = s.value ->> 'lane'
      JOIN jobs d ON d.state = 'dead' AND d.edits IS NULL
        AND d.lane IN (s.value ->> 'lane', l.sync || '/a/' || l.a_id, l.sync || '/b/' || l.b_id)
      GROUP BY d.id) h
WHERE jobs.id = h.dead
RETURNING sync";

/// Discards dead jobs, and marks their records as they are now, and those linked with them.
pub(super) async fn discard(
    txn: &mut Txn,
    ids: &[JobId],
    reason: &str,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let ids = sql::json("job", ids)?;
    let mark = sqlx::query(MARK_AS_SETTLED).bind(ids.clone());
    txn.run(mark).await?;
    let statement = sqlx::query(DISCARD)
        .bind(ids)
        .bind(reason.to_owned())
        .bind(now.as_micros());
    txn.run(statement).await
}

const DISCARD: &str = "-- discard_jobs
UPDATE jobs SET state = 'discarded', note = ?2, ended_at = ?3
WHERE state = 'dead' AND id IN (SELECT value FROM json_each(?1))";

const MARK_AS_SETTLED: &str = "-- mark_as_settled
WITH dead AS MATERIALIZED (
    SELECT d.sync, d.side, d.record, d.lane FROM json_each(?1) j CROSS JOIN jobs d
    WHERE d.id = j.value AND d.state = 'dead' AND d.kind = 'reconcile'
)
UPDATE records SET let_be = checksum
FROM (SELECT sync, side, record AS id FROM dead
      UNION SELECT l.sync, 'a', l.a_id FROM dead CROSS JOIN links l WHERE l.id = dead.lane
      UNION SELECT l.sync, 'b', l.b_id FROM dead CROSS JOIN links l WHERE l.id = dead.lane) m
WHERE records.sync = m.sync AND records.side = m.side AND records.id = m.id";
