//! Looking at links, and all that is known of one record.

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;
use tandem_domain::{LinkId, RecordId, Side, SyncName};
use tandem_store::{ConflictState, Intent, Link, PairContext, Ruling, StoreError};

use super::row;
use crate::{rows, sql};

/// What is known of one record.
pub(super) async fn pair(
    readers: &SqlitePool,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<PairContext, StoreError> {
    // One transaction, so that all of it is of one moment.
    let mut txn = readers.begin().await.map_err(sql::failed)?;
    let statement = match side {
        Side::A => sqlx::query(LINK_OF_A),
        Side::B => sqlx::query(LINK_OF_B),
    };
    let statement = statement
        .bind(sync.as_str().to_owned())
        .bind(record.as_str().to_owned());
    let found = sql::first(&mut *txn, statement).await?;
    let link = found.as_ref().map(row::link).transpose()?;
    let link_id = link.as_ref().map(|link| link.id);
    let intents = open_intents(&mut txn, sync, side, record, link_id).await?;
    let mut context = PairContext {
        link,
        intents,
        ..PairContext::default()
    };
    let statement = sqlx::query(QUESTIONS)
        .bind(link_id.map(|id| id.to_string()))
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(record.as_str().to_owned());
    for row in sql::all(&mut *txn, statement).await? {
        add_question(&mut context, &row)?;
    }
    Ok(context)
}

const LINK_OF_A: &str = "-- link_of_a
SELECT * FROM (
    SELECT * FROM links WHERE state = 'active' AND sync = ?1 AND a_id = ?2
    UNION ALL
    SELECT * FROM (SELECT * FROM links WHERE state = 'retired' AND sync = ?1 AND a_id = ?2
                   ORDER BY id DESC LIMIT 1))
ORDER BY state LIMIT 1";

const LINK_OF_B: &str = "-- link_of_b
SELECT * FROM (
    SELECT * FROM links WHERE state = 'active' AND sync = ?1 AND b_id = ?2
    UNION ALL
    SELECT * FROM (SELECT * FROM links WHERE state = 'retired' AND sync = ?1 AND b_id = ?2
                   ORDER BY id DESC LIMIT 1))
ORDER BY state LIMIT 1";

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

/// Unsettled questions of the link, or of the record, and whether the record is left alone.
const QUESTIONS: &str = "-- questions_of_pair
SELECT id, field, state, resolution FROM conflicts
WHERE link = ?1 AND state IN ('open', 'answered')
UNION
SELECT id, field, state, resolution FROM conflicts
WHERE sync = ?2 AND side = ?3 AND record = ?4 AND state IN ('open', 'answered')
UNION ALL
SELECT NULL, NULL, 'ignored', NULL FROM records
WHERE sync = ?2 AND side = ?3 AND id = ?4 AND ignored = 1
ORDER BY 1";

fn add_question(context: &mut PairContext, row: &SqliteRow) -> Result<(), StoreError> {
    if rows::get::<&str>(row, "state")? == "ignored" {
        context.ignored = true;
        return Ok(());
    }
    let conflict = rows::parsed(row, "id")?;
    let field: Option<String> = rows::get(row, "field")?;
    match rows::word::<ConflictState>(row, "state")? {
        ConflictState::Open => match field {
            Some(field) => context.open_conflict_fields.push(field),
            None => context.held = Some(conflict),
        },
        ConflictState::Answered => context.rulings.push(Ruling {
            conflict,
            field,
            resolution: rows::document(row, "resolution")?,
        }),
        ConflictState::Closed => {}
    }
    Ok(())
}

/// One link.
pub(super) async fn link(readers: &SqlitePool, id: LinkId) -> Result<Option<Link>, StoreError> {
    const LINK: &str = "-- link\nSELECT * FROM links WHERE id = ?1";
    sql::first(readers, sqlx::query(LINK).bind(id.to_string()))
        .await?
        .as_ref()
        .map(row::link)
        .transpose()
}

/// Links of a sync in order of id.
pub(super) async fn links(
    readers: &SqlitePool,
    sync: &SyncName,
    after: Option<LinkId>,
    limit: usize,
) -> Result<Vec<Link>, StoreError> {
    let statement = sqlx::query(LINKS)
        .bind(sync.as_str().to_owned())
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(sql::page(limit));
    sql::all(readers, statement)
        .await?
        .iter()
        .map(row::link)
        .collect()
}

const LINKS: &str = "-- links
SELECT * FROM links WHERE sync = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

/// How many active links a sync has.
pub(super) async fn link_count(readers: &SqlitePool, sync: &SyncName) -> Result<u64, StoreError> {
    const COUNT: &str = "-- link_count
SELECT count(*) AS links FROM links WHERE sync = ?1 AND state = 'active'";
    let statement = sqlx::query(COUNT).bind(sync.as_str().to_owned());
    rows::count(&sql::one(readers, statement).await?, "links")
}
