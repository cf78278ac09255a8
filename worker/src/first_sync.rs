//! Whether the first sync has ended. Before that nobody knows which records belong together: the index does
//! not hold them all, and the other system finds another spelling of a name by no question. So nothing is
//! created and nothing is polled before it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tandem_domain::SyncName;
use tandem_store::{Run, RunFilter, RunKind, RunState, StoreError};

use crate::context::Context;

/// The syncs whose first sync is known to have ended: it never begins again.
#[derive(Default)]
pub struct FirstSyncs {
    ended: Mutex<BTreeSet<SyncName>>,
}

impl FirstSyncs {
    fn is_known(&self, sync: &SyncName) -> bool {
        // A poisoned lock only means that another job panicked; the set is still whole.
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.contains(sync)
    }

    fn remember(&self, sync: &SyncName) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.insert(sync.clone());
    }
}

/// Whether it has ended.
///
/// # Errors
/// What the storage says.
pub async fn has_ended(context: &Context, sync: &SyncName) -> Result<bool, StoreError> {
    if context.first_syncs.is_known(sync) {
        return Ok(true);
    }
    let ended = newest_ended(context, sync).await?.is_some();
    if ended {
        context.first_syncs.remember(sync);
    }
    Ok(ended)
}

/// The newest whole comparison of a sync that has ended well, even if some rows could not be read.
///
/// # Errors
/// What the storage says.
pub async fn newest_ended(context: &Context, sync: &SyncName) -> Result<Option<Run>, StoreError> {
    let mut newest: Option<Run> = None;
    for state in [RunState::Succeeded, RunState::Partial] {
        let filter = RunFilter {
            sync: Some(sync.clone()),
            kind: Some(RunKind::Backfill),
            state: Some(state),
            limit: 1,
            ..RunFilter::default()
        };
        let runs = context.store.runs(&filter).await?;
        newest = newest.into_iter().chain(runs).max_by_key(|run| run.number);
    }
    Ok(newest)
}
