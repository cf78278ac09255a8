//! The group commit: requests that arrive together share one transaction, so that throughput is not one
//! disk flush a request. An answer is given only after the commit of its delivery.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{Clock, JobId};
use tandem_queue::Doorbell;
use tandem_store::{DeliveryOutcome, EventStore, NewDelivery};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::answer::Answer;
use super::memory::BodyShare;

/// Deliveries in one transaction.
const COMMIT_DELIVERIES_MAX: usize = 256;
/// Transactions under way. While one waits for the disk, the server carries out another.
const COMMITS_AT_ONCE: usize = 2;

/// Why a delivery is not known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// The queue is full.
    QueueFull,
    /// No answer in time; it may be stored all the same, and a repetition would be dropped.
    TooLate,
    /// The storage failed.
    Storage,
}

impl CommitFault {
    /// What the sender is told.
    pub fn answer(self) -> Answer {
        Answer::busy(match self {
            Self::QueueFull => "queue-full",
            Self::TooLate => "commit-slow",
            Self::Storage => "storage",
        })
    }
}

struct Pending {
    delivery: NewDelivery,
    /// Keeps the memory of the body reserved until it is stored.
    share: Arc<BodyShare>,
    reply: oneshot::Sender<Result<DeliveryOutcome, CommitFault>>,
}

/// Where requests hand in their deliveries.
#[derive(Clone, Debug)]
pub struct CommitQueue {
    sender: mpsc::Sender<Pending>,
    timeout: Duration,
}

impl CommitQueue {
    /// Starts the committer. It ends when the queue and all its clones are dropped and empty.
    pub fn start(
        committer: Committer,
        deliveries_max: usize,
        timeout: Duration,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(deliveries_max.max(1));
        let task = tokio::spawn(committer.run(receiver));
        (Self { sender, timeout }, task)
    }

    /// Stores a delivery together with others, and waits for the commit.
    pub async fn commit(
        &self,
        delivery: NewDelivery,
        share: Arc<BodyShare>,
    ) -> Result<DeliveryOutcome, CommitFault> {
        let (reply, answered) = oneshot::channel();
        let pending = Pending {
            delivery,
            share,
            reply,
        };
        self.sender
            .try_send(pending)
            .map_err(|_| CommitFault::QueueFull)?;
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(result)) => result,
            // The committer is gone: the process is ending.
            Ok(Err(_)) => Err(CommitFault::Storage),
            Err(_) => Err(CommitFault::TooLate),
        }
    }
}

/// Takes what waits, stores it at once, answers each, and rings.
pub struct Committer {
    pub store: Arc<dyn EventStore>,
    pub doorbell: Arc<dyn Doorbell>,
    pub clock: Arc<dyn Clock>,
}

impl Committer {
    async fn run(self, mut waiting: mpsc::Receiver<Pending>) {
        let committer = Arc::new(self);
        let mut under_way = JoinSet::new();
        loop {
            let mut batch = Vec::with_capacity(COMMIT_DELIVERIES_MAX);
            if waiting.recv_many(&mut batch, COMMIT_DELIVERIES_MAX).await == 0 {
                break;
            }
            let committer = Arc::clone(&committer);
            under_way.spawn(async move { committer.commit(batch).await });
            while under_way.len() >= COMMITS_AT_ONCE {
                under_way.join_next().await;
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn commit(&self, batch: Vec<Pending>) {
        let now = self.clock.now();
        let count = batch.len();
        let mut due = Vec::with_capacity(count);
        let mut replies = Vec::with_capacity(count);
        let mut deliveries = Vec::with_capacity(count);
        let mut shares = Vec::with_capacity(count);
        for pending in batch {
            due.push(any_due(&pending.delivery, now));
            replies.push(pending.reply);
            deliveries.push(pending.delivery);
            shares.push(pending.share);
        }
        metrics::histogram!("tandem_webhook_commit_deliveries").record(count as f64);
        let store = Arc::clone(&self.store);
        // A task of its own, so that a panic in the storage ends this commit and not the ingress.
        let result =
            tokio::spawn(async move { store.record_deliveries(deliveries, now).await }).await;
        metrics::histogram!("tandem_webhook_commit_seconds")
            .record(self.clock.now().since(now).as_secs_f64());
        match result {
            Ok(Ok(outcomes)) => self.answer(replies, outcomes, &due),
            Ok(Err(error)) => refuse(replies, &error),
            Err(panic) => refuse(replies, &panic),
        }
    }

    fn answer(&self, replies: Vec<Reply>, outcomes: Vec<DeliveryOutcome>, due: &[bool]) {
        let jobs: Vec<JobId> = outcomes
            .iter()
            .zip(due)
            .filter(|(_, due)| **due)
            .flat_map(|(outcome, _)| outcome.jobs.iter().copied())
            .collect();
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A request that is gone has no answer to miss.
            let _gone = reply.send(Ok(outcome));
        }
        if !jobs.is_empty() {
            self.doorbell.ring(&jobs);
        }
    }
}

type Reply = oneshot::Sender<Result<DeliveryOutcome, CommitFault>>;

fn refuse(replies: Vec<Reply>, error: &dyn std::fmt::Display) {
    tracing::error!(%error, deliveries = replies.len(), "webhooks could not be stored; their senders were asked to send them again");
    for reply in replies {
        let _gone = reply.send(Err(CommitFault::Storage));
    }
}

/// Jobs of a delivery whose quiet period is still on are rung by the scheduler when they are due.
fn any_due(delivery: &NewDelivery, now: tandem_domain::Timestamp) -> bool {
    delivery
        .events
        .iter()
        .flat_map(|event| &event.targets)
        .any(|target| target.run_at <= now)
}
