//! The jobs that a whole comparison causes, stored in pieces.

use std::collections::HashSet;

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

    /// Which of these records get no job, because their dead letter waits for a person or was discarded, and they have not changed
    /// since: a comparison that a schedule starts tries them no more than a poll does. One that a person starts tries them.
    pub async fn let_be(
        &self,
        side: Side,
        ids: &[RecordId],
    ) -> Result<HashSet<RecordId>, WorkError> {
        if self.trigger == Trigger::Manual || ids.is_empty() {
            return Ok(HashSet::new());
        }
        let store = &self.context.store;
        let let_be = store.let_be(&self.sync.name, side, ids).await?;
        if !let_be.is_empty() {
            tracing::info!(
                sync = %self.sync.name, %side, records = let_be.len(),
                "records are not tried again: their dead letters wait for a person or were discarded, and they have not changed since"
            );
        }
        Ok(let_be.into_iter().collect())
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
