//! Writing down what is about to be sent.
//!
//! A write to a linked pair is excluded by the locks of its job and its link, so it is one statement.
//! A create is also excluded by the lock of its source, which whoever links that record takes too
//! (`write::lock_records`): either the create finds the link, or the linking finds the create.

use std::sync::Arc;

use serde::Serialize;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_domain::{IntentId, JobId, LeaseToken, LinkId, RecordId, Timestamp};
use tandem_store::{
    Causes, Intent, IntentOp, IntentState, JournalError, Lane, Lease, LinkSeen, StoreError,
};

use super::write;
use crate::sql::Failed;
use crate::txn::{self, Boxed, Stop, Txn};
use crate::{alone, rows, sql};

#[derive(Serialize)]
struct IntentRow<'a> {
    id: String,
    sync: &'a str,
    link: Option<String>,
    side: &'static str,
    /// The side that the source is on.
    from_side: &'static str,
    op: IntentOp,
    source: Option<&'a str>,
    target: Option<&'a str>,
    fields: String,
    match_key: Option<std::borrow::Cow<'a, str>>,
    expected_version: Option<&'a str>,
    state: IntentState,
    sends: i64,
    sent_at: Option<i64>,
    decided: Option<String>,
}

/// What is to be journalled, and what the plan saw.
#[derive(Clone)]
pub(crate) struct Entry {
    lease: Lease,
    link: Option<LinkSeen>,
    intents: Vec<Intent>,
    now: Timestamp,
}

impl Entry {
    /// These intents, planned for a link as it was at a revision, or for no link.
    pub(super) const fn new(
        lease: Lease,
        link: Option<LinkSeen>,
        intents: Vec<Intent>,
        now: Timestamp,
    ) -> Self {
        Self {
            lease,
            link,
            intents,
            now,
        }
    }

    /// Whether the intents only write to records that are linked.
    pub(super) fn is_linked(&self) -> bool {
        let is_create = |intent: &Intent| intent.op == IntentOp::Create;
        self.link.is_some() && !self.intents.iter().any(is_create)
    }

    fn watched(&self) -> Option<Lane> {
        self.link.and_then(|link| match link.causes {
            Causes::Any => None,
            Causes::Only(_) => Some(Lane::of_link(link.id)),
        })
    }

    fn seen(&self) -> Option<String> {
        self.link.and_then(|link| match link.causes {
            Causes::Any | Causes::Only(None) => None,
            Causes::Only(Some(seen)) => Some(format!("{}/{}", seen.job, seen.merged)),
        })
    }

    fn rows(&self) -> impl Iterator<Item = Result<IntentRow<'_>, StoreError>> {
        let numbered = self.intents.iter().enumerate();
        numbered.map(|(number, intent)| intent_row(intent, number == 0, self.now))
    }
}

/// Journals intents that make a record, the first as sent.
pub(super) async fn journal(
    pool: &PgPool,
    entry: Entry,
) -> Result<Result<(), JournalError>, StoreError> {
    txn::decide(pool, entry, |txn, entry| Box::pin(in_turn(txn, entry))).await
}

/// Journals the intents of several jobs, the first of each as sent: each job's whose lease is held and
/// whose link is as the plan saw it.
pub(crate) fn journal_linked(
    pool: PgPool,
    entries: Arc<[Entry]>,
) -> Boxed<'static, Result<Vec<Result<(), JournalError>>, StoreError>> {
    Box::pin(async move { linked(&pool, &entries).await })
}

/// Who journals, and what the plan saw.
#[derive(Serialize)]
struct EntryRow {
    place: usize,
    job: JobId,
    token: LeaseToken,
    link: Option<LinkId>,
    revision: Option<i64>,
    /// The lane in which nothing newer may wait.
    watched: Option<Lane>,
    /// What waited there before: job and merged causes.
    seen: Option<String>,
    now: i64,
}

/// An intent of the entry at a place.
#[derive(Serialize)]
struct Placed<'a> {
    place: usize,
    #[serde(flatten)]
    intent: IntentRow<'a>,
}

async fn linked(
    pool: &PgPool,
    entries: &[Entry],
) -> Result<Vec<Result<(), JournalError>>, StoreError> {
    let mut leased = Vec::with_capacity(entries.len());
    let mut intents = Vec::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        leased.push(EntryRow {
            place,
            job: entry.lease.job,
            token: entry.lease.token,
            link: entry.link.map(|link| link.id),
            revision: entry.link.map(|link| link.revision),
            watched: entry.watched(),
            seen: entry.seen(),
            now: entry.now.as_micros(),
        });
        for intent in entry.rows() {
            let intent = intent?;
            intents.push(Placed { place, intent });
        }
    }
    // In the order in which their jobs are locked.
    leased.sort_by_key(|row| row.job);
    let args = (sql::json("entry", &leased)?, sql::json("intent", &intents)?);
    let found = alone::verb(pool, &args, |(leased, intents)| {
        sqlx::query(JOURNAL_LINKED).bind(leased).bind(intents)
    });
    // There is a row for each lease that is held.
    let lost = |_entry| Err(JournalError::LeaseLost);
    let mut answers: Vec<_> = entries.iter().map(lost).collect();
    for row in found.await? {
        let place = usize::try_from(rows::count(&row, "place")?).unwrap_or(usize::MAX);
        if let Some(answer) = answers.get_mut(place) {
            *answer = if rows::get(&row, "newer")? {
                Err(JournalError::NewerCause)
            } else if rows::get(&row, "fits")? {
                Ok(())
            } else {
                Err(JournalError::Superseded)
            };
        }
    }
    Ok(answers)
}

/// An intent that is journalled already (the answer to the first call was lost) is not in its own way, and
/// nothing else can be: the locks of job and link exclude it.
const JOURNAL_LINKED: &str = "-- journal_linked
WITH entries AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS e (
        place bigint, job text, token text, link text, revision bigint,
        watched text, seen text, now bigint)),
held AS MATERIALIZED (
    SELECT e.*, EXISTS (SELECT FROM jobs w WHERE w.state = 'available' AND w.lane = e.watched
                        AND w.id || '/' || w.merged IS DISTINCT FROM e.seen) AS newer
    FROM entries e
    CROSS JOIN LATERAL (
        SELECT FROM jobs j WHERE j.id = e.job AND j.lease_token = e.token FOR NO KEY UPDATE) j),
fitting AS MATERIALIZED (
    SELECT h.* FROM held h
    CROSS JOIN LATERAL (
        SELECT FROM links l WHERE l.id = h.link AND l.revision = h.revision FOR NO KEY UPDATE) l
    WHERE NOT h.newer),
stored AS (
    INSERT INTO intents (id, sync, link, side, op, source, target, match_key, expected_version,
                         state, sends, job, created_at, sent_at, fields, decided)
    SELECT g.id, g.sync, g.link, g.side, g.op, g.source, g.target, g.match_key, g.expected_version,
           g.state, g.sends, f.job, f.now, g.sent_at, g.fields, g.decided
    FROM json_to_recordset($2::json) AS g (
        place bigint, id text, sync text, link text, side text, op text, source text, target text,
        match_key text, expected_version text, state text, sends bigint, sent_at bigint, fields text, decided text)
    JOIN fitting f ON f.place = g.place
    ON CONFLICT DO NOTHING)
SELECT h.place, h.newer, h.place IN (SELECT f.place FROM fitting f) AS fits FROM held h";

fn source(intent: &Intent) -> Option<Lane> {
    let source = intent.source.as_ref()?;
    Some(Lane::of_record(&intent.sync, intent.side.other(), source))
}

fn intent_row(intent: &Intent, first: bool, now: Timestamp) -> Result<IntentRow<'_>, StoreError> {
    Ok(IntentRow {
        id: intent.id.to_string(),
        sync: intent.sync.as_str(),
        link: intent.link.map(|link| link.to_string()),
        side: intent.side.as_str(),
        from_side: intent.side.other().as_str(),
        op: intent.op,
        source: intent.source.as_ref().map(RecordId::as_str),
        target: intent.target.as_ref().map(RecordId::as_str),
        fields: sql::json("intent", &intent.fields)?,
        match_key: intent.match_key.as_deref().map(sql::key),
        expected_version: intent.expected_version.as_deref(),
        state: if first {
            IntentState::Sent
        } else {
            IntentState::Planned
        },
        sends: i64::from(first),
        sent_at: first.then(|| now.as_micros()),
        decided: (!intent.decided.is_empty())
            .then(|| sql::json("intent", &intent.decided))
            .transpose()?,
    })
}

/// Journals creates. Those that another transaction was quicker with are left out by their unique
/// indexes; then the answer is found by running again.
async fn in_turn(txn: &mut Txn, entry: &Entry) -> Result<(), Stop<JournalError>> {
    if entry.link.is_none() {
        let sources: Vec<Lane> = entry.intents.iter().filter_map(source).collect();
        write::lock_records(txn, &sources).await?;
    }
    if let Some(lane) = entry.watched() {
        let statement = sqlx::query(WAITS_IN_LANE).bind(lane.as_str().to_owned());
        let waits: Option<String> = rows::get(&txn.one(statement).await?, "waits")?;
        if waits.is_some() && waits != entry.seen() {
            return Err(Stop::Refused(JournalError::NewerCause));
        }
    }
    let intents = entry.rows().collect::<Result<Vec<_>, _>>()?;
    let statement = sqlx::query(JOURNAL)
        .bind(sql::json("intent", &intents)?)
        .bind(entry.lease.job.to_string())
        .bind(entry.lease.token.to_string())
        .bind(entry.link.map(|link| link.id.to_string()))
        .bind(entry.link.map(|link| link.revision))
        .bind(entry.now.as_micros());
    let row = txn.one(statement).await?;
    judge(&row)?.map_err(Stop::Refused)?;
    if !rows::get::<bool>(&row, "stored")? {
        let reason = "another create was journalled at the same time".to_owned();
        return Err(Failed::Raced(reason).into());
    }
    Ok(())
}

const WAITS_IN_LANE: &str = "-- waits_in_lane
SELECT (SELECT id || '/' || merged FROM jobs WHERE state = 'available' AND lane = $1) AS waits";

fn judge(row: &PgRow) -> Result<Result<(), JournalError>, StoreError> {
    if !rows::get::<bool>(row, "held")? {
        return Ok(Err(JournalError::LeaseLost));
    }
    if !rows::get::<bool>(row, "fits")? || rows::get::<bool>(row, "source_busy")? {
        return Ok(Err(JournalError::Superseded));
    }
    if rows::get::<bool>(row, "key_busy")? {
        return Ok(Err(JournalError::KeyBusy));
    }
    Ok(Ok(()))
}

/// An intent that is journalled already (the answer to the first call was lost) is not in its own way.
const JOURNAL: &str = "-- journal
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS g (
        id text, sync text, link text, side text, from_side text, op text, source text, target text,
        match_key text, expected_version text, state text, sends bigint, sent_at bigint, fields text, decided text)),
held AS MATERIALIZED (
    SELECT id FROM jobs WHERE id = $2 AND lease_token = $3 FOR NO KEY UPDATE),
seen AS MATERIALIZED (
    SELECT l.id FROM held, links l WHERE l.id = $4 AND l.revision = $5 FOR NO KEY UPDATE OF l),
answer AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM held) AS held,
           CASE WHEN $4 IS NOT NULL THEN EXISTS (SELECT FROM seen)
           ELSE NOT EXISTS (SELECT FROM given g WHERE g.from_side = 'a' AND (
                                SELECT l.id FROM links l WHERE l.state = 'active'
                                    AND l.sync = g.sync AND l.a_id = g.source) IS NOT NULL)
               AND NOT EXISTS (SELECT FROM given g WHERE g.from_side = 'b' AND (
                                   SELECT l.id FROM links l WHERE l.state = 'active'
                                       AND l.sync = g.sync AND l.b_id = g.source) IS NOT NULL)
           END AS fits,
           EXISTS (SELECT FROM given g JOIN intents i
                   ON i.sync = g.sync AND i.side = g.side AND i.source = g.source
                      AND i.op = 'create' AND i.state IN ('planned', 'sent', 'unknown')
                   WHERE g.op = 'create' AND i.id <> g.id) AS source_busy,
           EXISTS (SELECT FROM given g JOIN intents i
                   ON i.sync = g.sync AND i.side = g.side AND i.match_key = g.match_key
                      AND i.op = 'create' AND i.state IN ('planned', 'sent', 'unknown')
                   WHERE g.op = 'create' AND i.id <> g.id) AS key_busy),
known AS MATERIALIZED (
    SELECT i.id FROM given g JOIN intents i ON i.id = g.id),
stored AS (
    INSERT INTO intents (id, sync, link, side, op, source, target, match_key, expected_version,
                         state, sends, job, created_at, sent_at, fields, decided)
    SELECT g.id, g.sync, g.link, g.side, g.op, g.source, g.target, g.match_key, g.expected_version,
           g.state, g.sends, $2, $6, g.sent_at, g.fields, g.decided
    FROM answer a, given g
    WHERE a.held AND a.fits AND NOT a.source_busy AND NOT a.key_busy
    ON CONFLICT DO NOTHING
    RETURNING id)
SELECT a.held, a.fits, a.source_busy, a.key_busy,
       NOT EXISTS (SELECT id FROM given EXCEPT SELECT id FROM known EXCEPT SELECT id FROM stored)
           AS stored
FROM answer a";

/// Marks an intent as sent, if the lease is held and the intent is open.
pub(super) async fn mark_sent(
    pool: &PgPool,
    lease: Lease,
    intent: IntentId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let args = (lease, intent, now);
    let marked = alone::verb(pool, &args, |(lease, intent, now)| {
        sqlx::query(MARK_SENT)
            .bind(intent.to_string())
            .bind(lease.job.to_string())
            .bind(lease.token.to_string())
            .bind(now.as_micros())
    });
    Ok(!marked.await?.is_empty())
}

/// The job is locked, not only looked at: who takes it over does so before, and then nothing is marked,
/// or after, and then finds the intent sent.
const MARK_SENT: &str = "-- mark_sent
WITH held AS MATERIALIZED (
    SELECT id FROM jobs WHERE id = $2 AND lease_token = $3 FOR NO KEY UPDATE)
UPDATE intents SET state = 'sent', sends = sends + 1, sent_at = $4
FROM held
WHERE intents.id = $1 AND intents.state IN ('planned', 'sent', 'unknown')
RETURNING intents.id";
