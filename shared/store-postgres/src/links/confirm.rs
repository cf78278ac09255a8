//! The end of a job, or of a step of it: everything that was learned, or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_domain::{JobId, LeaseToken, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    Confirmation, IntentOp, IntentState, IntentVerdict, JournalError, Lease, LinkState, LinkUpdate,
    NewLink, SideState, StoreError,
};

use super::row::{NewState, Sides};
use super::{index, write};
use crate::jobs::finish::finish_held;
use crate::sql::Failed;
use crate::tally::{Counter, Tally};
use crate::txn::{self, Boxed, Stop, Txn};
use crate::{changes, conflicts, rows, sql};

/// What is to be confirmed, and by whom.
#[derive(Clone)]
pub(crate) struct Step {
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

/// Carries out a confirmation that makes a link, if the lease is held and both records are free.
pub(super) async fn linking(txn: &mut Txn, step: &Step) -> Result<(), Stop<JournalError>> {
    let Some(LinkUpdate::Insert(link)) = &step.confirmation.link else {
        let reason = "a confirmation without a new link went the way of those that have one";
        return Err(StoreError::Unavailable(reason.to_owned()).into());
    };
    write::lock_records(txn, &write::records_of(std::slice::from_ref(link))).await?;
    let settled = settle(txn, std::slice::from_ref(step)).await?;
    let accepted = settled
        .into_iter()
        .map(|settled| Ok((step, settled?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Stop::Refused)?;
    insert(txn, step.lease, link, step.now).await?;
    learn(txn, &accepted).await?;
    Ok(())
}

/// Carries out confirmations that make no link: each whose lease is held and whose link is as the plan
/// saw it. One that is refused changes nothing, and keeps none of the others from theirs.
pub(crate) fn confirm_all(
    pool: PgPool,
    steps: Arc<[Step]>,
) -> Boxed<'static, Result<Vec<Result<(), JournalError>>, StoreError>> {
    Box::pin(
        async move { txn::write(&pool, steps, |txn, steps| Box::pin(confirm(txn, steps))).await },
    )
}

async fn confirm(txn: &mut Txn, steps: &[Step]) -> Result<Vec<Result<(), JournalError>>, Failed> {
    let mut answers = Vec::with_capacity(steps.len());
    let mut accepted = Vec::with_capacity(steps.len());
    for (step, settled) in steps.iter().zip(settle(txn, steps).await?) {
        answers.push(match settled {
            Ok(settled) => {
                accepted.push((step, settled));
                Ok(())
            }
            Err(refusal) => Err(refusal),
        });
    }
    move_waiting(txn, &accepted).await?;
    learn(txn, &accepted).await?;
    Ok(answers)
}

/// Moves the jobs of records that their links did not have before.
async fn move_waiting(txn: &mut Txn, accepted: &[(&Step, Settled)]) -> Result<(), Failed> {
    let mut moves = Vec::new();
    for (step, settled) in accepted {
        if let Some(LinkUpdate::Update {
            id, a, b, state, ..
        }) = &step.confirmation.link
            && *state == LinkState::Active
            && [&a.id, &b.id] != settled.old.each_ref()
        {
            moves.extend(write::moves(&step.sync, *id, a, b));
        }
    }
    write::move_waiting(txn, &moves, now(accepted)).await
}

/// The index, the questions and the jobs, once intents and links are settled.
async fn learn(txn: &mut Txn, accepted: &[(&Step, Settled)]) -> Result<(), Failed> {
    let now = now(accepted);
    let (mut gone, mut seen) = (BySync::default(), BySync::default());
    let (mut used, mut moot) = (Vec::new(), Vec::new());
    let (mut questions, mut ended) = (Vec::new(), Vec::new());
    for (step, settled) in accepted {
        let confirmation = &step.confirmation;
        changes::count_conflicts(&mut txn.tally, &confirmation.changes);
        let gone = gone.entry(&step.sync).or_default();
        gone.extend(settled.deleted.iter().cloned());
        if let Some(LinkUpdate::Update { a, b, .. }) = &confirmation.link {
            gone.extend(left([a, b], &settled.old));
        }
        let seen = seen.entry(&step.sync).or_default();
        seen.extend(confirmation.seen.iter().cloned());
        used.extend(confirmation.used_rulings.iter().copied());
        moot.extend(confirmation.moot.iter().copied());
        questions.extend(confirmation.conflicts.iter().cloned());
        ended.extend(
            confirmation
                .outcome
                .iter()
                .map(|outcome| (step.lease, outcome.clone())),
        );
    }
    for (sync, gone) in gone {
        index::forget(txn, sync, &gone).await?;
    }
    for (sync, seen) in seen {
        index::see(txn, sync, &seen).await?;
    }
    conflicts::close(txn, &used, now).await?;
    conflicts::close_moot(txn, &moot, now).await?;
    conflicts::open(txn, &questions, now).await?;
    finish_held(txn, &ended, now).await.map(|_held| ())
}

type BySync<'s, T> = BTreeMap<&'s SyncName, Vec<(Side, T)>>;

/// The time of the last of them: they were gathered within moments.
fn now(accepted: &[(&Step, Settled)]) -> Timestamp {
    let times = accepted.iter().map(|(step, _)| step.now);
    times.max().unwrap_or_default()
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
    sends: Option<u32>,
}

fn verdict_row(verdict: &IntentVerdict) -> VerdictRow<'_> {
    VerdictRow {
        id: verdict.intent.to_string(),
        state: verdict.state,
        target: verdict.target.as_ref().map(RecordId::as_str),
        error: verdict.error.as_deref(),
        sends: verdict.sends,
    }
}

/// A confirmation as a statement takes it.
#[derive(Serialize)]
struct StepRow<'a> {
    place: usize,
    job: JobId,
    token: LeaseToken,
    link: Option<LinkId>,
    revision: Option<i64>,
    #[serde(flatten)]
    new: Option<NewState<'a>>,
    now: i64,
}

fn step_row(place: usize, step: &Step) -> Result<StepRow<'_>, StoreError> {
    let mut row = StepRow {
        place,
        job: step.lease.job,
        token: step.lease.token,
        link: None,
        revision: None,
        new: None,
        now: step.now.as_micros(),
    };
    if let Some(LinkUpdate::Update {
        id,
        expected_revision,
        a,
        b,
        base,
        state,
    }) = &step.confirmation.link
    {
        row.link = Some(*id);
        row.revision = Some(*expected_revision);
        row.new = Some(NewState {
            sides: Sides::new(a, b)?,
            state: *state,
            base: sql::json("base", base)?,
        });
    }
    Ok(row)
}

/// What belongs to the confirmation at a place.
#[derive(Serialize)]
struct At<T> {
    place: usize,
    #[serde(flatten)]
    row: T,
}

fn at<T>(place: usize) -> impl Fn(T) -> At<T> {
    move |row| At { place, row }
}

/// Under the leases: settles intents, replaces what is known of the links, and logs. The answers are in
/// the order of the steps.
async fn settle(
    txn: &mut Txn,
    steps: &[Step],
) -> Result<Vec<Result<Settled, JournalError>>, Failed> {
    let mut leased = Vec::with_capacity(steps.len());
    let (mut verdicts, mut logged) = (Vec::new(), Vec::new());
    for (place, step) in steps.iter().enumerate() {
        leased.push(step_row(place, step)?);
        let of_step = step.confirmation.verdicts.iter().map(verdict_row);
        verdicts.extend(of_step.map(at(place)));
        let of_step = changes::rows(&step.confirmation.changes)?;
        logged.extend(of_step.into_iter().map(at(place)));
    }
    // In the order in which their jobs are locked.
    leased.sort_by_key(|row| row.job);
    let statement = sqlx::query(CONFIRM)
        .bind(sql::json("step", &leased)?)
        .bind(sql::json("verdict", &verdicts)?)
        .bind(sql::json("change", &logged)?);
    // There is a row for each lease that is held.
    let lost = |_step| Err(JournalError::LeaseLost);
    let mut answers: Vec<_> = steps.iter().map(lost).collect();
    for row in txn.all(statement).await? {
        let place = usize::try_from(rows::count(&row, "place")?).unwrap_or(usize::MAX);
        let Some(answer) = answers.get_mut(place) else {
            continue;
        };
        *answer = if rows::get(&row, "accepted")? {
            Ok(settled(txn, &row)?)
        } else {
            Err(JournalError::Superseded)
        };
    }
    Ok(answers)
}

fn settled(txn: &mut Txn, row: &PgRow) -> Result<Settled, StoreError> {
    let settled: Vec<SettledIntent> = rows::document(row, "settled")?;
    Ok(Settled {
        old: [
            rows::record_opt(row, "a_id")?,
            rows::record_opt(row, "b_id")?,
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

/// Four steps under the locks of the jobs, each of which does nothing where nothing is given. A link whose
/// new record is linked elsewhere is not replaced; one that is being linked elsewhere at this moment
/// meets a unique index, and the transaction is run again.
const CONFIRM: &str = "-- confirm
WITH steps AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS s (
        place bigint, job text, token text, link text, revision bigint,
        a_id text, a_version text, a_checksum text, a_updated_at bigint, a_memory text,
        b_id text, b_version text, b_checksum text, b_updated_at bigint, b_memory text,
        filtered boolean, state text, base text, now bigint)),
held AS MATERIALIZED (
    SELECT s.* FROM steps s
    CROSS JOIN LATERAL (
        SELECT FROM jobs j WHERE j.id = s.job AND j.lease_token = s.token FOR NO KEY UPDATE) j),
replaced AS (
    UPDATE links l SET
        a_id = n.a_id, a_version = n.a_version, a_checksum = n.a_checksum,
        a_updated_at = n.a_updated_at, a_memory = n.a_memory,
        b_id = n.b_id, b_version = n.b_version, b_checksum = n.b_checksum,
        b_updated_at = n.b_updated_at, b_memory = n.b_memory,
        filtered = n.filtered, state = n.state, base = n.base, revision = l.revision + 1, updated_at = n.now
    FROM held n
    CROSS JOIN LATERAL (SELECT o.a_id, o.b_id FROM links o WHERE o.id = n.link OFFSET 0) o
    WHERE l.id = n.link AND l.revision = n.revision
      AND (n.state <> 'active' OR NOT EXISTS (
          SELECT FROM links x WHERE x.state = 'active' AND x.sync = l.sync AND x.a_id = n.a_id AND x.id <> n.link)
        AND NOT EXISTS (
          SELECT FROM links x WHERE x.state = 'active' AND x.sync = l.sync AND x.b_id = n.b_id AND x.id <> n.link))
    RETURNING n.place, o.a_id, o.b_id),
accepted AS MATERIALIZED (
    SELECT h.place FROM held h
    WHERE h.link IS NULL OR h.place IN (SELECT r.place FROM replaced r)),
settled AS (
    UPDATE intents i SET state = v.state, target = coalesce(v.target, i.target),
                         error = coalesce(v.error, i.error)
    FROM json_to_recordset($2::json) AS v (
        place bigint, id text, state text, target text, error text, sends bigint)
    WHERE i.id = v.id AND i.state IN ('planned', 'sent', 'unknown') AND i.sends = coalesce(v.sends, i.sends)
      AND v.place IN (SELECT a.place FROM accepted a)
    RETURNING v.place, i.sync, i.side, i.op, i.state, i.target),
logged AS (
    INSERT INTO changes (id, sync, link, a, b, operation, written, intent, cause, job, run, outcome,
                         error, duration_ms, at, fields)
    SELECT c.id, c.sync, c.link, c.a, c.b, c.operation, c.written, c.intent, c.cause, c.job, c.run, c.outcome,
           c.error, c.duration_ms, c.at, c.fields
    FROM json_to_recordset($3::json) AS c (
        place bigint, id text, sync text, link text, a text, b text, operation text, written text, intent text,
        cause text, job text, run text, outcome text, error text, duration_ms bigint, at bigint,
        fields text)
    WHERE c.place IN (SELECT a.place FROM accepted a))
SELECT h.place, h.place IN (SELECT a.place FROM accepted a) AS accepted, r.a_id, r.b_id,
       coalesce((SELECT json_agg(s) FROM settled s WHERE s.place = h.place)::text, '[]') AS settled
FROM held h LEFT JOIN replaced r ON r.place = h.place";
