//! Readings of single records, asked for at the same time, become one request of the batch form that
//! many systems offer: fewer requests against the rate limit, and less work for both ends.
//!
//! Nothing waits for company: a reading that comes while few requests are under way goes at once; those
//! that come meanwhile go together when one of these is answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{MeasuredOffset, RecordId, StreamName};
use tandem_trace::{TraceContext, within};
use tokio::sync::oneshot;

use crate::clock_state::ClockState;
use crate::connector::{
    CheckReport, Connector, ConnectorError, Delete, Listing, Lookup, Page, PageToken, ReadOutcome,
    RemoteRecord, StreamInfo, Write, Written,
};
use crate::pulse::{HoldUp, Pulse};

/// Batches of one stream under way at once; readings gather only beyond that.
const BATCHES_IN_FLIGHT: usize = 3;

/// A connector whose readings are gathered into batches.
pub struct BatchedReads {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn Connector>,
    queues: Mutex<BTreeMap<StreamName, Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    in_flight: usize,
}

struct Waiting {
    id: RecordId,
    /// The step of the trace that asks.
    step: Option<TraceContext>,
    answer: oneshot::Sender<Result<ReadOutcome, ConnectorError>>,
}

impl BatchedReads {
    /// Gathers the readings of this connector.
    #[must_use]
    pub fn new(inner: Arc<dyn Connector>) -> Self {
        Self {
            shared: Arc::new(Shared {
                inner,
                queues: Mutex::default(),
            }),
        }
    }

    fn batch(&self, stream: &StreamName) -> usize {
        self.shared
            .inner
            .stream(stream)
            .map_or(1, |info| info.capabilities.read_batch)
    }
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<StreamName, Queue>> {
        // No code panics between two changes that belong together.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts readings into the queue; true when a further batch may be sent for them.
    fn push(&self, stream: &StreamName, waiting: Vec<Waiting>) -> bool {
        let mut queues = self.queues();
        let queue = queues.entry(stream.clone()).or_default();
        queue.waiting.extend(waiting);
        let start = queue.in_flight < BATCHES_IN_FLIGHT;
        queue.in_flight += usize::from(start);
        start
    }

    /// The next batch; `None` ends the sender.
    fn pop(&self, stream: &StreamName, batch: usize) -> Option<Vec<Waiting>> {
        let mut queues = self.queues();
        let queue = queues.get_mut(stream)?;
        if queue.waiting.is_empty() {
            queue.in_flight -= 1;
            return None;
        }
        let size = queue.waiting.len().min(batch);
        Some(queue.waiting.drain(..size).collect())
    }

    async fn send_batches(self: Arc<Self>, stream: StreamName, batch: usize) {
        while let Some(waiting) = self.pop(&stream, batch) {
            let mut ids: Vec<RecordId> = waiting.iter().map(|one| one.id.clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            // One request has one place in one trace: that of the first who asked.
            let step = waiting.iter().find_map(|one| one.step);
            let answers = within(step, self.read_all(&stream, &ids)).await;
            for one in waiting {
                let answer = match ids.binary_search(&one.id) {
                    Ok(place) => answers[place].clone(),
                    Err(_) => Ok(ReadOutcome::Missing),
                };
                // Whoever asked may have gone away meanwhile.
                let _gone = one.answer.send(answer);
            }
        }
    }

    /// One answer an id. A batch that cannot be read as a whole is read one by one, so that a single
    /// bad record does not stand in the way of the others.
    async fn read_all(
        &self,
        stream: &StreamName,
        ids: &[RecordId],
    ) -> Vec<Result<ReadOutcome, ConnectorError>> {
        match self.inner.read(stream, ids).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(ConnectorError::Malformed { .. }) if ids.len() > 1 => {
                let mut answers = Vec::with_capacity(ids.len());
                for id in ids {
                    let one = self.inner.read(stream, std::slice::from_ref(id)).await;
                    answers.push(
                        one.map(|mut outcomes| outcomes.pop().unwrap_or(ReadOutcome::Missing)),
                    );
                }
                answers
            }
            Err(error) => vec![Err(error); ids.len()],
        }
    }
}

#[async_trait]
impl Connector for BatchedReads {
    fn stream(&self, stream: &StreamName) -> Option<&StreamInfo> {
        self.shared.inner.stream(stream)
    }

    fn streams(&self) -> Vec<StreamName> {
        self.shared.inner.streams()
    }

    fn clock_offset_micros(&self) -> i64 {
        self.shared.inner.clock_offset_micros()
    }

    fn clock_state(&self) -> ClockState {
        self.shared.inner.clock_state()
    }

    fn clock_measured(&self) -> Option<MeasuredOffset> {
        self.shared.inner.clock_measured()
    }

    async fn settle_clock(&self) {
        self.shared.inner.settle_clock().await;
    }

    fn timeout(&self) -> Duration {
        self.shared.inner.timeout()
    }

    fn pulse(&self) -> Option<Pulse> {
        self.shared.inner.pulse()
    }

    fn hold_up(&self) -> HoldUp {
        self.shared.inner.hold_up()
    }

    fn masked(&self, text: &str) -> String {
        self.shared.inner.masked(text)
    }

    async fn try_again(&self) {
        self.shared.inner.try_again().await;
    }

    async fn check(&self) -> Result<CheckReport, ConnectorError> {
        self.shared.inner.check().await
    }

    async fn list(
        &self,
        stream: &StreamName,
        listing: &Listing,
        token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        self.shared.inner.list(stream, listing, token).await
    }

    async fn read(
        &self,
        stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let batch = self.batch(stream);
        if batch <= 1 || ids.len() >= batch {
            return self.shared.inner.read(stream, ids).await;
        }
        let step = tandem_trace::current();
        let mut answers = Vec::with_capacity(ids.len());
        let mut waiting = Vec::with_capacity(ids.len());
        for id in ids {
            let (answer, receiver) = oneshot::channel();
            waiting.push(Waiting {
                id: id.clone(),
                step,
                answer,
            });
            answers.push(receiver);
        }
        if self.shared.push(stream, waiting) {
            // A task of its own: the batch is for others too, who must not suffer when this caller goes away.
            tokio::spawn(Arc::clone(&self.shared).send_batches(stream.clone(), batch));
        }
        let mut outcomes = Vec::with_capacity(ids.len());
        for answer in answers {
            let answer = answer.await.map_err(|_| ConnectorError::Unreachable {
                system: "the connection".to_owned(),
                reason: "the process is ending".to_owned(),
                retry_after: None,
            })?;
            outcomes.push(answer?);
        }
        Ok(outcomes)
    }

    async fn find(
        &self,
        stream: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        self.shared.inner.find(stream, lookup).await
    }

    async fn create(
        &self,
        stream: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        self.shared.inner.create(stream, write).await
    }

    async fn update(
        &self,
        stream: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        self.shared.inner.update(stream, id, write).await
    }

    async fn delete(
        &self,
        stream: &StreamName,
        id: &RecordId,
        delete: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        self.shared.inner.delete(stream, id, delete).await
    }
}
