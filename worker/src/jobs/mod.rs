//! One job, one file.

mod backfill;
mod begin;
mod dates;
mod key_form;
mod poll;
mod vanished;

pub(crate) use vanished::{counts_as_emptied, row_errors};

use futures::future::join_all;
use tandem_domain::Side;
use tandem_queue::LeaseEnd;
use tandem_runtime::SyncDefinition;
use tandem_store::{ClaimedJob, JobKind, JobOutcome};

use crate::context::Context;
use crate::failure::WorkError;
use crate::reconcile;

/// How a job ended.
#[derive(Debug, PartialEq)]
pub enum Performed {
    /// The queue is to end it so.
    Ends(JobOutcome),
    /// It has ended itself, in the transaction that stored its effects.
    Settled,
}

impl Performed {
    pub(crate) fn done(note: impl Into<String>) -> Self {
        Self::Ends(JobOutcome::Done { note: note.into() })
    }
}

/// Does one claimed job. What it writes is sent only while `until` says that the claim holds.
///
/// # Errors
/// [`WorkError`], whose disposition says how the job goes on.
pub async fn perform(
    context: &Context,
    claimed: &ClaimedJob,
    until: &LeaseEnd,
) -> Result<Performed, WorkError> {
    match &claimed.job.kind {
        JobKind::Reconcile { sync, side, record } => {
            let sync = context.sync(sync)?;
            settle_clocks(&sync, &Side::BOTH).await;
            reconcile::run(context, &sync, claimed, until, *side, record).await
        }
        JobKind::Poll { sync, side } => {
            let sync = context.sync(sync)?;
            settle_clocks(&sync, &[*side]).await;
            poll::run(context, &sync, claimed, *side, poll::Extent::Changes).await
        }
        JobKind::Sweep { sync, side } => {
            let sync = context.sync(sync)?;
            settle_clocks(&sync, &[*side]).await;
            poll::run(context, &sync, claimed, *side, poll::Extent::Whole).await
        }
        JobKind::Backfill { sync } => {
            let sync = context.sync(sync)?;
            settle_clocks(&sync, &Side::BOTH).await;
            backfill::run(context, &sync, claimed).await
        }
        JobKind::Noop { .. } => Ok(Performed::done("nothing to do")),
    }
}

/// Whether a system's times can be held against ours is known before one is: the first answers to a process do not say.
async fn settle_clocks(sync: &SyncDefinition, sides: &[Side]) {
    let settling = sides
        .iter()
        .map(|side| sync.end(*side).connector.settle_clock());
    join_all(settling).await;
}
