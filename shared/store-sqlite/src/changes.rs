//! The change log and the totals.

use async_trait::async_trait;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};
use tandem_domain::{LinkId, Side, SyncName, Timestamp};
use tandem_store::{
    Change, ChangeFilter, ChangeStore, Operation, Outcome, StoreError, SyncTotals, Trigger,
};

use crate::tally::Counter;
use crate::writer::Txn;
use crate::{SqliteStore, rows, sql};

#[derive(Serialize)]
struct ChangeRow<'a> {
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

/// Adds entries, and counts their conflicts.
pub(crate) async fn insert(txn: &mut Txn, changes: &[Change]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    for change in changes {
        txn.tally.add(
            change.sync.as_str(),
            Counter::Conflicts,
            conflicts_in(change),
        );
    }
    let rows = changes
        .iter()
        .map(change_row)
        .collect::<Result<Vec<_>, _>>()?;
    let statement = sqlx::query(INSERT).bind(sql::json("change", &rows)?);
    txn.run(statement).await.map(|_| ())
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

const INSERT: &str = "-- insert_changes
INSERT INTO changes (id, sync, link, a, b, operation, written, intent, cause, job, run, outcome,
                     error, duration_ms, at, fields)
SELECT value ->> 'id', value ->> 'sync', value ->> 'link', value ->> 'a', value ->> 'b',
       value ->> 'operation', value ->> 'written', value ->> 'intent', value ->> 'cause',
       value ->> 'job', value ->> 'run', value ->> 'outcome', value ->> 'error',
       value ->> 'duration_ms', value ->> 'at', value ->> 'fields'
FROM json_each(?1)";

fn read(row: &SqliteRow) -> Result<Change, StoreError> {
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
pub(crate) fn list(filter: &ChangeFilter) -> QueryBuilder<Sqlite> {
    let mut query: QueryBuilder<Sqlite> =
        QueryBuilder::new("-- list_changes\nSELECT * FROM changes WHERE true");
    if let Some(sync) = &filter.sync {
        query
            .push(" AND sync = ")
            .push_bind(sync.as_str().to_owned());
    }
    if let Some(record) = &filter.record {
        query
            .push(" AND (a = ")
            .push_bind(record.as_str().to_owned())
            .push(" OR b = ")
            .push_bind(record.as_str().to_owned())
            .push(")");
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
impl ChangeStore for SqliteStore {
    async fn changes(&self, filter: &ChangeFilter) -> Result<Vec<Change>, StoreError> {
        let rows = sql::all(&self.readers, list(filter).build()).await?;
        rows::known("changes", &rows, read)
    }

    async fn ends_of(&self, links: &[LinkId]) -> Result<Vec<Change>, StoreError> {
        let statement = sqlx::query(ENDS).bind(sql::json("link", links)?);
        sql::all(&self.readers, statement)
            .await?
            .iter()
            .map(read)
            .collect()
    }

    async fn totals(&self, sync: Option<&SyncName>) -> Result<SyncTotals, StoreError> {
        let statement = sqlx::query(TOTALS).bind(sync.map(|sync| sync.as_str().to_owned()));
        let mut totals = SyncTotals::default();
        for row in sql::all(&self.readers, statement).await? {
            if let Some(total) = total_of(&mut totals, rows::get(&row, "name")?) {
                *total = rows::count(&row, "value")?;
            }
        }
        Ok(totals)
    }

    async fn duplicate_events(&self) -> Result<u64, StoreError> {
        let statement = sqlx::query(DUPLICATES).bind(Counter::DuplicateEvents.as_str());
        let row = sql::one(&self.readers, statement).await?;
        rows::count(&row, "value")
    }

    async fn prune_changes(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    let statement = sqlx::query(PRUNE)
                        .bind(before.as_micros())
                        .bind(sql::limit(limit));
                    txn.run(statement).await
                })
            })
            .await
    }
}

const ENDS: &str = "-- ends_of
SELECT c.* FROM json_each(?1) w CROSS JOIN changes c
WHERE c.id = (SELECT max(e.id) FROM changes e WHERE e.link = w.value AND e.operation = 'unlink')";

const TOTALS: &str = "-- totals
SELECT name, sum(value) AS value FROM counters WHERE (?1 IS NULL OR sync = ?1) GROUP BY name";

const DUPLICATES: &str = "-- duplicate_events
SELECT coalesce(sum(value), 0) AS value FROM counters WHERE sync = '' AND name = ?1";

const PRUNE: &str = "-- prune_changes
DELETE FROM changes WHERE rowid IN (
    SELECT rowid FROM changes WHERE at < ?1 ORDER BY at LIMIT ?2)";

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
