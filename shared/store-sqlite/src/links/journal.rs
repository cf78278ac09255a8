//! Writing down what is about to be sent. The check and the insert are one transaction of the only
//! writer, so nothing can come between them.

use serde::Serialize;
use tandem_domain::{Fields, IntentId, RecordId, Timestamp};
use tandem_store::{
    Causes, FieldChange, Intent, IntentOp, IntentState, JournalError, Lane, Lease, LinkSeen,
    StoreError,
};

use super::Refusal;
use crate::writer::Txn;
use crate::{rows, sql};

#[derive(Serialize)]
struct IntentRow<'a> {
    id: String,
    sync: &'a str,
    link: Option<String>,
    side: &'static str,
    /// The side that the source is on.
    from: &'static str,
    op: IntentOp,
    source: Option<&'a str>,
    target: Option<&'a str>,
    fields: &'a Fields,
    match_key: Option<&'a str>,
    expected_version: Option<&'a str>,
    state: IntentState,
    sends: i64,
    sent_at: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    decided: &'a [FieldChange],
}

/// Journals intents, the first as sent.
pub(super) async fn journal(
    txn: &mut Txn,
    lease: Lease,
    link: Option<LinkSeen>,
    intents: &[Intent],
    now: Timestamp,
) -> Result<(), Refusal> {
    let rows: Vec<IntentRow<'_>> = intents
        .iter()
        .enumerate()
        .map(|(place, intent)| intent_row(intent, place == 0, now))
        .collect();
    let rows = sql::json("intent", &rows)?;
    check(txn, lease, link, &rows).await?;
    let statement = sqlx::query(INSERT)
        .bind(rows)
        .bind(lease.job.to_string())
        .bind(now.as_micros());
    txn.run(statement).await?;
    Ok(())
}

fn intent_row(intent: &Intent, first: bool, now: Timestamp) -> IntentRow<'_> {
    IntentRow {
        id: intent.id.to_string(),
        sync: intent.sync.as_str(),
        link: intent.link.map(|link| link.to_string()),
        side: intent.side.as_str(),
        from: intent.side.other().as_str(),
        op: intent.op,
        source: intent.source.as_ref().map(RecordId::as_str),
        target: intent.target.as_ref().map(RecordId::as_str),
        fields: &intent.fields,
        match_key: intent.match_key.as_deref(),
        expected_version: intent.expected_version.as_deref(),
        state: if first {
            IntentState::Sent
        } else {
            IntentState::Planned
        },
        sends: i64::from(first),
        sent_at: first.then(|| now.as_micros()),
        decided: &intent.decided,
    }
}

async fn check(
    txn: &mut Txn,
    lease: Lease,
    link: Option<LinkSeen>,
    intents: &str,
) -> Result<(), Refusal> {
    let watched = link.and_then(|link| match link.causes {
        Causes::Any => None,
        Causes::Only(seen) => Some((Lane::of_link(link.id), seen)),
    });
    let seen = watched.as_ref().and_then(|(_, seen)| *seen);
    let statement = sqlx::query(CHECK)
        .bind(lease.job.to_string())
        .bind(lease.token.to_string())
        .bind(link.map(|link| link.id.to_string()))
        .bind(link.map(|link| link.revision))
        .bind(intents.to_owned())
        .bind(watched.map(|(lane, _)| lane.as_str().to_owned()));
    let row = txn.one(statement).await?;
    if !rows::get::<bool>(&row, "held")? {
        return Err(JournalError::LeaseLost.into());
    }
    if !rows::get::<bool>(&row, "fits")? || rows::get::<bool>(&row, "source_busy")? {
        return Err(JournalError::Superseded.into());
    }
    if rows::get::<bool>(&row, "key_busy")? {
        return Err(JournalError::KeyBusy.into());
    }
    let waits: Option<String> = rows::get(&row, "waits")?;
    if waits.is_some() && waits != seen.map(|seen| format!("{}/{}", seen.job, seen.merged)) {
        return Err(JournalError::NewerCause.into());
    }
    Ok(())
}

/// An intent that is journalled already (the answer to the first call was lost) is not in its own way.
const CHECK: &str = "-- check_journal
SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND lease_token = ?2) AS held,
       CASE WHEN ?3 IS NOT NULL THEN
           EXISTS (SELECT 1 FROM links WHERE id = ?3 AND revision = ?4)
       ELSE
           NOT EXISTS (SELECT 1 FROM json_each(?5) n JOIN links l
                       ON l.state = 'active' AND l.sync = n.value ->> 'sync' AND l.a_id = n.value ->> 'source'
                       WHERE n.value ->> 'from' = 'a')
           AND NOT EXISTS (SELECT 1 FROM json_each(?5) n JOIN links l
                       ON l.state = 'active' AND l.sync = n.value ->> 'sync' AND l.b_id = n.value ->> 'source'
                       WHERE n.value ->> 'from' = 'b')
       END AS fits,
       EXISTS (SELECT 1 FROM json_each(?5) n JOIN intents i
               ON i.sync = n.value ->> 'sync' AND i.side = n.value ->> 'side'
                  AND i.source = n.value ->> 'source' AND i.op = 'create'
                  AND i.state IN ('planned', 'sent', 'unknown')
               WHERE n.value ->> 'op' = 'create' AND i.id <> n.value ->> 'id') AS source_busy,
       EXISTS (SELECT 1 FROM json_each(?5) n JOIN intents i
               ON i.sync = n.value ->> 'sync' AND i.side = n.value ->> 'side'
                  AND i.match_key = n.value ->> 'match_key' AND i.op = 'create'
                  AND i.state IN ('planned', 'sent', 'unknown')
               WHERE n.value ->> 'op' = 'create' AND i.id <> n.value ->> 'id') AS key_busy,
       (SELECT id || '/' || merged FROM jobs WHERE state = 'available' AND lane = ?6) AS waits";

const INSERT: &str = "-- journal
INSERT INTO intents (id, sync, link, side, op, source, target, match_key, expected_version, state,
                     sends, job, created_at, sent_at, fields, decided)
SELECT value ->> 'id', value ->> 'sync', value ->> 'link', value ->> 'side', value ->> 'op',
       value ->> 'source', value ->> 'target', value ->> 'match_key', value ->> 'expected_version',
       value ->> 'state', value ->> 'sends', ?2, ?3, value ->> 'sent_at', value ->> 'fields', value ->> 'decided'
FROM json_each(?1) WHERE true
ON CONFLICT (id) DO NOTHING";

/// Marks an intent as sent, if the lease is held and the intent is open.
pub(super) async fn mark_sent(
    txn: &mut Txn,
    lease: Lease,
    intent: IntentId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let statement = sqlx::query(MARK_SENT)
        .bind(intent.to_string())
        .bind(lease.job.to_string())
        .bind(lease.token.to_string())
        .bind(now.as_micros());
    txn.run(statement).await.map(|rows| rows == 1)
}

const MARK_SENT: &str = "-- mark_sent
UPDATE intents SET state = 'sent', sends = sends + 1, sent_at = ?4
WHERE id = ?1 AND state IN ('planned', 'sent', 'unknown')
  AND EXISTS (SELECT 1 FROM jobs WHERE id = ?2 AND lease_token = ?3)";
