//! A world for the worker: two fake systems, a real storage, and a driver that owns time.

mod judge;
pub mod ledger;
mod paced;
mod story;
pub mod system;
mod topology;
pub mod turns;

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{
    Clock, DeliveryId, Entropy, ErrorCode, EventId, JobId, LeaseToken, RecordId, RunId, Side,
    SyncName, Timestamp,
};
use tandem_engine::{
    Ambiguous, ConflictPolicy, Creates, DeletePolicies, Direction, Equality, FieldRule, SyncPolicy,
};
use tandem_queue::{
    BreakerConfig, Breakers, Handled, InProcessDoorbell, JobContext, JobHandler, LeaseEnd,
};
use tandem_runtime::{Archived, Topology};
use tandem_store::{
    ClaimRequest, ClaimedJob, Confirmation, ConflictFilter, EventKind, Failure, Hints, JobClass,
    JobFilter, JobKind, JobOutcome, JobState, JobTarget, LinkState, LinkUpdate, NewDelivery,
    NewEvent, NewJob, NewRun, RunKind, RunState, Trigger,
};
use tandem_testkit::{SeededEntropy, TemporaryStore, TestClock};
use tandem_worker::{Context, Worker};
use tokio_util::sync::CancellationToken;

use ledger::Ledger;
use paced::Paced;
use system::oddities::Oddities;
use system::{FIELDS, FakeSystem, Talents};
use topology::topology;
use turns::Turns;

const LEASE: Duration = Duration::from_secs(30);
/// A world that has not come to rest after so many turns never will.
const TURNS_MAX: usize = 5_000;

pub struct World {
    pub a: Arc<FakeSystem>,
    pub b: Arc<FakeSystem>,
    pub clock: Arc<TestClock>,
    pub store: TemporaryStore,
    pub sync: SyncName,
    pub ledger: Arc<Ledger>,
    pub topology: Arc<Topology>,
    entropy: Arc<SeededEntropy>,
    turns: Arc<Turns>,
    worker: Worker,
}

pub fn policy() -> SyncPolicy {
    let rule = |name: &str| FieldRule {
        name: name.into(),
        a: name.into(),
        b: name.into(),
        field_type: tandem_domain::FieldType::Text,
        direction: Direction::Both,
        equality: Equality::Exact,
        conflict: None,
        transforms: vec![],
    };
    SyncPolicy {
        fields: FIELDS.iter().map(|name| rule(name)).collect(),
        match_keys: vec![vec!["email".into()], vec!["name".into()]],
        creates: Creates::Both,
        conflict: ConflictPolicy::LastWriteWins,
        prefer: Side::A,
        deletes: DeletePolicies::default(),
        ambiguous: Ambiguous::Hold,
        filters: vec![],
    }
}

impl World {
    /// A world whose first sync has ended, while there was nothing.
    pub async fn new(
        seed: u64,
        policy: SyncPolicy,
        talents_a: Talents,
        talents_b: Talents,
    ) -> Self {
        let world = Self::before_first_sync(seed, policy, talents_a, talents_b).await;
        world.first_sync().await;
        world
    }

    pub async fn before_first_sync(
        seed: u64,
        policy: SyncPolicy,
        talents_a: Talents,
        talents_b: Talents,
    ) -> Self {
        Self::with_archived(seed, policy, talents_a, talents_b, Archived::Gone).await
    }

    pub async fn with_archived(
        seed: u64,
        policy: SyncPolicy,
        talents_a: Talents,
        talents_b: Talents,
        archived: Archived,
    ) -> Self {
        let (a, b) = (Oddities::default(), Oddities::default());
        Self::odd(seed, policy, (talents_a, a), (talents_b, b), archived).await
    }

    /// A world of systems that may be odd, before its first sync.
    pub async fn odd(
        seed: u64,
        policy: SyncPolicy,
        a: (Talents, Oddities),
        b: (Talents, Oddities),
        archived: Archived,
    ) -> Self {
        let clock = Arc::new(TestClock::default());
        let entropy = Arc::new(SeededEntropy::new(seed));
        let ledger = Arc::new(Ledger::default());
        let turns = Arc::new(Turns::new(seed));
        let system = |side, kind, skew_secs| {
            let with = (Arc::clone(&clock), Arc::clone(&ledger), Arc::clone(&turns));
            FakeSystem::new(side, kind, skew_secs, with)
        };
        let (a, b) = (system(Side::A, a, 140), system(Side::B, b, -95));
        let store = TemporaryStore::open().await;
        let sync: SyncName = "pairs".parse().expect("a name");
        let topology = topology(&sync, policy, archived, &a, &b);
        let paced = Paced {
            inner: store.shared(),
            turns: Arc::clone(&turns),
        };
        let context = Context::new(
            Arc::new(paced),
            Arc::clone(&topology),
            Arc::new(InProcessDoorbell::default()),
            clock.clone(),
            entropy.clone(),
        );
        let breakers = Breakers::new(BreakerConfig::default(), entropy.clone());
        let worker = Worker::new(Arc::new(context), Arc::new(breakers));
        Self {
            a,
            b,
            clock,
            store,
            sync,
            ledger,
            topology,
            entropy,
            turns,
            worker,
        }
    }

    pub fn system(&self, side: Side) -> &FakeSystem {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    pub async fn enqueue(&self, kind: JobKind) {
        self.enqueue_by(Trigger::Webhook, kind).await;
    }

    pub async fn enqueue_by(&self, trigger: Trigger, kind: JobKind) {
        let now = self.clock.now();
        let job = NewJob {
            id: JobId::new(now, self.entropy.as_ref()),
            kind,
            class: JobClass::Interactive,
            trigger,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        };
        self.store
            .enqueue(vec![job], now)
            .await
            .expect("the storage answers");
    }

    /// A webhook about a record.
    pub async fn hear(&self, side: Side, record: &tandem_domain::RecordId) {
        let what = format!("tells of {record}");
        self.ledger.happens(self.clock.now(), side, &what);
        self.enqueue(JobKind::Reconcile {
            sync: self.sync.clone(),
            side,
            record: record.clone(),
        })
        .await;
    }

    /// A webhook of which the storage keeps the event; what it tells of happened at this instant.
    pub async fn tell(&self, side: Side, record: &RecordId, kind: EventKind, at: Timestamp) {
        let now = self.clock.now();
        let id = EventId::new(now, self.entropy.as_ref());
        let event = NewEvent {
            id,
            dedupe_key: id.to_string(),
            stream: Some("things".parse().expect("a name")),
            record: Some(record.clone()),
            kind,
            occurred_at: Some(at),
            clock_offset: self.system(side).skew_micros(),
            problem: None,
            targets: vec![JobTarget {
                sync: self.sync.clone(),
                side,
                job: JobId::new(now, self.entropy.as_ref()),
                run_at: now,
            }],
        };
        let delivery = NewDelivery {
            id: DeliveryId::new(now, self.entropy.as_ref()),
            connection: side.as_str().parse().expect("a name"),
            headers: vec![],
            body: Arc::from(&b"{}"[..]),
            received_at: now,
            secret_index: 0,
            traceparent: None,
            events: vec![event],
        };
        let recorded = self.store.record_deliveries(vec![delivery], now);
        recorded.await.expect("the storage answers");
    }

    /// Leaves what a process leaves that died in the middle of a first sync, after its job was rescued.
    pub async fn leave_a_first_sync_in_the_middle(&self) {
        let now = self.clock.now();
        let run = NewRun {
            id: RunId::new(now, self.entropy.as_ref()),
            sync: self.sync.clone(),
            kind: RunKind::Backfill,
            side: None,
            trigger: Trigger::Backfill,
        };
        let begun = self.store.begin_run(run, now).await;
        assert_eq!(begun.expect("begun").state, RunState::Running);
    }

    pub async fn begin_first_sync(&self) {
        self.enqueue(JobKind::Backfill {
            sync: self.sync.clone(),
        })
        .await;
    }

    pub async fn first_sync(&self) {
        self.begin_first_sync().await;
        self.rest().await;
    }

    /// Retires a link, as a worker does that takes one of its records for gone.
    pub async fn retire_link_of(&self, side: Side, record: &RecordId) {
        let link = self.link_of(side, record).await.expect("it is linked");
        self.hear(side, record).await;
        let claimed = self.claim(1).await.pop().expect("a job is due");
        let confirmation = Confirmation {
            link: Some(LinkUpdate::Update {
                id: link.id,
                expected_revision: link.revision,
                a: link.a,
                b: link.b,
                base: link.base,
                state: LinkState::Retired,
            }),
            outcome: Some(JobOutcome::Done {
                note: "retired".to_owned(),
            }),
            ..Confirmation::default()
        };
        let now = self.clock.now();
        let confirmed = self
            .store
            .confirm(&self.sync, claimed.lease, confirmation, now);
        assert_eq!(confirmed.await.expect("the storage answers"), Ok(()));
    }

    /// An operator takes a pair apart.
    pub async fn take_apart(&self, side: Side, record: &RecordId) {
        let link = self.link_of(side, record).await.expect("it is linked");
        let now = self.clock.now();
        let change = tandem_store::Change {
            id: tandem_domain::ChangeId::new(now, self.entropy.as_ref()),
            sync: self.sync.clone(),
            link: Some(link.id),
            a: link.a.id.clone(),
            b: link.b.id.clone(),
            operation: tandem_store::Operation::Unlink,
            written: None,
            intent: None,
            trigger: Trigger::Manual,
            job: None,
            run: None,
            fields: Vec::new(),
            outcome: tandem_store::Outcome::Applied,
            error: None,
            duration_ms: 0,
            at: now,
        };
        let taken = self.store.unlink_by_hand(link.id, change, now).await;
        taken.expect("the storage answers");
    }

    /// Leaves a cursor as an earlier poll may have stored it.
    pub async fn store_cursor(&self, side: Side, cursor: Timestamp) {
        let now = self.clock.now();
        let run = NewRun {
            id: RunId::new(now, self.entropy.as_ref()),
            sync: self.sync.clone(),
            kind: RunKind::Poll,
            side: Some(side),
            trigger: Trigger::Poll,
        };
        let begun = self.store.begin_run(run, now).await.expect("begun");
        let (state, nothing) = (RunState::Succeeded, tandem_store::Progress::default());
        let ended = self
            .store
            .end_run(begun.id, state, &nothing, None, Some(cursor), now);
        ended.await.expect("ended");
    }

    pub async fn sweep(&self) {
        for side in Side::BOTH {
            self.enqueue(JobKind::Sweep {
                sync: self.sync.clone(),
                side,
            })
            .await;
        }
        self.rest().await;
    }

    /// Works until nothing waits, moving time on as jobs ask for it.
    pub async fn rest(&self) {
        for _ in 0..TURNS_MAX {
            if self.turn().await {
                continue;
            }
            match self.store.next_due().await.expect("the storage answers") {
                Some(due) if due > self.clock.now() => self.clock.set(due),
                Some(_) => {}
                None => return,
            }
        }
        panic!("the world never comes to rest");
    }

    /// Claims and does a few jobs at once. False when there was none.
    pub async fn turn(&self) -> bool {
        let now = self.clock.now();
        self.store
            .rescue_expired(now, 100)
            .await
            .expect("the storage answers");
        let claimed = self.claim(4).await;
        let any = !claimed.is_empty();
        let jobs = claimed.into_iter().map(|job| self.perform(job));
        let died = tokio::select! {
            biased;
            () = self.turns.drive(jobs) => false,
            () = self.a.crashed.notified() => true,
            () = self.b.crashed.notified() => true,
        };
        if died {
            self.ledger
                .happens(now, Side::A, "or b takes the process with it");
            // All of the process's jobs die with it; it comes back once their leases have ended.
            self.clock.advance(LEASE + Duration::from_secs(1));
        }
        self.clock.advance(Duration::from_millis(10));
        any
    }

    /// Claims a job and does it as a process would that was stopped right after the claim, and goes on
    /// when the lease has ended, before anybody has told it so.
    pub async fn turn_of_the_late(&self) {
        let claimed = self.claim(1).await.pop().expect("a job is due");
        let late = self.perform_until(claimed, self.clock.now());
        self.turns.drive([late]).await;
    }

    /// Gives up the one job that is due, then replays it with values that an operator gives.
    pub async fn give_up_and_replay_with(&self, edits: &[(&str, &str)]) {
        let claimed = self.claim(1).await.pop().expect("a job is due");
        let failure = Failure {
            code: ErrorCode::Refused,
            chain: vec!["a value is not to the system's liking".to_owned()],
        };
        let dead = vec![(claimed.lease, JobOutcome::Dead { failure })];
        let now = self.clock.now();
        let ended = self.store.finish(dead, now).await;
        assert_eq!(ended.expect("the storage answers"), [true]);
        let edits = edits
            .iter()
            .map(|(field, text)| ((*field).to_owned(), (*text).to_owned()))
            .collect();
        // Where its record has a dead letter already, that one stands for both.
        let letters = self.dead().await;
        let letter = letters.first().expect("it is dead").id;
        let replayed = self.store.replay_edited(letter, &edits, now).await;
        assert!(replayed.expect("the storage answers").is_some());
    }

    async fn claim(&self, jobs: usize) -> Vec<ClaimedJob> {
        let now = self.clock.now();
        let tokens = (0..jobs)
            .map(|_| LeaseToken::new(now, self.entropy.as_ref()))
            .collect();
        let request = ClaimRequest {
            tokens,
            lease_until: now.plus(LEASE),
            blocked_syncs: vec![],
            shares: [2, 1, 1],
            now,
        };
        self.store
            .claim(request)
            .await
            .expect("the storage answers")
    }

    async fn perform(&self, claimed: ClaimedJob) {
        self.perform_until(claimed, self.clock.now().plus(LEASE))
            .await;
    }

    async fn perform_until(&self, claimed: ClaimedJob, until: Timestamp) {
        let lease = claimed.lease;
        let context = JobContext {
            lease,
            until: LeaseEnd::at(until),
            cancelled: CancellationToken::new(),
            stopping: CancellationToken::new(),
        };
        if let Handled::Outcome(outcome) = self.worker.handle(claimed, context).await {
            self.turns.others().await;
            let now = self.clock.now();
            self.store
                .finish(vec![(lease, outcome)], now)
                .await
                .expect("the storage answers");
        }
    }

    pub fn chance(&self, below: u64) -> u64 {
        self.entropy.next_u64() % below
    }

    pub async fn dead(&self) -> Vec<tandem_store::Job> {
        let filter = JobFilter {
            state: Some(JobState::Dead),
            limit: 100,
            ..JobFilter::default()
        };
        self.store.jobs(&filter).await.expect("the storage answers")
    }

    pub async fn link_of(&self, side: Side, record: &RecordId) -> Option<tandem_store::Link> {
        let pair = self.store.pair(&self.sync, side, record).await;
        pair.expect("the storage answers").link
    }

    pub async fn questions(&self) -> Vec<tandem_store::Conflict> {
        let filter = ConflictFilter {
            limit: 100,
            ..ConflictFilter::default()
        };
        self.store
            .conflicts(&filter)
            .await
            .expect("the storage answers")
    }

    /// Both systems hold the same, and nothing twice.
    pub fn assert_agreement(&self, seed: u64) {
        let (a, b) = (self.a.contents(), self.b.contents());
        assert_eq!(a, b, "seed {seed}: both sides hold the same records");
        let emails: Vec<_> = a.iter().filter_map(|fields| fields.get("email")).collect();
        let distinct: std::collections::BTreeSet<_> = emails.iter().collect();
        assert_eq!(
            emails.len(),
            distinct.len(),
            "seed {seed}: nothing is doubled"
        );
    }
}
