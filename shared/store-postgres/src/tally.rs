//! Totals, gathered in memory while a transaction runs and written once before its commit. Each
//! connection counts in a row of its own, since a row that all count in would make all of them wait.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::sql::{self, Failed};

/// What is counted. All but the last two are of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counter {
    Events,
    JobsDone,
    Coalesced,
    Echoes,
    WritesA,
    WritesB,
    Conflicts,
    Retries,
    Dead,
    Healed,
    /// Rows in state done: falls when they are pruned. Counting them each time would be slow.
    DoneRows,
    /// Of no sync: events that were stored before.
    DuplicateEvents,
}

impl Counter {
    /// As stored.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::JobsDone => "jobs_done",
            Self::Coalesced => "coalesced",
            Self::Echoes => "echoes",
            Self::WritesA => "writes_a",
            Self::WritesB => "writes_b",
            Self::Conflicts => "conflicts",
            Self::Retries => "retries",
            Self::Dead => "dead",
            Self::Healed => "healed",
            Self::DoneRows => "done_rows",
            Self::DuplicateEvents => "duplicate_events",
        }
    }
}

/// How far counters move.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<(String, Counter), i64>);

#[derive(Serialize)]
struct Row<'a> {
    sync: &'a str,
    name: &'static str,
    by: i64,
}

impl Tally {
    /// Moves a counter of a sync.
    pub(crate) fn add(&mut self, sync: &str, counter: Counter, by: i64) {
        if by != 0 {
            *self.0.entry((sync.to_owned(), counter)).or_default() += by;
        }
    }

    /// Writes the counters, and forgets them.
    pub(crate) async fn flush(&mut self, conn: &mut sqlx::PgConnection) -> Result<(), Failed> {
        if self.0.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row<'_>> = self
            .0
            .iter()
            .map(|((sync, counter), by)| Row {
                sync,
                name: counter.as_str(),
                by: *by,
            })
            .collect();
        sql::run(conn, sqlx::query(COUNT).bind(sql::json("counter", &rows)?)).await?;
        self.0.clear();
        Ok(())
    }
}

/// Slots beyond the usual number of connections would only make adding them up slower.
const COUNT: &str = "-- count
INSERT INTO counters (sync, name, slot, value)
SELECT c.sync, c.name, pg_backend_pid() % 64, c.by
FROM json_to_recordset($1::json) AS c (sync text, name text, by bigint)
ORDER BY c.sync, c.name
ON CONFLICT (sync, name, slot) DO UPDATE SET value = counters.value + excluded.value";
