//! The end of a job, or of a step of it: everything that was learned, or nothing.

use serde::{Deserialize, Serialize};
use tandem_domain::{LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    Confirmation, IntentOp, IntentState, IntentVerdict, JournalError, Lease, LinkState, LinkUpdate,
    NewLink, SideState, StoreError,
};

use super::row::{NewState, Sides};
use super::{index, write};
use crate::jobs::finish::finish;
use crate::tally::{Counter, Tally};
use crate::txn::{Stop, Txn};
use crate::{changes, conflicts, rows, sql};

/// What is to be confirmed, and by whom.
pub(super) struct Step {
    pub(super) sync: SyncName,
    pub(super) lease: Lease,
    pub(super) confirmation: Confirmation,
    pub(super) now: Timestamp,
}

/// What the first statement has found and done.
struct Settled {
    /// The records that the link had.
    old: [Option<RecordId>; 2],
    /// The records of confirmed deletes.
    deleted: Vec<(Side, RecordId)>,
}

/// Carries out a confirmation, if the lease is held and the link is as the plan saw it.
pub(super) async fn confirm(txn: &mut Txn, step: &Step) -> Result<(), Stop<JournalError>> {
    let Step {
        sync,
        lease,
        confirmation,
        now,
    } = step;
    if let Some(LinkUpdate::Insert(link)) = &confirmation.link {
        write::lock_records(txn, &write::records_of(std::slice::from_ref(link))).await?;
    }
    let settled = settle(txn, step).await?;
    changes::count_conflicts(&mut txn.tally, &confirmation.changes);
    let mut gone = settled.deleted;
    match &confirmation.link {
        Some(LinkUpdate::Insert(link)) => insert(txn, *lease, link, *now).await?,
        Some(LinkUpdate::Update {
            id, a, b, state, ..
        }) => {
            gone.extend(left([a, b], &settled.old));
            if *state == LinkState::Active && [&a.id, &b.id] != settled.old.each_ref() {
                let moves: Vec<_> = write::moves(sync, *id, a, b).collect();
                write::move_waiting(txn, &moves, *now).await?;
            }
        }
        None => {}
    }
    index::forget(txn, sync, &gone).await?;
    index::see(txn, sync, &confirmation.seen).await?;
    conflicts::close(txn, &confirmation.used_rulings, *now).await?;
    if let Some(LinkUpdate::Update { id, .. }) = &confirmation.link {
        conflicts::settle_fields(txn, *id, &confirmation.settled_fields, *now).await?;
    }
    conflicts::open(txn, &confirmation.conflicts, *now).await?;
    if let Some(outcome) = &confirmation.outcome {
        finish(txn, &[(*lease, outcome.clone())], *now).await?;
    }
    Ok(())
}

/// After the verdicts: a create that they settle does not stand in the way of its own link.
async fn insert(
    txn: &mut Txn,
    lease: Lease,
    link: &NewLink,
    now: Timestamp,
) -> Result<(), Stop<JournalError>> {
    let links = std::slice::from_ref(link);
    let inserted = write::insert_locked(txn, links, Some(lease.job), now).await?;
    if inserted.is_empty() {
        return Err(Stop::Refused(JournalError::Superseded));
    }
    Ok(())
}

/// The records that the link had on sides that have none now.
fn left(new: [&SideState; 2], old: &[Option<RecordId>; 2]) -> Vec<(Side, RecordId)> {
    Side::BOTH
        .into_iter()
        .zip(new.into_iter().zip(old))
        .filter(|(_, (new, _))| new.id.is_none())
        .filter_map(|(side, (_, old))| Some((side, old.clone()?)))
        .collect()
}

#[derive(Serialize)]
struct VerdictRow<'a> {
    id: String,
    state: IntentState,
    target: Option<&'a str>,
    error: Option<&'a str>,
}

fn verdict_row(verdict: &IntentVerdict) -> VerdictRow<'_> {
    VerdictRow {
        id: verdict.intent.to_string(),
        state: verdict.state,
        target: verdict.target.as_ref().map(RecordId::as_str),
        error: verdict.error.as_deref(),
    }
}

/// The link as the plan saw it, and what it is to be.
fn link_update(
    link: Option<&LinkUpdate>,
) -> Result<Option<(LinkId, i64, NewState<'_>)>, StoreError> {
    match link {
        Some(LinkUpdate::Update {
            id,
            expected_revision,
            a,
            b,
            base,
            state,
        }) => {
            let new = NewState {
                sides: Sides::new(a, b),
                state: *state,
                base: sql::json("base", base)?,
            };
            Ok(Some((*id, *expected_revision, new)))
        }
        Some(LinkUpdate::Insert(_)) | None => Ok(None),
    }
}

/// Under the lease: settles intents, replaces what is known of the link, and logs.
async fn settle(txn: &mut Txn, step: &Step) -> Result<Settled, Stop<JournalError>> {
    let confirmation = &step.confirmation;
    let link = link_update(confirmation.link.as_ref())?;
    let verdicts: Vec<_> = confirmation.verdicts.iter().map(verdict_row).collect();
    let new = link.as_ref().map(|(_, _, new)| sql::json("link", new));
    let statement = sqlx::query(CONFIRM)
        .bind(step.lease.job.to_string())
        .bind(step.lease.token.to_string())
        .bind(sql::json("verdict", &verdicts)?)
        .bind(changes::rows(&confirmation.changes)?)
        .bind(link.as_ref().map(|(id, _, _)| id.to_string()))
        .bind(link.as_ref().map(|(_, revision, _)| *revision))
        .bind(new.transpose()?)
        .bind(step.now.as_micros());
    let row = txn.one(statement).await?;
    if !rows::get::<bool>(&row, "held")? {
        return Err(Stop::Refused(JournalError::LeaseLost));
    }
    if link.is_some() && !rows::get::<bool>(&row, "replaced")? {
        return Err(Stop::Refused(JournalError::Superseded));
    }
    let settled: Vec<SettledIntent> = rows::document(&row, "settled")?;
    Ok(Settled {
        old: [
            rows::record_opt(&row, "a_id")?,
            rows::record_opt(&row, "b_id")?,
        ],
        deleted: count_writes(&mut txn.tally, settled),
    })
}

#[derive(Deserialize)]
struct SettledIntent {
    sync: SyncName,
    side: Side,
    op: IntentOp,
    state: IntentState,
    target: Option<RecordId>,
}

/// Counts what was written. Returns the records that were deleted.
fn count_writes(tally: &mut Tally, settled: Vec<SettledIntent>) -> Vec<(Side, RecordId)> {
    let mut deleted = Vec::new();
    for intent in settled {
        if intent.state != IntentState::Confirmed {
            continue;
        }
        let counter = match intent.side {
            Side::A => Counter::WritesA,
            Side::B => Counter::WritesB,
        };
        tally.add(intent.sync.as_str(), counter, 1);
        if let (IntentOp::Delete, Some(record)) = (intent.op, intent.target) {
            deleted.push((intent.side, record));
        }
    }
    deleted
}

/// Four steps under the lock of the job, each of which does nothing when nothing is given. A link whose
/// new record is linked elsewhere is not replaced; one that is being linked elsewhere at this moment
/// meets a unique index, and the transaction is run again.
const CONFIRM: &str = "-- confirm
WITH held AS MATERIALIZED (
    SELECT id FROM jobs WHERE id = $1 AND lease_token = $2 FOR NO KEY UPDATE),
replaced AS (
    UPDATE links l SET
        a_id = n.a_id, a_version = n.a_version, a_checksum = n.a_checksum,
        a_updated_at = n.a_updated_at,
        b_id = n.b_id, b_version = n.b_version, b_checksum = n.b_checksum,
        b_updated_at = n.b_updated_at,
        state = n.state, base = n.base, revision = l.revision + 1, updated_at = $8
    FROM held, links o, json_to_record($7::json) AS n (
        a_id text, a_version text, a_checksum text, a_updated_at bigint,
        b_id text, b_version text, b_checksum text, b_updated_at bigint, state text, base text)
    WHERE l.id = $5 AND l.revision = $6 AND o.id = $5
      AND (n.state <> 'active' OR NOT EXISTS (
          SELECT FROM links x WHERE x.state = 'active' AND x.sync = l.sync AND x.a_id = n.a_id AND x.id <> $5)
        AND NOT EXISTS (
          SELECT FROM links x WHERE x.state = 'active' AND x.sync = l.sync AND x.b_id = n.b_id AND x.id <> $5))
    RETURNING o.a_id, o.b_id),
settled AS (
    UPDATE intents i SET state = v.state, target = coalesce(v.target, i.target),
                         error = coalesce(v.error, i.error)
    FROM held, json_to_recordset($3::json) AS v (id text, state text, target text, error text)
    WHERE i.id = v.id AND i.state IN ('planned', 'sent', 'unknown')
    RETURNING i.sync, i.side, i.op, i.state, i.target),
logged AS (
    INSERT INTO changes (id, sync, link, a, b, operation, written, intent, cause, job, run, outcome,
                         error, duration_ms, at, fields)
    SELECT c.* FROM held, json_to_recordset($4::json) AS c (
        id text, sync text, link text, a text, b text, operation text, written text, intent text,
        cause text, job text, run text, outcome text, error text, duration_ms bigint, at bigint,
        fields text))
SELECT EXISTS (SELECT FROM held) AS held, EXISTS (SELECT FROM replaced) AS replaced,
       (SELECT a_id FROM replaced) AS a_id, (SELECT b_id FROM replaced) AS b_id,
       coalesce((SELECT json_agg(s) FROM settled s)::text, '[]') AS settled";
