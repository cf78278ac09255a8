//! A storage with a sync in it, an operator over it, and makers of what an operator finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tandem_connectors::webhook::{Scheme, SchemeOptions, Secret, Verifier};
use tandem_domain::{ErrorCode, FieldType, JobId, RecordId, Side, Stays, SyncName, Value};
use tandem_operator::hooks::{Hook, HookState, HookTable, HookTarget, ReadEvent, Unreadable};
use tandem_operator::{Operator, OperatorError, OperatorParts, Standing, Systems};
use tandem_queue::Doorbell;
use tandem_store::{EventKind, JobOutcome, NewJob, ScheduleKey, SchedulePurpose, ScheduleRow};
use tandem_testkit::{Make, SeededEntropy, TemporaryStore, TestClock};

#[derive(Default)]
pub struct Bell(Mutex<Vec<JobId>>);

impl Bell {
    pub fn rung(&self) -> Vec<JobId> {
        self.0.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl Doorbell for Bell {
    fn ring(&self, jobs: &[JobId]) {
        self.0.lock().expect("not poisoned").extend_from_slice(jobs);
    }

    async fn wait(&self, _at_most: Duration) {}
}

/// Systems that have a record unless it was removed, and may be away.
#[derive(Default)]
pub struct FakeSystems {
    gone: Mutex<BTreeSet<(Side, String)>>,
    away: AtomicBool,
    none_made: AtomicBool,
}

impl FakeSystems {
    pub fn remove(&self, side: Side, record: &str) {
        let mut gone = self.gone.lock().expect("not poisoned");
        gone.insert((side, record.to_owned()));
    }

    /// The sync makes no records on side b from now on.
    pub fn make_none(&self) {
        self.none_made.store(true, Ordering::Relaxed);
    }

    pub fn go_away(&self) {
        self.away.store(true, Ordering::Relaxed);
    }
}

/// All records are of Ann, but those whose id says otherwise.
fn name_of(record: &RecordId) -> String {
    let is_bob = record.as_str().starts_with("bob");
    if is_bob { "Bob" } else { "Ann" }.to_owned()
}

/// Nobody has a limit, but those whose id says otherwise.
fn limit_of(record: &RecordId) -> Value {
    let is_rich = record.as_str().starts_with("rich");
    if is_rich {
        Value::Integer(10)
    } else {
        Value::Null
    }
}

#[async_trait]
impl Systems for FakeSystems {
    async fn read(
        &self,
        _sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Standing>, OperatorError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(OperatorError::NotChecked {
                problem: "it is away".to_owned(),
                advice: "wait",
            });
        }
        let gone = self.gone.lock().expect("not poisoned");
        let is_gone = gone.contains(&(side, record.as_str().to_owned()));
        Ok((!is_gone).then(|| Standing {
            id: record.clone(),
            out_of_use: record.as_str().starts_with("archived"),
            fields: BTreeMap::from([
                ("name".to_owned(), Value::Text(name_of(record))),
                ("limit".to_owned(), limit_of(record)),
            ]),
            left_out: (record.as_str() == "supplier" && side == Side::A)
                .then(|| "its `kind` is `supplier`".to_owned()),
        }))
    }

    fn field_type(&self, _sync: &SyncName, field: &str) -> Option<FieldType> {
        match field {
            "limit" => Some(FieldType::Decimal),
            _ => Some(FieldType::Text),
        }
    }

    fn same(&self, _sync: &SyncName, _field: &str, one: &Value, other: &Value) -> bool {
        one == other
    }

    fn stays(&self, _sync: &SyncName, field: &str) -> Stays {
        match field {
            "limit" => Stays::Authority(Side::B),
            _ => Stays::Later,
        }
    }

    fn name(&self, _sync: &SyncName, side: Side) -> String {
        match side {
            Side::A => "crm".to_owned(),
            Side::B => "books".to_owned(),
        }
    }

    fn creates(&self, _sync: &SyncName, side: Side) -> Option<bool> {
        Some(!self.none_made.load(Ordering::Relaxed) || side == Side::A)
    }
}

pub struct World {
    pub store: TemporaryStore,
    pub make: Make,
    pub bell: Arc<Bell>,
    pub hooks: Arc<HookTable>,
    pub systems: Arc<FakeSystems>,
    pub operator: Operator,
}

/// A sync `customers` between `crm` contacts and `books` customers, with a schedule to poll side a.
pub async fn world() -> World {
    let store = TemporaryStore::open().await;
    let make = Make::default();
    let connection = |name: &str| {
        (
            name.parse().expect("a name"),
            json!({"connector": "simulated"}),
        )
    };
    let document = json!({
        "a": {"connection": "crm", "stream": "contacts"},
        "b": {"connection": "books", "stream": "customers"},
    });
    let schedule = ScheduleRow {
        key: poll_a(),
        spec: "every 5 minutes".to_owned(),
        next_at: Some(make.after(300)),
    };
    store
        .apply_config(
            vec![connection("crm"), connection("books")],
            vec![(Make::customers(), document)],
            vec![schedule],
            make.now(),
        )
        .await
        .expect("the configuration is stored");
    let bell = Arc::new(Bell::default());
    let hooks = Arc::new(HookTable::default());
    let systems = Arc::new(FakeSystems::default());
    let operator = Operator::new(OperatorParts {
        store: store.shared(),
        hooks: hooks.clone(),
        systems: systems.clone(),
        doorbell: bell.clone(),
        clock: Arc::new(TestClock::at(make.now())),
        entropy: Arc::new(SeededEntropy::new(99)),
    });
    World {
        store,
        make,
        bell,
        hooks,
        systems,
        operator,
    }
}

pub fn poll_a() -> ScheduleKey {
    ScheduleKey {
        sync: Make::customers(),
        purpose: SchedulePurpose::PollA,
    }
}

impl World {
    /// A job for a record of side a that gave up.
    pub async fn dead_job(&self, record: &str, code: ErrorCode, message: &str) -> JobId {
        self.dead(self.make.job(record), code, message).await
    }

    async fn dead(&self, job: NewJob, code: ErrorCode, message: &str) -> JobId {
        let id = job.id;
        self.store
            .enqueue(vec![job], self.make.now())
            .await
            .expect("it is stored");
        let claimed = self
            .store
            .claim(self.make.claim(1))
            .await
            .expect("it is claimed");
        let failure = Make::failure(code, message);
        let finished = vec![(claimed[0].lease, JobOutcome::Dead { failure })];
        self.store
            .finish(finished, self.make.now())
            .await
            .expect("it is ended");
        id
    }

    /// Makes `crm` readable: a body is lines of `key record`.
    pub fn add_hook(&self) {
        let hook = Hook {
            connection: Make::crm(),
            verifier: Verifier::new(Scheme::GenericHmacSha256, &SchemeOptions::default())
                .expect("it needs no options"),
            secrets: vec![Secret::new("s")],
            public_url: String::new(),
            body_bytes_max: 1_000,
            read: Arc::new(read),
            targets: Arc::new(|_| {
                vec![HookTarget {
                    sync: Make::customers(),
                    side: Side::A,
                    quiet: Duration::ZERO,
                }]
            }),
            clock_offset_micros: Arc::new(|| 0),
        };
        self.hooks.replace(BTreeMap::from([(
            Make::crm(),
            HookState::Active(Arc::new(hook)),
        )]));
    }
}

fn read(body: &[u8]) -> Result<Vec<ReadEvent>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|error| Unreadable(error.to_string()))?;
    Ok(text
        .lines()
        .map(|line| {
            let (key, record) = line.split_once(' ').unwrap_or((line, ""));
            ReadEvent {
                dedupe_key: key.to_owned(),
                stream: Some("contacts".parse().expect("a name")),
                record: (!record.is_empty()).then(|| RecordId::new(record)),
                kind: EventKind::Updated,
                occurred_at: None,
                occurred_again: None,
                problem: record.is_empty().then(|| "no record".to_owned()),
            }
        })
        .collect())
}
