//! Jobs a second through the queue of a fleet: claimed under a lease, run (they do nothing), and ended in
//! PostgreSQL, by several runners that Redis wakes, each with connections of its own as in a process of
//! its own.
//!
//! Once with all jobs waiting before the runners start, which is the figure; once while they are queued.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use sqlx::{Executor as _, PgConnection};
use tandem_domain::{Clock, LeaseToken};
use tandem_queue::{
    DoorbellRole, InProcessDoorbell, OpenGate, RedisDoorbell, RedisDoorbellOptions, Runner,
    RunnerConfig, RunnerParts,
};
use tandem_runtime::{SystemClock, SystemEntropy};
use tandem_store::{ClaimRequest, ClaimedJob, JobOutcome, JobStore};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::figure::{Figure, Measured, rate, rounded};
use crate::jobs::{Noops, enqueue};
use crate::servers::{Database, Servers};

/// Runners, and in the baseline pairs of connections: one that claims, one that completes.
const RUNNERS: usize = 2;
/// Batches between the two; a runner, too, has some claimed and some to be ended.
const BATCHES_BETWEEN: usize = 2;
const AIM_PER_SECOND: f64 = 8_000.0;
const LEASE: Duration = Duration::from_secs(30);

/// Runs so many jobs, then lets bare statements do the same.
pub async fn measure(
    servers: &Servers,
    count: usize,
    concurrency: usize,
) -> anyhow::Result<Figure> {
    let queued = servers.database("jobs_queued").await?;
    let while_queued = run(&queued, count, concurrency, Queued::Meanwhile).await?;
    queued.remove().await?;

    let waiting = servers.database("jobs_waiting").await?;
    let drained = run(&waiting, count, concurrency, Queued::Before).await?;
    // The jobs of one transaction were claimed, or ended, at its instant.
    let claims = waiting
        .count("SELECT count(DISTINCT claimed_at) FROM jobs")
        .await?;
    let ends = waiting
        .count("SELECT count(DISTINCT ended_at) FROM jobs")
        .await?;
    waiting.remove().await?;

    let batch = count.div_ceil(claims);
    let stored = with_store(servers, count, batch).await?;
    let bare = with_statements(servers, count, batch).await?;
    let details = json!({
        "jobs": count,
        "runners": RUNNERS,
        "concurrency": concurrency,
        "jobs_per_claim": rounded(count as f64 / claims as f64),
        "jobs_per_end": rounded(count as f64 / ends as f64),
        "per_second_while_queued": rounded(rate(count, while_queued)),
        "per_second_by_storage_alone": rounded(rate(count, stored)),
    });
    Ok(Figure {
        figure: "jobs-postgres",
        measured: Measured::Rate {
            per_second: rate(count, drained),
            aim_per_second: AIM_PER_SECOND,
            baseline_per_second: rate(count, bare),
        },
        unit: "no-op jobs in PostgreSQL, claimed and completed",
        baseline: format!(
            "the same jobs claimed (SKIP LOCKED) and completed by bare statements, {batch} jobs each, over {RUNNERS} connections that claim and {RUNNERS} that complete"
        ),
        details,
    })
}

/// When the jobs are queued.
#[derive(Clone, Copy)]
enum Queued {
    Before,
    Meanwhile,
}

/// Returns how long it took from the start of the runners until the last end is on the disk.
async fn run(
    database: &Database,
    count: usize,
    concurrency: usize,
    queued: Queued,
) -> anyhow::Result<Duration> {
    let doorbell = bell(database, "bench-queuer", DoorbellRole::Rings).await?;
    let store = database.store().await?;
    if let Queued::Before = queued {
        enqueue(&*store, &*doorbell, count).await?;
    }
    let handler = Arc::new(Noops::expecting(count));
    let mut ready = Vec::with_capacity(RUNNERS);
    for number in 0..RUNNERS {
        ready.push(runner(database, number, concurrency, &handler).await?);
    }
    let shutdown = CancellationToken::new();
    let mut runners = JoinSet::new();
    let began = Instant::now();
    for (runner, bell) in ready {
        let shutdown = shutdown.clone();
        runners.spawn(async move { runner.run(shutdown).await.map(|_drained| bell) });
    }
    if let Queued::Meanwhile = queued {
        enqueue(&*store, &*doorbell, count).await?;
    }
    handler.all.cancelled().await;
    shutdown.cancel();
    let mut bells = vec![doorbell];
    while let Some(ended) = runners.join_next().await {
        bells.push(ended.context("a runner")??);
    }
    let took = began.elapsed();
    for bell in bells {
        bell.close().await;
    }
    all_done(database, count).await?;
    Ok(took)
}

/// A runner with connections and a doorbell of its own, which is given too.
async fn runner(
    database: &Database,
    number: usize,
    concurrency: usize,
    handler: &Arc<Noops>,
) -> anyhow::Result<(Runner, Arc<RedisDoorbell>)> {
    let name = format!("bench-runner-{number}");
    let bell = bell(database, &name, DoorbellRole::RingsAndHears).await?;
    let parts = RunnerParts {
        store: database.store().await?,
        doorbell: Arc::clone(&bell) as _,
        gate: Arc::new(OpenGate),
        handler: Arc::clone(handler) as _,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    let config = RunnerConfig {
        concurrency,
        ..RunnerConfig::default()
    };
    Ok((Runner::new(config, parts), bell))
}

async fn bell(
    database: &Database,
    name: &str,
    role: DoorbellRole,
) -> anyhow::Result<Arc<RedisDoorbell>> {
    let options = RedisDoorbellOptions::new(name, role);
    let bell = RedisDoorbell::connect(&database.redis_url, options, Arc::new(SystemEntropy));
    Ok(bell.await?)
}

async fn all_done(database: &Database, count: usize) -> anyhow::Result<()> {
    let done = database
        .count("SELECT count(*) FROM jobs WHERE state = 'done'")
        .await?;
    anyhow::ensure!(done == count, "{count} jobs were queued, {done} are done");
    Ok(())
}

/// A database in which so many jobs wait.
async fn waiting(servers: &Servers, name: &'static str, count: usize) -> anyhow::Result<Database> {
    let database = servers.database(name).await?;
    let store = database.store().await?;
    enqueue(&*store, &InProcessDoorbell::default(), count).await?;
    Ok(database)
}

/// The same by the product's storage, without runners.
async fn with_store(servers: &Servers, count: usize, batch: usize) -> anyhow::Result<Duration> {
    let database = waiting(servers, "jobs_by_storage", count).await?;
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..RUNNERS {
        let store = database.store().await?;
        let (claimed, mut to_end) = mpsc::channel::<Vec<ClaimedJob>>(BATCHES_BETWEEN);
        let claiming = Arc::clone(&store);
        tasks.spawn(async move {
            loop {
                let got = claiming.claim(request(batch)).await?;
                if got.is_empty() || claimed.send(got).await.is_err() {
                    return anyhow::Ok(());
                }
            }
        });
        tasks.spawn(async move {
            while let Some(got) = to_end.recv().await {
                let done = JobOutcome::Done {
                    note: String::new(),
                };
                let ended = got.iter().map(|one| (one.lease, done.clone())).collect();
                store.finish(ended, SystemClock.now()).await?;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    let took = began.elapsed();
    all_done(&database, count).await?;
    database.remove().await?;
    Ok(took)
}

fn request(batch: usize) -> ClaimRequest {
    let now = SystemClock.now();
    ClaimRequest {
        tokens: (0..batch)
            .map(|_| LeaseToken::new(now, &SystemEntropy))
            .collect(),
        lease_until: now.plus(LEASE),
        blocked_syncs: Vec::new(),
        shares: [batch, 0, 0],
        now,
    }
}

/// The index that these statements need, in the place of the one that the product's need.
const INDEX: &str = "DROP INDEX jobs_due;
    CREATE INDEX jobs_due ON jobs (sync, class, run_at, id) WHERE state = 'available'";
/// As plain as a queue in SQL can be: no lanes, no shares, no pauses, no tokens of one's own.
const CLAIM: &str = "UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_token = id,
        lease_until = $2, claimed_at = $3
    WHERE id IN (
        SELECT id FROM jobs
        WHERE state = 'available' AND sync = '' AND class = 0 AND run_at <= $3
        ORDER BY run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id";
const COMPLETE: &str = "UPDATE jobs SET state = 'done', note = '', ended_at = $2,
        lease_token = NULL, lease_until = NULL
    WHERE id = ANY ($1)";

/// The same by bare statements.
async fn with_statements(
    servers: &Servers,
    count: usize,
    batch: usize,
) -> anyhow::Result<Duration> {
    let database = waiting(servers, "jobs_by_statements", count).await?;
    database.connect().await?.execute(INDEX).await?;
    let mut open = Vec::with_capacity(RUNNERS);
    for _ in 0..RUNNERS {
        open.push((database.connect().await?, database.connect().await?));
    }
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for (claiming, completing) in open {
        let (claimed, to_complete) = mpsc::channel(BATCHES_BETWEEN);
        tasks.spawn(claim(claiming, batch, claimed));
        tasks.spawn(complete(completing, to_complete));
    }
    join(tasks).await?;
    let took = began.elapsed();
    all_done(&database, count).await?;
    database.remove().await?;
    Ok(took)
}

async fn claim(
    mut connection: PgConnection,
    batch: usize,
    claimed: mpsc::Sender<Vec<String>>,
) -> anyhow::Result<()> {
    loop {
        let now = SystemClock.now();
        let ids: Vec<String> = sqlx::query_scalar(CLAIM)
            .bind(i64::try_from(batch)?)
            .bind(now.plus(LEASE).as_micros())
            .bind(now.as_micros())
            .fetch_all(&mut connection)
            .await?;
        if ids.is_empty() || claimed.send(ids).await.is_err() {
            return Ok(());
        }
    }
}

async fn complete(
    mut connection: PgConnection,
    mut claimed: mpsc::Receiver<Vec<String>>,
) -> anyhow::Result<()> {
    while let Some(ids) = claimed.recv().await {
        sqlx::query(COMPLETE)
            .bind(ids)
            .bind(SystemClock.now().as_micros())
            .execute(&mut connection)
            .await?;
    }
    Ok(())
}

async fn join(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
