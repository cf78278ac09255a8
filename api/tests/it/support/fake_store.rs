//! An inbox in memory that can be told to fail, and to wait before it commits.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tandem_domain::{EventId, JobId, Timestamp};
use tandem_store::{
    DeliveryOutcome, Event, EventFilter, EventStore, NewDelivery, NewEvent, StoreError,
};
use tokio::sync::Semaphore;

#[derive(Default)]
pub struct FakeStore {
    deliveries: Mutex<Vec<NewDelivery>>,
    events: Mutex<BTreeMap<(String, String), NewEvent>>,
    calls: AtomicUsize,
    down: AtomicBool,
    defective: AtomicBool,
    /// While set, a commit takes a permit of it first.
    gate: Mutex<Option<std::sync::Arc<Semaphore>>>,
}

impl FakeStore {
    pub fn fail(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub fn panic(&self, defective: bool) {
        self.defective.store(defective, Ordering::SeqCst);
    }

    /// Holds every commit until the semaphore has a permit for it.
    pub fn hold(&self, gate: std::sync::Arc<Semaphore>) {
        *self.gate.lock().expect("not poisoned") = Some(gate);
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn deliveries(&self) -> Vec<NewDelivery> {
        self.deliveries.lock().expect("not poisoned").clone()
    }

    pub fn events(&self) -> Vec<NewEvent> {
        let events = self.events.lock().expect("not poisoned");
        events.values().cloned().collect()
    }

    pub fn jobs(&self) -> Vec<JobId> {
        let events = self.events();
        let targets = events.iter().flat_map(|event| &event.targets);
        targets.map(|target| target.job).collect()
    }

    fn keep(&self, delivery: NewDelivery) -> DeliveryOutcome {
        let mut outcome = DeliveryOutcome::default();
        let mut events = self.events.lock().expect("not poisoned");
        for event in &delivery.events {
            let key = (delivery.connection.to_string(), event.dedupe_key.clone());
            if events.contains_key(&key) {
                outcome.duplicates += 1;
                continue;
            }
            outcome.new_events += 1;
            outcome.quarantined += usize::from(event.problem.is_some());
            outcome
                .jobs
                .extend(event.targets.iter().map(|target| target.job));
            events.insert(key, event.clone());
        }
        self.deliveries.lock().expect("not poisoned").push(delivery);
        outcome
    }
}

#[async_trait]
impl EventStore for FakeStore {
    async fn record_deliveries(
        &self,
        deliveries: Vec<NewDelivery>,
        _now: Timestamp,
    ) -> Result<Vec<DeliveryOutcome>, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().expect("not poisoned").clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("never closed").forget();
        }
        assert!(
            !self.defective.load(Ordering::SeqCst),
            "a storage with a defect"
        );
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the disk is full".to_owned()));
        }
        Ok(deliveries
            .into_iter()
            .map(|delivery| self.keep(delivery))
            .collect())
    }

    async fn events(&self, _filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    async fn event(&self, _id: EventId) -> Result<Option<Event>, StoreError> {
        Ok(None)
    }

    async fn replay_event(
        &self,
        _event: NewEvent,
        _now: Timestamp,
    ) -> Result<Vec<JobId>, StoreError> {
        Ok(Vec::new())
    }

    async fn discard_events(
        &self,
        _ids: &[EventId],
        _because: Option<&str>,
        _now: Timestamp,
    ) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn prune_events(&self, _before: Timestamp, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }
}
