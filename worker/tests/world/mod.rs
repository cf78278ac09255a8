//! A world for the worker: two fake systems, a real storage, and a driver that owns time.

mod happenings;
mod judge;
pub mod ledger;
mod paced;
mod story;
pub mod system;
mod topology;
pub mod turns;

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{Clock, Entropy, LeaseToken, RecordId, Side, SyncName, Timestamp};
use tandem_engine::{
    Ambiguous, ConflictPolicy, Creates, DeletePolicies, Direction, Equality, FieldRule, SyncPolicy,
};
use tandem_queue::{
    BreakerConfig, Breakers, Handled, InProcessDoorbell, JobContext, JobHandler, LeaseEnd,
    SyncLimits,
};
use tandem_runtime::{Archived, Topology};
use tandem_store::{ClaimRequest, ClaimedJob, ConflictFilter, JobFilter, JobKind, JobState};
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
    pub turns: Arc<Turns>,
    /// Which syncs are paused in this process.
    pub limits: Arc<SyncLimits>,
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
        let limits = Arc::new(SyncLimits::default());
        let worker = Worker::new(Arc::new(context), Arc::new(breakers));
        let worker = worker.heeding(Arc::clone(&limits));
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
            limits,
            worker,
        }
    }

    pub fn system(&self, side: Side) -> &FakeSystem {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
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
            () = self.turns.died.notified() => true,
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

    /// A process claims a job, if one is due, and stands still before it does anything. By the time it would go on the lease
    /// has ended.
    pub async fn stands_still_with_a_job(&self) -> Option<ClaimedJob> {
        let claimed = self.claim(1).await.pop()?;
        let now = self.clock.now();
        self.ledger
            .happens(now, Side::A, "and b see a process stand still");
        self.clock.advance(LEASE + Duration::from_secs(1));
        Some(claimed)
    }

    /// Such a process goes on, without a look at the clock.
    pub async fn goes_on_with(&self, claimed: ClaimedJob) {
        let late = self.perform(claimed);
        self.turns.drive([late]).await;
    }

    /// Does the job that is due in a process that is asked to end at this moment, and ends in good order.
    pub async fn turn_that_is_stopped_when(&self, is_time: impl Fn() -> bool) {
        let claimed = self.claim(1).await.pop().expect("a job is due");
        let stopping = CancellationToken::new();
        let until = self.clock.now().plus(LEASE);
        let job = self.perform_in(claimed, until, stopping.clone());
        let asked = async {
            while !is_time() {
                tokio::task::yield_now().await;
            }
            stopping.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.turns.drive([job]) => {}
            () = asked => {}
        }
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
        self.perform_in(claimed, until, CancellationToken::new())
            .await;
    }

    async fn perform_in(&self, claimed: ClaimedJob, until: Timestamp, stopping: CancellationToken) {
        let lease = claimed.lease;
        let context = JobContext {
            lease,
            until: LeaseEnd::at(until),
            cancelled: CancellationToken::new(),
            stopping,
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
