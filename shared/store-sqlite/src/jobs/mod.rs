//! The queue as rows. Two partial unique indexes make lanes true; everything that puts a job (back)
//! to waiting therefore goes through [`enqueue`] or [`waiting`], which merge.

mod claim;
pub(crate) mod dead;
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

use crate::SqliteStore;

#[async_trait]
impl JobStore for SqliteStore {
    async fn enqueue(&self, jobs: Vec<NewJob>, now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    let standing = enqueue::enqueue(txn, &jobs, now).await?;
                    Ok(standing.into_iter().map(|one| one.job).collect())
                })
            })
            .await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<ClaimedJob>, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { claim::claim(txn, &request).await }))
            .await
    }

    async fn finish(
        &self,
        finished: Vec<(Lease, JobOutcome)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { finish::finish(txn, &finished, now).await }))
            .await
    }

    async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<bool>, StoreError> {
        let leases = leases.to_vec();
        self.writer
            .write(move |txn| Box::pin(async move { upkeep::renew(txn, &leases, until).await }))
            .await
    }

    async fn rescue_expired(&self, now: Timestamp, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { upkeep::rescue(txn, now, limit).await }))
            .await
    }

    async fn release_all(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { upkeep::release_all(txn, now).await }))
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        read::next_due(&self.readers).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        read::job(&self.readers, id).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<JobAttempt>, StoreError> {
        read::attempts(&self.readers, id).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        read::jobs(&self.readers, filter).await
    }

    async fn job_counts(
        &self,
        sync: Option<&SyncName>,
        now: Timestamp,
    ) -> Result<JobCounts, StoreError> {
        read::counts(&self.readers, sync, now).await
    }

    async fn replay_jobs(&self, ids: &[JobId], now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let ids = ids.to_vec();
        self.writer
            .write(move |txn| Box::pin(async move { upkeep::replay(txn, &ids, now).await }))
            .await
    }

    async fn replay_edited(
        &self,
        id: JobId,
        edits: &Edits,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError> {
        let edits = edits.clone();
        self.writer
            .write(move |txn| {
                Box::pin(async move { upkeep::replay_edited(txn, id, &edits, now).await })
            })
            .await
    }

    async fn release_waiting(
        &self,
        sync: &SyncName,
        reason: Waiting,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let sync = sync.clone();
        self.writer
            .write(move |txn| {
                Box::pin(async move { upkeep::release_waiting(txn, &sync, reason, now).await })
            })
            .await
    }

    async fn discard_jobs(
        &self,
        ids: &[JobId],
        reason: &str,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let (ids, reason) = (ids.to_vec(), reason.to_owned());
        self.writer
            .write(move |txn| Box::pin(async move { dead::discard(txn, &ids, &reason, now).await }))
            .await
    }

    async fn prune_jobs(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { upkeep::prune(txn, before, limit).await }))
            .await
    }
}
