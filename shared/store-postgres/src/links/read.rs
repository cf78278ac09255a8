//! Looking at links, and all that is known of one record.

use std::sync::Arc;

use serde::Serialize;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_domain::{ConflictId, JobId, LinkId, RecordId, Side, SyncName};
use tandem_store::{
    ConflictState, Earlier, Link, LinkStanding, OpenField, PairContext, QuestionKind, Resolution,
    Ruling, StoreError, WaitingCause,
};

use super::row;
use crate::txn::Boxed;
use crate::{alone, rows, sql};

/// A record that is asked about.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(super) sync: SyncName,
    pub(super) side: Side,
    pub(super) record: RecordId,
}

/// What is known of records, in one statement a side: so all that is known of one is of one moment.
pub(crate) fn pairs(
    pool: PgPool,
    asked: Arc<[Asked]>,
) -> Boxed<'static, Result<Vec<PairContext>, StoreError>> {
    Box::pin(async move {
        let mut known: Vec<PairContext> = asked.iter().map(|_| PairContext::default()).collect();
        for side in Side::BOTH {
            of_side(&pool, side, &asked, &mut known).await?;
        }
        Ok(known)
    })
}

#[derive(Serialize)]
struct AskedRow<'a> {
    place: usize,
    sync: &'a str,
    record: &'a str,
}

async fn of_side(
    pool: &PgPool,
    side: Side,
    asked: &[Asked],
    known: &mut [PairContext],
) -> Result<(), StoreError> {
    let rows: Vec<AskedRow<'_>> = asked
        .iter()
        .enumerate()
        .filter(|(_, asked)| asked.side == side)
        .map(|(place, asked)| AskedRow {
            place,
            sync: asked.sync.as_str(),
            record: asked.record.as_str(),
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let args = (side, sql::json("record", &rows)?);
    let found = alone::verb(pool, &args, |(side, records)| {
        let statement = match side {
            Side::A => sqlx::query(PAIRS_OF_A),
            Side::B => sqlx::query(PAIRS_OF_B),
        };
        statement.bind(records)
    });
    for row in found.await? {
        let place = usize::try_from(rows::count(&row, "place")?).unwrap_or(usize::MAX);
        if let Some(known) = known.get_mut(place) {
            *known = context(&row)?;
        }
    }
    Ok(())
}

/// `UNION` drops the create, or the question, that is found both ways.
const PAIRS_OF_A: &str = "-- pairs_of_a
SELECT g.place, l.*,
       (SELECT coalesce(json_agg(i ORDER BY i.created_at, i.id)::text, '[]') FROM (
            SELECT * FROM intents WHERE link = l.id AND state IN ('planned', 'sent', 'unknown')
            UNION
            SELECT * FROM intents
            WHERE sync = g.sync AND side = 'b' AND source = g.record AND op = 'create'
              AND state IN ('planned', 'sent', 'unknown')) i) AS intents,
       coalesce((SELECT ignored FROM records
                 WHERE sync = g.sync AND side = 'a' AND id = g.record), false) AS ignored,
       (SELECT coalesce(json_agg(json_build_array(q.id, q.kind::json ->> 'kind', q.field, q.state,
                                                   q.resolution::json, q.kind::json -> 'again')
                                 ORDER BY q.id)::text, '[]') FROM (
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE link = l.id AND state IN ('open', 'answered')
            UNION
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE sync = g.sync AND side = 'a' AND record = g.record
              AND state IN ('open', 'answered')) q
       ) AS questions,
       (SELECT json_build_array(j.id, j.merged)::text FROM jobs j
        WHERE j.state = 'available' AND j.lane = l.id) AS waiting
FROM json_to_recordset($1::json) AS g (place bigint, sync text, record text)
LEFT JOIN LATERAL (
    SELECT * FROM links WHERE id = coalesce(
        (SELECT id FROM links WHERE state = 'active' AND sync = g.sync AND a_id = g.record),
        (SELECT max(id) FROM links WHERE state = 'retired' AND sync = g.sync AND a_id = g.record))
    OFFSET 0) l ON true";

const PAIRS_OF_B: &str = "-- pairs_of_b
SELECT g.place, l.*,
       (SELECT coalesce(json_agg(i ORDER BY i.created_at, i.id)::text, '[]') FROM (
            SELECT * FROM intents WHERE link = l.id AND state IN ('planned', 'sent', 'unknown')
            UNION
            SELECT * FROM intents
            WHERE sync = g.sync AND side = 'a' AND source = g.record AND op = 'create'
              AND state IN ('planned', 'sent', 'unknown')) i) AS intents,
       coalesce((SELECT ignored FROM records
                 WHERE sync = g.sync AND side = 'b' AND id = g.record), false) AS ignored,
       (SELECT coalesce(json_agg(json_build_array(q.id, q.kind::json ->> 'kind', q.field, q.state,
                                                   q.resolution::json, q.kind::json -> 'again')
                                 ORDER BY q.id)::text, '[]') FROM (
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE link = l.id AND state IN ('open', 'answered')
            UNION
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE sync = g.sync AND side = 'b' AND record = g.record
              AND state IN ('open', 'answered')) q
       ) AS questions,
       (SELECT json_build_array(j.id, j.merged)::text FROM jobs j
        WHERE j.state = 'available' AND j.lane = l.id) AS waiting
FROM json_to_recordset($1::json) AS g (place bigint, sync text, record text)
LEFT JOIN LATERAL (
    SELECT * FROM links WHERE id = coalesce(
        (SELECT id FROM links WHERE state = 'active' AND sync = g.sync AND b_id = g.record),
        (SELECT max(id) FROM links WHERE state = 'retired' AND sync = g.sync AND b_id = g.record))
    OFFSET 0) l ON true";

/// A question as `pair` reads it: its id, what it asks, its field, where it stands, the answer, and an earlier
/// one that was not carried out.
type Question = (
    ConflictId,
    String,
    Option<String>,
    ConflictState,
    Option<Resolution>,
    Option<Earlier>,
);

fn context(row: &PgRow) -> Result<PairContext, StoreError> {
    let has_link = rows::get::<Option<&str>>(row, "id")?.is_some();
    let mut context = PairContext {
        link: has_link.then(|| row::link(row)).transpose()?,
        intents: row::intents(row)?,
        ignored: rows::get(row, "ignored")?,
        waiting: rows::document_opt::<(JobId, u32)>(row, "waiting")?
            .map(|(job, merged)| WaitingCause { job, merged }),
        ..PairContext::default()
    };
    for (conflict, asked, field, state, resolution, again) in
        rows::document::<Vec<Question>>(row, "questions")?
    {
        match (state, field, resolution) {
            (ConflictState::Open, Some(field), _) => {
                let kind = QuestionKind::of(&asked);
                context.open_fields.extend(kind.map(|kind| OpenField {
                    question: conflict,
                    kind,
                    field,
                    again,
                }));
            }
            (ConflictState::Open, None, _) if asked == "ambiguous" => context.held = Some(conflict),
            (ConflictState::Open, None, _) if asked == "doubled" => {
                context.doubled = Some(conflict);
            }
            (ConflictState::Open, None, _) if asked == "replaced" => {
                context.replaced = Some(conflict);
            }
            (ConflictState::Open, None, _) if asked == "delete_held" => {
                context.delete_held = Some(conflict);
            }
            (ConflictState::Open, None, _) if asked == "not_deleted" => {
                context.not_deleted = Some(conflict);
            }
            (ConflictState::Open, None, _) if asked == "not_made" => {
                context.not_made = Some(conflict);
            }
            (ConflictState::Open, None, _) if asked == "back_and_forth" => {
                context.back_and_forth = Some(conflict);
            }
            (ConflictState::Open, None, _) => {}
            (ConflictState::Answered, field, Some(resolution)) => context.rulings.push(Ruling {
                conflict,
                asked,
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
    alone::verb(pool, &id, |id| sqlx::query(LINK).bind(id.to_string()))
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
    let found = alone::verb(pool, &args, |(sync, after, limit)| {
        sqlx::query(LINKS)
            .bind(sync.as_str())
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(sql::limit(*limit))
    });
    found.await?.iter().map(row::link).collect()
}

const LINKS: &str = "-- links
SELECT * FROM links WHERE sync = $1 AND id > $2 ORDER BY id LIMIT $3";

/// Links of a sync that stand so, in order of id.
pub(super) async fn links_standing(
    pool: &PgPool,
    sync: &SyncName,
    standing: LinkStanding,
    after: Option<LinkId>,
    limit: usize,
) -> Result<Vec<Link>, StoreError> {
    let args = (sync, standing, after, limit);
    let found = alone::verb(pool, &args, |(sync, standing, after, limit)| {
        let text = match standing {
            LinkStanding::Active => ACTIVE,
            LinkStanding::Filtered => FILTERED,
            LinkStanding::LeftAlone => LEFT_ALONE,
            LinkStanding::Retired => RETIRED,
        };
        sqlx::query(text)
            .bind(sync.as_str())
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(sql::limit(*limit))
    });
    found.await?.iter().map(row::link).collect()
}

/// The memory says which pairs a filter leaves out; the column beside it only finds them. A worker of before it had a
/// column writes the memory alone.
const ACTIVE: &str = "-- active_links
SELECT * FROM links l WHERE l.sync = $1 AND l.id > $2 AND l.state = 'active'
  AND NOT (l.filtered
    AND coalesce(l.a_memory::json ->> 'filtered', l.b_memory::json ->> 'filtered') IS NOT NULL)
  AND (SELECT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id LIMIT 1) IS NOT TRUE
  AND (SELECT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id LIMIT 1) IS NOT TRUE
ORDER BY l.id LIMIT $3";

const FILTERED: &str = "-- filtered_links
SELECT * FROM links l WHERE l.sync = $1 AND l.id > $2 AND l.filtered AND l.state = 'active'
  AND coalesce(l.a_memory::json ->> 'filtered', l.b_memory::json ->> 'filtered') IS NOT NULL
  AND (SELECT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id LIMIT 1) IS NOT TRUE
  AND (SELECT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id LIMIT 1) IS NOT TRUE
ORDER BY l.id LIMIT $3";

const RETIRED: &str = "-- retired_links
SELECT * FROM links l WHERE l.sync = $1 AND l.id > $2 AND l.state = 'retired' AND NOT (l.kept_apart AND (
    (SELECT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id LIMIT 1) IS TRUE
    OR (SELECT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id LIMIT 1) IS TRUE))
ORDER BY l.id LIMIT $3";

/// From the records that are left alone, which are few, to their links.
const LEFT_ALONE: &str = "-- left_alone_links
WITH alone AS MATERIALIZED (
    SELECT r.side, r.id FROM records r WHERE r.sync = $1 AND r.ignored),
named AS MATERIALIZED (
    SELECT o.id FROM alone r CROSS JOIN LATERAL (
        SELECT l.id FROM links l
        WHERE r.side = 'a' AND l.state = 'active' AND l.sync = $1 AND l.a_id = r.id OFFSET 0) o
    UNION SELECT o.id FROM alone r CROSS JOIN LATERAL (
        SELECT l.id FROM links l
        WHERE r.side = 'b' AND l.state = 'active' AND l.sync = $1 AND l.b_id = r.id OFFSET 0) o
    UNION SELECT o.id FROM alone r CROSS JOIN LATERAL (
        SELECT l.id FROM links l
        WHERE r.side = 'a' AND l.state = 'retired' AND l.sync = $1 AND l.a_id = r.id AND l.kept_apart OFFSET 0) o
    UNION SELECT o.id FROM alone r CROSS JOIN LATERAL (
        SELECT l.id FROM links l
        WHERE r.side = 'b' AND l.state = 'retired' AND l.sync = $1 AND l.b_id = r.id AND l.kept_apart OFFSET 0) o),
page AS MATERIALIZED (SELECT id FROM named WHERE id > $2 ORDER BY id LIMIT $3)
SELECT l.* FROM page p CROSS JOIN LATERAL (SELECT * FROM links WHERE id = p.id OFFSET 0) l ORDER BY l.id";

/// How many active links a sync has.
pub(super) async fn link_count(pool: &PgPool, sync: &SyncName) -> Result<u64, StoreError> {
    const COUNT: &str = "-- link_count
SELECT count(*) AS links FROM links WHERE sync = $1 AND state = 'active'";
    alone::verb(pool, &sync, |sync| sqlx::query(COUNT).bind(sync.as_str()))
        .await?
        .first()
        .map_or(Ok(0), |row| rows::count(row, "links"))
}

/// How many records of a side have lost their partner, and are not left alone by a person.
pub(super) async fn partnerless_count(
    pool: &PgPool,
    sync: &SyncName,
    side: Side,
) -> Result<u64, StoreError> {
    alone::verb(pool, &(sync, side), |(sync, side)| {
        let text = match side {
            Side::A => PARTNERLESS_A,
            Side::B => PARTNERLESS_B,
        };
        sqlx::query(text).bind(sync.as_str())
    })
    .await?
    .first()
    .map_or(Ok(0), |row| rows::count(row, "records"))
}

/// The memory says which record it was that was gone, and, of a pair that has ended, which one we deleted.
const PARTNERLESS_A: &str = "-- count_partnerless_a
SELECT count(DISTINCT l.a_id) AS records FROM links l
WHERE l.sync = $1 AND l.state = 'retired' AND coalesce(l.a_memory::json ->> 'doubt', l.a_memory::json ->> 'own_write') IS NULL
  AND (SELECT NOT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id LIMIT 1)
  AND (SELECT o.id FROM links o WHERE o.sync = l.sync AND o.a_id = l.a_id AND o.state = 'active' LIMIT 1) IS NULL";

const PARTNERLESS_B: &str = "-- count_partnerless_b
SELECT count(DISTINCT l.b_id) AS records FROM links l
WHERE l.sync = $1 AND l.state = 'retired' AND coalesce(l.b_memory::json ->> 'doubt', l.b_memory::json ->> 'own_write') IS NULL
  AND (SELECT NOT r.ignored FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id LIMIT 1)
  AND (SELECT o.id FROM links o WHERE o.sync = l.sync AND o.b_id = l.b_id AND o.state = 'active' LIMIT 1) IS NULL";
