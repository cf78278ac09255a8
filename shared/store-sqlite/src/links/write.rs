//! Inserting and changing links, and moving the jobs of their records into their lanes.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use tandem_domain::{LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    BaseValue, JournalError, Lane, Lease, LinkState, NewLink, SideState, StoreError, Verdict,
    Waiting as WaitsFor,
};

use super::row::{LinkRow, SideRow, base_text};
use super::{Refusal, index};
use crate::jobs::dead;
use crate::jobs::finish::held_jobs;
use crate::jobs::waiting::{Waiting, put_back};
use crate::writer::Txn;
use crate::{rows, sql};

/// A record whose waiting job is to move.
#[derive(Serialize)]
struct Move {
    from: String,
    to: String,
}

impl Move {
    fn new(sync: &SyncName, side: Side, record: &RecordId, link: LinkId) -> Self {
        Self {
            from: Lane::of_record(sync, side, record).as_str().to_owned(),
            to: Lane::of_link(link).as_str().to_owned(),
        }
    }
}

/// Both records of a link.
fn moves(sync: &SyncName, link: LinkId, a: &SideState, b: &SideState) -> Vec<Move> {
    [(Side::A, a), (Side::B, b)]
        .into_iter()
        .filter_map(|(side, state)| {
            let record = state.id.as_ref()?;
            Some(Move::new(sync, side, record, link))
        })
        .collect()
}

/// Moves the jobs that wait in the lanes of records into the lanes of their links.
async fn move_waiting(txn: &mut Txn, moves: &[Move], now: Timestamp) -> Result<(), StoreError> {
    let statement = sqlx::query(WAITING_TO_MOVE).bind(sql::json("lane", moves)?);
    let mut jobs = Vec::new();
    for row in txn.all(statement).await? {
        let mut job = Waiting::read(&row)?;
        job.lane = rows::get(&row, "to_lane")?;
        jobs.push(job);
    }
    put_back(txn, jobs, now).await.map(|_| ())
}

const WAITING_TO_MOVE: &str = "-- waiting_to_move
SELECT j.*, m.value ->> 'to' AS to_lane FROM json_each(?1) m
JOIN jobs j ON j.state = 'available' AND j.lane = m.value ->> 'from'
ORDER BY j.id";

/// Hands a claimed job back into the lane of a link.
pub(super) async fn relane(
    txn: &mut Txn,
    lease: Lease,
    link: LinkId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut held = held_jobs(txn, &[&lease]).await?;
    for job in &mut held {
        job.lane = Lane::of_link(link).as_str().to_owned();
        job.attempt = (job.attempt - 1).max(0);
        job.crashes = 0;
        // A move is a step: however often a link is made anew, there is an end to it.
        match job
            .waits()
            .again(WaitsFor::Progress, now, None, job.turn(now))
        {
            Verdict::Wait { run_at, waits } => job.wait(run_at, waits),
            Verdict::TooLong { failure } => {
                let parked = dead::park(txn, &[(lease, failure)], now).await?;
                return Ok(!parked.is_empty());
            }
        }
    }
    put_back(txn, held, now).await.map(|jobs| !jobs.is_empty())
}

/// Inserts links whose records are free.
pub(super) async fn insert_links(
    txn: &mut Txn,
    links: &[NewLink],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let inserted = insert(txn, links, now).await?;
    let moves: Vec<Move> = links
        .iter()
        .filter(|link| inserted.contains(&link.id))
        .flat_map(|link| moves(&link.sync, link.id, &link.a, &link.b))
        .collect();
    if !moves.is_empty() {
        move_waiting(txn, &moves, now).await?;
    }
    Ok(inserted.len())
}

async fn insert(
    txn: &mut Txn,
    links: &[NewLink],
    now: Timestamp,
) -> Result<HashSet<LinkId>, StoreError> {
    let rows = links
        .iter()
        .map(LinkRow::new)
        .collect::<Result<Vec<_>, _>>()?;
    let statement = sqlx::query(INSERT)
        .bind(sql::json("link", &rows)?)
        .bind(now.as_micros());
    txn.all(statement)
        .await?
        .iter()
        .map(|row| rows::parsed(row, "id"))
        .collect()
}

/// A record that is linked already meets a unique index, and its new link is left out. So is the link of
/// a record that an open create carries over: the create may have been sent, and its effect is what the
/// record is to be linked with.
const INSERT: &str = "-- insert_links
INSERT INTO links (id, sync, a_id, a_version, a_checksum, a_updated_at, a_memory, b_id, b_version, b_checksum,
                   b_updated_at, b_memory, state, revision, created_at, updated_at, base)
SELECT value ->> 'id', value ->> 'sync', value ->> '$.a.id', value ->> '$.a.version',
       value ->> '$.a.checksum', value ->> '$.a.updated_at', value ->> '$.a.memory', value ->> '$.b.id',
       value ->> '$.b.version', value ->> '$.b.checksum', value ->> '$.b.updated_at', value ->> '$.b.memory',
       'active', 1, ?2, ?2, value ->> 'base'
FROM json_each(?1)
WHERE NOT EXISTS (SELECT 1 FROM intents i
                  WHERE i.sync = value ->> 'sync' AND i.side = 'b' AND i.source = value ->> '$.a.id'
                    AND i.op = 'create' AND i.state IN ('planned', 'sent', 'unknown'))
  AND NOT EXISTS (SELECT 1 FROM intents i
                  WHERE i.sync = value ->> 'sync' AND i.side = 'a' AND i.source = value ->> '$.b.id'
                    AND i.op = 'create' AND i.state IN ('planned', 'sent', 'unknown'))
ON CONFLICT DO NOTHING
RETURNING id";

/// Inserts the link that a job has made. The job goes on in the lane of the link, so that none runs
/// beside it there.
pub(super) async fn insert_for(
    txn: &mut Txn,
    lease: Lease,
    link: &NewLink,
    now: Timestamp,
) -> Result<(), Refusal> {
    if insert_links(txn, std::slice::from_ref(link), now).await? == 0 {
        return Err(JournalError::Superseded.into());
    }
    let statement = sqlx::query(FOLLOW)
        .bind(lease.job.to_string())
        .bind(link.id.to_string());
    txn.run(statement).await?;
    Ok(())
}

const FOLLOW: &str = "-- follow_link
UPDATE jobs SET lane = ?2 WHERE id = ?1
  AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.lane = ?2)";

/// The records that a link had.
pub(super) struct OldIds {
    pub(super) a: Option<RecordId>,
    pub(super) b: Option<RecordId>,
}

/// What a link is to be.
pub(super) struct NewState<'a> {
    pub(super) id: LinkId,
    pub(super) a: &'a SideState,
    pub(super) b: &'a SideState,
    pub(super) base: &'a BTreeMap<String, BaseValue>,
    pub(super) state: LinkState,
}

#[derive(Serialize)]
struct Sides<'a> {
    a: SideRow<'a>,
    b: SideRow<'a>,
    state: LinkState,
}

/// Replaces what is known of a link.
pub(super) async fn replace(
    txn: &mut Txn,
    sync: &SyncName,
    old: &OldIds,
    new: &NewState<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let sides = Sides {
        a: SideRow::try_from(new.a)?,
        b: SideRow::try_from(new.b)?,
        state: new.state,
    };
    let statement = sqlx::query(REPLACE)
        .bind(new.id.to_string())
        .bind(sql::json("link", &sides)?)
        .bind(base_text(new.base)?)
        .bind(now.as_micros());
    if txn.run(statement).await? == 0 {
        return Err(JournalError::Superseded.into());
    }
    for (side, old, new) in [(Side::A, &old.a, new.a), (Side::B, &old.b, new.b)] {
        // A record that is gone from its side leaves the index, so that nothing is matched with it.
        if let (Some(record), None) = (old, &new.id) {
            index::forget(txn, sync, side, record).await?;
        }
    }
    if new.state == LinkState::Active && (old.a != new.a.id || old.b != new.b.id) {
        move_waiting(txn, &moves(sync, new.id, new.a, new.b), now).await?;
    }
    Ok(())
}

/// `OR IGNORE` changes nothing when a record is linked elsewhere.
const REPLACE: &str = "-- update_link
UPDATE OR IGNORE links SET
    a_id = ?2 ->> '$.a.id', a_version = ?2 ->> '$.a.version', a_checksum = ?2 ->> '$.a.checksum',
    a_updated_at = ?2 ->> '$.a.updated_at', a_memory = ?2 ->> '$.a.memory',
    b_id = ?2 ->> '$.b.id', b_version = ?2 ->> '$.b.version', b_checksum = ?2 ->> '$.b.checksum',
    b_updated_at = ?2 ->> '$.b.updated_at', b_memory = ?2 ->> '$.b.memory',
    filtered = coalesce(?2 ->> '$.a.filtered', 0) OR coalesce(?2 ->> '$.b.filtered', 0),
    state = ?2 ->> 'state', base = ?3, revision = revision + 1, updated_at = ?4
WHERE id = ?1";
