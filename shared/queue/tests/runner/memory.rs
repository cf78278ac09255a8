//! A store in memory that keeps the promises of `JobStore` which the queue relies on: lanes, leases
//! with tokens, shares, due times. It can be told to fail.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{JobId, LeaseToken, SyncName, Timestamp};
use tandem_store::{
    ClaimRequest, ClaimedJob, Edits, Job, JobAttempt, JobCounts, JobFilter, JobOutcome, JobState,
    JobStore, Lane, Lease, NewJob, StoreError, Turn, Verdict, Waiting, Waits,
};
use tokio::sync::watch;

/// On the paused clock, so it costs no time.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

pub struct MemoryStore {
    rows: Mutex<Vec<Row>>,
    changes: watch::Sender<u64>,
    pub claims: AtomicUsize,
    pub finishes: AtomicUsize,
    pub renewals: AtomicUsize,
    pub failing_claims: AtomicUsize,
    pub failing_finishes: AtomicUsize,
    pub failing_renewals: AtomicUsize,
    /// A job that cannot be ended, and neither can those that are to end with it.
    pub corrupt: Mutex<Option<JobId>>,
}

struct Row {
    job: Job,
    lease: Option<(LeaseToken, Timestamp)>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            rows: Mutex::default(),
            changes: watch::Sender::new(0),
            claims: AtomicUsize::new(0),
            finishes: AtomicUsize::new(0),
            renewals: AtomicUsize::new(0),
            failing_claims: AtomicUsize::new(0),
            failing_finishes: AtomicUsize::new(0),
            failing_renewals: AtomicUsize::new(0),
            corrupt: Mutex::default(),
        }
    }
}

impl MemoryStore {
    /// Waits until the jobs are as wanted; gives up after [`PATIENCE`].
    pub async fn until(&self, wanted: impl Fn(&[Job]) -> bool) -> Vec<Job> {
        tokio::time::timeout(PATIENCE, self.wait_until(wanted))
            .await
            .expect("the jobs came to be as wanted")
    }

    async fn wait_until(&self, wanted: impl Fn(&[Job]) -> bool) -> Vec<Job> {
        let mut changes = self.changes.subscribe();
        loop {
            let jobs = self.all();
            if wanted(&jobs) {
                return jobs;
            }
            changes
                .changed()
                .await
                .expect("the store outlives the test");
        }
    }

    pub fn all(&self) -> Vec<Job> {
        self.rows().iter().map(|row| row.job.clone()).collect()
    }

    /// Gives the job to another worker.
    pub fn steal(&self, id: JobId, token: LeaseToken) {
        for row in self.rows().iter_mut().filter(|row| row.job.id == id) {
            row.lease = Some((token, Timestamp::from_micros(i64::MAX)));
        }
        self.changed();
    }

    /// When the lease of a job ends.
    pub fn lease_end(&self, id: JobId) -> Option<Timestamp> {
        let rows = self.rows();
        let row = rows.iter().find(|row| row.job.id == id)?;
        row.lease.map(|(_, until)| until)
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows
            .lock()
            .expect("no test panics with the rows locked")
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

fn fail_if_told(times: &AtomicUsize) -> Result<(), StoreError> {
    let told = times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    match told {
        Ok(_) => Err(StoreError::Unavailable("told to fail".to_owned())),
        Err(_) => Ok(()),
    }
}

fn end(row: &mut Row, outcome: JobOutcome, now: Timestamp) {
    row.lease = None;
    let turn = Turn {
        due: row.job.run_at,
        now,
    };
    match outcome {
        JobOutcome::Done { note } => {
            row.job.state = JobState::Done;
            row.job.note = Some(note);
        }
        JobOutcome::Retry { run_at, failure } => {
            row.job.state = JobState::Available;
            row.job.run_at = run_at;
            row.job.failure = Some(failure);
        }
        JobOutcome::Snooze {
            run_at,
            failure,
            reason,
        } => match row.job.waits.again(reason, run_at, failure.as_ref(), turn) {
            Verdict::Wait { run_at, waits } => {
                row.job.state = JobState::Available;
                row.job.run_at = run_at;
                row.job.waits = waits;
                row.job.class = row.job.class.max(reason.most_urgent());
                row.job.failure = failure;
                row.job.attempt -= 1;
            }
            Verdict::TooLong { failure } => {
                row.job.state = JobState::Dead;
                row.job.failure = Some(failure);
            }
        },
        JobOutcome::Dead { failure } => {
            row.job.state = JobState::Dead;
            row.job.failure = Some(failure);
        }
    }
}

/// Which of the due jobs are claimed, in order: each class its share, then the rest by urgency.
fn choose(rows: &[Row], request: &ClaimRequest) -> Vec<usize> {
    let mut lanes: HashSet<&str> = rows
        .iter()
        .filter(|row| row.job.state == JobState::Running)
        .map(|row| row.job.lane.as_str())
        .collect();
    let mut due: Vec<usize> = (0..rows.len())
        .filter(|index| {
            let job = &rows[*index].job;
            let blocked = job
                .kind
                .sync()
                .is_some_and(|sync| request.blocked_syncs.contains(sync));
            job.state == JobState::Available
                && job.run_at <= request.now
                && !blocked
                && lanes.insert(job.lane.as_str())
        })
        .collect();
    due.sort_by_key(|index| (rows[*index].job.class, rows[*index].job.run_at));
    let mut left = request.shares;
    let (mut chosen, rest): (Vec<usize>, Vec<usize>) = due.into_iter().partition(|index| {
        let share = &mut left[rows[*index].job.class as usize];
        let has_share = *share > 0;
        *share = share.saturating_sub(1);
        has_share
    });
    chosen.extend(rest);
    chosen.truncate(request.tokens.len());
    chosen
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn enqueue(&self, jobs: Vec<NewJob>, now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let ids = jobs.iter().map(|job| job.id).collect();
        let rows = jobs.into_iter().map(|new| Row {
            lease: None,
            job: Job {
                id: new.id,
                lane: Lane::of_job(&new.kind),
                kind: new.kind,
                class: new.class,
                trigger: new.trigger,
                state: JobState::Available,
                attempt: 0,
                merged: 0,
                run_at: new.run_at,
                created_at: now,
                ended_at: None,
                hints: new.hints,
                traceparent: new.traceparent,
                failure: None,
                note: None,
                edits: Edits::new(),
                waits: Waits::default(),
                waits_for_newer: None,
                crashes: 0,
            },
        });
        self.rows().extend(rows);
        self.changed();
        Ok(ids)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<ClaimedJob>, StoreError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        fail_if_told(&self.failing_claims)?;
        let mut rows = self.rows();
        let chosen = choose(&rows, &request);
        let claimed = chosen
            .into_iter()
            .zip(request.tokens)
            .map(|(index, token)| {
                let row = &mut rows[index];
                row.job.state = JobState::Running;
                row.job.attempt += 1;
                row.lease = Some((token, request.lease_until));
                ClaimedJob {
                    lease: Lease {
                        job: row.job.id,
                        token,
                    },
                    job: row.job.clone(),
                }
            })
            .collect();
        drop(rows);
        self.changed();
        Ok(claimed)
    }

    async fn finish(
        &self,
        finished: Vec<(Lease, JobOutcome)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        self.finishes.fetch_add(1, Ordering::SeqCst);
        fail_if_told(&self.failing_finishes)?;
        let corrupt = *self.corrupt.lock().expect("no test panics with it locked");
        if finished.iter().any(|(lease, _)| Some(lease.job) == corrupt) {
            return Err(StoreError::Corrupt {
                what: "job",
                reason: "told to be".to_owned(),
            });
        }
        let mut rows = self.rows();
        let held = finished
            .into_iter()
            .map(|(lease, outcome)| {
                let row = rows.iter_mut().find(|row| {
                    row.job.id == lease.job
                        && row.lease.is_some_and(|(token, _)| token == lease.token)
                });
                row.map(|row| end(row, outcome, now)).is_some()
            })
            .collect();
        drop(rows);
        self.changed();
        Ok(held)
    }

    async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<bool>, StoreError> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        fail_if_told(&self.failing_renewals)?;
        let mut rows = self.rows();
        let held = leases
            .iter()
            .map(|lease| {
                rows.iter_mut()
                    .filter(|row| row.job.id == lease.job)
                    .filter_map(|row| row.lease.as_mut())
                    .find(|(token, _)| *token == lease.token)
                    .map(|held| held.1 = until)
                    .is_some()
            })
            .collect();
        Ok(held)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.rows();
        Ok(rows
            .iter()
            .filter(|row| row.job.state == JobState::Available)
            .map(|row| row.job.run_at)
            .min())
    }

    // What follows is never called by a runner.

    async fn rescue_expired(&self, _: Timestamp, _: usize) -> Result<Vec<JobId>, StoreError> {
        Ok(Vec::new())
    }

    async fn release_all(&self, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.all().into_iter().find(|job| job.id == id))
    }

    async fn attempts(&self, _: JobId) -> Result<Vec<JobAttempt>, StoreError> {
        Ok(Vec::new())
    }

    async fn jobs(&self, _: &JobFilter) -> Result<Vec<Job>, StoreError> {
        Ok(self.all())
    }

    async fn job_counts(
        &self,
        _: Option<&SyncName>,
        _: Timestamp,
    ) -> Result<JobCounts, StoreError> {
        Ok(JobCounts::default())
    }

    async fn replay_jobs(&self, _: &[JobId], _: Timestamp) -> Result<Vec<JobId>, StoreError> {
        Ok(Vec::new())
    }

    async fn release_waiting(
        &self,
        _: &SyncName,
        _: Waiting,
        _: Timestamp,
    ) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn replay_edited(
        &self,
        _: JobId,
        _: &Edits,
        _: Timestamp,
    ) -> Result<Option<JobId>, StoreError> {
        Ok(None)
    }

    async fn discard_jobs(&self, _: &[JobId], _: &str, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn prune_jobs(&self, _: Timestamp, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }
}
