//! The runner on the real embedded storage, on the real clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{Clock, Entropy, JobId, Timestamp};
use tandem_queue::{
    Handled, InProcessDoorbell, JobContext, JobHandler, OpenGate, Runner, RunnerConfig, RunnerParts,
};
use tandem_store::{ClaimedJob, Hints, JobClass, JobKind, JobOutcome, JobStore, NewJob, Trigger};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const JOBS: u64 = 2_000;
/// Far longer than it takes, even unoptimised on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct SinceStart(Instant);

impl Clock for SinceStart {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_000_000).plus(self.0.elapsed())
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Counts the jobs, and says when it has seen all.
#[derive(Default)]
struct Noops {
    seen: AtomicU64,
    all: CancellationToken,
}

#[async_trait]
impl JobHandler for Noops {
    async fn handle(&self, _claimed: ClaimedJob, _context: JobContext) -> Handled {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == JOBS {
            self.all.cancel();
        }
        Handled::Outcome(JobOutcome::Done {
            note: String::new(),
        })
    }
}

fn noop(number: u64, now: Timestamp, entropy: &Counting) -> NewJob {
    NewJob {
        id: JobId::new(now, entropy),
        kind: JobKind::Noop { number },
        class: JobClass::ALL[(number % 3) as usize],
        trigger: Trigger::Manual,
        run_at: now,
        hints: Hints::default(),
        traceparent: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_is_done_once_and_none_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let store = SqliteStore::open(&path, SqliteOptions { exclusive: true })
        .await
        .expect("a new database");
    let clock = Arc::new(SinceStart(Instant::now()));
    let entropy = Arc::new(Counting::default());
    let now = clock.now();
    let jobs = (0..JOBS)
        .map(|number| noop(number, now, &entropy))
        .collect();
    store.enqueue(jobs, now).await.expect("inserted");

    let handler = Arc::new(Noops::default());
    let runner = Runner::new(
        RunnerConfig::default(),
        RunnerParts {
            store: Arc::clone(&store) as _,
            doorbell: Arc::new(InProcessDoorbell::default()),
            gate: Arc::new(OpenGate),
            handler: Arc::clone(&handler) as _,
            clock: Arc::clone(&clock) as _,
            entropy,
        },
    );
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(runner.run(shutdown.clone()));
    tokio::time::timeout(PATIENCE, handler.all.cancelled())
        .await
        .expect("all jobs were handled");
    shutdown.cancel();
    let drained = running.await.expect("no panic").expect("no failure");
    assert_eq!(drained.abandoned, 0);
    assert_eq!(handler.seen.load(Ordering::SeqCst), JOBS);
    let counts = store.job_counts(None, clock.now()).await.expect("counted");
    assert_eq!((counts.available, counts.running, counts.dead), (0, 0, 0));
    assert_eq!(counts.done, JOBS);
}
