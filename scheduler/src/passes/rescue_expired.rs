//! Jobs whose worker died are handed back when their lease has ended, and what a clock that was ahead has put off for longer
//! than anything waits is made due.

use std::sync::Arc;

use async_trait::async_trait;
use tandem_domain::Timestamp;
use tandem_queue::Doorbell;
use tandem_store::{Store, StoreError};

use super::{Pass, PassReport};

/// Jobs handed back in one transaction.
const BATCH_JOBS: usize = 500;

/// See the module.
pub struct RescueExpired {
    store: Arc<dyn Store>,
    doorbell: Arc<dyn Doorbell>,
}

impl RescueExpired {
    /// The pass over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, doorbell: Arc<dyn Doorbell>) -> Self {
        Self { store, doorbell }
    }
}

#[async_trait]
impl Pass for RescueExpired {
    fn name(&self) -> &'static str {
        "rescue_expired"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        let jobs = self.store.rescue_expired(now, BATCH_JOBS).await?;
        if !jobs.is_empty() {
            tracing::warn!(
                jobs = jobs.len(),
                "their workers went away, or a clock that was ahead had put them off: they wait to be done"
            );
            self.doorbell.ring(&jobs);
        }
        Ok(PassReport {
            handled: jobs.len(),
            next: (jobs.len() >= BATCH_JOBS).then_some(now),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_store::JobState;

    use super::super::support::{Fixture, poll_job};
    use super::*;

    #[tokio::test]
    async fn a_job_whose_lease_has_ended_is_handed_back_once() {
        let fixture = Fixture::open().await;
        let job = fixture.enqueue(poll_job("customers")).await;
        let now = fixture.now();
        fixture.claim_one().await;
        let pass = RescueExpired::new(fixture.store.shared(), fixture.bell.clone());
        let report = pass
            .run(now.plus(Duration::from_secs(59)))
            .await
            .expect("it runs");
        assert_eq!(report.handled, 0);
        let later = now.plus(Duration::from_secs(61));
        assert_eq!(pass.run(later).await.expect("it runs").handled, 1);
        assert_eq!(pass.run(later).await.expect("it runs").handled, 0);
        assert_eq!(fixture.job(job).await.state, JobState::Available);
        assert_eq!(fixture.bell.rung(), [job]);
    }
}
