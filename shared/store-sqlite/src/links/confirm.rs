//! The end of a job, or of a step of it: everything that was learned, or nothing.

use serde::Serialize;
use tandem_domain::{Side, SyncName, Timestamp};
use tandem_store::{
    Confirmation, IndexedRecord, IntentOp, IntentState, IntentVerdict, JournalError, Lease,
    LinkUpdate, StoreError,
};

use super::{Refusal, index, write};
use crate::jobs::finish::{finish, held_jobs};
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{changes, conflicts, rows, sql};

#[derive(Serialize)]
struct VerdictRow<'a> {
    id: String,
    state: IntentState,
    target: Option<&'a str>,
    error: Option<&'a str>,
}

/// Carries out a confirmation, if the lease is held and the link is as the plan saw it.
pub(super) async fn confirm(
    txn: &mut Txn,
    sync: &SyncName,
    lease: Lease,
    confirmation: &Confirmation,
    now: Timestamp,
) -> Result<(), Refusal> {
    if held_jobs(txn, &[&lease]).await?.is_empty() {
        return Err(JournalError::LeaseLost.into());
    }
    if let Some(update) = &confirmation.link {
        write::apply(txn, sync, lease, update, now).await?;
    }
    settle(txn, &confirmation.verdicts).await?;
    see(txn, sync, &confirmation.seen).await?;
    changes::insert(txn, &confirmation.changes).await?;
    conflicts::close(txn, &confirmation.used_rulings, now).await?;
    if let Some(LinkUpdate::Update { id, .. }) = &confirmation.link {
        conflicts::settle_fields(txn, *id, &confirmation.settled_fields, now).await?;
    }
    conflicts::open(txn, &confirmation.conflicts, now).await?;
    if let Some(outcome) = &confirmation.outcome {
        finish(txn, &[(lease, outcome.clone())], now).await?;
    }
    Ok(())
}

/// Settles intents that are open, and counts what was written.
async fn settle(txn: &mut Txn, verdicts: &[IntentVerdict]) -> Result<(), StoreError> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let verdicts: Vec<VerdictRow<'_>> = verdicts
        .iter()
        .map(|verdict| VerdictRow {
            id: verdict.intent.to_string(),
            state: verdict.state,
            target: verdict.target.as_ref().map(tandem_domain::RecordId::as_str),
            error: verdict.error.as_deref(),
        })
        .collect();
    let statement = sqlx::query(SETTLE).bind(sql::json("verdict", &verdicts)?);
    for row in txn.all(statement).await? {
        if rows::word::<IntentState>(&row, "state")? == IntentState::Confirmed {
            confirmed(txn, &row).await?;
        }
    }
    Ok(())
}

async fn confirmed(txn: &mut Txn, row: &sqlx::sqlite::SqliteRow) -> Result<(), StoreError> {
    let sync: SyncName = rows::parsed(row, "sync")?;
    let side: Side = rows::parsed(row, "side")?;
    let counter = match side {
        Side::A => Counter::WritesA,
        Side::B => Counter::WritesB,
    };
    txn.tally.add(sync.as_str(), counter, 1);
    let target = rows::record_opt(row, "target")?;
    if let (IntentOp::Delete, Some(record)) = (rows::word(row, "op")?, target) {
        index::forget(txn, &sync, side, &record).await?;
    }
    Ok(())
}

const SETTLE: &str = "-- settle_intents
UPDATE intents SET state = v.value ->> 'state', target = coalesce(v.value ->> 'target', target),
                   error = coalesce(v.value ->> 'error', error)
FROM json_each(?1) v
WHERE intents.id = v.value ->> 'id' AND intents.state IN ('planned', 'sent', 'unknown')
RETURNING sync, side, op, state, target";

async fn see(
    txn: &mut Txn,
    sync: &SyncName,
    seen: &[(Side, IndexedRecord)],
) -> Result<(), StoreError> {
    if seen.is_empty() {
        return Ok(());
    }
    let generation = index::present_generation(txn).await?;
    for side in Side::BOTH {
        let records: Vec<IndexedRecord> = seen
            .iter()
            .filter(|(of, _)| *of == side)
            .map(|(_, record)| record.clone())
            .collect();
        if !records.is_empty() {
            index::see(txn, sync, side, &records, generation).await?;
        }
    }
    Ok(())
}
