//! Looking at the inbox.

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Postgres, QueryBuilder};
use tandem_domain::EventId;
use tandem_store::{Event, EventFilter, EventState, PAGE_ROWS_MAX, StoreError};

use crate::rows::next_page;
use crate::{alone, rows, sql};

/// Lists events without bodies, newest first.
pub(super) async fn events(pool: &PgPool, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
    let mut filter = filter.clone();
    filter.limit = filter.limit.min(PAGE_ROWS_MAX);
    let mut known = Vec::new();
    loop {
        let rows = alone::all(pool, list(&filter).build()).await?;
        let before = next_page(&rows, filter.limit);
        known.extend(rows::known("events", &rows, read_event)?);
        if before.is_none() || known.len() >= filter.limit {
            known.truncate(filter.limit);
            return Ok(known);
        }
        filter.before = before;
    }
}

/// The statement of a list.
pub(crate) fn list(filter: &EventFilter) -> QueryBuilder<Postgres> {
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("-- list_events\nSELECT * FROM events WHERE true");
    if let Some(connection) = &filter.connection {
        query
            .push(" AND connection = ")
            .push_bind(connection.as_str().to_owned());
    }
    if let Some(state) = filter.state {
        query.push(in_state(state));
    }
    if let Some(record) = &filter.record {
        query
            .push(" AND record = ")
            .push_bind(sql::plain(record.as_str()).into_owned());
    }
    if let Some(before) = filter.before {
        query.push(" AND id < ").push_bind(before.to_string());
    }
    query
        .push(" ORDER BY id DESC LIMIT ")
        .push_bind(sql::page(filter.limit));
    query
}

/// The state in words of SQL, so that the partial index of quarantined events is used,
/// whatever the plan.
const fn in_state(state: EventState) -> &'static str {
    match state {
        EventState::Accepted => " AND state = 'accepted'",
        EventState::Ignored => " AND state = 'ignored'",
        EventState::Quarantined => " AND state = 'quarantined'",
        EventState::Discarded => " AND state = 'discarded'",
    }
}

/// One event with its body and headers.
pub(super) async fn event(pool: &PgPool, id: EventId) -> Result<Option<Event>, StoreError> {
    let Some(row) = alone::first(pool, sqlx::query(EVENT).bind(id.to_string())).await? else {
        return Ok(None);
    };
    Ok(Some(Event {
        body: Some(rows::get(&row, "body")?),
        headers: rows::document(&row, "headers")?,
        ..read_event(&row)?
    }))
}

const EVENT: &str = "-- event
SELECT e.*, d.headers, d.body FROM events e JOIN deliveries d ON d.id = e.delivery WHERE e.id = $1";

pub(crate) fn read_event(row: &PgRow) -> Result<Event, StoreError> {
    Ok(Event {
        id: rows::parsed(row, "id")?,
        delivery: rows::parsed(row, "delivery")?,
        connection: rows::parsed(row, "connection")?,
        dedupe_key: rows::get(row, "dedupe_key")?,
        stream: rows::parsed_opt(row, "stream")?,
        record: rows::record_opt(row, "record")?,
        kind: rows::word(row, "kind")?,
        occurred_at: rows::instant_opt(row, "occurred_at")?,
        clock_offset: rows::get(row, "clock_offset")?,
        received_at: rows::instant(row, "received_at")?,
        state: rows::word(row, "state")?,
        problem: rows::get(row, "problem")?,
        discarded_because: rows::get(row, "discarded_because")?,
        jobs: rows::document(row, "jobs")?,
        body: None,
        headers: Vec::new(),
    })
}
