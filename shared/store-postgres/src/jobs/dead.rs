//! Dead letters. A record has one: a newer try that dies updates it, so that the one that was listed stays the
//! one to replay. It closes by itself when its record has synced since, and one that was discarded is not made
//! anew before its record changes. Nor do listings have tried again what was refused, while it waits and its record is as it was.
//!
//! The dead letter of a record may be older than its link: it is looked for in the lane of the link, and in
//! those of both records.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::postgres::PgRow;
use tandem_domain::{ErrorCode, JobId, LeaseToken, Timestamp};
use tandem_store::{ATTEMPTS_KEPT, Failure, Lease, StoreError};

use super::finish::log_attempts;
use super::waiting::{Waiting, end_merged};
use crate::sql::Failed;
use crate::tally::Counter;
use crate::txn::Txn;
use crate::{rows, sql};

#[derive(Serialize)]
struct Dead<'a> {
    id: JobId,
    token: LeaseToken,
    code: &'static str,
    chain: &'a [String],
}

/// Ends claimed jobs that wait for a person from now on. Returns which of them were held.
pub(crate) async fn park(
    txn: &mut Txn,
    dead: &[(Lease, Failure)],
    now: Timestamp,
) -> Result<HashSet<JobId>, Failed> {
    if dead.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<Dead<'_>> = dead
        .iter()
        .map(|(lease, failure)| Dead {
            id: lease.job,
            token: lease.token,
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
        .collect::<Result<_, StoreError>>()?;
    let failures: Vec<_> = dead
        .iter()
        .map(|(lease, failure)| (lease.job, failure, true))
        .collect();
    let held = log_attempts(txn, &parked, &failures, now).await?;
    keep_one_a_record(txn, &parked, now).await?;
    Ok(held)
}

const PARK: &str = "-- park_jobs
UPDATE jobs SET state = 'dead', ended_at = $2, failure_code = f.code, failure_chain = f.chain,
                lease_token = NULL, lease_until = NULL, crashes = 0
FROM json_to_recordset($1::json) AS f (id text, token text, code text, chain text)
WHERE jobs.id = f.id AND jobs.lease_token = f.token
RETURNING jobs.*";

/// Ends jobs that nobody holds any more.
pub(super) async fn bury(
    txn: &mut Txn,
    jobs: Vec<Waiting>,
    failure: &Failure,
    now: Timestamp,
) -> Result<(), Failed> {
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
        .collect::<Result<_, StoreError>>()?;
    let mut failures = Vec::with_capacity(buried.len());
    for job in &buried {
        failures.push((super::waiting::parse(&job.id)?, failure, true));
    }
    log_attempts(txn, &buried, &failures, now).await?;
    keep_one_a_record(txn, &buried, now).await
}

const BURY: &str = "-- bury_jobs
UPDATE jobs SET state = 'dead', ended_at = $2, failure_code = $3, failure_chain = $4,
                lease_token = NULL, lease_until = NULL
WHERE id = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND lease_token IS NOT NULL
RETURNING *";

/// Of jobs that have just died, those whose record has a dead letter already update that one, and those about
/// which a person was asked before are let be. The others are dead letters of their own.
async fn keep_one_a_record(txn: &mut Txn, dead: &[Waiting], now: Timestamp) -> Result<(), Failed> {
    remember_refused(txn, dead).await?;
    let mut older = find_older(txn, dead).await?;
    let told: Vec<(&Waiting, String)> = dead
        .iter()
        .filter_map(|job| Some((job, older.get(&job.id)?.clone())))
        .collect();
    let taken = update_older(txn, &told, now).await?;
    older.retain(|newer, _| taken.contains(newer));
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
async fn remember_refused(txn: &mut Txn, dead: &[Waiting]) -> Result<(), Failed> {
    let ids: Vec<&str> = dead.iter().map(|job| job.id.as_str()).collect();
    let statement = sqlx::query(REMEMBER_REFUSED)
        .bind(sql::json("job", &ids)?)
        .bind(ErrorCode::Refused.as_str());
    txn.run(statement).await.map(|_rows| ())
}

const REMEMBER_REFUSED: &str = "-- remember_refused
WITH dead AS MATERIALIZED (
    SELECT j.sync, j.side, j.record, j.lane, j.failure_code = $2 AS is_refused FROM jobs j
    WHERE j.kind || '' = 'reconcile' AND j.id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
),
marked AS MATERIALIZED (
    SELECT d.sync, d.side, d.record AS id, d.is_refused FROM dead d
    UNION SELECT l.sync, 'a', l.a_id, d.is_refused FROM dead d JOIN links l ON l.id = d.lane WHERE l.a_id IS NOT NULL
    UNION SELECT l.sync, 'b', l.b_id, d.is_refused FROM dead d JOIN links l ON l.id = d.lane WHERE l.b_id IS NOT NULL
)
UPDATE records SET refused = CASE WHEN m.is_refused
                                  THEN records.checksum || '@' || coalesce(records.updated_at::text, '') END
FROM (SELECT * FROM marked ORDER BY sync, side, id) m
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
async fn find_older(txn: &mut Txn, dead: &[Waiting]) -> Result<HashMap<String, String>, Failed> {
    let statement = sqlx::query(OLDER).bind(sql::json("job", &places(dead))?);
    txn.all(statement)
        .await?
        .iter()
        .map(|row| Ok((rows::get(row, "newer")?, rows::get(row, "older")?)))
        .collect()
}

const OLDER: &str = "-- older_dead_jobs
WITH newer AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS n (id text, lane text)
)
SELECT n.id AS newer, min(d.id) AS older
FROM newer n
CROSS JOIN LATERAL (
    SELECT n.lane
    UNION ALL SELECT l.sync || '/a/' || l.a_id FROM links l WHERE l.id = n.lane
    UNION ALL SELECT l.sync || '/b/' || l.b_id FROM links l WHERE l.id = n.lane) w (lane)
CROSS JOIN LATERAL (
    SELECT j.id FROM jobs j WHERE j.state = 'dead' AND j.lane = w.lane OFFSET 0) d
WHERE d.id NOT IN (SELECT id FROM newer)
GROUP BY n.id";

#[derive(Serialize)]
struct Told<'a> {
    newer: &'a str,
    older: &'a str,
    #[serde(flatten)]
    says: &'a Waiting,
}

/// The older says what the newer would, and keeps its id and the history of both. Returns the newer ones whose older
/// was still dead: one that somebody has replayed meanwhile may have ended, and says nothing for another.
async fn update_older(
    txn: &mut Txn,
    told: &[(&Waiting, String)],
    now: Timestamp,
) -> Result<HashSet<String>, Failed> {
    if told.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = sql::json("job", &tellings(told))?;
    let update = sqlx::query(UPDATE_OLDER).bind(rows).bind(now.as_micros());
    let taken: HashSet<String> = txn
        .all(update)
        .await?
        .iter()
        .map(|row| rows::get(row, "newer"))
        .collect::<Result<_, StoreError>>()?;
    let told: Vec<(&Waiting, String)> = told
        .iter()
        .filter(|(newer, _)| taken.contains(&newer.id))
        .cloned()
        .collect();
    let rows = sql::json("job", &tellings(&told))?;
    txn.run(sqlx::query(HAND_OVER_ATTEMPTS).bind(rows.clone()))
        .await?;
    let trim = sqlx::query(TRIM_ATTEMPTS).bind(rows).bind(ATTEMPTS_KEPT);
    txn.run(trim).await?;
    end_merged(txn, &told, now).await?;
    Ok(taken)
}

fn tellings<'t>(told: &'t [(&Waiting, String)]) -> Vec<Told<'t>> {
    told.iter()
        .map(|(newer, older)| Told {
            newer: &newer.id,
            older,
            says: newer,
        })
        .collect()
}

/// One that is being replayed at this moment is waited for, and then left out.
const UPDATE_OLDER: &str = "-- update_older_dead_jobs
WITH n AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS n (
        newer text, older text, lane text, class bigint, attempt bigint, merged bigint, failure_code text,
        failure_chain text, edits text, edited_a bigint, edited_b bigint)
)
UPDATE jobs SET ended_at = $2, lane = n.lane, class = least(jobs.class, n.class), attempt = n.attempt,
                merged = jobs.merged + n.merged + 1, failure_code = n.failure_code,
                failure_chain = n.failure_chain, edits = coalesce(n.edits, jobs.edits),
                edited_a = greatest(jobs.edited_a, n.edited_a),
                edited_b = greatest(jobs.edited_b, n.edited_b)
FROM n
WHERE jobs.id = n.older AND jobs.id = ANY (ARRAY(SELECT older FROM n)) AND jobs.state || '' = 'dead'
RETURNING n.newer";

const HAND_OVER_ATTEMPTS: &str = "-- hand_over_attempts
UPDATE job_attempts SET job = t.older
FROM json_to_recordset($1::json) AS t (newer text, older text)
WHERE job_attempts.job = t.newer AND job_attempts.counted";

const TRIM_ATTEMPTS: &str = "-- trim_attempts
DELETE FROM job_attempts USING json_to_recordset($1::json) AS t (newer text, older text)
CROSS JOIN LATERAL (
    SELECT a.seq FROM job_attempts a WHERE a.job = t.older ORDER BY a.seq DESC LIMIT 1 OFFSET $2) k
WHERE job_attempts.job = t.older AND job_attempts.seq <= k.seq";

/// Those about records that a person has settled by discarding, and that have not changed since. An event or
/// a person is a reason to ask again; that a listing showed the same is none.
async fn let_be(
    txn: &mut Txn,
    dead: &[Waiting],
    older: &HashMap<String, String>,
    now: Timestamp,
) -> Result<HashSet<String>, Failed> {
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
        .map(|row| rows::get(row, "id").map_err(Failed::from))
        .collect()
}

const LET_BE: &str = "-- let_be
UPDATE jobs SET state = 'discarded', ended_at = $2,
                note = 'let be: it was discarded before, and its record has not changed since'
FROM json_array_elements_text($1::json) AS n (id)
WHERE jobs.id = n.id AND jobs.kind || '' = 'reconcile' AND jobs.cause IN ('poll', 'backfill', 'schedule')
  AND (SELECT r.let_be = r.checksum FROM records r
       WHERE r.id = jobs.record AND r.side = jobs.side AND r.sync = jobs.sync)
RETURNING jobs.id";

/// A job that ended with its record settled.
#[derive(Serialize)]
pub(super) struct Settled {
    id: String,
    lane: String,
}

impl Settled {
    /// Reads the two from a row of `jobs`.
    pub(super) fn read(row: &PgRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: rows::get(row, "id")?,
            lane: rows::get(row, "lane")?,
        })
    }
}

/// Closes the dead letters of records that have synced since. One that holds values of an operator stays:
/// nothing has written those.
pub(super) async fn heal(txn: &mut Txn, settled: &[Settled], now: Timestamp) -> Result<(), Failed> {
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
WITH dead AS MATERIALIZED (
    SELECT d.id, max(e.id) AS healer
    FROM json_to_recordset($1::json) AS e (id text, lane text)
    CROSS JOIN LATERAL (
        SELECT e.lane
        UNION ALL SELECT l.sync || '/a/' || l.a_id FROM links l WHERE l.id = e.lane
        UNION ALL SELECT l.sync || '/b/' || l.b_id FROM links l WHERE l.id = e.lane) w (lane)
    CROSS JOIN LATERAL (
        SELECT j.id FROM jobs j
        WHERE j.state = 'dead' AND j.lane = w.lane AND j.edits IS NULL OFFSET 0) d
    GROUP BY d.id
)
UPDATE jobs SET state = 'done', ended_at = $2,
                note = 'healed: its record has synced since, by ' || d.healer
FROM dead d WHERE jobs.id = d.id AND jobs.state || '' = 'dead'
RETURNING jobs.sync";

/// Discards dead jobs, and marks their records as they are now, and those linked with them.
pub(super) async fn discard(
    txn: &mut Txn,
    ids: &[JobId],
    reason: &str,
    now: Timestamp,
) -> Result<usize, Failed> {
    let ids = sql::json("job", ids)?;
    let mark = sqlx::query(MARK_AS_SETTLED).bind(ids.clone());
    txn.run(mark).await?;
    let statement = sqlx::query(DISCARD)
        .bind(ids)
        .bind(sql::plain(reason).into_owned())
        .bind(now.as_micros());
    txn.run(statement).await
}

const DISCARD: &str = "-- discard_jobs
WITH dead AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE state = 'dead' AND id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE jobs SET state = 'discarded', note = $2, ended_at = $3 FROM dead WHERE jobs.id = dead.id";

const MARK_AS_SETTLED: &str = "-- mark_as_settled
WITH dead AS MATERIALIZED (
    SELECT j.sync, j.side, j.record, j.lane FROM jobs j
    WHERE j.state || '' = 'dead' AND j.kind = 'reconcile'
      AND j.id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
),
marked AS MATERIALIZED (
    SELECT d.sync, d.side, d.record AS id FROM dead d
    UNION SELECT l.sync, 'a', l.a_id FROM dead d JOIN links l ON l.id = d.lane WHERE l.a_id IS NOT NULL
    UNION SELECT l.sync, 'b', l.b_id FROM dead d JOIN links l ON l.id = d.lane WHERE l.b_id IS NOT NULL
)
UPDATE records SET let_be = records.checksum
FROM (SELECT * FROM marked ORDER BY sync, side, id) m
WHERE records.sync = m.sync AND records.side = m.side AND records.id = m.id";
