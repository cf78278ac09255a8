//! Inserting links, and moving the jobs of their records into their lanes.

use std::collections::HashSet;

use serde::Serialize;
use tandem_domain::{JobId, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{Lane, Lease, NewLink, SideState, StoreError, Verdict, Waiting as WaitsFor};

use super::row::LinkRow;
use crate::jobs::dead;
use crate::jobs::finish::held_jobs;
use crate::jobs::waiting::{Waiting, put_back};
use crate::sql::Failed;
use crate::txn::Txn;
use crate::{rows, sql};

/// Makes transactions about the same unlinked records take turns. What a later statement sees is all
/// that earlier turns have done.
pub(super) async fn lock_records(txn: &mut Txn, records: &[Lane]) -> Result<(), Failed> {
    let records: Vec<&str> = records.iter().map(Lane::as_str).collect();
    let statement = sqlx::query(LOCK_RECORDS).bind(sql::json("record", &records)?);
    txn.run(statement).await.map(|_rows| ())
}

/// A thousand locks serve for all records, because the server has room for some thousands, and one page
/// of a first sync links five hundred pairs. Two records that share one wait for each other in vain
/// now and then. In one order, so that two pages do not wait for each other for ever.
const LOCK_RECORDS: &str = "-- lock_records
SELECT pg_advisory_xact_lock(hashtext('tandem records'), place)
FROM (SELECT DISTINCT hashtext(r.record) & 1023 AS place
      FROM json_array_elements_text($1::json) AS r (record) ORDER BY place) places";

/// The records of links, as they are locked.
pub(super) fn records_of(links: &[NewLink]) -> Vec<Lane> {
    links
        .iter()
        .flat_map(|link| lanes(&link.sync, &link.a, &link.b))
        .collect()
}

/// The lanes of the records of a link, before it is there.
fn lanes(sync: &SyncName, a: &SideState, b: &SideState) -> impl Iterator<Item = Lane> {
    let lane = |side, record: &Option<RecordId>| {
        let record = record.as_ref()?;
        Some(Lane::of_record(sync, side, record))
    };
    [lane(Side::A, &a.id), lane(Side::B, &b.id)]
        .into_iter()
        .flatten()
}

/// Hands a claimed job back into the lane of a link.
pub(super) async fn relane(
    txn: &mut Txn,
    lease: Lease,
    link: LinkId,
    now: Timestamp,
) -> Result<bool, Failed> {
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
    Ok(!put_back(txn, held, now).await?.is_empty())
}

/// Inserts links whose records are free. Returns how many.
pub(super) async fn insert_links(
    txn: &mut Txn,
    links: &[NewLink],
    now: Timestamp,
) -> Result<usize, Failed> {
    if links.is_empty() {
        return Ok(0);
    }
    lock_records(txn, &records_of(links)).await?;
    Ok(insert_locked(txn, links, None, now).await?.len())
}

/// Inserts links whose records are locked, and free. The job that made the link, if one did, goes on in
/// its lane, so that none runs beside it there.
pub(super) async fn insert_locked(
    txn: &mut Txn,
    links: &[NewLink],
    job: Option<JobId>,
    now: Timestamp,
) -> Result<HashSet<LinkId>, Failed> {
    let rows = links
        .iter()
        .map(LinkRow::new)
        .collect::<Result<Vec<_>, _>>()?;
    let statement = sqlx::query(INSERT)
        .bind(sql::json("link", &rows)?)
        .bind(now.as_micros())
        .bind(job.map(|job| job.to_string()));
    let inserted: HashSet<LinkId> = txn
        .all(statement)
        .await?
        .iter()
        .map(|row| rows::parsed(row, "id"))
        .collect::<Result<_, _>>()?;
    let moves: Vec<Move> = links
        .iter()
        .filter(|link| inserted.contains(&link.id))
        .flat_map(|link| moves(&link.sync, link.id, &link.a, &link.b))
        .collect();
    move_waiting(txn, &moves, now).await?;
    Ok(inserted)
}

/// A record that is linked already meets a unique index, and its new link is left out. So is the link of
/// a record that an open create carries over: the create may have been sent, and its effect is what the
/// record is to be linked with.
const INSERT: &str = "-- insert_links
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS g (
        id text, sync text, a_id text, a_version text, a_checksum text, a_updated_at bigint,
        a_memory text, b_id text, b_version text, b_checksum text, b_updated_at bigint,
        b_memory text, base text)),
inserted AS (
    INSERT INTO links (id, sync, a_id, a_version, a_checksum, a_updated_at, a_memory, b_id,
                       b_version, b_checksum, b_updated_at, b_memory, state, revision, created_at, updated_at, base)
    SELECT g.id, g.sync, g.a_id, g.a_version, g.a_checksum, g.a_updated_at, g.a_memory, g.b_id,
           g.b_version, g.b_checksum, g.b_updated_at, g.b_memory, 'active', 1, $2, $2, g.base
    FROM given g
    WHERE NOT EXISTS (SELECT FROM intents i
                      WHERE i.sync = g.sync AND i.side = 'b' AND i.source = g.a_id
                        AND i.op = 'create' AND i.state IN ('planned', 'sent', 'unknown'))
      AND NOT EXISTS (SELECT FROM intents i
                      WHERE i.sync = g.sync AND i.side = 'a' AND i.source = g.b_id
                        AND i.op = 'create' AND i.state IN ('planned', 'sent', 'unknown'))
    ORDER BY g.id COLLATE \"C\"
    ON CONFLICT DO NOTHING
    RETURNING id),
followed AS (
    UPDATE jobs SET lane = i.id FROM inserted i WHERE jobs.id = $3)
SELECT id FROM inserted";

/// A record whose waiting job is to move.
#[derive(Serialize)]
pub(super) struct Move {
    from_lane: String,
    to_lane: String,
}

/// Both records of a link.
pub(super) fn moves(
    sync: &SyncName,
    link: LinkId,
    a: &SideState,
    b: &SideState,
) -> impl Iterator<Item = Move> {
    lanes(sync, a, b).map(move |lane| Move {
        from_lane: lane.as_str().to_owned(),
        to_lane: Lane::of_link(link).as_str().to_owned(),
    })
}

/// Moves the jobs that wait in the lanes of records into the lanes of their links.
pub(super) async fn move_waiting(
    txn: &mut Txn,
    moves: &[Move],
    now: Timestamp,
) -> Result<(), Failed> {
    if moves.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(WAITING_TO_MOVE).bind(sql::json("lane", moves)?);
    let mut jobs = txn
        .all(statement)
        .await?
        .iter()
        .map(|row| {
            let mut job = Waiting::read(row)?;
            job.lane = rows::get(row, "to_lane")?;
            Ok(job)
        })
        .collect::<Result<Vec<Waiting>, StoreError>>()?;
    // The oldest stands for the others.
    jobs.sort_by(|one, other| one.id.cmp(&other.id));
    put_back(txn, jobs, now).await.map(|_standing| ())
}

/// One that is being claimed is waited for, and then left out.
const WAITING_TO_MOVE: &str = "-- waiting_to_move
SELECT j.*, m.to_lane
FROM (SELECT * FROM json_to_recordset($1::json) AS l (from_lane text, to_lane text)
      ORDER BY l.from_lane COLLATE \"C\") m
CROSS JOIN LATERAL (
    SELECT * FROM jobs WHERE state = 'available' AND lane = m.from_lane FOR NO KEY UPDATE) j";
