//! A system in memory that goes wrong on command: refuses, loses answers, or takes the process with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tandem_connectors::{
    Capabilities, CheckReport, Connector, ConnectorError, Delete, FieldInfo, Listing, Lookup, Page,
    PageToken, ReadOutcome, RemoteRecord, StreamInfo, Write, Written,
};
use tandem_domain::{Clock, FieldType, Fields, RecordId, StreamName, Timestamp, Value};
use tandem_testkit::TestClock;
use tokio::sync::Notify;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never arrived.
    LostRequest,
    /// It was carried out, and the answer never came.
    LostResponse,
    /// The process dies before it is sent.
    CrashBefore,
    /// The process dies when it was carried out.
    CrashAfter,
    /// The system says that it is down.
    Down,
}

/// What a system can do.
#[derive(Clone, Copy, Debug)]
pub struct Talents {
    pub external_reference: bool,
    pub idempotent_create: bool,
    pub answers_with_record: bool,
    pub changed_since: bool,
}

#[derive(Clone, Debug)]
struct Row {
    fields: Fields,
    updated_at: Timestamp,
    version: u64,
    reference: Option<String>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<RecordId, Row>,
    keys: BTreeMap<String, RecordId>,
    next: u64,
    faults: Vec<Fault>,
    writes: usize,
}

/// The system.
pub struct FakeSystem {
    name: &'static str,
    info: StreamInfo,
    talents: Talents,
    skew_micros: i64,
    clock: Arc<TestClock>,
    state: Mutex<State>,
    /// Reads by id wait while a test holds this.
    pub slow_reads: tokio::sync::RwLock<()>,
    /// Tells the driver that the process has died.
    pub crashed: Notify,
}

pub const FIELDS: [&str; 3] = ["name", "email", "city"];

impl FakeSystem {
    pub fn new(
        name: &'static str,
        talents: Talents,
        skew_secs: i64,
        clock: Arc<TestClock>,
    ) -> Arc<Self> {
        let field = FieldInfo {
            field_type: FieldType::Text,
            writable: true,
            required: false,
        };
        let info = StreamInfo {
            name: "things".parse().expect("a name"),
            fields: FIELDS
                .iter()
                .map(|name| ((*name).to_owned(), field.clone()))
                .collect(),
            capabilities: Capabilities {
                changed_since: talents.changed_since,
                create: true,
                update: true,
                delete: true,
                idempotent_create: talents.idempotent_create,
                external_reference: talents.external_reference,
                expected_version: false,
                guarded_delete: false,
                read_batch: 1,
            },
        };
        let skew_micros = skew_secs * 1_000_000;
        let state = Mutex::default();
        Arc::new(Self {
            name,
            info,
            talents,
            skew_micros,
            clock,
            state,
            slow_reads: tokio::sync::RwLock::default(),
            crashed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics while it holds the lock")
    }

    fn now(&self) -> Timestamp {
        self.clock.now().shifted(self.skew_micros)
    }

    /// A person makes a record.
    pub fn user_creates(&self, fields: &[(&str, &str)]) -> RecordId {
        self.insert(text_fields(fields), None)
    }

    /// A person edits a field.
    pub fn user_edits(&self, id: &RecordId, field: &str, value: &str) {
        let now = self.now();
        if let Some(row) = self.state().rows.get_mut(id) {
            row.fields
                .insert(field.to_owned(), Value::Text(value.to_owned()));
            row.updated_at = now;
            row.version += 1;
        }
    }

    /// A person deletes a record.
    pub fn user_deletes(&self, id: &RecordId) {
        self.state().rows.remove(id);
    }

    /// The next requests go wrong, one each.
    pub fn go_wrong(&self, faults: &[Fault]) {
        self.state().faults.extend_from_slice(faults);
    }

    pub fn heal(&self) {
        self.state().faults.clear();
    }

    pub fn ids(&self) -> Vec<RecordId> {
        self.state().rows.keys().cloned().collect()
    }

    pub fn writes(&self) -> usize {
        self.state().writes
    }

    /// The texts of all records, by their e-mail.
    pub fn contents(&self) -> Vec<BTreeMap<String, String>> {
        let state = self.state();
        let texts = |row: &Row| -> BTreeMap<String, String> {
            row.fields
                .iter()
                .map(|(name, value)| (name.clone(), value.to_string()))
                .filter(|(_, text)| !text.is_empty())
                .collect()
        };
        let mut contents: Vec<_> = state.rows.values().map(texts).collect();
        contents.sort();
        contents
    }

    fn insert(&self, fields: Fields, reference: Option<String>) -> RecordId {
        let now = self.now();
        let mut state = self.state();
        state.next += 1;
        let id = RecordId::new(format!("{}{:04}", self.name, state.next));
        let row = Row {
            fields,
            updated_at: now,
            version: 1,
            reference,
        };
        state.rows.insert(id.clone(), row);
        id
    }

    fn record(&self, id: &RecordId) -> Option<RemoteRecord> {
        let state = self.state();
        let row = state.rows.get(id)?;
        Some(RemoteRecord {
            id: id.clone(),
            fields: row.fields.clone(),
            version: Some(row.version.to_string()),
            updated_at: Some(row.updated_at),
            created_at: None,
            archived: row.fields.get("active") == Some(&Value::Text("false".to_owned())),
            reference: row.reference.clone(),
            raw: serde_json::Value::Null,
        })
    }

    fn unreachable(&self) -> ConnectorError {
        ConnectorError::Unreachable {
            system: self.name.into(),
            reason: "down".into(),
            retry_after: None,
        }
    }

    fn lost(&self) -> ConnectorError {
        ConnectorError::ResponseLost {
            system: self.name.into(),
            operation: "write".into(),
            reason: "cut".into(),
        }
    }

    /// The next fault, if this is a request that it can strike: reads only meet systems that are down.
    fn next_fault(&self, writing: bool) -> Option<Fault> {
        let mut state = self.state();
        let fault = *state.faults.first()?;
        if !writing && fault != Fault::Down {
            return None;
        }
        state.faults.remove(0);
        Some(fault)
    }

    /// Lets the process die: the driver drops the job, which never goes on from here.
    async fn die<T>(&self) -> T {
        self.crashed.notify_one();
        std::future::pending().await
    }

    async fn write<T>(&self, effect: impl FnOnce() -> T + Send) -> Result<T, ConnectorError> {
        match self.next_fault(true) {
            None => {
                self.state().writes += 1;
                Ok(effect())
            }
            Some(Fault::Down) => Err(self.unreachable()),
            Some(Fault::LostRequest) => Err(self.lost()),
            Some(Fault::LostResponse) => {
                effect();
                Err(self.lost())
            }
            Some(Fault::CrashBefore) => self.die().await,
            Some(Fault::CrashAfter) => {
                effect();
                self.die().await
            }
        }
    }
}

pub fn text_fields(fields: &[(&str, &str)]) -> Fields {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::Text((*value).to_owned())))
        .collect()
}

#[async_trait]
impl Connector for FakeSystem {
    fn stream(&self, _stream: &StreamName) -> Option<&StreamInfo> {
        Some(&self.info)
    }

    fn streams(&self) -> Vec<StreamName> {
        vec![self.info.name.clone()]
    }

    fn clock_offset_micros(&self) -> i64 {
        self.skew_micros
    }

    fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_secs(2)
    }

    async fn check(&self) -> Result<CheckReport, ConnectorError> {
        Ok(CheckReport {
            latency_ms: 0,
            clock_offset_ms: None,
            streams: BTreeMap::new(),
        })
    }

    async fn list(
        &self,
        _stream: &StreamName,
        listing: &Listing,
        _token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        if self.next_fault(false).is_some() {
            return Err(self.unreachable());
        }
        let since = match listing {
            Listing::All => Timestamp::from_micros(0),
            Listing::Since(since) => *since,
        };
        let ids = self.ids();
        let records = ids.iter().filter_map(|id| self.record(id));
        let records = records
            .filter(|record| record.updated_at.is_some_and(|at| at >= since))
            .collect();
        Ok(Page {
            records,
            next: None,
            unreadable: Vec::new(),
        })
    }

    async fn read(
        &self,
        _stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        let _passed = self.slow_reads.read().await;
        if self.next_fault(false).is_some() {
            return Err(self.unreachable());
        }
        let read = |id: &RecordId| {
            self.record(id).map_or(ReadOutcome::Missing, |one| {
                ReadOutcome::Found(Box::new(one))
            })
        };
        Ok(ids.iter().map(read).collect())
    }

    async fn find(
        &self,
        _stream: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        let records: Vec<RemoteRecord> =
            self.ids().iter().filter_map(|id| self.record(id)).collect();
        let found = match lookup {
            Lookup::Reference(_) if !self.talents.external_reference => return Ok(None),
            Lookup::Reference(reference) => records
                .into_iter()
                .filter(|one| one.reference.as_deref() == Some(reference))
                .collect(),
            Lookup::Field { name, value } => records
                .into_iter()
                .filter(|one| one.fields.get(*name) == Some(value))
                .collect(),
        };
        Ok(Some(found))
    }

    async fn create(
        &self,
        _stream: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let key = write.transaction.to_owned();
        let reference = self.talents.external_reference.then(|| key.clone());
        let fields = write.fields.clone();
        let id = self
            .write(|| {
                let known = self
                    .state()
                    .keys
                    .get(&key)
                    .cloned()
                    .filter(|_| self.talents.idempotent_create);
                let id = known.unwrap_or_else(|| self.insert(fields, reference));
                self.state().keys.insert(key, id.clone());
                id
            })
            .await?;
        let record = self
            .record(&id)
            .filter(|_| self.talents.answers_with_record)
            .map(Box::new);
        Ok(Written { id, record })
    }

    async fn update(
        &self,
        _stream: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        let now = self.now();
        let there = self
            .write(|| {
                let mut state = self.state();
                let Some(row) = state.rows.get_mut(id) else {
                    return false;
                };
                row.fields.extend(write.fields.clone());
                row.updated_at = now;
                row.version += 1;
                true
            })
            .await?;
        if !there {
            return Err(ConnectorError::NotFound {
                system: self.name.into(),
                id: id.clone(),
            });
        }
        let record = self
            .record(id)
            .filter(|_| self.talents.answers_with_record)
            .map(Box::new);
        Ok(Written {
            id: id.clone(),
            record,
        })
    }

    async fn delete(
        &self,
        _stream: &StreamName,
        id: &RecordId,
        _delete: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        self.write(|| {
            self.state().rows.remove(id);
        })
        .await
    }
}
