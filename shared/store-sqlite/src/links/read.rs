//! Looking at links, and all that is known of one record.

use sqlx::sqlite::SqliteRow;
use tandem_domain::{ConflictId, JobId, LinkId, RecordId, Side, SyncName};
use tandem_store::{
    ConflictState, Earlier, Intent, Link, LinkStanding, OpenField, PairContext, QuestionKind,
    Resolution, Ruling, StoreError, WaitingCause,
};

use super::row;
use crate::watch::Readers;
use crate::{rows, sql};

/// What is known of one record. Seldom is an intent open: then one statement says all. Otherwise it is
/// asked again with the intents, in one transaction, so that all of it is of one moment.
pub(super) async fn pair(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<PairContext, StoreError> {
    let statement = || {
        let text = match side {
            Side::A => PAIR_OF_A,
            Side::B => PAIR_OF_B,
        };
        sqlx::query(text)
            .bind(sync.as_str().to_owned())
            .bind(record.as_str().to_owned())
    };
    let row = sql::one(readers, statement()).await?;
    if !rows::get::<bool>(&row, "has_intents")? {
        return context(&row);
    }
    let mut txn = readers.begin().await.map_err(sql::failed)?;
    let mut context = context(&sql::one(&mut *txn, statement()).await?)?;
    let link = context.link.as_ref().map(|link| link.id);
    context.intents = open_intents(&mut txn, sync, side, record, link).await?;
    Ok(context)
}

const PAIR_OF_A: &str = "-- pair_of_a
SELECT l.*,
       EXISTS (SELECT 1 FROM intents WHERE link = l.id AND state IN ('planned', 'sent', 'unknown'))
       OR EXISTS (SELECT 1 FROM intents WHERE sync = ?1 AND side = 'b' AND source = ?2 AND op = 'create'
                  AND state IN ('planned', 'sent', 'unknown')) AS has_intents,
       EXISTS (SELECT 1 FROM records
               WHERE sync = ?1 AND side = 'a' AND id = ?2 AND ignored = 1) AS ignored,
       (SELECT json_group_array(json_array(id, kind ->> 'kind', field, state, json(resolution), json(kind -> 'again'))) FROM (
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE link = l.id AND state IN ('open', 'answered')
            UNION
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE sync = ?1 AND side = 'a' AND record = ?2 AND state IN ('open', 'answered')
            ORDER BY 1)) AS questions,
       (SELECT json_array(id, merged) FROM jobs WHERE state = 'available' AND lane = l.id) AS waiting
FROM (SELECT 1) LEFT JOIN links l ON l.id = coalesce(
    (SELECT id FROM links WHERE state = 'active' AND sync = ?1 AND a_id = ?2),
    (SELECT max(id) FROM links WHERE state = 'retired' AND sync = ?1 AND a_id = ?2))";

const PAIR_OF_B: &str = "-- pair_of_b
SELECT l.*,
       EXISTS (SELECT 1 FROM intents WHERE link = l.id AND state IN ('planned', 'sent', 'unknown'))
       OR EXISTS (SELECT 1 FROM intents WHERE sync = ?1 AND side = 'a' AND source = ?2 AND op = 'create'
                  AND state IN ('planned', 'sent', 'unknown')) AS has_intents,
       EXISTS (SELECT 1 FROM records
               WHERE sync = ?1 AND side = 'b' AND id = ?2 AND ignored = 1) AS ignored,
       (SELECT json_group_array(json_array(id, kind ->> 'kind', field, state, json(resolution), json(kind -> 'again'))) FROM (
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE link = l.id AND state IN ('open', 'answered')
            UNION
            SELECT id, kind, field, state, resolution FROM conflicts
            WHERE sync = ?1 AND side = 'b' AND record = ?2 AND state IN ('open', 'answered')
            ORDER BY 1)) AS questions,
       (SELECT json_array(id, merged) FROM jobs WHERE state = 'available' AND lane = l.id) AS waiting
FROM (SELECT 1) LEFT JOIN links l ON l.id = coalesce(
    (SELECT id FROM links WHERE state = 'active' AND sync = ?1 AND b_id = ?2),
    (SELECT max(id) FROM links WHERE state = 'retired' AND sync = ?1 AND b_id = ?2))";

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

/// Everything but the intents.
fn context(row: &SqliteRow) -> Result<PairContext, StoreError> {
    let has_link = rows::get::<Option<&str>>(row, "id")?.is_some();
    let mut context = PairContext {
        link: has_link.then(|| row::link(row)).transpose()?,
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

async fn open_intents(
    txn: &mut sqlx::SqliteConnection,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
    link: Option<LinkId>,
) -> Result<Vec<Intent>, StoreError> {
    let statement = sqlx::query(OPEN_INTENTS)
        .bind(link.map(|id| id.to_string()))
        .bind(sync.as_str().to_owned())
        .bind(side.other().as_str())
        .bind(record.as_str().to_owned());
    sql::all(txn, statement)
        .await?
        .iter()
        .map(row::intent)
        .collect()
}

/// `UNION` drops the create that is found both ways.
const OPEN_INTENTS: &str = "-- open_intents
SELECT * FROM intents
WHERE link = ?1 AND link IS NOT NULL AND state IN ('planned', 'sent', 'unknown')
UNION
SELECT * FROM intents
WHERE sync = ?2 AND side = ?3 AND source = ?4 AND op = 'create'
  AND state IN ('planned', 'sent', 'unknown')
ORDER BY created_at, id";

/// One link.
pub(super) async fn link(readers: &Readers, id: LinkId) -> Result<Option<Link>, StoreError> {
    const LINK: &str = "-- link\nSELECT * FROM links WHERE id = ?1";
    sql::first(readers, sqlx::query(LINK).bind(id.to_string()))
        .await?
        .as_ref()
        .map(row::link)
        .transpose()
}

/// Links of a sync in order of id.
pub(super) async fn links(
    readers: &Readers,
    sync: &SyncName,
    after: Option<LinkId>,
    limit: usize,
) -> Result<Vec<Link>, StoreError> {
    let statement = sqlx::query(LINKS)
        .bind(sync.as_str().to_owned())
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(sql::limit(limit));
    sql::all(readers, statement)
        .await?
        .iter()
        .map(row::link)
        .collect()
}

const LINKS: &str = "-- links
SELECT * FROM links WHERE sync = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

/// Links of a sync that stand so, in order of id.
pub(super) async fn links_standing(
    readers: &Readers,
    sync: &SyncName,
    standing: LinkStanding,
    after: Option<LinkId>,
    limit: usize,
) -> Result<Vec<Link>, StoreError> {
    let text = match standing {
        LinkStanding::Active => ACTIVE,
        LinkStanding::Filtered => FILTERED,
        LinkStanding::LeftAlone => LEFT_ALONE,
        LinkStanding::Retired => RETIRED,
    };
    let statement = sqlx::query(text)
        .bind(sync.as_str().to_owned())
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(sql::limit(limit));
    sql::all(readers, statement)
        .await?
        .iter()
        .map(row::link)
        .collect()
}

/// The memory says which pairs a filter leaves out; the column beside it only finds them. A worker of before it had a
/// column writes the memory alone.
const ACTIVE: &str = "-- active_links
SELECT * FROM links l WHERE l.sync = ?1 AND l.id > ?2 AND l.state = 'active'
  AND NOT (l.filtered AND coalesce(l.a_memory ->> '$.filtered', l.b_memory ->> '$.filtered') IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id AND r.ignored)
  AND NOT EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id AND r.ignored)
ORDER BY l.id LIMIT ?3";

const FILTERED: &str = "-- filtered_links
SELECT * FROM links l INDEXED BY links_filtered
WHERE l.sync = ?1 AND l.id > ?2 AND l.filtered AND l.state = 'active'
  AND coalesce(l.a_memory ->> '$.filtered', l.b_memory ->> '$.filtered') IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id AND r.ignored)
  AND NOT EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id AND r.ignored)
ORDER BY l.id LIMIT ?3";

const RETIRED: &str = "-- retired_links
SELECT * FROM links l INDEXED BY links_sync
WHERE l.sync = ?1 AND l.id > ?2 AND l.state = 'retired' AND NOT (l.kept_apart AND (
    EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id AND r.ignored)
    OR EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id AND r.ignored)))
ORDER BY l.id LIMIT ?3";

/// From the records that are left alone, which are few, to their links.
const LEFT_ALONE: &str = "-- left_alone_links
SELECT * FROM links l WHERE l.sync = ?1 AND l.id > ?2 AND l.id IN (
    SELECT o.id FROM records r INDEXED BY records_left_alone CROSS JOIN links o
        ON o.state = 'active' AND o.sync = ?1 AND o.a_id = r.id WHERE r.sync = ?1 AND r.side = 'a' AND r.ignored
    UNION
    SELECT o.id FROM records r INDEXED BY records_left_alone CROSS JOIN links o
        ON o.state = 'active' AND o.sync = ?1 AND o.b_id = r.id WHERE r.sync = ?1 AND r.side = 'b' AND r.ignored
    UNION
    SELECT o.id FROM records r INDEXED BY records_left_alone CROSS JOIN links o
        ON o.state = 'retired' AND o.sync = ?1 AND o.a_id = r.id AND o.kept_apart
    WHERE r.sync = ?1 AND r.side = 'a' AND r.ignored
    UNION
    SELECT o.id FROM records r INDEXED BY records_left_alone CROSS JOIN links o
        ON o.state = 'retired' AND o.sync = ?1 AND o.b_id = r.id AND o.kept_apart
    WHERE r.sync = ?1 AND r.side = 'b' AND r.ignored)
ORDER BY l.id LIMIT ?3";

/// How many active links a sync has.
pub(super) async fn link_count(readers: &Readers, sync: &SyncName) -> Result<u64, StoreError> {
    const COUNT: &str = "-- link_count
SELECT count(*) AS links FROM links WHERE sync = ?1 AND state = 'active'";
    let statement = sqlx::query(COUNT).bind(sync.as_str().to_owned());
    rows::count(&sql::one(readers, statement).await?, "links")
}

/// How many records of a side have lost their partner, and are not left alone by a person.
pub(super) async fn partnerless_count(
    readers: &Readers,
    sync: &SyncName,
    side: Side,
) -> Result<u64, StoreError> {
    let text = match side {
        Side::A => PARTNERLESS_A,
        Side::B => PARTNERLESS_B,
    };
    let statement = sqlx::query(text).bind(sync.as_str().to_owned());
    rows::count(&sql::one(readers, statement).await?, "records")
}

/// The memory says which record it was that was gone, and, of a pair that has ended, which one we deleted.
const PARTNERLESS_A: &str = "-- count_partnerless_a
SELECT count(DISTINCT l.a_id) AS records FROM links l INDEXED BY links_retired_a
JOIN records r ON r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id AND NOT r.ignored
WHERE l.sync = ?1 AND l.state = 'retired' AND coalesce(l.a_memory ->> '$.doubt', l.a_memory ->> '$.own_write') IS NULL
  AND NOT EXISTS (SELECT 1 FROM links o WHERE o.sync = l.sync AND o.a_id = l.a_id AND o.state = 'active')";

const PARTNERLESS_B: &str = "-- count_partnerless_b
SELECT count(DISTINCT l.b_id) AS records FROM links l INDEXED BY links_retired_b
JOIN records r ON r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id AND NOT r.ignored
WHERE l.sync = ?1 AND l.state = 'retired' AND coalesce(l.b_memory ->> '$.doubt', l.b_memory ->> '$.own_write') IS NULL
  AND NOT EXISTS (SELECT 1 FROM links o WHERE o.sync = l.sync AND o.b_id = l.b_id AND o.state = 'active')";
