//! Small looks that each job takes by itself: the question about a subject, the newest events about a record, the newest
//! changes of a pair. A full worker takes many at once, so they are gathered: one statement serves all that wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_domain::{ConnectionName, LinkId, RecordId};
use tandem_store::{Change, ChangeFilter, Conflict, Event, EventFilter, StoreError};

use crate::txn::Boxed;
use crate::{alone, changes, conflicts, events, rows, sql};

/// Whose newest events are looked at, and how many of them.
#[derive(Clone)]
pub(crate) struct OfRecord {
    connection: ConnectionName,
    record: RecordId,
    limit: usize,
}

impl OfRecord {
    /// The look that this list is, where it is one at the newest events about one record.
    pub(crate) fn of(filter: &EventFilter) -> Option<Self> {
        match filter {
            EventFilter {
                connection: Some(connection),
                state: None,
                record: Some(record),
                before: None,
                limit,
            } => Some(Self {
                connection: connection.clone(),
                record: record.clone(),
                limit: *limit,
            }),
            _ => None,
        }
    }
}

/// Whose newest changes are looked at, and how many of them.
#[derive(Clone)]
pub(crate) struct OfLink {
    link: LinkId,
    limit: usize,
}

impl OfLink {
    /// The look that this list is, where it is one at the newest changes of one pair.
    pub(crate) fn of(filter: &ChangeFilter) -> Option<Self> {
        match filter {
            ChangeFilter {
                sync: None,
                record: None,
                link: Some(link),
                operation: None,
                before: None,
                limit,
            } => Some(Self {
                link: *link,
                limit: *limit,
            }),
            _ => None,
        }
    }
}

/// The question about each of these subjects that is open or answered, if there is one.
pub(crate) fn questions_about(
    pool: PgPool,
    subjects: Arc<[String]>,
) -> Boxed<'static, Result<Vec<Option<Conflict>>, StoreError>> {
    Box::pin(async move {
        let keys: Vec<String> = subjects
            .iter()
            .map(|it| sql::key(it).into_owned())
            .collect();
        // Many ask the same of their side.
        let mut distinct = keys.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let rows = alone::all(&pool, sqlx::query(QUESTIONS).bind(distinct)).await?;
        let mut found: BTreeMap<String, Conflict> = BTreeMap::new();
        for row in &rows {
            found.insert(rows::get(row, "subject")?, conflicts::read(row)?);
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    })
}

/// The newest events about each of these records, newest first. `None` where one of them cannot be read.
pub(crate) fn events_of(
    pool: PgPool,
    asked: Arc<[OfRecord]>,
) -> Boxed<'static, Result<Vec<Option<Vec<Event>>>, StoreError>> {
    Box::pin(async move {
        let connections: Vec<&str> = asked.iter().map(|it| it.connection.as_str()).collect();
        let records: Vec<_> = asked
            .iter()
            .map(|it| sql::plain(it.record.as_str()))
            .collect();
        let limits: Vec<i64> = asked.iter().map(|it| sql::page(it.limit)).collect();
        let statement = sqlx::query(EVENTS)
            .bind(connections)
            .bind(records)
            .bind(limits);
        let rows = alone::all(&pool, statement).await?;
        by_place(asked.len(), &rows, events::read::read_event)
    })
}

/// The newest changes of each of these pairs, newest first. `None` where one of them cannot be read.
pub(crate) fn changes_of(
    pool: PgPool,
    asked: Arc<[OfLink]>,
) -> Boxed<'static, Result<Vec<Option<Vec<Change>>>, StoreError>> {
    Box::pin(async move {
        let links: Vec<String> = asked.iter().map(|it| it.link.to_string()).collect();
        let limits: Vec<i64> = asked.iter().map(|it| sql::page(it.limit)).collect();
        let rows = alone::all(&pool, sqlx::query(CHANGES).bind(links).bind(limits)).await?;
        by_place(asked.len(), &rows, changes::read)
    })
}

/// The rows of each look. One that cannot be read makes its own look unanswered, and no other.
fn by_place<T>(
    looks: usize,
    rows: &[PgRow],
    read: impl Fn(&PgRow) -> Result<T, StoreError>,
) -> Result<Vec<Option<Vec<T>>>, StoreError> {
    let mut found: Vec<Option<Vec<T>>> = (0..looks).map(|_| Some(Vec::new())).collect();
    for row in rows {
        // Places are counted from one.
        let place = usize::try_from(rows::count(row, "place")?).unwrap_or_default();
        let Some(look) = place.checked_sub(1).and_then(|place| found.get_mut(place)) else {
            continue;
        };
        match (read(row), look.as_mut()) {
            (Ok(one), Some(known)) => known.push(one),
            (Ok(_), None) => {}
            (Err(StoreError::Corrupt { .. }), _) => *look = None,
            (Err(error), _) => return Err(error),
        }
    }
    Ok(found)
}

const QUESTIONS: &str = "-- questions_about
SELECT * FROM conflicts WHERE subject = ANY ($1::text[]) AND state IN ('open', 'answered')";

const EVENTS: &str = "-- events_of
SELECT g.place, e.* FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS g (connection, record, most, place)
CROSS JOIN LATERAL (
    SELECT * FROM events WHERE connection = g.connection AND record = g.record ORDER BY id DESC LIMIT g.most) e
ORDER BY g.place, e.id DESC";

const CHANGES: &str = "-- changes_of
SELECT g.place, c.* FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS g (link, most, place)
CROSS JOIN LATERAL (
    SELECT * FROM changes WHERE link = g.link ORDER BY id DESC LIMIT g.most) c
ORDER BY g.place, c.id DESC";
