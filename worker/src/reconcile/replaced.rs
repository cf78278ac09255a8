//! Under the id of a linked record there is another record, or an older state of it, and that lasts: a system was
//! restored from a backup, or emptied and filled anew. Nothing is written over either record until a person has said
//! which it is; and where it happens to several pairs the sync stops, because it will be so with all of them.

use tandem_domain::{ConflictId, Fields, Side};
use tandem_engine::Mistaken;
use tandem_store::{
    Confirmation, ConflictFilter, ConflictKind, ConflictState, JobOutcome, Link, NewConflict,
    PairContext, Resolution,
};

use super::doubt::mistake;
use super::pair::Pair;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// So many pairs of a sync at once, and it stops.
const STOP_AT: usize = 3;
/// Questions looked at when they are counted.
const QUESTIONS_MAX: usize = 200;

/// What a person said of the records of a link, or what is to be asked.
pub(super) enum Sameness {
    /// They are the ones that were linked.
    Same,
    /// A person said that they are not: the link is to be dissolved.
    Apart,
    /// It is asked, and the job has ended.
    Asked(Performed),
}

pub(super) async fn check(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    context: &PairContext,
) -> Result<Sameness, WorkError> {
    let answer = context
        .rulings
        .iter()
        .find(|ruling| ruling.asked == REPLACED);
    match answer.map(|ruling| &ruling.resolution) {
        Some(Resolution::Reject) => return Ok(Sameness::Apart),
        Some(_) => return Ok(Sameness::Same),
        None => {}
    }
    let is_asked = context.replaced.is_some();
    for side in Side::BOTH {
        let Some(reading) = pair.side(side) else {
            if is_asked {
                return Ok(Sameness::Asked(held()));
            }
            continue;
        };
        if let Some(Mistaken::Older(reason) | Mistaken::Other(reason)) =
            mistake(work, link, side, reading)
        {
            if is_asked {
                return Ok(Sameness::Asked(held()));
            }
            return ask(work, link, side, pair, reading, reason)
                .await
                .map(Sameness::Asked);
        }
    }
    Ok(Sameness::Same)
}

fn held() -> Performed {
    Performed::done("held: a person must say whether it is still the same record")
}

/// The word of the question.
const REPLACED: &str = "replaced";

async fn ask(
    work: Work<'_>,
    link: &Link,
    side: Side,
    pair: &Pair,
    reading: &Reading,
    reason: String,
) -> Result<Performed, WorkError> {
    let known: Fields = link
        .base
        .iter()
        .map(|(name, base)| (name.clone(), base.side(side).clone()))
        .collect();
    let record = reading.record.id.clone();
    let connection = &work.sync.end(side).connection;
    tracing::warn!(sync = %work.sync.name, %connection, %record, reason, "a linked record is not the one that was linked; nothing is written until a person has said what it is");
    let question = NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(link.id),
        side,
        record,
        kind: ConflictKind::Replaced {
            reason,
            known,
            found: reading.fields.clone(),
        },
        shown: Side::BOTH
            .into_iter()
            .filter_map(|side| Some(pair.side(side)?.shown(side)))
            .collect(),
    };
    let confirmation = Confirmation {
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: "held: a record is not the one that was linked".to_owned(),
        }),
        ..Confirmation::default()
    };
    let performed = work.confirm(confirmation).await?;
    stop_if_many(work).await?;
    Ok(performed)
}

async fn stop_if_many(work: Work<'_>) -> Result<(), WorkError> {
    let filter = ConflictFilter {
        sync: Some(work.sync.name.clone()),
        state: Some(ConflictState::Open),
        limit: QUESTIONS_MAX,
        ..ConflictFilter::default()
    };
    let store = &work.context.store;
    let open = store.conflicts(&filter).await?;
    let replaced = open
        .iter()
        .filter(|conflict| matches!(conflict.kind, ConflictKind::Replaced { .. }));
    let pairs = replaced.count();
    if pairs >= STOP_AT {
        let (sync, now) = (&work.sync.name, work.context.now());
        let because = format!(
            "{pairs} linked records are not the ones that were linked: a system was restored from a backup, or emptied \
             and filled anew. Nothing was written over them; answer the questions (`tandem conflicts list --sync \
             {sync}`) first"
        );
        store.pause_sync(sync, Some(&because), now).await?;
        tracing::error!(%sync, pairs, "several linked records are not the ones that were linked: a system was restored, or emptied and filled anew. The sync is paused; answer the questions (`tandem conflicts list`), then resume it");
    }
    Ok(())
}
