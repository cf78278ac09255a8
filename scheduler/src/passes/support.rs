//! What the tests of the passes share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{JobId, Side, Timestamp};
use tandem_queue::Doorbell;
use tandem_store::{
    ClaimedJob, Job, JobClass, JobKind, NewJob, NewRun, Run, RunKind, ScheduleKey, SchedulePurpose,
    ScheduleRow, StoredSchedule, Trigger,
};
use tandem_testkit::{Make, SeededEntropy, TemporaryStore};
use tokio::sync::Notify;

/// A doorbell that remembers for whom it was rung.
#[derive(Default)]
pub(crate) struct RecordingBell {
    jobs: Mutex<Vec<JobId>>,
    rung: Notify,
}

impl RecordingBell {
    /// The jobs rung since the last time it was asked, each once, in order.
    pub(crate) fn rung(&self) -> Vec<JobId> {
        let mut rung =
            std::mem::take(&mut *self.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        rung.dedup();
        rung
    }
}

#[async_trait]
impl Doorbell for RecordingBell {
    fn ring(&self, jobs: &[JobId]) {
        let mut rung = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        rung.extend_from_slice(jobs);
        self.rung.notify_one();
    }

    async fn wait(&self, at_most: Duration) {
        // Both endings mean the same to the caller: look.
        let _rung_or_time = tokio::time::timeout(at_most, self.rung.notified()).await;
    }
}

/// A store, a bell, and makers of rows; the time stands still.
pub(crate) struct Fixture {
    pub(crate) store: TemporaryStore,
    pub(crate) bell: Arc<RecordingBell>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) make: Make,
}

/// A poll of side a of a sync.
pub(crate) fn poll_job(sync: &str) -> JobKind {
    JobKind::Poll {
        sync: Make::sync(sync),
        side: Side::A,
    }
}

/// A schedule of a sync.
pub(crate) fn key(sync: &str, purpose: SchedulePurpose) -> ScheduleKey {
    ScheduleKey {
        sync: Make::sync(sync),
        purpose,
    }
}

impl Fixture {
    pub(crate) async fn open() -> Self {
        Self {
            store: TemporaryStore::open().await,
            bell: Arc::default(),
            entropy: Arc::new(SeededEntropy::new(11)),
            make: Make::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.make.now()
    }

    pub(crate) async fn enqueue(&self, kind: JobKind) -> JobId {
        self.enqueue_at(kind, self.now()).await
    }

    pub(crate) async fn enqueue_at(&self, kind: JobKind, run_at: Timestamp) -> JobId {
        let job = NewJob {
            class: JobClass::Poll,
            trigger: Trigger::Schedule,
            run_at,
            ..self.make.job_of(kind)
        };
        let ids = self.store.enqueue(vec![job], self.now()).await;
        ids.expect("enqueued")[0]
    }

    /// Claims the one job that is due.
    pub(crate) async fn claim_one(&self) -> ClaimedJob {
        let claimed = self.store.claim(self.make.claim(1)).await.expect("claimed");
        claimed.into_iter().next().expect("a job is due")
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.store
            .job(id)
            .await
            .expect("asked")
            .expect("it is there")
    }

    /// Begins a run; of side a unless it is of both.
    pub(crate) async fn begin_run(&self, sync: &str, kind: RunKind) -> Run {
        let side = match kind {
            RunKind::Poll | RunKind::Sweep => Some(Side::A),
            RunKind::Backfill => None,
        };
        let run = NewRun {
            sync: Make::sync(sync),
            ..self.make.run(kind, side)
        };
        self.store.begin_run(run, self.now()).await.expect("begun")
    }

    /// Applies a configuration of these syncs, each with these schedules, due after `secs`.
    pub(crate) async fn apply(&self, syncs: &[&str], schedules: &[(SchedulePurpose, &str, u64)]) {
        let rows = syncs.iter().flat_map(|sync| {
            schedules.iter().map(|(purpose, spec, secs)| ScheduleRow {
                key: key(sync, *purpose),
                spec: (*spec).to_owned(),
                next_at: Some(self.make.after(*secs)),
            })
        });
        let documents = syncs
            .iter()
            .map(|sync| (Make::sync(sync), serde_json::json!({})));
        self.store
            .apply_config(Vec::new(), documents.collect(), rows.collect(), self.now())
            .await
            .expect("applied");
    }

    pub(crate) async fn schedule(&self, key: &ScheduleKey) -> StoredSchedule {
        let schedules = self.store.schedules().await.expect("asked");
        schedules
            .into_iter()
            .find(|schedule| schedule.key == *key)
            .expect("it is there")
    }
}
