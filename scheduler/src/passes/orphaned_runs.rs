//! Fails the runs that no job carries any more: their process died before it could end them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::Timestamp;
use tandem_store::{
    JobFilter, JobState, PAGE_ROWS_MAX, Run, RunFilter, RunState, Store, StoreError,
};

use super::{Pass, PassReport};

/// A run this young is left alone.
const GRACE: Duration = Duration::from_secs(30);
/// What the run says afterwards.
const REASON: &str = "the process that ran it went away; what it had recorded stays, and the next run goes on from there";

/// See the module.
pub struct OrphanedRuns {
    store: Arc<dyn Store>,
}

impl OrphanedRuns {
    /// The pass over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Whether some running job could be the one that carries this run.
    async fn is_carried(&self, run: &Run) -> Result<bool, StoreError> {
        for lane in run.lanes() {
            let filter = JobFilter {
                state: Some(JobState::Running),
                lane: Some(lane),
                limit: 1,
                ..JobFilter::default()
            };
            if !self.store.jobs(&filter).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[async_trait]
impl Pass for OrphanedRuns {
    fn name(&self) -> &'static str {
        "orphaned_runs"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        let filter = RunFilter {
            state: Some(RunState::Running),
            limit: PAGE_ROWS_MAX,
            ..RunFilter::default()
        };
        let mut report = PassReport::default();
        // The runs are read before the jobs, and a run ends before its job does: a run found without a
        // job has either just ended, which the store then keeps, or lost it.
        for run in self.store.runs(&filter).await? {
            if run.started_at.plus(GRACE) > now || self.is_carried(&run).await? {
                continue;
            }
            tracing::warn!(run = %run.id, sync = %run.sync, "the run lost its process; marked as failed");
            self.store
                .end_run(
                    run.id,
                    RunState::Failed,
                    &run.progress,
                    Some(REASON),
                    None,
                    now,
                )
                .await?;
            report.handled += 1;
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use tandem_store::RunKind;

    use super::super::support::{Fixture, poll_job};
    use super::*;

    #[tokio::test]
    async fn a_run_without_a_job_is_failed_once_and_one_with_a_job_goes_on() {
        let fixture = Fixture::open().await;
        fixture.enqueue(poll_job("carried")).await;
        fixture.claim_one().await;
        let carried = fixture.begin_run("carried", RunKind::Poll).await;
        let lost = fixture.begin_run("lost", RunKind::Poll).await;
        let pass = OrphanedRuns::new(fixture.store.shared());
        assert_eq!(pass.run(fixture.now()).await.expect("it runs").handled, 0);
        let later = fixture.now().plus(GRACE);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        let state = |id| {
            let store = fixture.store.shared();
            async move { store.run(id).await.expect("asked").expect("it is there") }
        };
        assert_eq!(state(carried.id).await.state, RunState::Running);
        let lost = state(lost.id).await;
        assert_eq!(
            (lost.state, lost.error.as_deref()),
            (RunState::Failed, Some(REASON))
        );
    }
    /// More jobs than a list gives at once.
    const MANY: usize = PAGE_ROWS_MAX + 1;

    #[tokio::test]
    async fn the_job_of_a_run_is_found_among_any_number_of_others() {
        let fixture = Fixture::open().await;
        fixture.enqueue(poll_job("carried")).await;
        fixture.claim_one().await;
        let carried = fixture.begin_run("carried", RunKind::Poll).await;
        let lost = fixture.begin_run("lost", RunKind::Poll).await;
        for sync in ["carried", "lost"] {
            let jobs = (0..MANY).map(|number| {
                let record = tandem_domain::RecordId::new(format!("r{number}"));
                fixture.make.job_of(tandem_store::JobKind::Reconcile {
                    sync: tandem_testkit::Make::sync(sync),
                    side: tandem_domain::Side::A,
                    record,
                })
            });
            let enqueued = fixture.store.enqueue(jobs.collect(), fixture.now()).await;
            enqueued.expect("enqueued");
            let claimed = fixture.store.claim(fixture.make.claim(MANY)).await;
            assert_eq!(claimed.expect("claimed").len(), MANY);
        }
        let pass = OrphanedRuns::new(fixture.store.shared());
        let later = fixture.now().plus(GRACE);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
        let state = |run: Run| {
            let store = fixture.store.shared();
            async move {
                store
                    .run(run.id)
                    .await
                    .expect("asked")
                    .expect("it is there")
                    .state
            }
        };
        assert_eq!(state(carried).await, RunState::Running);
        assert_eq!(state(lost).await, RunState::Failed);
    }
}
