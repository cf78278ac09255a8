//! The doorbell of a fleet: ids of jobs in a Redis stream, read by all workers as one consumer group.
//!
//! Whoever stores jobs rings; each ring wakes one worker that waits. The ids are only news: a worker
//! that hears some claims whatever is due, in the order of its classes, so one stream serves all classes.
//! The rows stay the truth. An id is taken off the stream as soon as it is heard, and one that is lost,
//! with a worker, with a full queue or with Redis, costs latency: runners also look by themselves.
//!
//! What is rung is sent in batches by a task of its own; while one batch is under way the next gathers.
//! Few ids have an entry each, so that a burst wakes many workers: Redis serves those that wait one
//! entry each, in turn. A worker reads only while its runner waits, and a runner whose slots are all
//! taken passes on what it heard and could not claim.
//!
//! Redis may be stopped, stalled, emptied or replaced at any time. Each command has a time-out, failed
//! connections are made anew with growing waits, a lost group is made again, and until then waits end
//! with their time. A stream trims itself.
//!
//! Absent: Redis Cluster and Sentinel (one address, which may fail over); any use of the ids; removal
//! of the consumers of processes that were killed (their names stay in the group and do no harm).

mod error;
mod health;
mod hearing;
mod place;
mod stream;
mod tasks;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use tandem_domain::{Entropy, JobId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Doorbell;
use health::Health;
use hearing::Hearing;
use place::Place;
use stream::Stream;
use tasks::Surroundings;

pub use error::RedisDoorbellError;

/// So many ids wait to be sent; those beyond are dropped, and found by the runners that look.
const QUEUE_IDS_MAX: usize = 10_000;
/// How long Redis holds a worker's question for entries: the price of a stall that nothing tells of is
/// this and the time-out of an answer.
const BLOCK: Duration = Duration::from_secs(1);
/// What was rung is sent within this at the end of the process, or not at all.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// What a process does with the doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorbellRole {
    /// It has no runner.
    Rings,
    /// It has a runner, which also hears what the process itself rings.
    RingsAndHears,
}

/// How a process takes part.
#[derive(Clone, Debug)]
pub struct RedisDoorbellOptions {
    /// The name of this process, unlike that of any other that hears.
    pub consumer: String,
    /// The first part of the stream's key, so that several installations can share a Redis.
    pub namespace: String,
    /// What it does.
    pub role: DoorbellRole,
}

impl RedisDoorbellOptions {
    /// The usual namespace, `tandem`.
    #[must_use]
    pub fn new(consumer: impl Into<String>, role: DoorbellRole) -> Self {
        Self {
            consumer: consumer.into(),
            namespace: "tandem".to_owned(),
            role,
        }
    }
}

/// See the module.
pub struct RedisDoorbell {
    outgoing: mpsc::Sender<JobId>,
    /// In a process with a runner.
    hearing: Option<Arc<Hearing>>,
    health: Arc<Health>,
    closing: CancellationToken,
    /// Ended when this is dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl RedisDoorbell {
    /// Connects once, so that what is wrong is known at the start.
    ///
    /// # Errors
    /// One for each thing that can be wrong; [`RedisDoorbellError::is_configuration`] tells those that
    /// waiting does not mend. Returns after 3 s at the latest.
    pub async fn check(url: &str) -> Result<(), RedisDoorbellError> {
        Place::parse(url)?.check().await
    }

    /// Starts a doorbell whose Redis must answer now.
    ///
    /// # Errors
    /// As [`RedisDoorbell::check`].
    pub async fn connect(
        url: &str,
        options: RedisDoorbellOptions,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, RedisDoorbellError> {
        let place = Place::parse(url)?;
        place.check().await?;
        Ok(Self::over(place, &options, entropy))
    }

    /// Starts a doorbell whose Redis may be away: it works once Redis is there, and says so.
    ///
    /// # Errors
    /// As [`RedisDoorbell::check`], but for [`RedisDoorbellError::Unreachable`].
    pub async fn start(
        url: &str,
        options: RedisDoorbellOptions,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, RedisDoorbellError> {
        let place = Place::parse(url)?;
        match place.check().await {
            Err(error) if error.is_configuration() => Err(error),
            // Its absence is told by the tasks, once they have tried for themselves.
            Ok(()) | Err(_) => Ok(Self::over(place, &options, entropy)),
        }
    }

    fn over(place: Place, options: &RedisDoorbellOptions, entropy: Arc<dyn Entropy>) -> Arc<Self> {
        let hearing = match options.role {
            DoorbellRole::Rings => None,
            DoorbellRole::RingsAndHears => Some(Arc::new(Hearing::default())),
        };
        let health = Arc::new(Health::new(place.shown(), hearing.is_some()));
        let closing = CancellationToken::new();
        let around = Surroundings {
            place: Arc::new(place),
            stream: Stream::new(&options.namespace, &options.consumer),
            health: Arc::clone(&health),
            entropy,
            closing: closing.clone(),
        };
        let (outgoing, queue) = mpsc::channel(QUEUE_IDS_MAX);
        let mut tasks = JoinSet::new();
        if let Some(hearing) = &hearing {
            tasks.spawn(tasks::listen(Arc::clone(hearing), around.clone()));
        }
        tasks.spawn(tasks::send(queue, around));
        Arc::new(Self {
            outgoing,
            hearing,
            health,
            closing,
            tasks: Mutex::new(tasks),
        })
    }

    /// Whether rings go out and, in a process that hears, come in.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.health.is_connected()
    }

    /// Sends what was rung, leaves the group, and ends the connections, all within 500 ms. To be called
    /// after the last ring: later ones are dropped.
    pub async fn close(&self) {
        self.closing.cancel();
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        let joined = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_WAIT, joined).await.is_err() {
            debug!("the doorbell was closed with rings unsent; their jobs are found by polling");
        }
    }

    fn send(&self, jobs: &[JobId]) {
        let is_dropped = |job: &&JobId| self.outgoing.try_send(**job).is_err();
        let dropped = jobs.iter().filter(is_dropped).count();
        if dropped > 0 {
            counter!("tandem_doorbell_dropped_total").increment(dropped as u64);
        }
    }
}

#[async_trait]
impl Doorbell for RedisDoorbell {
    fn ring(&self, jobs: &[JobId]) {
        counter!("tandem_doorbell_rung_total").increment(jobs.len() as u64);
        match &self.hearing {
            Some(hearing) => self.send(hearing.ring_here(jobs)),
            None => self.send(jobs),
        }
    }

    fn pass_on(&self, claimed: &[JobId]) {
        if let Some(hearing) = &self.hearing {
            self.send(&hearing.pass_on(claimed));
        }
    }

    async fn wait(&self, at_most: Duration) {
        match &self.hearing {
            Some(hearing) => hearing.wait(at_most).await,
            None => tokio::time::sleep(at_most).await,
        }
    }
}
