//! Readings asked for at the same time go out together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tandem_connectors::{
    BatchedReads, Capabilities, CheckReport, Connector, ConnectorError, Delete, Listing, Lookup,
    Page, PageToken, ReadOutcome, RemoteRecord, StreamInfo, Write, Written,
};
use tandem_domain::{Fields, RecordId, StreamName};
use tokio::sync::Semaphore;

/// Answers when told to, and keeps what it was asked for.
struct Slow {
    info: StreamInfo,
    requests: Mutex<Vec<Vec<RecordId>>>,
    permits: Semaphore,
    bad: Option<RecordId>,
}

fn slow(bad: Option<&str>) -> Arc<Slow> {
    let capabilities = Capabilities {
        changed_since: false,
        create: false,
        update: false,
        delete: false,
        idempotent_create: false,
        external_reference: false,
        expected_version: false,
        guarded_delete: false,
        read_batch: 10,
    };
    Arc::new(Slow {
        info: StreamInfo {
            name: stream(),
            fields: BTreeMap::new(),
            record_bytes_max: usize::MAX,
            capabilities,
        },
        requests: Mutex::default(),
        permits: Semaphore::new(0),
        bad: bad.map(RecordId::new),
    })
}

fn stream() -> StreamName {
    "things".parse().expect("a name")
}

fn nothing() -> ConnectorError {
    ConnectorError::Misconfigured {
        system: "slow".into(),
        reason: "it only reads".into(),
    }
}

fn record(id: &RecordId) -> RemoteRecord {
    RemoteRecord {
        id: id.clone(),
        fields: Fields::new(),
        unreadable: BTreeMap::new(),
        left_out: std::collections::BTreeSet::new(),
        in_part: false,
        version: None,
        updated_at: None,
        updated_again: None,
        created_at: None,
        archived: false,
        reference: None,
        raw: tandem_connectors::RawRecord::default(),
    }
}

#[async_trait]
impl Connector for Slow {
    fn stream(&self, _stream: &StreamName) -> Option<&StreamInfo> {
        Some(&self.info)
    }

    fn streams(&self) -> Vec<StreamName> {
        vec![stream()]
    }

    fn clock_offset_micros(&self) -> i64 {
        0
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn check(&self) -> Result<CheckReport, ConnectorError> {
        Err(nothing())
    }

    async fn list(
        &self,
        _: &StreamName,
        _: &Listing,
        _: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        Err(nothing())
    }

    async fn read(
        &self,
        _stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        self.requests
            .lock()
            .expect("no panic while it is held")
            .push(ids.to_vec());
        self.permits
            .acquire()
            .await
            .expect("it is never closed")
            .forget();
        if self.bad.as_ref().is_some_and(|bad| ids.contains(bad)) {
            let (system, operation) = ("slow".to_owned(), "read".to_owned());
            return Err(ConnectorError::Malformed {
                system,
                operation,
                reason: "a bad record".into(),
            });
        }
        Ok(ids
            .iter()
            .map(|id| ReadOutcome::Found(Box::new(record(id))))
            .collect())
    }

    async fn find(
        &self,
        _: &StreamName,
        _: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        Ok(None)
    }

    async fn create(&self, _: &StreamName, _: &Write<'_>) -> Result<Written, ConnectorError> {
        Err(nothing())
    }

    async fn update(
        &self,
        _: &StreamName,
        _: &RecordId,
        _: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        Err(nothing())
    }

    async fn delete(
        &self,
        _: &StreamName,
        _: &RecordId,
        _: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        Err(nothing())
    }
}

/// Asks for ten records, one call each, all at once; answers are let go when all have asked.
async fn read_ten(system: &Arc<Slow>) -> Vec<Result<Vec<ReadOutcome>, ConnectorError>> {
    let batched = Arc::new(BatchedReads::new(Arc::clone(system) as Arc<dyn Connector>));
    let calls = (0..10).map(|number| {
        let batched = Arc::clone(&batched);
        async move {
            batched
                .read(&stream(), &[RecordId::new(format!("r{number}"))])
                .await
        }
    });
    let calls = futures::future::join_all(calls);
    let release = async {
        tokio::task::yield_now().await;
        system.permits.add_permits(100);
    };
    futures::future::join(calls, release).await.0
}

#[tokio::test]
async fn readings_under_load_share_requests_and_each_gets_its_own_answer() {
    let system = slow(None);
    let answers = read_ten(&system).await;
    for (number, answer) in answers.into_iter().enumerate() {
        match answer.expect("it answers").as_slice() {
            [ReadOutcome::Found(record)] => assert_eq!(record.id.as_str(), format!("r{number}")),
            other => panic!("{other:?}"),
        }
    }
    let requests = system.requests.lock().expect("no panic while it is held");
    assert!(requests.len() < 10, "{requests:?}");
    assert_eq!(requests.iter().map(Vec::len).sum::<usize>(), 10);
}

#[tokio::test]
async fn one_bad_record_fails_only_its_own_reading() {
    let system = slow(Some("r9"));
    let answers = read_ten(&system).await;
    let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [vec![false; 9], vec![true]].concat());
}
