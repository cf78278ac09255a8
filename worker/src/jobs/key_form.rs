//! Match keys in the index that the sync would make otherwise now: the configuration names other fields, or
//! they were stored by a Tandem that wrote them in another form. A whole comparison makes them anew.

use std::time::Duration;

use tandem_domain::JobId;
use tandem_engine::match_form;
use tandem_runtime::SyncDefinition;
use tandem_store::{JobClass, JobKind, NewJob, RunFilter, RunKind, Trigger};

use crate::context::Context;
use crate::failure::WorkError;

/// A whole comparison that did not get to its end is asked for again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// Asks for a whole comparison if the stored keys are of another form. Polls ask, so that it is noticed however
/// the configuration came to be another.
pub async fn renew(context: &Context, sync: &SyncDefinition) -> Result<(), WorkError> {
    let form = match_form(&sync.policy);
    if context.store.key_form(&sync.name).await?.as_ref() == Some(&form) {
        return Ok(());
    }
    let filter = RunFilter {
        sync: Some(sync.name.clone()),
        kind: Some(RunKind::Backfill),
        limit: 1,
        ..RunFilter::default()
    };
    let now = context.now();
    let newest = context.store.runs(&filter).await?.pop();
    let is_stale = newest
        .is_none_or(|run| run.ended_at.is_some() && !run.started_at.is_within(AGAIN_AFTER, now));
    if !is_stale {
        return Ok(());
    }
    tracing::info!(sync = %sync.name, "the match keys are made otherwise than before; both sides are compared whole");
    let job = NewJob {
        id: JobId::new(now, context.entropy.as_ref()),
        kind: JobKind::Backfill {
            sync: sync.name.clone(),
        },
        class: JobClass::Backfill,
        trigger: Trigger::Backfill,
        run_at: now,
        hints: tandem_store::Hints::default(),
        traceparent: None,
    };
    context.enqueue(vec![job]).await
}
