//! Jobs that gave up because their sync was not in the configuration, once it is there again: removed and applied
//! again, or applied before this process had taken it over. Nobody has to know of them and replay them by hand.

use tandem_domain::{ErrorCode, JobId, SyncName, Timestamp};
use tandem_store::{Job, JobFilter, JobState, PAGE_ROWS_MAX, Store, StoreError};

use crate::failure::WorkError;

/// Puts those of these syncs back to work. Returns how many there were.
pub async fn put_to_work<'a>(
    store: &dyn Store,
    syncs: impl Iterator<Item = &'a SyncName>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut count = 0;
    for sync in syncs {
        let ids = given_up(store, sync).await?;
        if !ids.is_empty() {
            store.replay_jobs(&ids, now).await?;
            tracing::info!(%sync, jobs = ids.len(), "the sync is in the configuration again, and its jobs go on");
        }
        count += ids.len();
    }
    Ok(count)
}

/// The dead letters of a sync that say nothing but that it was not there.
async fn given_up(store: &dyn Store, sync: &SyncName) -> Result<Vec<JobId>, StoreError> {
    let chain = WorkError::UnknownSync(sync.clone()).failure().chain;
    let is_given_up = |job: &&Job| {
        let failure = job.failure.as_ref();
        failure.is_some_and(|failure| failure.chain == chain)
    };
    let mut filter = JobFilter {
        state: Some(JobState::Dead),
        sync: Some(sync.clone()),
        code: Some(ErrorCode::Misconfigured),
        limit: PAGE_ROWS_MAX,
        ..JobFilter::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = store.jobs(&filter).await?;
        ids.extend(page.iter().filter(is_given_up).map(|job| job.id));
        filter.before = page.last().map(|job| job.id);
        // A page may leave out what only a newer version can read.
        if page.is_empty() {
            return Ok(ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_store::{
        ClaimRequest, Failure, JobClass, JobKind, JobOutcome, Lease, NewJob, Trigger,
    };
    use tandem_testkit::{Make, TemporaryStore};

    use super::*;

    /// A backfill of this sync that has ended so.
    async fn dead(store: &TemporaryStore, make: &Make, sync: &SyncName, failure: Failure) -> JobId {
        let sync = sync.clone();
        let new = NewJob {
            kind: JobKind::Backfill { sync },
            class: JobClass::Backfill,
            trigger: Trigger::Manual,
            ..make.job("any")
        };
        let id = new.id;
        store.enqueue(vec![new], make.now()).await.expect("stored");
        let request = ClaimRequest {
            tokens: make.tokens(1),
            lease_until: make.after(60),
            blocked_syncs: Vec::new(),
            shares: [1, 0, 0],
            now: make.now(),
        };
        let claimed = store.claim(request).await.expect("claimed");
        let lease: Lease = claimed[0].lease;
        let outcome = JobOutcome::Dead { failure };
        let finished = store.finish(vec![(lease, outcome)], make.now()).await;
        assert_eq!(finished.expect("finished"), [true]);
        id
    }

    #[tokio::test]
    async fn jobs_of_a_sync_that_is_in_the_configuration_again_go_on() {
        let (store, make) = (TemporaryStore::open().await, Make::default());
        let (back, away) = (Make::sync("back"), Make::sync("away"));
        let unknown = |sync: &SyncName| WorkError::UnknownSync(sync.clone()).failure();
        let waiting = dead(&store, &make, &back, unknown(&back)).await;
        let other = Make::failure(ErrorCode::Misconfigured, "the manifest has no stream");
        let of_another_kind = dead(&store, &make, &Make::sync("third"), other).await;
        let still_away = dead(&store, &make, &away, unknown(&away)).await;
        let syncs = [back, Make::sync("third")];
        let shared = store.shared();
        let put = || put_to_work(shared.as_ref(), syncs.iter(), make.now());
        assert_eq!(put().await.expect("put to work"), 1);
        let state = async |id| store.job(id).await.expect("job").map(|job| job.state);
        assert_eq!(state(waiting).await, Some(JobState::Available));
        assert_eq!(state(of_another_kind).await, Some(JobState::Dead));
        assert_eq!(state(still_away).await, Some(JobState::Dead));
        assert_eq!(put().await.expect("put to work"), 0, "once is enough");
    }

    #[test]
    fn a_process_that_has_not_taken_a_sync_over_yet_tries_its_jobs_again() {
        let error = WorkError::UnknownSync(Make::customers());
        assert_eq!(error.disposition(), tandem_domain::Disposition::Retry);
    }
}
