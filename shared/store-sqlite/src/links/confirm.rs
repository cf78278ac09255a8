//! The end of a job, or of a step of it: everything that was learned, or nothing.

use serde::Serialize;
use tandem_domain::{Side, SyncName, Timestamp};
use tandem_store::{
    Confirmation, IntentOp, IntentState, IntentVerdict, JournalError, Lease, LinkUpdate, StoreError,
};

use super::{Refusal, index, write};
use crate::jobs::finish::finish;
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{changes, conflicts, rows, sql};

#[derive(Serialize)]
struct VerdictRow<'a> {
    id: String,
    state: IntentState,
    target: Option<&'a str>,
    error: Option<&'a str>,
    sends: Option<u32>,
}

/// Carries out a confirmation, if the lease is held and the link is as the plan saw it.
pub(super) async fn confirm(
    txn: &mut Txn,
    sync: &SyncName,
    lease: Lease,
    confirmation: &Confirmation,
    now: Timestamp,
) -> Result<(), Refusal> {
    let old = check(txn, lease, confirmation.link.as_ref()).await?;
    // Before the link: a create that is settled here does not stand in the way of its own link.
    settle(txn, &confirmation.verdicts).await?;
    match &confirmation.link {
        Some(LinkUpdate::Insert(link)) => write::insert_for(txn, lease, link, now).await?,
        Some(LinkUpdate::Update {
            id,
            a,
            b,
            base,
            state,
            ..
        }) => {
            let new = write::NewState {
                id: *id,
                a,
                b,
                base,
                state: *state,
            };
            write::replace(txn, sync, &old, &new, now).await?;
        }
        None => {}
    }
    index::see(txn, sync, &confirmation.seen).await?;
    changes::insert(txn, &confirmation.changes).await?;
    conflicts::close(txn, &confirmation.used_rulings, now).await?;
    conflicts::close_moot(txn, &confirmation.moot, now).await?;
    conflicts::open(txn, &confirmation.conflicts, now).await?;
    if let Some(outcome) = &confirmation.outcome {
        finish(txn, &[(lease, outcome.clone())], now).await?;
    }
    Ok(())
}

/// Checks that the lease is held and the link is the one that the plan saw. Returns the records that
/// the link had.
async fn check(
    txn: &mut Txn,
    lease: Lease,
    link: Option<&LinkUpdate>,
) -> Result<write::OldIds, Refusal> {
    let seen = match link {
        Some(LinkUpdate::Update {
            id,
            expected_revision,
            ..
        }) => Some((id.to_string(), *expected_revision)),
        Some(LinkUpdate::Insert(_)) | None => None,
    };
    let statement = sqlx::query(CHECK)
        .bind(lease.job.to_string())
        .bind(lease.token.to_string())
        .bind(seen.as_ref().map(|(id, _)| id.clone()))
        .bind(seen.as_ref().map(|(_, revision)| *revision));
    let row = txn.one(statement).await?;
    if !rows::get::<bool>(&row, "held")? {
        return Err(JournalError::LeaseLost.into());
    }
    if seen.is_some() && !rows::get::<bool>(&row, "fits")? {
        return Err(JournalError::Superseded.into());
    }
    Ok(write::OldIds {
        a: rows::record_opt(&row, "a_id")?,
        b: rows::record_opt(&row, "b_id")?,
    })
}

const CHECK: &str = "-- check_confirmation
SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND lease_token = ?2) AS held,
       l.id IS NOT NULL AS fits, l.a_id, l.b_id
FROM (SELECT 1) LEFT JOIN links l ON l.id = ?3 AND l.revision = ?4";

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
            sends: verdict.sends,
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
  AND intents.sends = coalesce(v.value ->> 'sends', intents.sends)
RETURNING sync, side, op, state, target";
