//! A record whose partner, or that itself, is being made by a create of ours.

use tandem_engine::{key_texts, stored_as};
use tandem_store::{Intent, JobState, Waiting};

use super::announced::announce_effect;
use super::created::{Made, link_created};
use super::doubled;
use super::lost_create::{ABANDONED_AFTER, lands_within, settle_forgotten};
use super::unlinked::Here;
use crate::executor::{KEY_BUSY_PAUSE, Work};
use crate::failure::WorkError;
use crate::jobs::Performed;

/// An open create of ours that this record is, or may be, the effect of.
pub(super) async fn own_echo(work: Work<'_>, here: &Here) -> Result<Option<Intent>, WorkError> {
    // Its reference says so also where somebody has changed at once what it matches by.
    let own = doubled::own_create(work, here).await?;
    if let Some(intent) = own.filter(|intent| intent.state.is_open()) {
        return Ok(Some(intent));
    }
    let keys = stored_as(&key_texts(&work.sync.policy, &here.reading.fields));
    let open = work
        .context
        .store
        .open_creates(&work.sync.name, here.side, &keys)
        .await?;
    let same_key = |intent: &Intent| {
        intent
            .match_key
            .as_ref()
            .is_some_and(|key| keys.contains(key))
    };
    Ok(open.into_iter().find(same_key))
}

/// The job that made the record links it; only if that job is long gone does this one do it. Nothing is waited for longer
/// than the create can take to land.
pub(super) async fn await_partner(
    work: Work<'_>,
    here: &Here,
    intent: Intent,
) -> Result<Performed, WorkError> {
    let ours = here.reading.record.reference.as_deref() == Some(&*intent.id.to_string());
    let since = intent.sent_at.unwrap_or(intent.created_at);
    let since = work.context.now().since(since);
    if ours && since > ABANDONED_AFTER {
        return link_created(work, &intent, Made::shown(&here.reading), None).await;
    }
    let is_over = since > lands_within(work, &intent).max(ABANDONED_AFTER);
    if !ours && is_over && is_forgotten(work, &intent).await? {
        return settle_forgotten(work, &intent, &here.reading).await;
    }
    announce_effect(work, here).await?;
    Ok(work.again_after(KEY_BUSY_PAUSE, Waiting::Partner))
}

/// Whether nobody works on a write any more: the job that sent it has ended, or waits for a person as a dead letter.
pub(super) async fn is_forgotten(work: Work<'_>, intent: &Intent) -> Result<bool, WorkError> {
    let Some(job) = intent.job else {
        return Ok(true);
    };
    let job = work.context.store.job(job).await?;
    Ok(match job.map(|job| job.state) {
        None | Some(JobState::Done | JobState::Dead | JobState::Discarded) => true,
        Some(JobState::Available | JobState::Running) => false,
    })
}
