//! Makers of rows: everything that a test does not care about has a sensible value.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{
    ChangeId, Clock, ConflictId, ConnectionName, DeliveryId, ErrorCode, EventId, Fields, IntentId,
    JobId, LeaseToken, LinkId, RecordId, RunId, Side, SyncName, Timestamp, Value,
};
use tandem_store::{
    BaseValue, Change, ClaimRequest, ConflictKind, EventKind, Failure, Hints, IndexedRecord,
    Intent, IntentOp, IntentState, JobClass, JobKind, JobTarget, NewConflict, NewDelivery,
    NewEvent, NewJob, NewLink, NewRun, Operation, Outcome, RunKind, ShownRecord, SideMemory,
    SideState, Trigger,
};

use crate::{SeededEntropy, TestClock};

/// Makes rows, with ids that rise and are the same in every run of the test.
pub struct Make {
    /// The present instant of the test.
    pub clock: TestClock,
    /// Rises by a millisecond with each id, so that ids sort in the order of making.
    id_clock: TestClock,
    entropy: SeededEntropy,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            clock: TestClock::default(),
            id_clock: TestClock::default(),
            entropy: SeededEntropy::new(1),
        }
    }
}

/// How long leases made here last.
pub const LEASE_SECS: u64 = 60;

impl Make {
    fn id_time(&self) -> Timestamp {
        self.id_clock.advance(Duration::from_millis(1))
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The instant this many seconds from now.
    #[must_use]
    pub fn after(&self, secs: u64) -> Timestamp {
        self.now().plus(Duration::from_secs(secs))
    }

    /// A new job id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        JobId::new(self.id_time(), &self.entropy)
    }

    /// A new event id.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        EventId::new(self.id_time(), &self.entropy)
    }

    /// A new link id.
    #[must_use]
    pub fn link_id(&self) -> LinkId {
        LinkId::new(self.id_time(), &self.entropy)
    }

    /// A new intent id.
    #[must_use]
    pub fn intent_id(&self) -> IntentId {
        IntentId::new(self.id_time(), &self.entropy)
    }

    /// New lease tokens.
    #[must_use]
    pub fn tokens(&self, count: usize) -> Vec<LeaseToken> {
        (0..count)
            .map(|_| LeaseToken::new(self.id_time(), &self.entropy))
            .collect()
    }

    /// The name of a sync.
    ///
    /// # Panics
    /// When it is not a name.
    #[must_use]
    pub fn sync(name: &str) -> SyncName {
        name.parse().expect("the test gives a valid sync name")
    }

    /// The sync that is used where none is named.
    #[must_use]
    pub fn customers() -> SyncName {
        Self::sync("customers")
    }

    /// A claim of up to `count` jobs, for a minute, with nothing reserved or blocked.
    #[must_use]
    pub fn claim(&self, count: usize) -> ClaimRequest {
        ClaimRequest {
            tokens: self.tokens(count),
            lease_until: self.after(LEASE_SECS),
            blocked_syncs: Vec::new(),
            shares: [0; 3],
            now: self.now(),
        }
    }

    /// A job of this kind, due now, caused by a webhook.
    #[must_use]
    pub fn job_of(&self, kind: JobKind) -> NewJob {
        NewJob {
            id: self.job_id(),
            kind,
            class: JobClass::Interactive,
            trigger: Trigger::Webhook,
            run_at: self.now(),
            hints: Hints::default(),
            traceparent: None,
        }
    }

    /// The kind of a job that reconciles a record of `customers`.
    #[must_use]
    pub fn reconcile(side: Side, record: &str) -> JobKind {
        JobKind::Reconcile {
            sync: Self::customers(),
            side,
            record: RecordId::new(record),
        }
    }

    /// A job that reconciles a record on side a of `customers`, due now.
    #[must_use]
    pub fn job(&self, record: &str) -> NewJob {
        self.job_of(Self::reconcile(Side::A, record))
    }

    /// A failure.
    #[must_use]
    pub fn failure(code: ErrorCode, message: &str) -> Failure {
        Failure {
            code,
            chain: vec![message.to_owned()],
        }
    }

    /// A delivery of `crm`.
    #[must_use]
    pub fn delivery(&self, events: Vec<NewEvent>) -> NewDelivery {
        NewDelivery {
            id: DeliveryId::new(self.id_time(), &self.entropy),
            connection: Self::crm(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Arc::from(&b"{}"[..]),
            received_at: self.now(),
            secret_index: 0,
            traceparent: None,
            events,
        }
    }

    /// The connection that deliveries come from.
    ///
    /// # Panics
    /// Never: the name is valid.
    #[must_use]
    pub fn crm() -> ConnectionName {
        "crm".parse().expect("crm is a valid name")
    }

    /// An event that says that a record of side a of `customers` has changed.
    #[must_use]
    pub fn event(&self, dedupe_key: &str, record: &str) -> NewEvent {
        NewEvent {
            id: self.event_id(),
            dedupe_key: dedupe_key.to_owned(),
            stream: None,
            record: Some(RecordId::new(record)),
            kind: EventKind::Updated,
            occurred_at: None,
            clock_offset: 0,
            problem: None,
            targets: vec![self.target(Self::customers())],
        }
    }

    /// Side a of a sync as the target of an event, due now.
    #[must_use]
    pub fn target(&self, sync: SyncName) -> JobTarget {
        JobTarget {
            sync,
            side: Side::A,
            job: self.job_id(),
            run_at: self.now(),
        }
    }

    /// An event that cannot be understood.
    #[must_use]
    pub fn unreadable_event(&self, dedupe_key: &str) -> NewEvent {
        NewEvent {
            record: None,
            problem: Some("it is not JSON".to_owned()),
            targets: Vec::new(),
            ..self.event(dedupe_key, "")
        }
    }

    /// One side of a link.
    #[must_use]
    pub fn side(record: &str, checksum: &str) -> SideState {
        SideState {
            id: Some(RecordId::new(record)),
            version: Some("1".to_owned()),
            checksum: Some(checksum.to_owned()),
            updated_at: None,
            memory: SideMemory {
                made_at: Some(Timestamp::from_secs(1_000)),
                ..SideMemory::default()
            },
        }
    }

    /// A link of `customers`.
    #[must_use]
    pub fn link(&self, a: &str, b: &str) -> NewLink {
        NewLink {
            id: self.link_id(),
            sync: Self::customers(),
            a: Self::side(a, "sum-a"),
            b: Self::side(b, "sum-b"),
            base: Self::base("name", "Ann"),
        }
    }

    /// A base of one field, equal on both sides.
    #[must_use]
    pub fn base(field: &str, value: &str) -> BTreeMap<String, BaseValue> {
        let value = Value::Text(value.to_owned());
        let both = BaseValue {
            a: value.clone(),
            b: value,
        };
        BTreeMap::from([(field.to_owned(), both)])
    }

    /// A planned create on side b of what `source` is on side a.
    #[must_use]
    pub fn create(&self, source: &str, match_key: Option<&str>) -> Intent {
        Intent {
            id: self.intent_id(),
            sync: Self::customers(),
            link: None,
            side: Side::B,
            op: IntentOp::Create,
            source: Some(RecordId::new(source)),
            target: None,
            fields: Fields::from([("name".to_owned(), Value::Text("Ann".to_owned()))]),
            match_key: match_key.map(ToOwned::to_owned),
            expected_version: None,
            state: IntentState::Planned,
            sends: 0,
            job: None,
            created_at: self.now(),
            sent_at: None,
            error: None,
            decided: Vec::new(),
        }
    }

    /// A planned update of the side b of a link.
    #[must_use]
    pub fn update(&self, link: &NewLink) -> Intent {
        Intent {
            link: Some(link.id),
            op: IntentOp::Update,
            source: link.a.id.clone(),
            target: link.b.id.clone(),
            expected_version: link.b.version.clone(),
            ..self.create("", None)
        }
    }

    /// A record as a listing shows it.
    #[must_use]
    pub fn seen(record: &str, checksum: &str, keys: &[&str]) -> IndexedRecord {
        IndexedRecord {
            id: RecordId::new(record),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            checksum: checksum.to_owned(),
            updated_at: None,
            in_part: false,
            filtered: false,
            sight: tandem_store::Sight::Shown,
        }
    }

    /// An applied update of side b, of no fields.
    #[must_use]
    pub fn change(&self, a: &str, b: &str) -> Change {
        Change {
            id: ChangeId::new(self.id_time(), &self.entropy),
            sync: Self::customers(),
            link: None,
            a: Some(RecordId::new(a)),
            b: Some(RecordId::new(b)),
            operation: Operation::Update,
            written: Some(Side::B),
            intent: None,
            trigger: Trigger::Webhook,
            job: None,
            run: None,
            fields: Vec::new(),
            outcome: Outcome::Applied,
            error: None,
            duration_ms: 12,
            at: self.now(),
        }
    }

    /// A question about a record on side a.
    #[must_use]
    pub fn conflict(&self, link: Option<LinkId>, record: &str, kind: ConflictKind) -> NewConflict {
        NewConflict {
            id: ConflictId::new(self.id_time(), &self.entropy),
            sync: Self::customers(),
            link,
            side: Side::A,
            record: RecordId::new(record),
            kind,
            shown: vec![Self::shown(Side::A, record, "Acme")],
        }
    }

    /// A record of this name, as a question shows it.
    #[must_use]
    pub fn shown(side: Side, record: &str, name: &str) -> ShownRecord {
        ShownRecord {
            side,
            id: RecordId::new(record),
            fields: Fields::from([("name".to_owned(), Value::Text(name.to_owned()))]),
        }
    }

    /// A field that both sides changed.
    #[must_use]
    pub fn field_conflict(field: &str) -> ConflictKind {
        ConflictKind::Field {
            field: field.to_owned(),
            a: Value::Text("x".to_owned()),
            b: Value::Text("y".to_owned()),
            again: None,
        }
    }

    /// A record that matches two others.
    #[must_use]
    pub fn ambiguous() -> ConflictKind {
        ConflictKind::Ambiguous {
            candidates: vec![RecordId::new("b1"), RecordId::new("b2")],
            more_candidates: 0,
            rivals: Vec::new(),
            more_rivals: 0,
            key: "email:x@y.z".to_owned(),
        }
    }

    /// A poll of side a of `customers`.
    #[must_use]
    pub fn run(&self, kind: RunKind, side: Option<Side>) -> NewRun {
        NewRun {
            id: RunId::new(self.id_time(), &self.entropy),
            sync: Self::customers(),
            kind,
            side,
            trigger: Trigger::Schedule,
            under: None,
            instead_of: Vec::new(),
        }
    }
}
