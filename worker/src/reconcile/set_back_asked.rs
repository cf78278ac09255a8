//! The one question about a side that was set back, which says how many records show it.

use tandem_domain::Timestamp;
use tandem_domain::{ConflictId, Side};
use tandem_store::{Conflict, ConflictKind, Link, NewConflict, ShownRecord};

use super::questions::shown_as_agreed;
use super::set_back::TOGETHER_WITHIN;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// Records that a question shows.
const SHOWN_MAX: usize = 5;
/// Jobs that note pairs at once all say how many there are: so often is it counted again.
const COUNTED_MAX: u32 = 10;

/// Asks once for the whole side.
pub(super) async fn ask(
    work: Work<'_>,
    link: &Link,
    (side, reason): (Side, String),
    shown: Vec<ShownRecord>,
) -> Result<(), WorkError> {
    let Some(record) = link.side(side).id.clone() else {
        return Ok(());
    };
    let (sync, now) = (&work.sync.name, work.context.now());
    let connection = &work.sync.end(side).connection;
    let store = &work.context.store;
    let since = now.minus(TOGETHER_WITHIN);
    let count = store.set_back_count(sync, side, since).await?;
    tracing::error!(%sync, %connection, older = count.older, missing = count.missing, "linked records show an older state or are missing: the system was restored from a backup, or emptied and filled anew. Nothing is written over them or deleted until a person has said what it is (`tandem conflicts list`)");
    let question = NewConflict {
        id: ConflictId::new(now, work.context.entropy.as_ref()),
        sync: sync.clone(),
        link: None,
        side,
        record,
        kind: ConflictKind::SetBack {
            system: connection.to_string(),
            older: count.older,
            missing: count.missing,
            reason,
        },
        shown: first_of(shown),
    };
    put(work, since, question).await
}

/// Puts the question, and again where others were noted meanwhile: nobody is to say less than is known.
pub(super) async fn put(
    work: Work<'_>,
    since: Timestamp,
    mut question: NewConflict,
) -> Result<(), WorkError> {
    let store = &work.context.store;
    for _ in 0..COUNTED_MAX {
        let now = work.context.now();
        store.open_conflicts(vec![question.clone()], now).await?;
        let count = store
            .set_back_count(&work.sync.name, question.side, since)
            .await?;
        let ConflictKind::SetBack { older, missing, .. } = &mut question.kind else {
            return Ok(());
        };
        if (*older, *missing) == (count.older, count.missing) {
            return Ok(());
        }
        (*older, *missing) = (count.older, count.missing);
    }
    Ok(())
}

/// The question says how many pairs are known by now.
pub(super) async fn renew(
    work: Work<'_>,
    side: Side,
    open: &Conflict,
    own: Option<ShownRecord>,
) -> Result<(), WorkError> {
    let ConflictKind::SetBack { system, reason, .. } = &open.kind else {
        return Ok(());
    };
    let store = &work.context.store;
    let since = open.created_at.minus(TOGETHER_WITHIN);
    let count = store.set_back_count(&work.sync.name, side, since).await?;
    let kind = ConflictKind::SetBack {
        system: system.clone(),
        older: count.older,
        missing: count.missing,
        reason: reason.clone(),
    };
    if kind == open.kind {
        return Ok(());
    }
    let now = work.context.now();
    let question = NewConflict {
        id: ConflictId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: None,
        side,
        record: open.record.clone(),
        kind,
        shown: first_of(open.shown.iter().cloned().chain(own).collect()),
    };
    put(work, since, question).await
}

/// The first of some records, each once.
pub(super) fn first_of(records: Vec<ShownRecord>) -> Vec<ShownRecord> {
    let mut first: Vec<ShownRecord> = Vec::new();
    for record in records {
        if first.len() < SHOWN_MAX && first.iter().all(|other| other.id != record.id) {
            first.push(record);
        }
    }
    first
}

/// The record of a side as it is; of one that is gone, what both last agreed on.
pub(super) fn shown(link: &Link, side: Side, reading: Option<&Reading>) -> Option<ShownRecord> {
    if let Some(reading) = reading {
        return Some(reading.shown(side));
    }
    let id = link.side(side).id.clone()?;
    Some(shown_as_agreed(id, side, &link.base))
}
