//! What every job needs at hand.

use std::sync::Arc;

use tandem_domain::{Clock, Entropy, JobId, RecordId, Side, SyncName, Timestamp};
use tandem_queue::Doorbell;
use tandem_runtime::{SyncDefinition, Topology};
use tandem_store::{Hints, JobClass, JobKind, NewJob, Store, Trigger};

use crate::failure::WorkError;
use crate::first_sync::FirstSyncs;

/// The hands of a worker.
pub struct Context {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What is configured.
    pub topology: Arc<Topology>,
    /// Rung for jobs that jobs cause.
    pub doorbell: Arc<dyn Doorbell>,
    /// Gives the time.
    pub clock: Arc<dyn Clock>,
    /// Gives chance.
    pub entropy: Arc<dyn Entropy>,
    /// Remembers which first syncs have ended.
    pub(crate) first_syncs: FirstSyncs,
}

impl Context {
    /// Gathers them.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        topology: Arc<Topology>,
        doorbell: Arc<dyn Doorbell>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            topology,
            doorbell,
            clock,
            entropy,
            first_syncs: FirstSyncs::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn sync(&self, name: &SyncName) -> Result<Arc<SyncDefinition>, WorkError> {
        self.topology
            .syncs
            .get(name)
            .cloned()
            .ok_or_else(|| WorkError::UnknownSync(name.clone()))
    }

    /// A reconcile job for one record.
    pub(crate) fn reconcile_job(&self, cause: Cause<'_>, record: RecordId, hints: Hints) -> NewJob {
        let now = self.now();
        NewJob {
            id: JobId::new(now, self.entropy.as_ref()),
            kind: JobKind::Reconcile {
                sync: cause.sync.clone(),
                side: cause.side,
                record,
            },
            class: cause.class,
            trigger: cause.trigger,
            run_at: now,
            hints,
            traceparent: tandem_trace::current().map(|step| step.to_string()),
        }
    }

    /// Stores jobs and rings for them.
    pub(crate) async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<(), WorkError> {
        if !jobs.is_empty() {
            let ids = self.store.enqueue(jobs, self.now()).await?;
            self.doorbell.ring(&ids);
        }
        Ok(())
    }
}

/// On whose behalf jobs are made.
#[derive(Clone, Copy)]
pub(crate) struct Cause<'a> {
    pub sync: &'a SyncName,
    pub side: Side,
    pub class: JobClass,
    pub trigger: Trigger,
}
