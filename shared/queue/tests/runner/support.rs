//! A runner under test, and what it is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use tandem_domain::{Clock, Entropy, JobId, RecordId, Side, SyncName, Timestamp};
use tandem_queue::{
    Doorbell, Drained, Gate, Handled, InProcessDoorbell, JobContext, JobHandler, OpenGate, Runner,
    RunnerConfig, RunnerParts,
};
use tandem_store::{
    ClaimedJob, Hints, Job, JobClass, JobKind, JobOutcome, JobState, JobStore, NewJob, Trigger,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::memory::MemoryStore;

/// Longer than anything that a test waits for, on the paused clock.
pub const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Follows tokio's clock, which the tests pause.
pub struct TokioClock {
    start: Instant,
}

impl Default for TokioClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_000_000).plus(self.start.elapsed())
    }
}

/// Counts: different each time, the same in each run.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A handler made of a function.
struct FnHandler<F>(F);

#[async_trait]
impl<F> JobHandler for FnHandler<F>
where
    F: Fn(ClaimedJob, JobContext) -> BoxFuture<'static, Handled> + Send + Sync,
{
    async fn handle(&self, claimed: ClaimedJob, context: JobContext) -> Handled {
        (self.0)(claimed, context).await
    }
}

pub fn done() -> Handled {
    Handled::Outcome(JobOutcome::Done {
        note: "did it".to_owned(),
    })
}

/// A handler that does what the future does.
pub fn handler<F, Fut>(work: F) -> Arc<dyn JobHandler>
where
    F: Fn(ClaimedJob, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Handled> + Send + 'static,
{
    Arc::new(FnHandler(move |claimed, context| {
        work(claimed, context).boxed()
    }))
}

/// A handler that does nothing, well.
pub fn idle_handler() -> Arc<dyn JobHandler> {
    handler(|_, _| async { done() })
}

pub fn sync(name: &str) -> SyncName {
    name.parse().expect("a valid name")
}

pub fn reconcile(sync_name: &str, record: u64) -> JobKind {
    JobKind::Reconcile {
        sync: sync(sync_name),
        side: Side::A,
        record: RecordId::new(record.to_string()),
    }
}

pub fn all_done(jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.state == JobState::Done)
}

/// What the tests hold of a world with a runner in it.
pub struct World {
    pub store: Arc<MemoryStore>,
    pub doorbell: Arc<InProcessDoorbell>,
    pub clock: Arc<TokioClock>,
    pub entropy: Arc<Counting>,
    pub gate: Arc<dyn Gate>,
    pub config: RunnerConfig,
}

/// A runner at work.
pub struct Started {
    pub shutdown: CancellationToken,
    pub ended: JoinHandle<Drained>,
}

impl Started {
    /// Tells the runner to stop, and waits until it has.
    pub async fn stop(self) -> Drained {
        self.shutdown.cancel();
        self.ended.await.expect("the runner does not panic")
    }
}

impl World {
    /// Eight slots, and no fallback poll within any test's time.
    pub fn new() -> Self {
        Self {
            store: Arc::default(),
            doorbell: Arc::default(),
            clock: Arc::default(),
            entropy: Arc::default(),
            gate: Arc::new(OpenGate),
            config: RunnerConfig {
                concurrency: 8,
                poll_interval: FOREVER,
                ..RunnerConfig::default()
            },
        }
    }

    pub fn start(&self, handler: Arc<dyn JobHandler>) -> Started {
        let runner = Runner::new(
            self.config,
            RunnerParts {
                store: Arc::clone(&self.store) as _,
                doorbell: Arc::clone(&self.doorbell) as _,
                gate: Arc::clone(&self.gate),
                handler,
                clock: Arc::clone(&self.clock) as _,
                entropy: Arc::clone(&self.entropy) as _,
            },
        );
        let shutdown = CancellationToken::new();
        let running = runner.run(shutdown.clone());
        Started {
            shutdown,
            ended: tokio::spawn(async { running.await.expect("no part of it fails") }),
        }
    }

    /// Waits until the runner has looked at the store and found nothing.
    pub async fn idle(&self) {
        self.store
            .until(|_| self.store.claims.load(Ordering::SeqCst) > 0)
            .await;
        tokio::task::yield_now().await;
    }

    pub fn new_job(&self, kind: JobKind, class: JobClass, run_at: Timestamp) -> NewJob {
        NewJob {
            id: JobId::new(self.clock.now(), &*self.entropy),
            kind,
            class,
            trigger: Trigger::Webhook,
            run_at,
            hints: Hints::default(),
            traceparent: None,
        }
    }

    /// Inserts jobs that are due now.
    pub async fn enqueue(&self, kinds: impl IntoIterator<Item = JobKind>) -> Vec<JobId> {
        let now = self.clock.now();
        let jobs = kinds
            .into_iter()
            .map(|kind| self.new_job(kind, JobClass::Interactive, now))
            .collect();
        self.store
            .enqueue(jobs, now)
            .await
            .expect("the store in memory does not fail here")
    }

    /// Inserts jobs that are due now, and rings.
    pub async fn enqueue_and_ring(&self, kinds: impl IntoIterator<Item = JobKind>) -> Vec<JobId> {
        let ids = self.enqueue(kinds).await;
        self.doorbell.ring(&ids);
        ids
    }
}
