//! Claiming: one statement, which is a transaction of its own. Its cost grows with the syncs and the
//! jobs claimed, not with the jobs that wait, are done, or belong to a blocked sync.
//!
//! It looks at more jobs than it takes, without locking them; then it locks one after the other, passing
//! over those that another claim holds, until it has enough. So claims neither wait for each other nor
//! keep from each other what they do not take. When others hold nearly all that it looked at, it asks
//! again and looks further: whoever asks gets a job while there is a free one.

use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_store::{ClaimRequest, ClaimedJob, Lease, StoreError};

use super::row::job;
use crate::sql::Statement;
use crate::{alone, rows, sql};

/// How many jobs of a sync and class are looked at for each that is asked for; the rest is for those that
/// other claims hold.
const LOOKED_AT_PER_JOB: usize = 4;
/// How many are looked at beyond that.
const LOOKED_AT_MORE: usize = 16;
/// How many times further the next look goes.
const FURTHER: usize = 8;

/// What a claim still wants.
struct Ask<'r> {
    request: &'r ClaimRequest,
    tokens: Vec<String>,
    blocked: Vec<String>,
    shares: [usize; 3],
    depth: usize,
}

impl<'r> Ask<'r> {
    fn first(request: &'r ClaimRequest) -> Self {
        Self {
            request,
            tokens: request.tokens.iter().map(ToString::to_string).collect(),
            blocked: request
                .blocked_syncs
                .iter()
                .map(|sync| sync.as_str().to_owned())
                .collect(),
            shares: request.shares,
            depth: request.tokens.len() * LOOKED_AT_PER_JOB + LOOKED_AT_MORE,
        }
    }

    /// What is left to ask for.
    fn go_on(&mut self, claimed: &[ClaimedJob]) {
        self.tokens.drain(..claimed.len().min(self.tokens.len()));
        for one in claimed {
            let place = usize::try_from(one.job.class.rank()).unwrap_or_default();
            self.shares[place] = self.shares[place].saturating_sub(1);
        }
        self.depth = self.depth.saturating_mul(FURTHER);
    }
}

/// Leases jobs, most urgent first.
pub(super) async fn claim(
    pool: &PgPool,
    request: &ClaimRequest,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let mut ask = Ask::first(request);
    let mut claimed = Vec::new();
    while !ask.tokens.is_empty() {
        let rows = alone::verb(pool, &ask, claiming).await?;
        let (now_claimed, is_more) = read(&rows)?;
        ask.go_on(&now_claimed);
        claimed.extend(now_claimed);
        if !is_more {
            break;
        }
    }
    claimed.sort_by_key(|one| (one.job.class, one.job.run_at, one.job.id));
    Ok(claimed)
}

/// The jobs, and whether there may be more than those that were looked at.
fn read(rows: &[PgRow]) -> Result<(Vec<ClaimedJob>, bool), StoreError> {
    let mut claimed = Vec::with_capacity(rows.len());
    let mut is_more = false;
    for row in rows {
        is_more = rows::get(row, "is_more")?;
        // One row says only whether there is more.
        if rows::get::<Option<&str>>(row, "id")?.is_some() {
            let job = job(row)?;
            let token = rows::parsed(row, "lease_token")?;
            let lease = Lease { job: job.id, token };
            claimed.push(ClaimedJob { job, lease });
        }
    }
    Ok((claimed, is_more))
}

fn claiming<'a>(ask: &'a Ask<'_>) -> Statement<'a> {
    sqlx::query(CLAIM)
        .bind(&ask.tokens)
        .bind(&ask.blocked)
        .bind(ask.shares.map(sql::limit))
        .bind(ask.request.now.as_micros())
        .bind(ask.request.lease_until.as_micros())
        .bind(sql::limit(ask.depth))
        .bind(sql::limit(ask.tokens.len()))
}

/// Walks the index by sync and class (a skip scan) and looks at the first due jobs of each. Of these it
/// locks first what the shares reserve for each class, then, from where these ended, the most urgent. One
/// that has changed since the statement began is judged again when it is locked; one whose lane is busy is
/// passed over.
///
/// Each look-up is a subquery that cannot be planned otherwise than by its index: a plan that was made
/// while the queue was empty is used when it is long. What waits is what is neither leased nor ended; a
/// row that is found by its place is asked for its state in words that fit no other index. A job of a kind or
/// cause that only a newer version knows is left to one.
pub(crate) const CLAIM: &str = "-- claim_jobs
WITH RECURSIVE waiting_syncs (sync) AS (
    (SELECT j.sync FROM jobs j WHERE j.lease_token IS NULL AND j.ended_at IS NULL
     ORDER BY j.sync LIMIT 1)
    UNION ALL
    SELECT (SELECT j.sync FROM jobs j
            WHERE j.lease_token IS NULL AND j.ended_at IS NULL AND j.sync > s.sync
            ORDER BY j.sync LIMIT 1)
    FROM waiting_syncs s WHERE s.sync IS NOT NULL
),
due AS MATERIALIZED (
    SELECT w.at, w.class,
           row_number() OVER (PARTITION BY w.class ORDER BY w.run_at, w.id) AS place
    FROM waiting_syncs s
    CROSS JOIN generate_series(0, 2) AS c (class)
    CROSS JOIN LATERAL (
        SELECT j.ctid AS at, j.id, j.class, j.run_at FROM jobs j
        WHERE j.lease_token IS NULL AND j.ended_at IS NULL
          AND j.sync = s.sync AND j.class = c.class AND j.run_at <= $4
          AND j.kind || '' IN ('reconcile', 'poll', 'sweep', 'backfill', 'noop')
          AND j.cause || '' IN ('webhook', 'poll', 'manual', 'backfill', 'schedule')
        ORDER BY j.run_at, j.id LIMIT $6) w
    WHERE s.sync <> ALL ($2::text[]) AND s.sync NOT IN (SELECT name FROM syncs WHERE paused)
),
reserved AS MATERIALIZED (
    SELECT l.* FROM unnest($3::bigint[]) WITH ORDINALITY AS c (share, rank)
    CROSS JOIN LATERAL (
        SELECT d.* FROM (SELECT * FROM due WHERE due.class = c.rank - 1 ORDER BY due.place) d
        CROSS JOIN LATERAL (
            SELECT j.lane FROM jobs j
            WHERE j.ctid = d.at AND j.state || '' = 'available' AND j.run_at <= $4
            FOR NO KEY UPDATE SKIP LOCKED) k
        WHERE (SELECT r.id FROM jobs r WHERE r.state = 'running' AND r.lane = k.lane) IS NULL
        LIMIT c.share) l
),
others AS MATERIALIZED (
    SELECT d.at
    FROM (SELECT due.at FROM due
          LEFT JOIN (SELECT class, max(place) AS place FROM reserved GROUP BY class) ended USING (class)
          WHERE due.place > coalesce(ended.place, 0) ORDER BY due.class, due.place) d
    CROSS JOIN LATERAL (
        SELECT j.lane FROM jobs j
        WHERE j.ctid = d.at AND j.state || '' = 'available' AND j.run_at <= $4
        FOR NO KEY UPDATE SKIP LOCKED) k
    WHERE (SELECT r.id FROM jobs r WHERE r.state = 'running' AND r.lane = k.lane) IS NULL
    LIMIT $7 - (SELECT count(*) FROM reserved)
),
picked AS (
    SELECT p.at, row_number() OVER () AS place
    FROM (SELECT at FROM reserved UNION ALL SELECT at FROM others) p
),
claimed AS (
    UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_token = ($1::text[])[p.place],
                    lease_until = $5, claimed_at = $4
    FROM picked p WHERE jobs.ctid = p.at
    RETURNING jobs.*
)
SELECT m.is_more, claimed.*
FROM (SELECT count(*) >= $6 AS is_more FROM due) m LEFT JOIN claimed ON true";
