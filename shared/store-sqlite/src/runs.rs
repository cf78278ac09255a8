//! Runs and cursors.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};
use tandem_domain::{RunId, Side, SyncName, Timestamp};
use tandem_store::{
    GIVEN_UP, NewRun, Progress, Run, RunFilter, RunKind, RunState, RunStore, StoreError, Waiting,
};

use crate::jobs::upkeep::release_waiting;
use crate::writer::Txn;
use crate::{SqliteStore, rows, sql};

fn read(row: &SqliteRow) -> Result<Run, StoreError> {
    Ok(Run {
        id: rows::parsed(row, "id")?,
        number: rows::get(row, "number")?,
        sync: rows::parsed(row, "sync")?,
        kind: rows::word(row, "kind")?,
        side: rows::parsed_opt(row, "side")?,
        trigger: rows::word(row, "cause")?,
        state: rows::word(row, "state")?,
        started_at: rows::instant(row, "started_at")?,
        ended_at: rows::instant_opt(row, "ended_at")?,
        progress: rows::document(row, "progress")?,
        error: rows::get(row, "error")?,
    })
}

async fn begin(txn: &mut Txn, run: &NewRun, now: Timestamp) -> Result<Run, StoreError> {
    if let Some(lease) = run.under {
        let statement = sqlx::query(HELD)
            .bind(lease.job.to_string())
            .bind(lease.token.to_string());
        txn.first(statement).await?.ok_or(StoreError::LeaseLost)?;
    }
    if !run.instead_of.is_empty() {
        let ids: Vec<String> = run.instead_of.iter().map(RunId::to_string).collect();
        let statement = sqlx::query(GIVE_UP)
            .bind(sql::json("run", &ids)?)
            .bind(GIVEN_UP)
            .bind(now.as_micros());
        txn.run(statement).await?;
    }
    let statement = sqlx::query(BEGIN)
        .bind(run.id.to_string())
        .bind(run.sync.as_str().to_owned())
        .bind(run.kind.as_str())
        .bind(run.side.map(Side::as_str))
        .bind(run.trigger.as_str())
        .bind(now.as_micros())
        .bind(sql::json("progress", &Progress::default())?);
    read(&txn.one(statement).await?)
}

const HELD: &str = "-- lease_of_run
SELECT id FROM jobs WHERE id = ?1 AND lease_token = ?2";

const GIVE_UP: &str = "-- give_up_runs
UPDATE runs SET state = 'failed', error = ?2, ended_at = ?3
WHERE state = 'running' AND id IN (SELECT value FROM json_each(?1))";

const BEGIN: &str = "-- begin_run
INSERT INTO runs (id, sync, kind, side, cause, state, started_at, ended_at, error, progress)
SELECT ?1, ?2, ?3, ?4, ?5,
       iif(other.id IS NULL, 'running', 'skipped'), ?6, iif(other.id IS NULL, NULL, ?6),
       'the one before it, ' || other.id || ', still runs', ?7
FROM (SELECT (SELECT id FROM runs
              WHERE state = 'running' AND sync = ?2 AND kind = ?3
                AND coalesce(side, '') = coalesce(?4, '')) AS id) other
RETURNING *";

/// How a run ends.
struct End {
    id: RunId,
    state: RunState,
    progress: String,
    error: Option<String>,
    cursor: Option<Timestamp>,
}

async fn end(txn: &mut Txn, end: &End, now: Timestamp) -> Result<(), StoreError> {
    let statement = sqlx::query(END)
        .bind(end.id.to_string())
        .bind(end.state.as_str())
        .bind(end.progress.clone())
        .bind(end.error.clone())
        .bind(now.as_micros());
    let Some(row) = txn.first(statement).await? else {
        return Ok(());
    };
    let good = matches!(end.state, RunState::Succeeded | RunState::Partial);
    if !good {
        return Ok(());
    }
    let run = read(&row)?;
    if run.kind == RunKind::Backfill {
        release_waiting(txn, &run.sync, Waiting::FirstSync, now).await?;
    }
    if let Some(cursor) = end.cursor {
        let statement = sqlx::query(MOVE_CURSOR)
            .bind(run.sync.as_str().to_owned())
            .bind(run.side.map(Side::as_str))
            .bind(cursor.as_micros());
        txn.run(statement).await?;
    }
    Ok(())
}

/// A run that was given up as orphaned meanwhile stays so, and moves no cursor.
const END: &str = "-- end_run
UPDATE runs SET state = ?2, progress = ?3, error = ?4, ended_at = ?5
WHERE id = ?1 AND state = 'running'
RETURNING *";

/// A run of both sides has no cursor.
const MOVE_CURSOR: &str = "-- move_cursor
INSERT INTO cursors (sync, side, cursor_at) SELECT ?1, ?2, ?3 WHERE ?2 IS NOT NULL
ON CONFLICT (sync, side) DO UPDATE SET cursor_at = excluded.cursor_at";

#[async_trait]
impl RunStore for SqliteStore {
    async fn begin_run(&self, run: NewRun, now: Timestamp) -> Result<Run, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { begin(txn, &run, now).await }))
            .await
    }

    async fn progress_run(&self, id: RunId, progress: &Progress) -> Result<(), StoreError> {
        const PROGRESS: &str = "-- progress_run
UPDATE runs SET progress = ?2 WHERE id = ?1 AND state = 'running'";
        let progress = sql::json("progress", progress)?;
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    let statement = sqlx::query(PROGRESS).bind(id.to_string()).bind(progress);
                    txn.run(statement).await.map(|_| ())
                })
            })
            .await
    }

    async fn end_run(
        &self,
        id: RunId,
        state: RunState,
        progress: &Progress,
        error: Option<&str>,
        cursor: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let how = End {
            id,
            state,
            progress: sql::json("progress", progress)?,
            error: error.map(ToOwned::to_owned),
            cursor,
        };
        self.writer
            .write(move |txn| Box::pin(async move { end(txn, &how, now).await }))
            .await
    }

    async fn fail_orphaned_runs(
        &self,
        before: Timestamp,
        error: &str,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        const FAIL: &str = "-- fail_orphaned_runs
UPDATE runs SET state = 'failed', error = ?2, ended_at = ?3
WHERE state = 'running' AND started_at < ?1
  AND NOT EXISTS (SELECT 1 FROM listing_places p WHERE p.run = runs.number)";
        let error = error.to_owned();
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    let statement = sqlx::query(FAIL)
                        .bind(before.as_micros())
                        .bind(error)
                        .bind(now.as_micros());
                    txn.run(statement).await
                })
            })
            .await
    }

    async fn cursor(&self, sync: &SyncName, side: Side) -> Result<Option<Timestamp>, StoreError> {
        const CURSOR: &str = "-- cursor
SELECT cursor_at FROM cursors WHERE sync = ?1 AND side = ?2";
        let statement = sqlx::query(CURSOR)
            .bind(sync.as_str().to_owned())
            .bind(side.as_str());
        sql::first(&self.readers, statement)
            .await?
            .as_ref()
            .map(|row| rows::instant(row, "cursor_at"))
            .transpose()
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        const RUN: &str = "-- run\nSELECT * FROM runs WHERE id = ?1";
        sql::first(&self.readers, sqlx::query(RUN).bind(id.to_string()))
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, StoreError> {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("-- list_runs\nSELECT * FROM runs WHERE true");
        if let Some(sync) = &filter.sync {
            query
                .push(" AND sync = ")
                .push_bind(sync.as_str().to_owned());
        }
        if let Some(kind) = filter.kind {
            query.push(" AND kind = ").push_bind(kind.as_str());
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(sql::page(filter.limit));
        let rows = sql::all(&self.readers, query.build()).await?;
        rows::known("runs", &rows, read)
    }

    async fn prune_runs(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
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

const PRUNE: &str = "-- prune_runs
DELETE FROM runs WHERE number IN (
    SELECT number FROM runs
    WHERE ended_at < ?1
      AND number NOT IN (SELECT max(number) FROM runs WHERE state IN ('succeeded', 'partial')
                         GROUP BY sync, kind, side)
    ORDER BY ended_at LIMIT ?2)";
