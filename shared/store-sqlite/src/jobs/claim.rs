//! Claiming: one statement, whose cost grows with the syncs and the jobs claimed, not with the jobs
//! that wait, are done, or belong to a blocked sync.

use tandem_store::{ClaimRequest, ClaimedJob, Lease, StoreError};

use super::row::job;
use crate::writer::Txn;
use crate::{rows, sql};

/// Leases jobs, most urgent first.
pub(super) async fn claim(
    txn: &mut Txn,
    request: &ClaimRequest,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let statement = sqlx::query(CLAIM)
        .bind(sql::json("token", &request.tokens)?)
        .bind(sql::json("share", &request.shares)?)
        .bind(sql::json("sync", &request.blocked_syncs)?)
        .bind(request.now.as_micros())
        .bind(request.lease_until.as_micros())
        .bind(sql::limit(request.tokens.len()));
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

/// Walks the index by sync and class (a skip scan), takes the first due ones of each, and of these
/// first what the shares reserve, then the most urgent.
pub(super) const CLAIM: &str = "-- claim_jobs
WITH RECURSIVE waiting_syncs (sync) AS (
    SELECT min(sync) FROM jobs WHERE state = 'available'
    UNION ALL
    SELECT (SELECT min(j.sync) FROM jobs j WHERE j.state = 'available' AND j.sync > s.sync)
    FROM waiting_syncs s WHERE s.sync IS NOT NULL
),
candidates AS MATERIALIZED (
    SELECT j.id, j.class, j.run_at, c.value AS share,
           row_number() OVER (PARTITION BY j.class ORDER BY j.run_at, j.id) AS place
    FROM waiting_syncs s
    CROSS JOIN json_each(?2) c
    CROSS JOIN jobs j
    WHERE s.sync IS NOT NULL
      AND s.sync NOT IN (SELECT value FROM json_each(?3))
      AND s.sync NOT IN (SELECT name FROM syncs WHERE paused = 1)
      AND j.rowid IN (
          SELECT w.rowid FROM jobs w
          WHERE w.state = 'available' AND w.sync = s.sync AND w.class = c.key AND w.run_at <= ?4
            AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.lane = w.lane)
          ORDER BY w.run_at, w.id LIMIT ?6)
),
picked AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY place > share, class, run_at, id) - 1 AS slot
    FROM candidates ORDER BY slot LIMIT ?6
)
UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_token = t.value,
                lease_until = ?5, claimed_at = ?4
FROM picked p JOIN json_each(?1) t ON t.key = p.slot
WHERE jobs.id = p.id
RETURNING *";
