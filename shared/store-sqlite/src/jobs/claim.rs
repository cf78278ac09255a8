//! Claiming: two statements, whose cost grows with the syncs and the jobs claimed, not with the jobs
//! that wait, are done, or belong to a blocked sync. Nothing can come between the two: there is one
//! writer.

use tandem_domain::LeaseToken;
use tandem_store::{ClaimRequest, ClaimedJob, Lease, StoreError};

use super::row::job;
use crate::writer::Txn;
use crate::{rows, sql};

/// Leases jobs, most urgent first.
pub(super) async fn claim(
    txn: &mut Txn,
    request: &ClaimRequest,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let picked = pick(txn, request).await?;
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<(String, LeaseToken)> = picked
        .into_iter()
        .zip(request.tokens.iter().copied())
        .collect();
    let statement = sqlx::query(LEASE)
        .bind(sql::json("lease", &pairs)?)
        .bind(request.now.as_micros())
        .bind(request.lease_until.as_micros());
    let mut claimed = txn
        .all(statement)
        .await?
        .iter()
        .map(|row| {
            let job = job(row)?;
            let token = rows::parsed(row, "lease_token")?;
            let lease = Lease { job: job.id, token };
            Ok(ClaimedJob { job, lease })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    claimed.sort_by_key(|one| (one.job.class, one.job.run_at, one.job.id));
    Ok(claimed)
}

const LEASE: &str = "-- lease_jobs
UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_token = p.value ->> 1,
                lease_until = ?3, claimed_at = ?2
FROM json_each(?1) p WHERE jobs.id = p.value ->> 0
RETURNING *";

async fn pick(txn: &mut Txn, request: &ClaimRequest) -> Result<Vec<String>, StoreError> {
    let statement = sqlx::query(PICK)
        .bind(sql::json("share", &request.shares)?)
        .bind(sql::json("sync", &request.blocked_syncs)?)
        .bind(request.now.as_micros())
        .bind(sql::limit(request.tokens.len()));
    txn.all(statement)
        .await?
        .iter()
        .map(|row| rows::get(row, "id"))
        .collect()
}

/// Walks the index by sync and class (a skip scan), takes the first due ones of each, and of these
/// first what the shares reserve, then the most urgent. A job of a kind or cause that only a newer version knows is left
/// to one.
const PICK: &str = "-- pick_jobs
WITH RECURSIVE waiting_syncs (sync) AS (
    SELECT min(sync) FROM jobs WHERE state = 'available'
    UNION ALL
    SELECT (SELECT min(j.sync) FROM jobs j WHERE j.state = 'available' AND j.sync > s.sync)
    FROM waiting_syncs s WHERE s.sync IS NOT NULL
),
candidates AS (
    SELECT j.id, j.class, j.run_at, c.value AS share,
           row_number() OVER (PARTITION BY j.class ORDER BY j.run_at, j.id) AS place
    FROM waiting_syncs s
    CROSS JOIN json_each(?1) c
    CROSS JOIN jobs j
    WHERE s.sync IS NOT NULL
      AND s.sync NOT IN (SELECT value FROM json_each(?2))
      AND s.sync NOT IN (SELECT name FROM syncs WHERE paused = 1)
      AND j.rowid IN (
          SELECT w.rowid FROM jobs w
          WHERE w.state = 'available' AND w.sync = s.sync AND w.class = c.key AND w.run_at <= ?3
            AND +w.kind IN ('reconcile', 'poll', 'sweep', 'backfill', 'noop')
            AND +w.cause IN ('webhook', 'poll', 'manual', 'backfill', 'schedule')
            AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.lane = w.lane)
          ORDER BY w.run_at, w.id LIMIT ?4)
)
SELECT id FROM candidates ORDER BY place > share, class, run_at, id LIMIT ?4";
