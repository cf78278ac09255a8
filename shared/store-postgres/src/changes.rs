//! The change log and the totals.

use async_trait::async_trait;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};
use tandem_domain::{LinkId, Side, SyncName, Timestamp};
use tandem_store::{
    Change, ChangeFilter, ChangeStore, Operation, Outcome, StoreError, SyncTotals, Trigger,
};

use crate::singly::OfLink;
use crate::tally::{Counter, Tally};
use crate::{PostgresStore, alone, rows, sql};

/// An entry as a statement takes it.
#[derive(Serialize)]
pub(crate) struct ChangeRow<'a> {
    id: String,
    sync: &'a str,
    link: Option<String>,
    a: Option<&'a str>,
    b: Option<&'a str>,
    operation: Operation,
    written: Option<Side>,
    intent: Option<String>,
    cause: Trigger,
    job: Option<String>,
    run: Option<String>,
    fields: String,
    outcome: Outcome,
    error: Option<&'a str>,
    duration_ms: u64,
    at: i64,
}

fn change_row(change: &Change) -> Result<ChangeRow<'_>, StoreError> {
    Ok(ChangeRow {
        id: change.id.to_string(),
        sync: change.sync.as_str(),
        link: change.link.map(|id| id.to_string()),
        a: change.a.as_ref().map(tandem_domain::RecordId::as_str),
        b: change.b.as_ref().map(tandem_domain::RecordId::as_str),
        operation: change.operation,
        written: change.written,
        intent: change.intent.map(|id| id.to_string()),
        cause: change.trigger,
        job: change.job.map(|id| id.to_string()),
        run: change.run.map(|id| id.to_string()),
        fields: sql::json("change", &change.fields)?,
        outcome: change.outcome,
        error: change.error.as_deref(),
        duration_ms: change.duration_ms,
        at: change.at.as_micros(),
    })
}

/// Entries as they go into the statement that confirms.
pub(crate) fn rows(changes: &[Change]) -> Result<Vec<ChangeRow<'_>>, StoreError> {
    changes.iter().map(change_row).collect()
}

/// Counts the conflicts of entries.
pub(crate) fn count_conflicts(tally: &mut Tally, changes: &[Change]) {
    for change in changes {
        tally.add(
            change.sync.as_str(),
            Counter::Conflicts,
            conflicts_in(change),
        );
    }
}

/// Fields whose conflict was settled or opened.
fn conflicts_in(change: &Change) -> i64 {
    let fields = match change.operation {
        Operation::Conflict | Operation::Overwrite => change.fields.len().max(1),
        Operation::Create
        | Operation::Update
        | Operation::Delete
        | Operation::Link
        | Operation::Unlink
        | Operation::Revive
        | Operation::Agree => change
            .fields
            .iter()
            .filter(|field| field.lost.is_some())
            .count(),
    };
    sql::limit(fields)
}

pub(crate) fn read(row: &PgRow) -> Result<Change, StoreError> {
    Ok(Change {
        id: rows::parsed(row, "id")?,
        sync: rows::parsed(row, "sync")?,
        link: rows::parsed_opt(row, "link")?,
        a: rows::record_opt(row, "a")?,
        b: rows::record_opt(row, "b")?,
        operation: rows::word(row, "operation")?,
        written: rows::parsed_opt(row, "written")?,
        intent: rows::parsed_opt(row, "intent")?,
        trigger: rows::word(row, "cause")?,
        job: rows::parsed_opt(row, "job")?,
        run: rows::parsed_opt(row, "run")?,
        fields: rows::document(row, "fields")?,
        outcome: rows::word(row, "outcome")?,
        error: rows::get(row, "error")?,
        duration_ms: rows::count(row, "duration_ms")?,
        at: rows::instant(row, "at")?,
    })
}

/// The statement of a list.
pub(crate) fn list(filter: &ChangeFilter) -> QueryBuilder<Postgres> {
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("-- list_changes\nSELECT * FROM changes WHERE true");
    if let Some(sync) = &filter.sync {
        query
            .push(" AND sync = ")
            .push_bind(sync.as_str().to_owned());
    }
    if let Some(record) = &filter.record {
        // Each side by its own index, and the rows by their ids.
        query
            .push(" AND id = ANY (ARRAY(SELECT c.id FROM changes c WHERE c.a = ")
            .push_bind(sql::plain(record.as_str()).into_owned())
            .push(" UNION SELECT c.id FROM changes c WHERE c.b = ")
            .push_bind(sql::plain(record.as_str()).into_owned())
            .push("))");
    }
    if let Some(link) = filter.link {
        query.push(" AND link = ").push_bind(link.to_string());
    }
    if let Some(operation) = filter.operation {
        query
            .push(" AND operation = ")
            .push_bind(operation.as_str());
    }
    if let Some(before) = filter.before {
        query.push(" AND id < ").push_bind(before.to_string());
    }
    query
        .push(" ORDER BY id DESC LIMIT ")
        .push_bind(sql::page(filter.limit));
    query
}

#[async_trait]
impl ChangeStore for PostgresStore {
    async fn changes(&self, filter: &ChangeFilter) -> Result<Vec<Change>, StoreError> {
        if let Some(asked) = OfLink::of(filter)
            && let Some(changes) = self.changes.call(asked).await?
        {
            return Ok(changes);
        }
        let rows = alone::all(&self.pool, list(filter).build()).await?;
        rows::known("changes", &rows, read)
    }

    async fn ends_of(&self, links: &[LinkId]) -> Result<Vec<Change>, StoreError> {
        let links: Vec<String> = links.iter().map(ToString::to_string).collect();
        alone::all(&self.pool, sqlx::query(ENDS).bind(links))
            .await?
            .iter()
            .map(read)
            .collect()
    }

    async fn totals(&self, sync: Option<&SyncName>) -> Result<SyncTotals, StoreError> {
        let statement = sqlx::query(TOTALS).bind(sync.map(|sync| sync.as_str().to_owned()));
        let mut totals = SyncTotals::default();
        for row in alone::all(&self.pool, statement).await? {
            if let Some(total) = total_of(&mut totals, rows::get(&row, "name")?) {
                *total = rows::count(&row, "value")?;
            }
        }
        Ok(totals)
    }

    async fn duplicate_events(&self) -> Result<u64, StoreError> {
        let statement = sqlx::query(DUPLICATES).bind(Counter::DuplicateEvents.as_str());
        let row = alone::one(&self.pool, statement).await?;
        rows::count(&row, "value")
    }

    async fn prune_changes(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let statement = sqlx::query(PRUNE)
            .bind(before.as_micros())
            .bind(sql::limit(limit));
        Ok(alone::run(&self.pool, statement).await?)
    }
}

const ENDS: &str = "-- ends_of
SELECT c.* FROM unnest($1::text[]) w(link) CROSS JOIN LATERAL (
    SELECT * FROM changes e WHERE e.link = w.link AND e.operation = 'unlink' ORDER BY e.id DESC LIMIT 1) c";

const TOTALS: &str = "-- totals
SELECT name, sum(value)::bigint AS value FROM counters
WHERE ($1::text IS NULL OR sync = $1) GROUP BY name";

const DUPLICATES: &str = "-- duplicate_events
SELECT coalesce(sum(value), 0)::bigint AS value FROM counters WHERE sync = '' AND name = $1";

const PRUNE: &str = "-- prune_changes
DELETE FROM changes WHERE id IN (
    SELECT id FROM changes WHERE at < $1 ORDER BY at LIMIT $2)";

fn total_of<'a>(totals: &'a mut SyncTotals, name: &str) -> Option<&'a mut u64> {
    let places = [
        (Counter::Events, &mut totals.events),
        (Counter::JobsDone, &mut totals.jobs_done),
        (Counter::Coalesced, &mut totals.coalesced),
        (Counter::Echoes, &mut totals.echoes),
        (Counter::WritesA, &mut totals.writes_a),
        (Counter::WritesB, &mut totals.writes_b),
        (Counter::Conflicts, &mut totals.conflicts),
        (Counter::Retries, &mut totals.retries),
        (Counter::Dead, &mut totals.dead),
        (Counter::Healed, &mut totals.healed),
    ];
    places
        .into_iter()
        .find(|(counter, _)| counter.as_str() == name)
        .map(|(_, place)| place)
}
