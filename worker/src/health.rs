//! How the systems are, by what became of each request to them.
//!
//! Only a request says something about a system, and only about its own: a job that ended well may have spoken
//! with one of its two systems, or with none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tandem_connectors::pulse::{HoldUp, Pulse};
use tandem_connectors::{
    CheckReport, ClockState, Connector, ConnectorError, Delete, Listing, Lookup, Page, PageToken,
    ReadOutcome, RemoteRecord, StreamInfo, Write, Written,
};
use tandem_domain::{Clock, ConnectionName, MeasuredOffset, RecordId, StreamName, SyncName};
use tandem_queue::Breakers;
use tandem_runtime::{End, SyncDefinition, Topology};
use tandem_store::{Store, Waiting};

/// What the health of the systems is told to.
#[derive(Clone)]
pub struct Health {
    /// Keep the jobs of a system back that is down.
    pub breakers: Arc<Breakers>,
    /// Where jobs wait for a system that was down.
    pub store: Arc<dyn Store>,
    /// Gives the time.
    pub clock: Arc<dyn Clock>,
}

impl Health {
    /// The same topology, whose requests tell how the systems are.
    #[must_use]
    pub fn observe(&self, topology: &Topology) -> Topology {
        let connectors: BTreeMap<ConnectionName, Arc<dyn Connector>> = topology
            .connectors
            .iter()
            .map(|(name, inner)| (name.clone(), self.observed(topology, name, inner)))
            .collect();
        // The connector of an end is more than that of its connection: it sets records aside that cannot be read.
        let end = |end: &End| End {
            connector: self.observed(topology, &end.connection, &end.connector),
            ..end.clone()
        };
        let syncs = topology
            .syncs
            .iter()
            .map(|(name, sync)| {
                let observed = SyncDefinition {
                    a: end(&sync.a),
                    b: end(&sync.b),
                    ..SyncDefinition::clone(sync)
                };
                (name.clone(), Arc::new(observed))
            })
            .collect();
        Topology { syncs, connectors }
    }

    fn observed(
        &self,
        topology: &Topology,
        connection: &ConnectionName,
        inner: &Arc<dyn Connector>,
    ) -> Arc<dyn Connector> {
        let syncs = topology
            .syncs
            .keys()
            .filter(|sync| topology.connections_of(sync).contains(connection));
        Arc::new(Observed {
            inner: Arc::clone(inner),
            connection: connection.clone(),
            syncs: syncs.cloned().collect(),
            health: self.clone(),
        })
    }
}

/// A connector whose requests tell how its system is.
struct Observed {
    inner: Arc<dyn Connector>,
    connection: ConnectionName,
    /// The syncs that use it.
    syncs: Vec<SyncName>,
    health: Health,
}

impl Observed {
    async fn tell<T>(&self, answer: Result<T, ConnectorError>) -> Result<T, ConnectorError> {
        let now = self.health.clock.now();
        let breakers = &self.health.breakers;
        let is_back = match &answer {
            Ok(_) => breakers.succeeded(&self.connection, now),
            Err(error) => breakers.failed(&self.connection, error.code(), now),
        };
        if is_back {
            self.release().await;
        }
        answer
    }

    /// What waited for the system goes on, and need not sit out a wait that grew while it was down.
    async fn release(&self) {
        let Health { store, clock, .. } = &self.health;
        for sync in &self.syncs {
            match store
                .release_waiting(sync, Waiting::SystemDown, clock.now())
                .await
            {
                Ok(0) => {}
                Ok(jobs) => {
                    tracing::info!(connection = %self.connection, %sync, jobs, "what waited for the system goes on");
                }
                // They come due by themselves.
                Err(error) => {
                    tracing::debug!(connection = %self.connection, %sync, %error, "what waited for the system was not released");
                }
            }
        }
    }
}

#[async_trait]
impl Connector for Observed {
    fn stream(&self, stream: &StreamName) -> Option<&StreamInfo> {
        self.inner.stream(stream)
    }

    fn streams(&self) -> Vec<StreamName> {
        self.inner.streams()
    }

    fn clock_offset_micros(&self) -> i64 {
        self.inner.clock_offset_micros()
    }

    fn clock_state(&self) -> ClockState {
        self.inner.clock_state()
    }

    fn clock_measured(&self) -> Option<MeasuredOffset> {
        self.inner.clock_measured()
    }

    async fn settle_clock(&self) {
        self.inner.settle_clock().await;
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    fn pulse(&self) -> Option<Pulse> {
        self.inner.pulse()
    }

    fn hold_up(&self) -> HoldUp {
        self.inner.hold_up()
    }

    fn masked(&self, text: &str) -> String {
        self.inner.masked(text)
    }

    async fn try_again(&self) {
        self.inner.try_again().await;
    }

    async fn check(&self) -> Result<CheckReport, ConnectorError> {
        self.tell(self.inner.check().await).await
    }

    async fn list(
        &self,
        stream: &StreamName,
        listing: &Listing,
        token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        self.tell(self.inner.list(stream, listing, token).await)
            .await
    }

    async fn read(
        &self,
        stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        if ids.is_empty() {
            return self.inner.read(stream, ids).await;
        }
        self.tell(self.inner.read(stream, ids).await).await
    }

    async fn find(
        &self,
        stream: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        match self.inner.find(stream, lookup).await {
            // Nothing was asked: there is no way to look this up.
            Ok(None) => Ok(None),
            answer => self.tell(answer).await,
        }
    }

    async fn create(
        &self,
        stream: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        self.tell(self.inner.create(stream, write).await).await
    }

    async fn update(
        &self,
        stream: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        self.tell(self.inner.update(stream, id, write).await).await
    }

    async fn delete(
        &self,
        stream: &StreamName,
        id: &RecordId,
        delete: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        self.tell(self.inner.delete(stream, id, delete).await).await
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::{ErrorCode, Timestamp};
    use tandem_queue::{BreakerConfig, BreakerState};
    use tandem_store::{JobOutcome, JobState};
    use tandem_testkit::{Make, SeededEntropy, TemporaryStore, TestClock};

    use super::*;

    /// A system that answers, or does not.
    struct System {
        is_up: bool,
        can_find: bool,
    }

    impl System {
        fn answer<T>(&self, answer: T) -> Result<T, ConnectorError> {
            if self.is_up {
                return Ok(answer);
            }
            Err(ConnectorError::Unreachable {
                system: "crm".to_owned(),
                reason: "refused".to_owned(),
                retry_after: None,
            })
        }
    }

    fn written() -> Written {
        Written {
            id: RecordId::new("7"),
            record: None,
        }
    }

    #[async_trait]
    impl Connector for System {
        fn stream(&self, _: &StreamName) -> Option<&StreamInfo> {
            None
        }
        fn streams(&self) -> Vec<StreamName> {
            Vec::new()
        }
        fn clock_offset_micros(&self) -> i64 {
            0
        }
        fn timeout(&self) -> Duration {
            Duration::ZERO
        }
        async fn check(&self) -> Result<CheckReport, ConnectorError> {
            self.answer(CheckReport {
                latency_ms: 1,
                clock_offset_ms: None,
                clock_doubt: None,
                streams: BTreeMap::new(),
            })
        }
        async fn list(
            &self,
            _: &StreamName,
            _: &Listing,
            _: Option<&PageToken>,
        ) -> Result<Page, ConnectorError> {
            self.answer(Page {
                records: Vec::new(),
                next: None,
                unreadable: Vec::new(),
            })
        }
        async fn read(
            &self,
            _: &StreamName,
            _: &[RecordId],
        ) -> Result<Vec<ReadOutcome>, ConnectorError> {
            self.answer(Vec::new())
        }
        async fn find(
            &self,
            _: &StreamName,
            _: &Lookup<'_>,
        ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
            match self.can_find {
                true => self.answer(Some(Vec::new())),
                false => Ok(None),
            }
        }
        async fn create(&self, _: &StreamName, _: &Write<'_>) -> Result<Written, ConnectorError> {
            self.answer(written())
        }
        async fn update(
            &self,
            _: &StreamName,
            _: &RecordId,
            _: &Write<'_>,
        ) -> Result<Written, ConnectorError> {
            self.answer(written())
        }
        async fn delete(
            &self,
            _: &StreamName,
            _: &RecordId,
            _: &Delete<'_>,
        ) -> Result<(), ConnectorError> {
            self.answer(())
        }
    }

    struct Site {
        store: TemporaryStore,
        make: Make,
        clock: Arc<TestClock>,
        breakers: Arc<Breakers>,
    }

    fn name(text: &str) -> ConnectionName {
        text.parse().expect("a name")
    }

    impl Site {
        async fn open() -> Self {
            let make = Make::default();
            let entropy = Arc::new(SeededEntropy::new(1));
            Self {
                store: TemporaryStore::open().await,
                clock: Arc::new(TestClock::at(make.now())),
                breakers: Arc::new(Breakers::new(BreakerConfig::default(), entropy)),
                make,
            }
        }

        fn system(&self, connection: &str, system: System) -> Observed {
            Observed {
                inner: Arc::new(system),
                connection: name(connection),
                syncs: vec![Make::customers()],
                health: Health {
                    breakers: Arc::clone(&self.breakers),
                    store: self.store.shared(),
                    clock: Arc::clone(&self.clock) as _,
                },
            }
        }

        fn state(&self, connection: &str, now: Timestamp) -> Option<BreakerState> {
            let states = self.breakers.states(now);
            let found = states.into_iter().find(|(one, _)| *one == name(connection));
            found.map(|(_, state)| state)
        }
    }

    fn stream() -> StreamName {
        "contacts".parse().expect("a name")
    }

    const UP: System = System {
        is_up: true,
        can_find: true,
    };
    const DOWN: System = System {
        is_up: false,
        can_find: true,
    };

    async fn read(system: &Observed) -> bool {
        let read = system.read(&stream(), &[RecordId::new("7")]).await;
        read.is_ok()
    }

    #[tokio::test]
    async fn a_system_that_answers_says_nothing_about_the_one_that_is_down() {
        let site = Site::open().await;
        let (crm, books) = (site.system("crm", DOWN), site.system("books", UP));
        for _ in 0..5 {
            assert!(!read(&crm).await);
            assert!(read(&books).await);
        }
        let now = site.clock.now();
        assert!(matches!(
            site.state("crm", now),
            Some(BreakerState::Open { .. })
        ));
        assert_eq!(site.state("books", now), Some(BreakerState::Closed));
    }

    #[tokio::test]
    async fn what_made_no_request_says_nothing() {
        let site = Site::open().await;
        let blind = System {
            is_up: true,
            can_find: false,
        };
        let crm = site.system("crm", blind);
        let lookup = Lookup::Reference("7");
        assert_eq!(crm.find(&stream(), &lookup).await.expect("asked"), None);
        assert!(crm.read(&stream(), &[]).await.expect("asked").is_empty());
        assert_eq!(site.state("crm", site.clock.now()), None);
    }

    #[tokio::test]
    async fn what_waits_for_a_system_goes_on_when_it_answers_again() {
        let site = Site::open().await;
        let job = site.make.job("a1");
        let now = site.clock.now();
        let enqueued = site.store.enqueue(vec![job.clone()], now).await;
        enqueued.expect("enqueued");
        let claimed = site.store.claim(site.make.claim(1)).await.expect("claimed");
        let outcome = JobOutcome::Snooze {
            run_at: now.plus(Duration::from_secs(600)),
            failure: Some(Make::failure(ErrorCode::Unreachable, "refused")),
            reason: Waiting::SystemDown,
        };
        let finished = vec![(claimed[0].lease, outcome)];
        site.store.finish(finished, now).await.expect("finished");

        let crm = site.system("crm", DOWN);
        for _ in 0..5 {
            read(&crm).await;
        }
        let now = site.clock.advance(Duration::from_secs(10));
        assert!(read(&site.system("crm", UP)).await);
        assert_eq!(site.state("crm", now), Some(BreakerState::Closed));
        let stored = site.store.job(job.id).await.expect("asked");
        let stored = stored.expect("it is there");
        assert_eq!(stored.state, JobState::Available);
        assert!(stored.run_at <= now, "it is due");
    }
}
