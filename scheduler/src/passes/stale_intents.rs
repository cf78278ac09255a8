//! Looks for journalled writes that nobody settles any more, and has their records looked at again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{Entropy, IntentId, JobId, RecordId, Side, SyncName, Timestamp};
use tandem_queue::Doorbell;
use tandem_store::{
    Hints, Intent, Job, JobClass, JobFilter, JobKind, JobState, NewJob, PAGE_ROWS_MAX, Store,
    StoreError, Trigger,
};

use super::{Pass, PassReport};

/// An intent this young is still being worked on.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
/// Intents looked at in one go.
const BATCH_INTENTS: usize = 200;
/// Goes in one run of the pass. What is left is looked at by the next run, which goes on from there: writes
/// that wait for a person or for a system that is down must not stand before the others for ever.
const BATCHES_MAX: usize = 10;

/// See the module.
pub struct StaleIntents {
    store: Arc<dyn Store>,
    doorbell: Arc<dyn Doorbell>,
    entropy: Arc<dyn Entropy>,
    /// Where the run before stopped. Losing it means to begin with the oldest again.
    stopped_at: Mutex<Option<Place>>,
}

/// The place of an intent among those that are open, by age.
type Place = (Timestamp, IntentId);

impl StaleIntents {
    /// The pass over this store.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        doorbell: Arc<dyn Doorbell>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            doorbell,
            entropy,
            stopped_at: Mutex::default(),
        }
    }

    /// Whether the job that planned it has ended without a dead letter. A dead letter waits for a
    /// person, and its replay goes on with the same intent.
    async fn is_forgotten(&self, intent: &Intent) -> Result<bool, StoreError> {
        let Some(id) = intent.job else {
            return Ok(true);
        };
        Ok(match self.store.job(id).await?.map(|job| job.state) {
            None | Some(JobState::Done | JobState::Discarded) => true,
            Some(JobState::Available | JobState::Running | JobState::Dead) => false,
        })
    }

    /// Whether a dead letter about the record waits for a person: another job would only make another. A
    /// record of the other side may have the same id.
    async fn is_dead(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<bool, StoreError> {
        let filter = JobFilter {
            state: Some(JobState::Dead),
            sync: Some(sync.clone()),
            record: Some(record.clone()),
            limit: PAGE_ROWS_MAX,
            ..JobFilter::default()
        };
        let is_of_side =
            |job: &Job| matches!(&job.kind, JobKind::Reconcile { side: of, .. } if *of == side);
        Ok(self.store.jobs(&filter).await?.iter().any(is_of_side))
    }

    /// Whether a person has said to leave the record alone: a job would end without a look at the write.
    async fn is_ignored(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<bool, StoreError> {
        Ok(self.store.pair(sync, side, record).await?.ignored)
    }

    async fn known_syncs(&self) -> Result<BTreeSet<SyncName>, StoreError> {
        let rows = self.store.syncs().await?;
        let known = rows.into_iter().filter(|row| row.deleted_at.is_none());
        Ok(known.map(|row| row.name).collect())
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        // One assignment cannot be left half done.
        self.stopped_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take_place(&self) -> Option<Place> {
        self.place().take()
    }

    /// Has the records of forgotten writes looked at again. Returns how many.
    async fn look_again(&self, stale: &[Intent], now: Timestamp) -> Result<usize, StoreError> {
        let known = self.known_syncs().await?;
        let mut jobs = Vec::new();
        for intent in stale.iter().filter(|intent| known.contains(&intent.sync)) {
            let Some((side, record)) = subject(intent) else {
                continue;
            };
            let sync = &intent.sync;
            if self.is_forgotten(intent).await?
                && !self.is_dead(sync, side, &record).await?
                && !self.is_ignored(sync, side, &record).await?
            {
                jobs.push(self.reconcile(&intent.sync, side, record, now));
            }
        }
        let handled = jobs.len();
        if handled > 0 {
            tracing::warn!(
                intents = handled,
                "writes without an end; their records are looked at again"
            );
            let ids = self.store.enqueue(jobs, now).await?;
            self.doorbell.ring(&ids);
        }
        Ok(handled)
    }

    fn reconcile(&self, sync: &SyncName, side: Side, record: RecordId, now: Timestamp) -> NewJob {
        NewJob {
            id: JobId::new(now, &*self.entropy),
            kind: JobKind::Reconcile {
                sync: sync.clone(),
                side,
                record,
            },
            class: JobClass::Poll,
            trigger: Trigger::Schedule,
            run_at: now,
            hints: Hints::default(),
            traceparent: Some(tandem_trace::current_or_new(&*self.entropy).to_string()),
        }
    }
}

/// The record to look at: the one that the write carries over, or else the one written.
fn subject(intent: &Intent) -> Option<(Side, RecordId)> {
    let source = intent
        .source
        .clone()
        .map(|record| (intent.side.other(), record));
    source.or_else(|| intent.target.clone().map(|record| (intent.side, record)))
}

#[async_trait]
impl Pass for StaleIntents {
    fn name(&self) -> &'static str {
        "stale_intents"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        let before = now.minus(STALE_AFTER);
        let mut after = self.take_place();
        let mut handled = 0;
        for _ in 0..BATCHES_MAX {
            let stale = self
                .store
                .stale_intents(before, after, BATCH_INTENTS)
                .await?;
            if !stale.is_empty() {
                handled += self.look_again(&stale, now).await?;
            }
            after = stale.last().map(|intent| (intent.created_at, intent.id));
            if stale.len() < BATCH_INTENTS {
                after = None;
                break;
            }
        }
        *self.place() = after;
        Ok(PassReport {
            handled,
            next: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use tandem_store::JobOutcome;
    use tandem_testkit::Make;

    use super::super::support::Fixture;
    use super::*;

    fn pass_of(fixture: &Fixture) -> StaleIntents {
        StaleIntents::new(
            fixture.store.shared(),
            fixture.bell.clone(),
            fixture.entropy.clone(),
        )
    }

    /// Journals a create for `a1`, and ends its job like this.
    async fn leave_open(fixture: &Fixture, outcome: JobOutcome) {
        fixture.apply(&["customers"], &[]).await;
        let job = fixture.enqueue(Make::reconcile(Side::A, "a1")).await;
        let claimed = fixture.claim_one().await;
        let intent = Intent {
            job: Some(job),
            ..fixture.make.create("a1", None)
        };
        let now = fixture.now();
        let journalled = fixture
            .store
            .journal(claimed.lease, None, vec![intent], now)
            .await;
        assert_eq!(journalled.expect("asked"), Ok(()));
        let finished = fixture
            .store
            .finish(vec![(claimed.lease, outcome)], now)
            .await;
        assert_eq!(finished.expect("asked"), [true]);
    }

    async fn waiting(fixture: &Fixture) -> Vec<JobKind> {
        let filter = JobFilter {
            state: Some(JobState::Available),
            limit: PAGE_ROWS_MAX,
            ..JobFilter::default()
        };
        let jobs = fixture.store.jobs(&filter).await.expect("asked");
        jobs.into_iter().map(|job| job.kind).collect()
    }

    #[tokio::test]
    async fn a_forgotten_write_has_its_record_looked_at_again() {
        let fixture = Fixture::open().await;
        leave_open(
            &fixture,
            JobOutcome::Done {
                note: "ended".to_owned(),
            },
        )
        .await;
        let pass = pass_of(&fixture);
        assert_eq!(pass.run(fixture.now()).await.expect("it runs").handled, 0);
        let later = fixture.now().plus(STALE_AFTER + Duration::from_secs(1));
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
        assert_eq!(waiting(&fixture).await, [Make::reconcile(Side::A, "a1")]);
        assert_eq!(fixture.bell.rung().len(), 1);
    }

    #[tokio::test]
    async fn writes_that_wait_for_a_person_do_not_stand_before_the_others_for_ever() {
        let fixture = Fixture::open().await;
        fixture.apply(&["customers"], &[]).await;
        let held = BATCH_INTENTS * BATCHES_MAX;
        let records: Vec<String> = (0..=held).map(|number| format!("a{number:05}")).collect();
        for some in records.chunks(500) {
            let jobs = some.iter().map(|record| fixture.make.job(record)).collect();
            let enqueued = fixture.store.enqueue(jobs, fixture.now()).await;
            enqueued.expect("enqueued");
            let claimed = fixture.store.claim(fixture.make.claim(some.len())).await;
            for (claimed, record) in claimed.expect("claimed").iter().zip(some) {
                let intent = Intent {
                    job: Some(claimed.job.id),
                    ..fixture.make.create(record, None)
                };
                let lease = claimed.lease;
                let journalled = fixture
                    .store
                    .journal(lease, None, vec![intent], fixture.now())
                    .await;
                assert_eq!(journalled.expect("asked"), Ok(()));
                let outcome = if *record == records[held] {
                    JobOutcome::Done {
                        note: "held: by nobody".to_owned(),
                    }
                } else {
                    let failure = Make::failure(tandem_domain::ErrorCode::Refused, "no");
                    JobOutcome::Dead { failure }
                };
                let finished = fixture.store.finish(vec![(lease, outcome)], fixture.now());
                assert_eq!(finished.await.expect("asked"), [true]);
            }
        }
        let pass = pass_of(&fixture);
        let later = fixture.now().plus(STALE_AFTER + Duration::from_secs(1));
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
    }

    #[tokio::test]
    async fn a_write_that_a_dead_letter_holds_waits_for_a_person() {
        let fixture = Fixture::open().await;
        let failure = Make::failure(tandem_domain::ErrorCode::Refused, "no");
        leave_open(&fixture, JobOutcome::Dead { failure }).await;
        let pass = pass_of(&fixture);
        let later = fixture.now().plus(STALE_AFTER + Duration::from_secs(1));
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        assert_eq!(waiting(&fixture).await, []);
    }

    #[tokio::test]
    async fn a_dead_letter_of_the_same_id_on_the_other_side_does_not_hide_a_forgotten_write() {
        let fixture = Fixture::open().await;
        let note = "ended".to_owned();
        leave_open(&fixture, JobOutcome::Done { note }).await;
        fixture.enqueue(Make::reconcile(Side::B, "a1")).await;
        let dead = fixture.claim_one().await.lease;
        let failure = Make::failure(tandem_domain::ErrorCode::Refused, "no");
        let dead = vec![(dead, JobOutcome::Dead { failure })];
        let finished = fixture.store.finish(dead, fixture.now()).await;
        assert_eq!(finished.expect("asked"), [true]);
        let later = fixture.now().plus(STALE_AFTER + Duration::from_secs(1));
        let report = pass_of(&fixture).run(later).await;
        assert_eq!(report.expect("it runs").handled, 1);
    }

    #[tokio::test]
    async fn the_record_of_a_forgotten_write_that_a_person_leaves_alone_is_left_alone() {
        let fixture = Fixture::open().await;
        let note = "ended".to_owned();
        leave_open(&fixture, JobOutcome::Done { note }).await;
        let (store, make) = (&fixture.store, &fixture.make);
        let question = make.conflict(None, "a1", Make::ambiguous());
        let id = question.id;
        let opened = store.open_conflicts(vec![question], fixture.now()).await;
        assert_eq!(opened.expect("opened"), 1);
        let (answer, job) = (tandem_store::Resolution::Ignore, make.job_id());
        let answered = store.resolve_conflict(id, answer, job, fixture.now()).await;
        assert!(answered.expect("asked").is_some());
        let later = fixture.now().plus(STALE_AFTER + Duration::from_secs(1));
        let report = pass_of(&fixture).run(later).await;
        assert_eq!(report.expect("it runs").handled, 0);
    }
}
