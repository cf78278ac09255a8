//! Putting jobs back to waiting: after a failure, a lost worker, a move to another lane, a replay.
//! A lane has room for one; a job that finds another there merges into it and is done.
//!
//! Lanes are taken in their order, as [`super::enqueue`] takes them, whether a job waits in them or not: so
//! the two never wait for each other in a circle. Which jobs wait is therefore only looked at first, and
//! found out when they are changed; if it was otherwise, the transaction is run again.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use sqlx::postgres::PgRow;
use tandem_domain::{JobId, Timestamp};
use tandem_store::{Failure, StoreError, Trigger, Turn, Waiting as WaitsFor, Waits};

use crate::sql::Failed;
use crate::tally::Counter;
use crate::txn::Txn;
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

/// The job that is to wait in a lane.
#[derive(Serialize)]
struct Standing {
    /// Whether it is one of those that are put back, and not one that waits there already.
    is_own: bool,
    /// What it carries, or what it is to take over.
    #[serde(flatten)]
    carries: Waiting,
}

#[derive(Serialize)]
struct Merged<'a> {
    id: &'a str,
    into_job: &'a str,
}

impl Waiting {
    /// Reads a whole row of `jobs`.
    pub(crate) fn read(row: &PgRow) -> Result<Self, StoreError> {
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
) -> Result<Vec<JobId>, Failed> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let waiting = waiting_in(txn, &jobs).await?;
    let mut standing: BTreeMap<&str, Standing> = BTreeMap::new();
    let mut merged: Vec<(&Waiting, String)> = Vec::new();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in &jobs {
        if let Some(stands) = standing.get_mut(job.lane.as_str()) {
            stands.carries.absorb(job);
            merged.push((job, stands.carries.id.clone()));
            answers.push(parse(&stands.carries.id)?);
            continue;
        }
        let stands = Standing::new(job, waiting.get(&job.lane));
        if !stands.is_own {
            merged.push((job, stands.carries.id.clone()));
        }
        answers.push(parse(&stands.carries.id)?);
        standing.insert(&job.lane, stands);
    }
    end_merged(txn, &merged, now).await?;
    let standing: Vec<&Standing> = standing.values().collect();
    let statement = sqlx::query(WAIT).bind(sql::json("job", &standing)?);
    if txn.run(statement).await? < standing.len() {
        return Err(Failed::Raced("a waiting job was claimed".to_owned()));
    }
    Ok(answers)
}

impl Standing {
    /// The job itself, or the one that waits in its lane.
    fn new(job: &Waiting, waiting: Option<&String>) -> Self {
        let mut carries = job.clone();
        if let Some(other) = waiting {
            carries.id.clone_from(other);
            carries.merged += 1;
        }
        Self {
            is_own: waiting.is_none(),
            carries,
        }
    }
}

pub(super) fn parse(id: &str) -> Result<JobId, StoreError> {
    id.parse().map_err(|error| StoreError::Corrupt {
        what: "job",
        reason: format!("{error}"),
    })
}

/// Jobs that wait already in the lanes, by lane; those that are being put back do not count.
async fn waiting_in(txn: &mut Txn, jobs: &[Waiting]) -> Result<HashMap<String, String>, Failed> {
    let lanes: Vec<&str> = jobs.iter().map(|job| job.lane.as_str()).collect();
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    let statement = sqlx::query(WAITING_IN)
        .bind(sql::json("lane", &lanes)?)
        .bind(sql::json("job", &ids)?);
    txn.all(statement)
        .await?
        .iter()
        .map(|row| Ok((rows::get(row, "lane")?, rows::get(row, "id")?)))
        .collect()
}

const WAITING_IN: &str = "-- waiting_in_lanes
SELECT w.lane, w.id FROM (SELECT DISTINCT * FROM json_array_elements_text($1::json) AS l (lane)) l
CROSS JOIN LATERAL (
    SELECT j.lane, j.id FROM jobs j WHERE j.state = 'available' AND j.lane = l.lane OFFSET 0) w
WHERE w.id <> ALL (ARRAY(SELECT json_array_elements_text($2::json)))";

pub(super) async fn end_merged(
    txn: &mut Txn,
    merged: &[(&Waiting, String)],
    now: Timestamp,
) -> Result<(), Failed> {
    if merged.is_empty() {
        return Ok(());
    }
    let rows: Vec<Merged<'_>> = merged
        .iter()
        .map(|(job, into)| Merged {
            id: &job.id,
            into_job: into,
        })
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
UPDATE jobs SET state = 'done', note = 'merged into ' || m.into_job, ended_at = $2,
                lease_token = NULL, lease_until = NULL
FROM json_to_recordset($1::json) AS m (id text, into_job text) WHERE jobs.id = m.id";

/// What a job takes over from those that merge into it is added to what it has at that moment.
const WAIT: &str = "-- put_back_jobs
UPDATE jobs SET
    state = 'available', lane = w.lane, note = NULL, ended_at = NULL, lease_token = NULL,
    lease_until = NULL,
    class = CASE WHEN w.is_own THEN w.class ELSE least(jobs.class, w.class) END,
    run_at = CASE WHEN w.is_own THEN w.run_at ELSE least(jobs.run_at, w.run_at) END,
    attempt = CASE WHEN w.is_own THEN w.attempt ELSE greatest(jobs.attempt, w.attempt) END,
    merged = CASE WHEN w.is_own THEN w.merged ELSE jobs.merged + w.merged END,
    edited_a = greatest(jobs.edited_a, w.edited_a),
    edited_b = greatest(jobs.edited_b, w.edited_b),
    failure_code = CASE WHEN w.is_own THEN w.failure_code
                   ELSE coalesce(jobs.failure_code, w.failure_code) END,
    failure_chain = CASE WHEN w.is_own OR jobs.failure_code IS NULL THEN w.failure_chain
                    ELSE jobs.failure_chain END,
    edits = coalesce(w.edits, jobs.edits), cause = coalesce(w.cause, jobs.cause),
    waits = CASE WHEN w.is_own THEN w.waits ELSE greatest(jobs.waits, w.waits) END,
    waits_since = CASE WHEN w.is_own THEN w.waits_since ELSE least(jobs.waits_since, w.waits_since) END,
    waits_for = CASE WHEN w.is_own THEN w.waits_for ELSE jobs.waits_for END,
    steps = CASE WHEN w.is_own THEN w.steps ELSE greatest(jobs.steps, w.steps) END,
    crashes = CASE WHEN w.is_own THEN w.crashes ELSE greatest(jobs.crashes, w.crashes) END
FROM json_to_recordset($1::json) AS w (
    id text, is_own boolean, lane text, class bigint, run_at bigint, attempt bigint, merged bigint,
    edited_a bigint, edited_b bigint, failure_code text, failure_chain text, edits text, cause text,
    waits bigint, waits_since bigint, waits_for text, steps bigint, crashes bigint)
WHERE jobs.id = w.id AND (w.is_own OR jobs.state = 'available')";
