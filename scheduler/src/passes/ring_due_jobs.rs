//! Rings for jobs whose time has come, and for those whose ring was lost.

use std::sync::Arc;

use async_trait::async_trait;
use tandem_domain::{JobId, Timestamp};
use tandem_queue::Doorbell;
use tandem_store::{Job, JobFilter, JobState, Store, StoreError};

use super::{Pass, PassReport};

/// Enough to wake every worker of a large fleet; each then takes all that it has room for.
const RINGS_MAX: usize = 64;

/// See the module.
pub struct RingDueJobs {
    store: Arc<dyn Store>,
    doorbell: Arc<dyn Doorbell>,
}

impl RingDueJobs {
    /// The pass over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, doorbell: Arc<dyn Doorbell>) -> Self {
        Self { store, doorbell }
    }

    /// A page of waiting jobs: those that are due, or all when the due ones are beyond the page. A ring
    /// too many costs a look at the store, a ring too few costs waiting.
    async fn waiting(&self, now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let filter = JobFilter {
            state: Some(JobState::Available),
            limit: RINGS_MAX,
            ..JobFilter::default()
        };
        let jobs = self.store.jobs(&filter).await?;
        let ids = |jobs: &mut dyn Iterator<Item = &Job>| jobs.map(|job| job.id).collect::<Vec<_>>();
        let due = ids(&mut jobs.iter().filter(|job| job.run_at <= now));
        Ok(if due.is_empty() {
            ids(&mut jobs.iter())
        } else {
            due
        })
    }
}

#[async_trait]
impl Pass for RingDueJobs {
    fn name(&self) -> &'static str {
        "ring_due_jobs"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        match self.store.next_due().await? {
            Some(due) if due <= now => {
                let jobs = self.waiting(now).await?;
                self.doorbell.ring(&jobs);
                Ok(PassReport {
                    handled: jobs.len(),
                    next: None,
                })
            }
            next => Ok(PassReport { handled: 0, next }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::support::{Fixture, poll_job};
    use super::*;

    #[tokio::test]
    async fn the_bell_is_rung_when_a_job_is_due_and_not_before() {
        let fixture = Fixture::open().await;
        let due = fixture.now().plus(Duration::from_secs(30));
        let job = fixture.enqueue_at(poll_job("customers"), due).await;
        let pass = RingDueJobs::new(fixture.store.shared(), fixture.bell.clone());
        let early = pass.run(fixture.now()).await.expect("it runs");
        assert_eq!(
            early,
            PassReport {
                handled: 0,
                next: Some(due)
            }
        );
        assert_eq!(fixture.bell.rung(), []);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
        assert_eq!(fixture.bell.rung(), [job]);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
        assert_eq!(fixture.job(job).await.run_at, due);
    }
}
