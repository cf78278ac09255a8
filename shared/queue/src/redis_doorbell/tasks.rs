//! The two tasks behind the doorbell: one sends what was rung, one hears of it. Each has a connection of
//! its own, because a connection that waits for entries answers nothing else.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tandem_domain::{Entropy, JobId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::BLOCK;
use super::health::{Health, Link};
use super::hearing::Hearing;
use super::place::{ANSWER_TIMEOUT, Place};
use super::stream::{Batch, Stream, is_gone};

/// So many ids are sent at once.
const SENT_IDS_MAX: usize = 500;
/// A connection that nothing is sent over is tried so often, so that its loss shows.
const PING_EVERY: Duration = Duration::from_secs(2);

/// What both tasks work with.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) place: Arc<Place>,
    pub(super) stream: Stream,
    pub(super) health: Arc<Health>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Cancelled when what is left to do should be done soon.
    pub(super) closing: CancellationToken,
}

/// What is done over one connection after the other.
trait Work {
    const LINK: Link;
    /// How long Redis may take for an answer.
    const ANSWER_TIMEOUT: Duration;

    /// Works over this connection until it fails, or until the doorbell closes.
    async fn over(&mut self, connection: MultiplexedConnection) -> RedisResult<()>;
}

/// Connects and works, again and again.
async fn keep_working<W: Work>(mut work: W, around: Surroundings) {
    loop {
        let over = match around.place.connect(W::ANSWER_TIMEOUT).await {
            Ok(connection) => work.over(connection).await,
            Err(error) => Err(error),
        };
        let Err(error) = over else { return };
        let chance = around.entropy.next_u64();
        let wait = around.health.failed(W::LINK, &error, chance);
        let waited = around
            .closing
            .run_until_cancelled(tokio::time::sleep(wait))
            .await;
        if waited.is_none() {
            return;
        }
    }
}

/// Sends the ids that come through the channel.
pub(super) async fn send(queue: mpsc::Receiver<JobId>, around: Surroundings) {
    let sender = Sender {
        queue,
        batch: Vec::new(),
        around: around.clone(),
    };
    keep_working(sender, around).await;
}

struct Sender {
    queue: mpsc::Receiver<JobId>,
    /// What is being sent; kept until Redis has taken it.
    batch: Vec<JobId>,
    around: Surroundings,
}

impl Work for Sender {
    const LINK: Link = Link::Rings;
    const ANSWER_TIMEOUT: Duration = ANSWER_TIMEOUT;

    async fn over(&mut self, mut connection: MultiplexedConnection) -> RedisResult<()> {
        loop {
            if self.batch.is_empty() {
                redis::cmd("PING").exec_async(&mut connection).await?;
            } else {
                self.around.stream.add(&mut connection, &self.batch).await?;
                self.batch.clear();
            }
            self.around.health.worked(Self::LINK);
            match tokio::time::timeout(PING_EVERY, self.gather()).await {
                Ok(true) | Err(_) => {}
                Ok(false) => return Ok(()),
            }
        }
    }
}

impl Sender {
    /// Waits for ids and takes all there are. `false` when there are none and no more will come.
    async fn gather(&mut self) -> bool {
        tokio::select! {
            ids = self.queue.recv_many(&mut self.batch, SENT_IDS_MAX) => return ids > 0,
            () = self.around.closing.cancelled() => self.queue.close(),
        }
        self.queue.recv_many(&mut self.batch, SENT_IDS_MAX).await > 0
    }
}

/// Hears of ids while somebody waits for them.
pub(super) async fn listen(hearing: Arc<Hearing>, around: Surroundings) {
    let listener = Listener {
        hearing,
        around: around.clone(),
    };
    keep_working(listener, around).await;
}

struct Listener {
    hearing: Arc<Hearing>,
    around: Surroundings,
}

impl Work for Listener {
    const LINK: Link = Link::Hears;
    const ANSWER_TIMEOUT: Duration = BLOCK.saturating_add(ANSWER_TIMEOUT);

    async fn over(&mut self, mut connection: MultiplexedConnection) -> RedisResult<()> {
        let ended = tokio::select! {
            ended = self.hear(&mut connection) => Some(ended),
            () = self.around.closing.cancelled() => None,
        };
        self.hearing.set_stream_heard(false);
        match ended {
            Some(ended) => ended,
            None => {
                // Redis may still be holding back an answer on this one.
                drop(connection);
                let mut connection = self.around.place.connect(ANSWER_TIMEOUT).await?;
                self.around.stream.leave(&mut connection).await
            }
        }
    }
}

impl Listener {
    async fn hear(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let stream = &self.around.stream;
        stream.open(connection).await?;
        let mut is_quiet = true;
        loop {
            if is_quiet {
                // At first, and again when nothing comes: Redis may answer a question that was asked over
                // a connection that broke, even after this one was made.
                let unsettled = stream.read_unsettled(connection).await?;
                self.hand_over(unsettled, connection).await?;
            }
            self.hearing.set_stream_heard(true);
            self.around.health.worked(Self::LINK);
            self.hearing.demand().await;
            match stream.read_new(connection).await {
                Ok(batch) => {
                    is_quiet = batch.is_empty();
                    self.hand_over(batch, connection).await?;
                }
                Err(error) if is_gone(&error) => {
                    info!("Redis has lost the doorbell's stream; it is made again");
                    stream.open(connection).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn hand_over(
        &self,
        batch: Batch,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        if batch.is_empty() {
            return Ok(());
        }
        counter!("tandem_doorbell_heard_total").increment(batch.ids.len() as u64);
        let put_back = if self.hearing.hear(&batch.ids) {
            &[]
        } else {
            &batch.ids[..]
        };
        self.around
            .stream
            .settle(connection, &batch, put_back)
            .await
    }
}
