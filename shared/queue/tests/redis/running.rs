//! Runners over the embedded storage, rung for through Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{Clock, Entropy, JobId, Timestamp};
use tandem_queue::{
    Doorbell, Drained, Handled, JobContext, JobHandler, OpenGate, RedisDoorbell, Runner,
    RunnerConfig, RunnerError, RunnerParts,
};
use tandem_store::{ClaimedJob, Hints, JobClass, JobKind, JobOutcome, JobStore, NewJob, Trigger};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tandem_testkit::SeededEntropy;
use tandem_testkit::servers::RedisServer;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{LONG, Observer, hearer, ringer, soon};

struct SinceStart(Instant);

impl Clock for SinceStart {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_000_000).plus(self.0.elapsed())
    }
}

/// Counts the jobs; each waits until it is let go.
struct Counting {
    seen: AtomicU64,
    changed: Notify,
    let_go: CancellationToken,
}

#[async_trait]
impl JobHandler for Counting {
    async fn handle(&self, _claimed: ClaimedJob, _context: JobContext) -> Handled {
        self.seen.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
        self.let_go.cancelled().await;
        Handled::Outcome(JobOutcome::Done {
            note: String::new(),
        })
    }
}

impl Counting {
    async fn until_seen(&self, jobs: u64) {
        soon(async {
            while self.seen.load(Ordering::SeqCst) < jobs {
                self.changed.notified().await;
            }
        })
        .await;
    }
}

/// A storage with jobs in it.
struct Queue {
    store: Arc<SqliteStore>,
    clock: Arc<SinceStart>,
    entropy: Arc<SeededEntropy>,
    _folder: TempDir,
}

impl Queue {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tandem.db");
        let store = SqliteStore::open(&path, SqliteOptions { exclusive: true }).await;
        Self {
            store: store.expect("a new database"),
            clock: Arc::new(SinceStart(Instant::now())),
            entropy: Arc::new(SeededEntropy::new(1)),
            _folder: folder,
        }
    }

    async fn enqueue(&self, jobs: u64) -> Vec<JobId> {
        let now = self.clock.now();
        let job = |number| NewJob {
            id: JobId::new(now, &*self.entropy),
            kind: JobKind::Noop { number },
            class: JobClass::ALL[0],
            trigger: Trigger::Manual,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        };
        // Numbers of their own, so that no job merges into another.
        let first = self.entropy.next_u64() >> 1;
        let jobs = (first..first + jobs).map(job).collect();
        self.store.enqueue(jobs, now).await.expect("inserted")
    }

    async fn assert_drained(&self, jobs: u64) {
        let counts = self.store.job_counts(None, self.clock.now()).await;
        let counts = counts.expect("counted");
        assert_eq!((counts.available, counts.running, counts.dead), (0, 0, 0));
        assert_eq!(counts.done, jobs);
    }

    fn run(&self, bell: &Arc<RedisDoorbell>, config: RunnerConfig, wait: CancellationToken) -> Run {
        let handler = Arc::new(Counting {
            seen: AtomicU64::new(0),
            changed: Notify::new(),
            let_go: wait,
        });
        let parts = RunnerParts {
            store: Arc::clone(&self.store) as _,
            doorbell: Arc::clone(bell) as _,
            gate: Arc::new(OpenGate),
            handler: Arc::clone(&handler) as _,
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::clone(&self.entropy) as _,
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(Runner::new(config, parts).run(shutdown.clone()));
        Run {
            handler,
            shutdown,
            task,
        }
    }
}

struct Run {
    handler: Arc<Counting>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<Drained, RunnerError>>,
}

impl Run {
    async fn end(self) {
        self.shutdown.cancel();
        let drained = soon(self.task).await.expect("no panic");
        assert_eq!(drained.expect("no failure").abandoned, 0);
    }
}

/// A runner that finds jobs only when rung for.
fn only_rung(concurrency: usize) -> RunnerConfig {
    RunnerConfig {
        concurrency,
        poll_interval: LONG,
        ..RunnerConfig::default()
    }
}

fn at_once() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}

#[tokio::test]
async fn a_runner_drains_what_is_rung_through_redis() {
    const BATCHES: u64 = 20;
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let queue = Queue::open().await;
    let run = queue.run(&worker, only_rung(64), at_once());
    Observer::of(&server).await.until_waiting(1).await;
    for batch in 1..=BATCHES {
        let jobs = queue.enqueue(50).await;
        api.ring(&jobs);
        run.handler.until_seen(batch * 50).await;
    }
    run.end().await;
    queue.assert_drained(BATCHES * 50).await;
}

#[tokio::test]
async fn a_runner_drains_while_redis_is_stopped_and_is_rung_for_again_afterwards() {
    let mut server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let queue = Queue::open().await;
    let config = RunnerConfig {
        poll_interval: Duration::from_millis(50),
        ..RunnerConfig::default()
    };
    let run = queue.run(&worker, config, at_once());
    server.stop().await;
    api.ring(&queue.enqueue(100).await);
    run.handler.until_seen(100).await;
    run.end().await;

    server.start_again().await;
    let run = queue.run(&worker, only_rung(64), at_once());
    Observer::of(&server).await.until_waiting(1).await;
    api.ring(&queue.enqueue(100).await);
    run.handler.until_seen(100).await;
    run.end().await;
    queue.assert_drained(200).await;
}

#[tokio::test]
async fn what_a_full_runner_cannot_claim_wakes_another() {
    let server = RedisServer::start().await;
    let api = ringer(&server).await;
    let (small, large) = (
        hearer(&server, "small").await,
        hearer(&server, "large").await,
    );
    let queue = Queue::open().await;
    let mut observer = Observer::of(&server).await;
    let let_go = CancellationToken::new();
    let small_run = queue.run(&small, only_rung(1), let_go.clone());
    observer.until_waiting(1).await;
    let large_run = queue.run(&large, only_rung(64), let_go.clone());
    observer.until_waiting(2).await;

    // One entry, as a worker hears it whose question arrives after those of the burst.
    let ids = queue.enqueue(10).await;
    let text: Vec<String> = ids.iter().map(JobId::to_string).collect();
    observer.add_entry(&text.join(" ")).await;
    small_run.handler.until_seen(1).await;
    large_run.handler.until_seen(9).await;
    let_go.cancel();
    small_run.end().await;
    large_run.end().await;
    queue.assert_drained(10).await;
    drop(api);
}
