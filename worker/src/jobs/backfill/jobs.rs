//! The jobs that a whole comparison causes, stored in pieces.

use tandem_domain::{RecordId, Side, Timestamp};
use tandem_runtime::SyncDefinition;
use tandem_store::{JobClass, NewJob, Trigger};

use crate::context::{Cause, Context};
use crate::failure::WorkError;
use crate::readings::hints_of;

/// Rows stored in one transaction.
pub const CHUNK: usize = 500;

/// Collects reconcile jobs and stores them in chunks.
pub struct Jobs<'a> {
    pub context: &'a Context,
    pub sync: &'a SyncDefinition,
    trigger: Trigger,
    waiting: Vec<NewJob>,
    pub queued: u64,
}

impl<'a> Jobs<'a> {
    pub const fn new(context: &'a Context, sync: &'a SyncDefinition, trigger: Trigger) -> Self {
        Self {
            context,
            sync,
            trigger,
            waiting: Vec::new(),
            queued: 0,
        }
    }

    /// On whose behalf the jobs of a side are made.
    pub const fn cause(&self, side: Side) -> Cause<'a> {
        Cause {
            sync: &self.sync.name,
            side,
            class: JobClass::Backfill,
            trigger: self.trigger,
        }
    }

    pub async fn push(
        &mut self,
        side: Side,
        id: RecordId,
        edited_at: Option<Timestamp>,
    ) -> Result<(), WorkError> {
        let hints = hints_of(side, edited_at);
        let job = self.context.reconcile_job(self.cause(side), id, hints);
        self.waiting.push(job);
        self.queued += 1;
        if self.waiting.len() >= CHUNK {
            self.flush().await
        } else {
            Ok(())
        }
    }

    pub async fn flush(&mut self) -> Result<(), WorkError> {
        self.context
            .enqueue(std::mem::take(&mut self.waiting))
            .await
    }
}
