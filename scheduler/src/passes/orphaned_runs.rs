//! Fails the runs that no job carries any more and none can go on with: their process died before it could
//! end them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{Side, Timestamp};
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

    /// Whether a job carries this run, or will: one that waits (its process was killed or ended, its system
    /// is down, no slot is free) goes on with the run when it is claimed.
    async fn is_carried(&self, run: &Run) -> Result<bool, StoreError> {
        for lane in run.lanes() {
            // A job may go back to waiting between the first two questions.
            for state in [JobState::Available, JobState::Running, JobState::Available] {
                let filter = JobFilter {
                    state: Some(state),
                    lane: Some(lane.clone()),
                    limit: 1,
                    ..JobFilter::default()
                };
                if !self.store.jobs(&filter).await?.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the next job of its sync can go on with it: pages of it are stored, and the sync is there.
    async fn can_go_on(&self, run: &Run) -> Result<bool, StoreError> {
        let syncs = self.store.syncs().await?;
        if !syncs
            .iter()
            .any(|row| row.name == run.sync && row.deleted_at.is_none())
        {
            return Ok(false);
        }
        for side in Side::BOTH {
            if self.store.listing_place(run, side).await?.is_some() {
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
            if run.started_at.plus(GRACE) > now
                || self.is_carried(&run).await?
                || self.can_go_on(&run).await?
            {
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
    use tandem_store::{JobOutcome, ListingPlace, RunKind, StoredPage, Waiting};

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

    #[tokio::test]
    async fn a_run_whose_job_waits_to_be_taken_up_again_is_left() {
        let fixture = Fixture::open().await;
        fixture.enqueue(poll_job("handed_back")).await;
        let claimed = fixture.claim_one().await;
        let run = fixture.begin_run("handed_back", RunKind::Sweep).await;
        let outcome = JobOutcome::Snooze {
            run_at: fixture.now(),
            failure: None,
            reason: Waiting::Stopping,
        };
        let finished = fixture
            .store
            .finish(vec![(claimed.lease, outcome)], fixture.now())
            .await;
        assert_eq!(finished.expect("asked"), [true]);
        let pass = OrphanedRuns::new(fixture.store.shared());
        let later = fixture.now().plus(GRACE);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        let run = fixture.store.run(run.id).await.expect("asked");
        assert_eq!(run.expect("it is there").state, RunState::Running);
    }

    #[tokio::test]
    async fn a_run_with_stored_pages_is_left_for_the_next_job_while_its_sync_is_there() {
        let fixture = Fixture::open().await;
        fixture.apply(&["customers"], &[]).await;
        let run = fixture.begin_run("customers", RunKind::Backfill).await;
        let page = StoredPage {
            side: Side::B,
            records: Vec::new(),
            unreadable: Vec::new(),
            place: ListingPlace::default(),
        };
        let kept = fixture.store.keep_page(&run, page).await;
        kept.expect("kept");
        let pass = OrphanedRuns::new(fixture.store.shared());
        let later = fixture.now().plus(GRACE);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        fixture.apply(&["others"], &[]).await;
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
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
