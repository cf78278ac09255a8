//! Jobs a second through the queue: inserted, claimed under a lease, run (they do nothing), and
//! ended, each step durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::json;
use tandem_domain::{Clock, JobId};
use tandem_queue::{
    Doorbell, Handled, InProcessDoorbell, JobContext, JobHandler, OpenGate, Runner, RunnerConfig,
    RunnerParts,
};
use tandem_runtime::{SystemClock, SystemEntropy};
use tandem_store::{ClaimedJob, Hints, JobClass, JobKind, JobOutcome, JobStore, NewJob, Trigger};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::baseline::Database;
use crate::figure::{Figure, Measured, rate, rounded};

/// Jobs that are inserted in one transaction, as a page of a listing would cause them.
const ENQUEUE_JOBS: usize = 200;
const AIM_PER_SECOND: f64 = 10_000.0;

/// Queues so many jobs while a runner takes them; ends when the last one's end is on the disk.
pub async fn measure(folder: &Path, count: usize, concurrency: usize) -> anyhow::Result<Figure> {
    let path = folder.join("tandem.db");
    let store = SqliteStore::open(&path, SqliteOptions { exclusive: true }).await?;
    let doorbell = Arc::new(InProcessDoorbell::default());
    let handler = Arc::new(Noops::expecting(count));
    let parts = RunnerParts {
        store: Arc::clone(&store) as _,
        doorbell: Arc::clone(&doorbell) as _,
        gate: Arc::new(OpenGate),
        handler: Arc::clone(&handler) as _,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    let config = RunnerConfig {
        concurrency,
        ..RunnerConfig::default()
    };
    let shutdown = CancellationToken::new();
    let began = Instant::now();
    let running = tokio::spawn(Runner::new(config, parts).run(shutdown.clone()));
    enqueue(&*store, &*doorbell, count).await?;
    let enqueued = began.elapsed();
    handler.all.cancelled().await;
    shutdown.cancel();
    running.await.context("the runner")??;
    let took = began.elapsed();

    let mut stored = Database::open(&path).await?;
    let done = stored
        .count("SELECT count(*) FROM jobs WHERE state = 'done'")
        .await?;
    anyhow::ensure!(done == count, "{count} jobs were queued, {done} are done");
    // The jobs of one transaction were claimed, or ended, at its instant.
    let claims = stored
        .count("SELECT count(DISTINCT claimed_at) FROM jobs")
        .await?;
    let ends = stored
        .count("SELECT count(DISTINCT ended_at) FROM jobs")
        .await?;
    let batch = count.div_ceil(claims);
    let (without, commits) =
        without_queue(&path, &folder.join("baseline.db"), count, batch).await?;
    let details = json!({
        "jobs": count,
        "concurrency": concurrency,
        "enqueued_after_ms": enqueued.as_millis(),
        "jobs_per_claim": rounded(count as f64 / claims as f64),
        "jobs_per_end": rounded(count as f64 / ends as f64),
    });
    Ok(Figure {
        figure: "jobs",
        measured: Measured::Rate {
            per_second: rate(count, took),
            aim_per_second: AIM_PER_SECOND,
            baseline_per_second: rate(count, without),
        },
        unit: "no-op jobs in SQLite",
        baseline: format!(
            "the same rows put in, set to running and set to done by plain SQL, {batch} rows in each of {commits} transactions"
        ),
        details,
    })
}

/// Queues so many jobs.
pub async fn enqueue(
    store: &dyn JobStore,
    doorbell: &dyn Doorbell,
    count: usize,
) -> anyhow::Result<()> {
    for first in (0..count).step_by(ENQUEUE_JOBS) {
        let now = SystemClock.now();
        let jobs = (first..count.min(first + ENQUEUE_JOBS)).map(|number| NewJob {
            id: JobId::new(now, &SystemEntropy),
            kind: JobKind::Noop {
                number: number as u64,
            },
            class: JobClass::Interactive,
            trigger: Trigger::Manual,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        });
        let ids = store.enqueue(jobs.collect(), now).await?;
        doorbell.ring(&ids);
    }
    Ok(())
}

/// Does nothing, and says when it has done so often enough.
pub struct Noops {
    left: AtomicUsize,
    /// Cancelled when it has.
    pub all: CancellationToken,
}

impl Noops {
    /// One for so many jobs.
    pub fn expecting(count: usize) -> Self {
        Self {
            left: AtomicUsize::new(count),
            all: CancellationToken::new(),
        }
    }
}

#[async_trait]
impl JobHandler for Noops {
    async fn handle(&self, _claimed: ClaimedJob, _context: JobContext) -> Handled {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.cancel();
        }
        Handled::Outcome(JobOutcome::Done {
            note: String::new(),
        })
    }
}

/// The life of the same rows without a queue. Returns how long it took, in how many transactions.
async fn without_queue(
    source: &Path,
    path: &Path,
    rows: usize,
    batch: usize,
) -> anyhow::Result<(std::time::Duration, usize)> {
    let steps = [
        "INSERT INTO main.jobs (id, kind, sync, record, lane, class, cause, state, run_at, created_at)
         SELECT id, kind, sync, record, lane, class, cause, 'available', run_at, created_at
         FROM source.jobs WHERE rowid BETWEEN ?1 AND ?2",
        "UPDATE main.jobs SET state = 'running', attempt = 1, lease_token = id, lease_until = run_at, claimed_at = run_at
         WHERE rowid BETWEEN ?1 AND ?2",
        "UPDATE main.jobs SET state = 'done', note = '', ended_at = run_at, lease_token = NULL, lease_until = NULL
         WHERE rowid BETWEEN ?1 AND ?2",
    ]
    .map(str::to_owned);
    let mut database = Database::like(source, path).await?;
    let mut commits = 0;
    let began = Instant::now();
    for first in (1..=rows).step_by(batch) {
        for step in &steps {
            database
                .commit(std::slice::from_ref(step), first, first + batch - 1)
                .await?;
            commits += 1;
        }
    }
    Ok((began.elapsed(), commits))
}
