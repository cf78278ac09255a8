//! The demo's operator: answers unclear matches as a person would, and replays dead letters.

use tandem_domain::{Clock, JobId, RecordId};
use tandem_runtime::{SystemClock, SystemEntropy};
use tandem_store::{
    Conflict, ConflictFilter, ConflictKind, ConflictState, JobFilter, JobState, PAGE_ROWS_MAX,
    Resolution,
};

use super::World;

/// Answers every open question about an unclear match: the record with the smallest id keeps (or
/// gets) the partner, the others are duplicates and are left alone. Returns how many were answered.
pub async fn answer_questions(world: &World) -> anyhow::Result<usize> {
    let filter = ConflictFilter {
        state: Some(ConflictState::Open),
        limit: PAGE_ROWS_MAX,
        ..ConflictFilter::default()
    };
    let mut answered = 0;
    for conflict in world.store().conflicts(&filter).await? {
        let Some(resolution) = answer(world, &conflict).await? else {
            continue;
        };
        let now = SystemClock.now();
        let job = JobId::new(now, &SystemEntropy);
        if let Some(job) = world
            .store()
            .resolve_conflict(conflict.id, resolution, job, now)
            .await?
        {
            world.ring(&[job]);
        }
        answered += 1;
    }
    Ok(answered)
}

async fn answer(world: &World, conflict: &Conflict) -> anyhow::Result<Option<Resolution>> {
    let ConflictKind::Ambiguous {
        candidates, rivals, ..
    } = &conflict.kind
    else {
        return Ok(None);
    };
    let first = rivals.iter().all(|rival| smaller(&conflict.record, rival));
    if !first {
        return Ok(Some(Resolution::Ignore));
    }
    for candidate in candidates {
        let pair = world
            .store()
            .pair(&conflict.sync, conflict.side.other(), candidate)
            .await?;
        if pair.link.is_none() {
            return Ok(Some(Resolution::LinkTo {
                record: candidate.clone(),
            }));
        }
    }
    Ok(Some(if candidates.is_empty() {
        Resolution::CreateNew
    } else {
        Resolution::Ignore
    }))
}

/// Ids of the CRM are numbers: the shorter is the older.
fn smaller(one: &RecordId, other: &RecordId) -> bool {
    (one.as_str().len(), one.as_str()) < (other.as_str().len(), other.as_str())
}

/// Replays what is in the dead letter queue; its idempotency keys are kept.
pub async fn replay_dead(world: &World) -> anyhow::Result<usize> {
    let filter = JobFilter {
        state: Some(JobState::Dead),
        limit: PAGE_ROWS_MAX,
        ..JobFilter::default()
    };
    let dead: Vec<JobId> = world
        .store()
        .jobs(&filter)
        .await?
        .into_iter()
        .map(|job| job.id)
        .collect();
    if dead.is_empty() {
        return Ok(0);
    }
    let replayed = world.store().replay_jobs(&dead, SystemClock.now()).await?;
    world.ring(&replayed);
    Ok(replayed.len())
}
