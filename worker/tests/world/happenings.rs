//! What comes to a world from outside: webhooks, operators, and what an earlier process left.

use std::sync::Arc;

use tandem_domain::{
    ChangeId, Clock, DeliveryId, ErrorCode, EventId, JobId, RecordId, RunId, Side, Timestamp,
};
use tandem_store::{
    Change, Confirmation, EventKind, Failure, Hints, JobClass, JobKind, JobOutcome, JobTarget,
    Lease, LinkState, LinkUpdate, NewDelivery, NewEvent, NewJob, NewRun, Operation, Outcome,
    Progress, RunKind, RunState, Trigger,
};

use super::World;

impl World {
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
    pub async fn hear(&self, side: Side, record: &RecordId) {
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
            under: None,
            instead_of: Vec::new(),
        };
        let begun = self.store.begin_run(run, now).await;
        assert_eq!(begun.expect("begun").state, RunState::Running);
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
        self.confirm_as_another(claimed.lease, confirmation).await;
    }

    /// Another worker stores this.
    async fn confirm_as_another(&self, lease: Lease, confirmation: Confirmation) {
        let now = self.clock.now();
        let confirmed = self.store.confirm(&self.sync, lease, confirmation, now);
        assert_eq!(confirmed.await.expect("the storage answers"), Ok(()));
    }

    /// Forgets what a link remembers of our delete, as a process of an earlier version does that writes to it.
    pub async fn forget_the_delete_of(&self, side: Side, record: &RecordId) {
        let link = self.link_of(side, record).await.expect("it is known");
        self.hear(side, record).await;
        let claimed = self.claim(1).await.pop().expect("a job is due");
        let confirmation = Confirmation {
            link: Some(link.remembering(side, |memory| memory.deleted = None)),
            outcome: Some(JobOutcome::Done {
                note: "another version".to_owned(),
            }),
            ..Confirmation::default()
        };
        self.confirm_as_another(claimed.lease, confirmation).await;
    }

    /// An operator takes a pair apart.
    pub async fn take_apart(&self, side: Side, record: &RecordId) {
        let link = self.link_of(side, record).await.expect("it is linked");
        let now = self.clock.now();
        let change = Change {
            id: ChangeId::new(now, self.entropy.as_ref()),
            sync: self.sync.clone(),
            link: Some(link.id),
            a: link.a.id.clone(),
            b: link.b.id.clone(),
            operation: Operation::Unlink,
            written: None,
            intent: None,
            trigger: Trigger::Manual,
            job: None,
            run: None,
            fields: Vec::new(),
            outcome: Outcome::Applied,
            error: None,
            duration_ms: 0,
            at: now,
        };
        let taken = self.store.unlink_by_hand(link.id, change, now).await;
        taken.expect("the storage answers");
    }

    /// Leaves a cursor as an earlier poll may have stored it.
    pub async fn store_cursor(&self, side: Side, cursor: Timestamp) {
        self.poll_at(side, self.clock.now(), cursor).await;
    }

    /// Leaves what a poll leaves that began then and found nothing.
    pub async fn poll_at(&self, side: Side, now: Timestamp, cursor: Timestamp) {
        let run = NewRun {
            id: RunId::new(now, self.entropy.as_ref()),
            sync: self.sync.clone(),
            kind: RunKind::Poll,
            side: Some(side),
            trigger: Trigger::Poll,
            under: None,
            instead_of: Vec::new(),
        };
        let begun = self.store.begin_run(run, now).await.expect("begun");
        let (state, nothing) = (RunState::Succeeded, Progress::default());
        let ended = self
            .store
            .end_run(begun.id, state, &nothing, None, Some(cursor), now);
        ended.await.expect("ended");
    }

    /// The job that is due has crashed once too often.
    pub async fn give_up_a_job(&self) {
        let now = self.clock.now();
        let rescued = self.store.rescue_expired(now, 100).await;
        rescued.expect("the storage answers");
        let claimed = self.claim(1).await.pop().expect("a job is due");
        let failure = Failure {
            code: ErrorCode::Refused,
            chain: vec!["its process died once too often".to_owned()],
        };
        let dead = vec![(claimed.lease, JobOutcome::Dead { failure })];
        let ended = self.store.finish(dead, self.clock.now()).await;
        assert_eq!(ended.expect("the storage answers"), [true]);
    }

    /// A job during which the process went away three times in a row is a dead letter, whosever fault it was: a person sees
    /// that nothing is wrong with it.
    pub async fn replay_what_crashes_ended(&self) {
        self.rest().await;
        let dead = self.dead().await.into_iter();
        let by_crashes =
            dead.filter(|job| job.failure.as_ref().map(|it| it.code) == Some(ErrorCode::Internal));
        let ids: Vec<JobId> = by_crashes.map(|job| job.id).collect();
        let replayed = self.store.replay_jobs(&ids, self.clock.now()).await;
        assert_eq!(replayed.expect("the storage answers").len(), ids.len());
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
}
