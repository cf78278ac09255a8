//! Putting jobs back to waiting: after a failure, a lost worker, a move to another lane, a replay.
//! A lane has room for one; a job that finds another there merges into it and is done.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use tandem_domain::{JobId, Timestamp};
use tandem_store::{Failure, StoreError, Trigger, Turn, Waiting as WaitsFor, Waits};

use crate::tally::Counter;
use crate::writer::Txn;
use crate::{rows, sql};

/// What a waiting job carries; the rest of its row stays as it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Waiting {
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) sync: String,
    pub(crate) lane: String,
    pub(crate) class: i64,
    pub(crate) run_at: i64,
    pub(crate) attempt: i64,
    pub(crate) merged: i64,
    pub(crate) edited_a: Option<i64>,
    pub(crate) edited_b: Option<i64>,
    pub(crate) failure_code: Option<String>,
    pub(crate) failure_chain: Option<String>,
    pub(crate) edits: Option<String>,
    /// Another cause than it had.
    pub(crate) cause: Option<&'static str>,
    pub(crate) waits: i64,
    pub(crate) waits_since: Option<i64>,
    /// A word of a newer version stays as it is.
    pub(crate) waits_for: Option<String>,
    pub(crate) steps: i64,
    pub(crate) crashes: i64,
    /// Only of a running job.
    #[serde(skip)]
    pub(crate) claimed_at: Option<i64>,
}

#[derive(Serialize)]
struct Merged<'a> {
    id: &'a str,
    into: &'a str,
}

impl Waiting {
    /// Reads a whole row of `jobs`.
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: rows::get(row, "id")?,
            sync: rows::get(row, "sync")?,
            lane: rows::get(row, "lane")?,
            class: rows::get(row, "class")?,
            run_at: rows::get(row, "run_at")?,
            attempt: rows::get(row, "attempt")?,
            merged: rows::get(row, "merged")?,
            edited_a: rows::get(row, "edited_a")?,
            edited_b: rows::get(row, "edited_b")?,
            failure_code: rows::get(row, "failure_code")?,
            failure_chain: rows::get(row, "failure_chain")?,
            edits: rows::get(row, "edits")?,
            cause: None,
            waits: rows::get(row, "waits")?,
            waits_since: rows::get(row, "waits_since")?,
            waits_for: rows::get(row, "waits_for")?,
            steps: rows::get(row, "steps")?,
            crashes: rows::get(row, "crashes")?,
            claimed_at: rows::get(row, "claimed_at")?,
        })
    }

    /// Remembers why the job failed.
    pub(crate) fn fail(&mut self, failure: &Failure) -> Result<(), StoreError> {
        self.failure_code = Some(failure.code.as_str().to_owned());
        self.failure_chain = Some(sql::json("failure", &failure.chain)?);
        Ok(())
    }

    /// How long and for what it has waited.
    pub(crate) fn waits(&self) -> Waits {
        let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Waits {
            count: small(self.waits),
            since: self.waits_since.map(Timestamp::from_micros),
            reason: WaitsFor::ALL
                .into_iter()
                .find(|reason| self.waits_for.as_deref() == Some(reason.as_str())),
            steps: small(self.steps),
        }
    }

    /// Its turn, which is now. While a job runs its row says since when it was due.
    pub(crate) const fn turn(&self, now: Timestamp) -> Turn {
        Turn {
            due: Timestamp::from_micros(self.run_at),
            now,
        }
    }

    /// Lets it wait until then.
    pub(crate) fn wait(&mut self, run_at: Timestamp, waits: Waits) {
        self.run_at = run_at.as_micros();
        self.waits = i64::from(waits.count);
        self.waits_since = waits.since.map(Timestamp::as_micros);
        self.waits_for = waits.reason.map(|reason| reason.as_str().to_owned());
        self.steps = i64::from(waits.steps);
    }

    /// Begins anew because a person says so, as if nothing had been tried.
    pub(crate) fn begin_anew(&mut self, now: Timestamp) {
        self.cause = Some(Trigger::Manual.as_str());
        self.attempt = 0;
        self.crashes = 0;
        self.wait(now, Waits::default());
    }

    fn absorb(&mut self, other: &Self) {
        self.class = self.class.min(other.class);
        self.run_at = self.run_at.min(other.run_at);
        self.attempt = self.attempt.max(other.attempt);
        self.merged += other.merged + 1;
        self.edited_a = self.edited_a.max(other.edited_a);
        self.edited_b = self.edited_b.max(other.edited_b);
        self.waits = self.waits.max(other.waits);
        self.waits_since = match (self.waits_since, other.waits_since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.steps = self.steps.max(other.steps);
        self.crashes = self.crashes.max(other.crashes);
        self.cause = self.cause.or(other.cause);
        if other.edits.is_some() {
            self.edits.clone_from(&other.edits);
        }
        if self.failure_code.is_none() {
            self.failure_code.clone_from(&other.failure_code);
            self.failure_chain.clone_from(&other.failure_chain);
        }
    }
}

/// Lets the jobs wait in the lanes that they name, merging. Returns, in order, the job that stands
/// for each.
pub(crate) async fn put_back(
    txn: &mut Txn,
    jobs: Vec<Waiting>,
    now: Timestamp,
) -> Result<Vec<JobId>, StoreError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut standing = standing_in(txn, &jobs).await?;
    let mut merged: Vec<(&Waiting, String)> = Vec::new();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in &jobs {
        match standing.get_mut(&job.lane) {
            Some(other) => {
                other.absorb(job);
                merged.push((job, other.id.clone()));
                answers.push(parse(&other.id)?);
            }
            None => {
                answers.push(parse(&job.id)?);
                standing.insert(job.lane.clone(), job.clone());
            }
        }
    }
    end_merged(txn, &merged, now).await?;
    let standing: Vec<&Waiting> = standing.values().collect();
    txn.run(sqlx::query(WAIT).bind(sql::json("job", &standing)?))
        .await?;
    Ok(answers)
}

pub(super) fn parse(id: &str) -> Result<JobId, StoreError> {
    id.parse().map_err(|error| StoreError::Corrupt {
        what: "job",
        reason: format!("{error}"),
    })
}

/// Jobs that wait already in the lanes, by lane; those that are being put back do not count.
async fn standing_in(
    txn: &mut Txn,
    jobs: &[Waiting],
) -> Result<HashMap<String, Waiting>, StoreError> {
    let lanes: Vec<&str> = jobs.iter().map(|job| job.lane.as_str()).collect();
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    let statement = sqlx::query(WAITING_IN)
        .bind(sql::json("lane", &lanes)?)
        .bind(sql::json("job", &ids)?);
    txn.all(statement)
        .await?
        .iter()
        .map(|row| Waiting::read(row).map(|job| (job.lane.clone(), job)))
        .collect()
}

const WAITING_IN: &str = "-- waiting_in_lanes
SELECT * FROM jobs
WHERE state = 'available' AND lane IN (SELECT value FROM json_each(?1))
  AND id NOT IN (SELECT value FROM json_each(?2))";

pub(super) async fn end_merged(
    txn: &mut Txn,
    merged: &[(&Waiting, String)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if merged.is_empty() {
        return Ok(());
    }
    let rows: Vec<Merged<'_>> = merged
        .iter()
        .map(|(job, into)| Merged { id: &job.id, into })
        .collect();
    for (job, _) in merged {
        txn.tally.add(&job.sync, Counter::DoneRows, 1);
    }
    let statement = sqlx::query(END_MERGED)
        .bind(sql::json("job", &rows)?)
        .bind(now.as_micros());
    txn.run(statement).await.map(|_| ())
}

const END_MERGED: &str = "-- end_merged_jobs
UPDATE jobs SET state = 'done', note = 'merged into ' || (m.value ->> 'into'), ended_at = ?2,
                lease_token = NULL, lease_until = NULL
FROM json_each(?1) m WHERE jobs.id = m.value ->> 'id'";

const WAIT: &str = "-- put_back_jobs
UPDATE jobs SET state = 'available', lane = w.value ->> 'lane', class = w.value ->> 'class',
                run_at = w.value ->> 'run_at', attempt = w.value ->> 'attempt',
                merged = w.value ->> 'merged', edited_a = w.value ->> 'edited_a',
                edited_b = w.value ->> 'edited_b', failure_code = w.value ->> 'failure_code',
                failure_chain = w.value ->> 'failure_chain', edits = w.value ->> 'edits',
                cause = coalesce(w.value ->> 'cause', cause),
                waits = w.value ->> 'waits', waits_since = w.value ->> 'waits_since',
                waits_for = w.value ->> 'waits_for', steps = w.value ->> 'steps',
                crashes = w.value ->> 'crashes',
                note = NULL, ended_at = NULL, lease_token = NULL, lease_until = NULL
FROM json_each(?1) w WHERE jobs.id = w.value ->> 'id'";
