//! Looking at the queue.

use sqlx::{PgPool, Postgres, QueryBuilder};
use tandem_domain::{JobId, SyncName, Timestamp};
use tandem_store::{
    Failure, Job, JobAttempt, JobCounts, JobFilter, JobState, PAGE_ROWS_MAX, StoreError,
};

use super::row::job as read_job;
use crate::rows::next_page;
use crate::{alone, rows, sql};

/// When the next waiting job is due. Jobs of paused syncs wait for a person, not for a time.
pub(super) async fn next_due(pool: &PgPool) -> Result<Option<Timestamp>, StoreError> {
    let row = alone::one(pool, sqlx::query(NEXT_DUE)).await?;
    rows::instant_opt(&row, "run_at")
}

/// What waits is what is neither leased nor ended: so it is found by the index of what is due.
pub(crate) const NEXT_DUE: &str = "-- next_due
WITH RECURSIVE waiting_syncs (sync) AS (
    (SELECT j.sync FROM jobs j WHERE j.lease_token IS NULL AND j.ended_at IS NULL
     ORDER BY j.sync LIMIT 1)
    UNION ALL
    SELECT (SELECT j.sync FROM jobs j
            WHERE j.lease_token IS NULL AND j.ended_at IS NULL AND j.sync > s.sync
            ORDER BY j.sync LIMIT 1)
    FROM waiting_syncs s WHERE s.sync IS NOT NULL
)
SELECT min((SELECT j.run_at FROM jobs j
            WHERE j.lease_token IS NULL AND j.ended_at IS NULL
              AND j.sync = s.sync AND j.class = c.class
              AND j.kind || '' IN ('reconcile', 'poll', 'sweep', 'backfill', 'noop')
              AND j.cause || '' IN ('webhook', 'poll', 'manual', 'backfill', 'schedule')
            ORDER BY j.run_at LIMIT 1)) AS run_at
FROM waiting_syncs s CROSS JOIN generate_series(0, 2) AS c (class)
WHERE s.sync IS NOT NULL AND s.sync NOT IN (SELECT name FROM syncs WHERE paused)";

/// One job.
pub(super) async fn job(pool: &PgPool, id: JobId) -> Result<Option<Job>, StoreError> {
    const JOB: &str = "-- job\nSELECT * FROM jobs WHERE id = $1";
    alone::first(pool, sqlx::query(JOB).bind(id.to_string()))
        .await?
        .as_ref()
        .map(read_job)
        .transpose()
}

/// The failed attempts of a job.
pub(super) async fn attempts(pool: &PgPool, id: JobId) -> Result<Vec<JobAttempt>, StoreError> {
    const ATTEMPTS: &str = "-- attempts\nSELECT * FROM job_attempts WHERE job = $1 ORDER BY seq";
    alone::all(pool, sqlx::query(ATTEMPTS).bind(id.to_string()))
        .await?
        .iter()
        .map(|row| {
            Ok(JobAttempt {
                attempt: rows::small(row, "attempt")?,
                started_at: rows::instant(row, "started_at")?,
                ended_at: rows::instant(row, "ended_at")?,
                failure: Failure {
                    code: rows::word(row, "code")?,
                    chain: rows::document(row, "chain")?,
                },
            })
        })
        .collect()
}

/// Lists jobs, newest first.
pub(super) async fn jobs(pool: &PgPool, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
    let mut filter = filter.clone();
    filter.limit = filter.limit.min(PAGE_ROWS_MAX);
    let mut known = Vec::new();
    loop {
        let rows = alone::all(pool, list(&filter).build()).await?;
        let before = next_page(&rows, filter.limit);
        known.extend(rows::known("jobs", &rows, read_job)?);
        if before.is_none() || known.len() >= filter.limit {
            known.truncate(filter.limit);
            return Ok(known);
        }
        filter.before = before;
    }
}

/// The statement of a list.
pub(crate) fn list(filter: &JobFilter) -> QueryBuilder<Postgres> {
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("-- list_jobs\nSELECT * FROM jobs WHERE true");
    if let Some(state) = filter.state {
        query.push(in_state(state));
    }
    if let Some(sync) = &filter.sync {
        query
            .push(" AND sync = ")
            .push_bind(sync.as_str().to_owned());
    }
    if let Some(code) = filter.code {
        query.push(" AND failure_code = ").push_bind(code.as_str());
    }
    if let Some(record) = &filter.record {
        query
            .push(" AND kind = 'reconcile' AND record = ")
            .push_bind(sql::plain(record.as_str()).into_owned());
    }
    if let Some(lane) = &filter.lane {
        query
            .push(" AND lane = ")
            .push_bind(sql::plain(lane.as_str()).into_owned());
    }
    if let Some(before) = filter.before {
        query.push(" AND id < ").push_bind(before.to_string());
    }
    query
        .push(" ORDER BY id DESC LIMIT ")
        .push_bind(sql::page(filter.limit));
    query
}

/// The state in words of SQL, not as a value: only so are the partial indexes used, whatever the plan.
const fn in_state(state: JobState) -> &'static str {
    match state {
        JobState::Available => " AND state = 'available'",
        JobState::Running => " AND state = 'running'",
        JobState::Done => " AND state = 'done'",
        JobState::Dead => " AND state = 'dead'",
        JobState::Discarded => " AND state = 'discarded'",
    }
}

/// Counts jobs.
pub(super) async fn counts(
    pool: &PgPool,
    sync: Option<&SyncName>,
    now: Timestamp,
) -> Result<JobCounts, StoreError> {
    let statement = sqlx::query(COUNTS)
        .bind(sync.map(|sync| sync.as_str().to_owned()))
        .bind(now.as_micros());
    let row = alone::one(pool, statement).await?;
    let by_class = ["interactive", "poll", "backfill"];
    let mut available_by_class = [0; 3];
    for (count, column) in available_by_class.iter_mut().zip(by_class) {
        *count = rows::count(&row, column)?;
    }
    Ok(JobCounts {
        available: available_by_class.iter().sum(),
        running: rows::count(&row, "running")?,
        dead: rows::count(&row, "dead")?,
        done: rows::count(&row, "done")?,
        oldest_due: rows::instant_opt(&row, "oldest_due")?,
        available_by_class,
    })
}

/// What waits is counted by the index of what is due, which tells the class.
pub(crate) const COUNTS: &str = "-- count_jobs
SELECT count(*) FILTER (WHERE class = 0) AS interactive, count(*) FILTER (WHERE class = 1) AS poll,
       count(*) FILTER (WHERE class = 2) AS backfill, min(run_at) FILTER (WHERE run_at <= $2) AS oldest_due,
       (SELECT count(*) FROM jobs WHERE state = 'running' AND ($1::text IS NULL OR sync = $1)) AS running,
       (SELECT count(*) FROM jobs WHERE state = 'dead' AND ($1::text IS NULL OR sync = $1)) AS dead,
       (SELECT coalesce(sum(value), 0)::bigint FROM counters
        WHERE name = 'done_rows' AND ($1::text IS NULL OR sync = $1)) AS done
FROM jobs WHERE lease_token IS NULL AND ended_at IS NULL AND ($1::text IS NULL OR sync = $1)";
