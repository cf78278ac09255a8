//! Looking at links, and all that is known of one record.

use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_domain::{ConflictId, LinkId, RecordId, Side, SyncName};
use tandem_store::{ConflictState, Link, PairContext, Resolution, Ruling, StoreError};

use super::row;
use crate::{rows, sql, txn};

/// What is known of one record, in one statement: so all of it is of one moment.
pub(super) async fn pair(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<PairContext, StoreError> {
    let args = (sync, side, record);
    let found = txn::alone(pool, &args, |(sync, side, record)| {
        let statement = match side {
            Side::A => sqlx::query(PAIR_OF_A),
            Side::B => sqlx::query(PAIR_OF_B),
        };
        statement
            .bind(sync.as_str())
            .bind(sql::plain(record.as_str()))
    });
    found
        .await?
        .first()
        .map_or_else(|| Ok(PairContext::default()), context)
}

/// `UNION` drops the create, or the question, that is found both ways.
const PAIR_OF_A: &str = "-- pair_of_a
SELECT l.*,
       (SELECT coalesce(json_agg(i ORDER BY i.created_at, i.id)::text, '[]') FROM (
            SELECT * FROM intents WHERE link = l.id AND state IN ('planned', 'sent', 'unknown')
            UNION
            SELECT * FROM intents
            WHERE sync = $1 AND side = 'b' AND source = $2 AND op = 'create'
              AND state IN ('planned', 'sent', 'unknown')) i) AS intents,
       EXISTS (SELECT FROM records
               WHERE sync = $1 AND side = 'a' AND id = $2 AND ignored) AS ignored,
       (SELECT coalesce(json_agg(json_build_array(q.id, q.field, q.state, q.resolution::json)
                                 ORDER BY q.id)::text, '[]') FROM (
            SELECT id, field, state, resolution FROM conflicts
            WHERE link = l.id AND state IN ('open', 'answered')
            UNION
            SELECT id, field, state, resolution FROM conflicts
            WHERE sync = $1 AND side = 'a' AND record = $2 AND state IN ('open', 'answered')) q
       ) AS questions
FROM (SELECT) nothing LEFT JOIN links l ON l.id = coalesce(
    (SELECT id FROM links WHERE state = 'active' AND sync = $1 AND a_id = $2),
    (SELECT max(id) FROM links WHERE state = 'retired' AND sync = $1 AND a_id = $2))";

const PAIR_OF_B: &str = "-- pair_of_b
SELECT l.*,
       (SELECT coalesce(json_agg(i ORDER BY i.created_at, i.id)::text, '[]') FROM (
            SELECT * FROM intents WHERE link = l.id AND state IN ('planned', 'sent', 'unknown')
            UNION
            SELECT * FROM intents
            WHERE sync = $1 AND side = 'a' AND source = $2 AND op = 'create'
              AND state IN ('planned', 'sent', 'unknown')) i) AS intents,
       EXISTS (SELECT FROM records
               WHERE sync = $1 AND side = 'b' AND id = $2 AND ignored) AS ignored,
       (SELECT coalesce(json_agg(json_build_array(q.id, q.field, q.state, q.resolution::json)
                                 ORDER BY q.id)::text, '[]') FROM (
            SELECT id, field, state, resolution FROM conflicts
            WHERE link = l.id AND state IN ('open', 'answered')
            UNION
            SELECT id, field, state, resolution FROM conflicts
            WHERE sync = $1 AND side = 'b' AND record = $2 AND state IN ('open', 'answered')) q
       ) AS questions
FROM (SELECT) nothing LEFT JOIN links l ON l.id = coalesce(
    (SELECT id FROM links WHERE state = 'active' AND sync = $1 AND b_id = $2),
    (SELECT max(id) FROM links WHERE state = 'retired' AND sync = $1 AND b_id = $2))";

/// A question as `pair` reads it: its id, its field, where it stands, and the answer.
type Question = (
    ConflictId,
    Option<String>,
    ConflictState,
    Option<Resolution>,
);

fn context(row: &PgRow) -> Result<PairContext, StoreError> {
    let has_link = rows::get::<Option<&str>>(row, "id")?.is_some();
    let mut context = PairContext {
        link: has_link.then(|| row::link(row)).transpose()?,
        intents: row::intents(row)?,
        ignored: rows::get(row, "ignored")?,
        ..PairContext::default()
    };
    for (conflict, field, state, resolution) in rows::document::<Vec<Question>>(row, "questions")? {
        match (state, field, resolution) {
            (ConflictState::Open, Some(field), _) => context.open_conflict_fields.push(field),
            (ConflictState::Open, None, _) => context.held = Some(conflict),
            (ConflictState::Answered, field, Some(resolution)) => context.rulings.push(Ruling {
                conflict,
                field,
                resolution,
            }),
            (ConflictState::Answered, _, None) | (ConflictState::Closed, _, _) => {}
        }
    }
    Ok(context)
}

/// One link.
pub(super) async fn link(pool: &PgPool, id: LinkId) -> Result<Option<Link>, StoreError> {
    const LINK: &str = "-- link\nSELECT * FROM links WHERE id = $1";
    txn::alone(pool, &id, |id| sqlx::query(LINK).bind(id.to_string()))
        .await?
        .first()
        .map(row::link)
        .transpose()
}

/// Links of a sync in order of id.
pub(super) async fn links(
    pool: &PgPool,
    sync: &SyncName,
    after: Option<LinkId>,
    limit: usize,
) -> Result<Vec<Link>, StoreError> {
    let args = (sync, after, limit);
    let found = txn::alone(pool, &args, |(sync, after, limit)| {
        sqlx::query(LINKS)
            .bind(sync.as_str())
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(sql::limit(*limit))
    });
    found.await?.iter().map(row::link).collect()
}

const LINKS: &str = "-- links
SELECT * FROM links WHERE sync = $1 AND id > $2 ORDER BY id LIMIT $3";

/// How many active links a sync has.
pub(super) async fn link_count(pool: &PgPool, sync: &SyncName) -> Result<u64, StoreError> {
    const COUNT: &str = "-- link_count
SELECT count(*) AS links FROM links WHERE sync = $1 AND state = 'active'";
    txn::alone(pool, &sync, |sync| sqlx::query(COUNT).bind(sync.as_str()))
        .await?
        .first()
        .map_or(Ok(0), |row| rows::count(row, "links"))
}
