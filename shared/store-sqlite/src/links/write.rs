//! Inserting and changing links, and moving the jobs of their records into their lanes.

use serde::Serialize;
use tandem_domain::{LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    BaseValue, JournalError, Lane, Lease, LinkState, LinkUpdate, NewLink, SideState, StoreError,
};

use super::Refusal;
use super::row::{LinkRow, SideRow, base_text};
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
        job.run_at = now.as_micros();
        job.attempt = (job.attempt - 1).max(0);
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
) -> Result<std::collections::HashSet<LinkId>, StoreError> {
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

/// A record that is linked already meets a unique index, and its new link is left out.
const INSERT: &str = "-- insert_links
INSERT INTO links (id, sync, a_id, a_version, a_checksum, a_updated_at, b_id, b_version, b_checksum,
                   b_updated_at, state, revision, created_at, updated_at, base)
SELECT value ->> 'id', value ->> 'sync', value ->> '$.a.id', value ->> '$.a.version',
       value ->> '$.a.checksum', value ->> '$.a.updated_at', value ->> '$.b.id',
       value ->> '$.b.version', value ->> '$.b.checksum', value ->> '$.b.updated_at',
       'active', 1, ?2, ?2, value ->> 'base'
FROM json_each(?1) WHERE true
ON CONFLICT DO NOTHING
RETURNING id";

/// Carries out what a confirmation says of its link.
pub(super) async fn apply(
    txn: &mut Txn,
    sync: &SyncName,
    lease: Lease,
    update: &LinkUpdate,
    now: Timestamp,
) -> Result<(), Refusal> {
    match update {
        LinkUpdate::Insert(link) => {
            if insert_links(txn, std::slice::from_ref(link), now).await? == 0 {
                return Err(JournalError::Superseded.into());
            }
            // The job goes on in the lane of the link, so that none runs beside it there.
            let statement = sqlx::query(FOLLOW)
                .bind(lease.job.to_string())
                .bind(link.id.to_string());
            txn.run(statement).await?;
            Ok(())
        }
        LinkUpdate::Update {
            id,
            expected_revision,
            a,
            b,
            base,
            state,
        } => {
            let new = NewState {
                id: *id,
                a,
                b,
                base,
                state: *state,
            };
            replace(txn, sync, &new, *expected_revision, now).await
        }
    }
}

const FOLLOW: &str = "-- follow_link
UPDATE jobs SET lane = ?2 WHERE id = ?1
  AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.lane = ?2)";

struct NewState<'a> {
    id: LinkId,
    a: &'a SideState,
    b: &'a SideState,
    base: &'a std::collections::BTreeMap<String, BaseValue>,
    state: LinkState,
}

#[derive(Serialize)]
struct Sides<'a> {
    a: SideRow<'a>,
    b: SideRow<'a>,
    state: LinkState,
}

async fn replace(
    txn: &mut Txn,
    sync: &SyncName,
    new: &NewState<'_>,
    expected_revision: i64,
    now: Timestamp,
) -> Result<(), Refusal> {
    let sides = Sides {
        a: SideRow::from(new.a),
        b: SideRow::from(new.b),
        state: new.state,
    };
    let old = sqlx::query(OLD_IDS)
        .bind(new.id.to_string())
        .bind(expected_revision);
    let Some(old) = txn.first(old).await? else {
        return Err(JournalError::Superseded.into());
    };
    let statement = sqlx::query(REPLACE)
        .bind(new.id.to_string())
        .bind(sql::json("link", &sides)?)
        .bind(base_text(new.base)?)
        .bind(now.as_micros());
    if txn.run(statement).await? == 0 {
        return Err(JournalError::Superseded.into());
    }
    let old_a = rows::record_opt(&old, "a_id")?;
    let old_b = rows::record_opt(&old, "b_id")?;
    forget_gone(
        txn,
        sync,
        &[
            (Side::A, old_a.as_ref(), new.a),
            (Side::B, old_b.as_ref(), new.b),
        ],
    )
    .await?;
    if new.state == LinkState::Active && (old_a != new.a.id || old_b != new.b.id) {
        move_waiting(txn, &moves(sync, new.id, new.a, new.b), now).await?;
    }
    Ok(())
}

const OLD_IDS: &str = "-- old_ids_of_link
SELECT a_id, b_id FROM links WHERE id = ?1 AND revision = ?2";

/// `OR IGNORE` changes nothing when a record is linked elsewhere.
const REPLACE: &str = "-- update_link
UPDATE OR IGNORE links SET
    a_id = ?2 ->> '$.a.id', a_version = ?2 ->> '$.a.version', a_checksum = ?2 ->> '$.a.checksum',
    a_updated_at = ?2 ->> '$.a.updated_at',
    b_id = ?2 ->> '$.b.id', b_version = ?2 ->> '$.b.version', b_checksum = ?2 ->> '$.b.checksum',
    b_updated_at = ?2 ->> '$.b.updated_at',
    state = ?2 ->> 'state', base = ?3, revision = revision + 1, updated_at = ?4
WHERE id = ?1";

/// A record that is gone from its side leaves the index, so that nothing is matched with it.
async fn forget_gone(
    txn: &mut Txn,
    sync: &SyncName,
    sides: &[(Side, Option<&RecordId>, &SideState)],
) -> Result<(), StoreError> {
    for (side, old, new) in sides {
        if let (Some(record), None) = (old, &new.id) {
            super::index::forget(txn, sync, *side, record).await?;
        }
    }
    Ok(())
}
