//! The queue as rows. Two partial unique indexes make lanes true; everything that puts a job (back)
//! to waiting therefore goes through [`enqueue`] or [`waiting`], which merge.

pub(crate) mod claim;
pub(crate) mod dead;
mod done;
pub(crate) mod enqueue;
pub(crate) mod finish;
pub(crate) mod read;
mod row;
pub(crate) mod upkeep;
pub(crate) mod waiting;

use async_trait::async_trait;
use tandem_domain::{JobId, SyncName, Timestamp};
use tandem_store::{
    ClaimRequest, ClaimedJob, Edits, Job, JobAttempt, JobCounts, JobFilter, JobOutcome, JobStore,
    Lease, NewJob, StoreError, Waiting,
};

use crate::{PostgresStore, txn};

#[async_trait]
impl JobStore for PostgresStore {
    async fn enqueue(&self, jobs: Vec<NewJob>, now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        txn::write(&self.pool, (jobs, now), |txn, (jobs, now)| {
            Box::pin(async move {
                let standing = enqueue::enqueue(txn, jobs, *now).await?;
                Ok(standing.into_iter().map(|one| one.job).collect())
            })
        })
        .await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<ClaimedJob>, StoreError> {
        claim::claim(&self.pool, &request).await
    }

    async fn finish(
        &self,
        finished: Vec<(Lease, JobOutcome)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        if done::all_went_well(&finished) {
            return done::end_all_well(&self.pool, &finished, now).await;
        }
        txn::write(&self.pool, (finished, now), |txn, (finished, now)| {
            Box::pin(finish::finish(txn, finished, *now))
        })
        .await
    }

    async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<bool>, StoreError> {
        upkeep::renew(&self.pool, leases, until).await
    }

    async fn rescue_expired(&self, now: Timestamp, limit: usize) -> Result<Vec<JobId>, StoreError> {
        txn::write(&self.pool, (now, limit), |txn, (now, limit)| {
            Box::pin(upkeep::rescue(txn, *now, *limit))
        })
        .await
    }

    async fn release_all(&self, now: Timestamp) -> Result<usize, StoreError> {
        txn::write(&self.pool, now, |txn, now| {
            Box::pin(upkeep::release_all(txn, *now))
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        read::next_due(&self.pool).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        read::job(&self.pool, id).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<JobAttempt>, StoreError> {
        read::attempts(&self.pool, id).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        read::jobs(&self.pool, filter).await
    }

    async fn job_counts(
        &self,
        sync: Option<&SyncName>,
        now: Timestamp,
    ) -> Result<JobCounts, StoreError> {
        read::counts(&self.pool, sync, now).await
    }

    async fn replay_jobs(&self, ids: &[JobId], now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        txn::write(&self.pool, (ids.to_vec(), now), |txn, (ids, now)| {
            Box::pin(upkeep::replay(txn, ids, *now))
        })
        .await
    }

    async fn replay_edited(
        &self,
        id: JobId,
        edits: &Edits,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError> {
        txn::write(
            &self.pool,
            (id, edits.clone(), now),
            |txn, (id, edits, now)| Box::pin(upkeep::replay_edited(txn, *id, edits, *now)),
        )
        .await
    }

    async fn release_waiting(
        &self,
        sync: &SyncName,
        reason: Waiting,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let args = (sync.clone(), reason, now);
        txn::write(&self.pool, args, |txn, (sync, reason, now)| {
            Box::pin(upkeep::release_waiting(txn, sync, *reason, *now))
        })
        .await
    }

    async fn discard_jobs(
        &self,
        ids: &[JobId],
        reason: &str,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let args = (ids.to_vec(), reason.to_owned(), now);
        txn::write(&self.pool, args, |txn, (ids, reason, now)| {
            Box::pin(dead::discard(txn, ids, reason, *now))
        })
        .await
    }

    async fn prune_jobs(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        txn::write(&self.pool, (before, limit), |txn, (before, limit)| {
            Box::pin(upkeep::prune(txn, *before, *limit))
        })
        .await
    }
}
