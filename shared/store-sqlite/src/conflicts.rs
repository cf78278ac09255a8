//! Questions for an operator. The `subject` column names what is asked about; a partial unique
//! index on it keeps a question from being open twice.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};
use tandem_domain::{ConflictId, JobId, Timestamp};
use tandem_store::{
    Conflict, ConflictFilter, ConflictState, ConflictStore, Fact, Hints, JobClass, JobKind, Lane,
    Moot, NewConflict, NewJob, Resolution, StoreError, Trigger,
};

use crate::jobs::enqueue::enqueue;
use crate::writer::Txn;
use crate::{SqliteStore, rows, sql};

#[derive(Serialize)]
struct ConflictRow<'a> {
    id: String,
    sync: &'a str,
    link: Option<String>,
    side: &'static str,
    record: &'a str,
    field: Option<&'a str>,
    subject: String,
    kind: String,
    shown: String,
}

fn conflict_row(conflict: &NewConflict) -> Result<ConflictRow<'_>, StoreError> {
    Ok(ConflictRow {
        id: conflict.id.to_string(),
        sync: conflict.sync.as_str(),
        link: conflict.link.map(|link| link.to_string()),
        side: conflict.side.as_str(),
        record: conflict.record.as_str(),
        field: conflict.kind.field(),
        subject: conflict.subject(),
        kind: sql::json("conflict", &conflict.kind)?,
        shown: sql::json("conflict", &conflict.shown)?,
    })
}

/// Opens questions that are not open already; an open one about a field, a pair that goes back and forth, or a whole side
/// takes over the values of now, and one about a field of a side the record that has its value. What a record matches is not asked when a job in another lane has linked it meanwhile.
/// That a field is contested takes the place of whether its value was kept. Returns how many are new or have other values.
pub(crate) async fn open(
    txn: &mut Txn,
    conflicts: &[NewConflict],
    now: Timestamp,
) -> Result<usize, StoreError> {
    if conflicts.is_empty() {
        return Ok(0);
    }
    // One statement cannot change a row twice; of two questions about the same the later knows more.
    let mut rows = BTreeMap::new();
    for conflict in conflicts {
        let row = conflict_row(conflict)?;
        rows.insert(row.subject.clone(), row);
    }
    let rows: Vec<ConflictRow<'_>> = rows.into_values().collect();
    let statement = sqlx::query(OPEN)
        .bind(sql::json("conflict", &rows)?)
        .bind(now.as_micros())
        .bind(sql::json("conflict", &Fact::Linked.kinds())?);
    txn.run(statement).await
}

const OPEN: &str = "-- open_conflicts
INSERT INTO conflicts (id, sync, link, side, record, field, subject, state, kind, shown, created_at)
SELECT value ->> 'id', value ->> 'sync', value ->> 'link', value ->> 'side', value ->> 'record',
       value ->> 'field', value ->> 'subject', 'open', value ->> 'kind', value ->> 'shown', ?2
FROM json_each(?1)
WHERE (value ->> 'kind') ->> 'kind' NOT IN (SELECT k.value FROM json_each(?3) k) OR NOT (
    (value ->> 'side' = 'a' AND EXISTS (SELECT 1 FROM links l
        WHERE l.sync = value ->> 'sync' AND l.a_id = value ->> 'record' AND l.state = 'active'))
    OR (value ->> 'side' = 'b' AND EXISTS (SELECT 1 FROM links l
        WHERE l.sync = value ->> 'sync' AND l.b_id = value ->> 'record' AND l.state = 'active')))
ON CONFLICT (subject) WHERE state IN ('open', 'answered') DO UPDATE
SET record = CASE WHEN excluded.kind ->> 'kind' = 'emptied' THEN excluded.record ELSE conflicts.record END,
    kind = excluded.kind, shown = excluded.shown
WHERE conflicts.state = 'open' AND conflicts.kind <> excluded.kind
  AND (conflicts.field IS NOT NULL OR excluded.kind ->> 'kind' IN ('set_back', 'back_and_forth'))
  AND (conflicts.kind ->> 'kind' = excluded.kind ->> 'kind'
    OR conflicts.kind ->> 'kind' = 'not_kept' AND excluded.kind ->> 'kind' = 'field')";

/// Closes questions whose answer was used.
pub(crate) async fn close(
    txn: &mut Txn,
    conflicts: &[ConflictId],
    now: Timestamp,
) -> Result<(), StoreError> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(CLOSE)
        .bind(sql::json("conflict", conflicts)?)
        .bind(now.as_micros());
    txn.run(statement).await.map(|_| ())
}

const CLOSE: &str = "-- close_conflicts
UPDATE conflicts SET state = 'closed', closed_at = ?2
WHERE id IN (SELECT value FROM json_each(?1)) AND state IN ('open', 'answered')";

/// Closes questions that nobody has to answer any more, and answers that cannot be carried out. What was answered since it
/// was looked at stays for the job of that answer.
pub(crate) async fn close_moot(
    txn: &mut Txn,
    moot: &[Moot],
    now: Timestamp,
) -> Result<(), StoreError> {
    if moot.is_empty() {
        return Ok(());
    }
    let rows: Vec<(String, &str, ConflictState)> = moot
        .iter()
        .map(|one| (one.question.to_string(), one.fact.because(), one.was))
        .collect();
    let statement = sqlx::query(CLOSE_AS_MOOT)
        .bind(sql::json("conflict", &rows)?)
        .bind(now.as_micros());
    txn.run(statement).await.map(|_| ())
}

const CLOSE_AS_MOOT: &str = "-- close_as_moot
UPDATE conflicts SET state = 'closed', closed_at = ?2, closed_because = m.value ->> 1
FROM json_each(?1) m
WHERE conflicts.id = m.value ->> 0 AND conflicts.state = m.value ->> 2
  AND conflicts.state IN ('open', 'answered')";

fn read(row: &SqliteRow) -> Result<Conflict, StoreError> {
    Ok(Conflict {
        id: rows::parsed(row, "id")?,
        sync: rows::parsed(row, "sync")?,
        link: rows::parsed_opt(row, "link")?,
        side: rows::parsed(row, "side")?,
        record: rows::record(row, "record")?,
        kind: rows::document(row, "kind")?,
        shown: rows::document_opt(row, "shown")?.unwrap_or_default(),
        state: rows::word(row, "state")?,
        resolution: rows::document_opt(row, "resolution")?,
        created_at: rows::instant(row, "created_at")?,
        answered_at: rows::instant_opt(row, "answered_at")?,
        closed_because: rows::get(row, "closed_because")?,
    })
}

/// The lanes in which an answer is carried out.
fn lanes(conflict: &Conflict) -> [Option<String>; 2] {
    let of_record = Lane::of_record(&conflict.sync, conflict.side, &conflict.record);
    let of_link = conflict.link.map(Lane::of_link);
    [Some(of_record), of_link].map(|lane| lane.map(|lane| lane.as_str().to_owned()))
}

async fn resolve(
    txn: &mut Txn,
    id: ConflictId,
    resolution: &Resolution,
    job: JobId,
    now: Timestamp,
) -> Result<Option<JobId>, StoreError> {
    let ignore = *resolution == Resolution::Ignore;
    let state = if ignore {
        ConflictState::Closed
    } else {
        ConflictState::Answered
    };
    let asked = sqlx::query(TO_ANSWER).bind(id.to_string());
    let Some(row) = txn.first(asked).await? else {
        return Ok(None);
    };
    let [of_record, of_link] = lanes(&read(&row)?);
    let statement = sqlx::query(ANSWER)
        .bind(id.to_string())
        .bind(state.as_str())
        .bind(sql::json("resolution", resolution)?)
        .bind(now.as_micros())
        .bind(of_record)
        .bind(of_link);
    let Some(row) = txn.first(statement).await? else {
        return Ok(None);
    };
    let conflict = read(&row)?;
    if ignore {
        let statement = sqlx::query(IGNORE)
            .bind(conflict.sync.as_str().to_owned())
            .bind(conflict.side.as_str())
            .bind(conflict.record.as_str().to_owned());
        txn.run(statement).await?;
        if let Some(link) = conflict.link {
            let statement = sqlx::query(IGNORE_PAIR).bind(link.to_string());
            txn.run(statement).await?;
        }
    }
    let standing = enqueue(txn, &[job_for(&conflict, job, now)], now).await?;
    Ok(standing.first().map(|standing| standing.job))
}

const ANSWER: &str = "-- answer_conflict
UPDATE conflicts SET state = ?2, resolution = ?3, answered_at = ?4,
                     closed_at = CASE ?2 WHEN 'closed' THEN ?4 END
WHERE id = ?1 AND (state = 'open' OR state = 'answered' AND NOT EXISTS (
    SELECT 1 FROM jobs j WHERE j.state = 'running' AND j.lane IN (?5, ?6)))
RETURNING *";

const TO_ANSWER: &str = "-- conflict_to_answer
SELECT * FROM conflicts WHERE id = ?1";

const IGNORE: &str = "-- ignore_record
INSERT INTO records (sync, side, id, generation, ignored, keys) VALUES (?1, ?2, ?3, 0, 1, '[]')
ON CONFLICT (sync, side, id) DO UPDATE SET ignored = 1";

/// A pair is left alone as a whole: what is heard of either record must not write to the other.
const IGNORE_PAIR: &str = "-- ignore_pair
INSERT INTO records (sync, side, id, generation, ignored, keys)
SELECT sync, 'a', a_id, 0, 1, '[]' FROM links WHERE id = ?1 AND a_id IS NOT NULL
UNION ALL
SELECT sync, 'b', b_id, 0, 1, '[]' FROM links WHERE id = ?1 AND b_id IS NOT NULL
ON CONFLICT (sync, side, id) DO UPDATE SET ignored = 1";

fn job_for(conflict: &Conflict, id: JobId, now: Timestamp) -> NewJob {
    NewJob {
        id,
        kind: JobKind::Reconcile {
            sync: conflict.sync.clone(),
            side: conflict.side,
            record: conflict.record.clone(),
        },
        class: JobClass::Interactive,
        trigger: Trigger::Manual,
        run_at: now,
        hints: Hints::default(),
        traceparent: None,
    }
}

#[async_trait]
impl ConflictStore for SqliteStore {
    async fn open_conflicts(
        &self,
        conflicts: Vec<NewConflict>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { open(txn, &conflicts, now).await }))
            .await
    }

    async fn conflicts(&self, filter: &ConflictFilter) -> Result<Vec<Conflict>, StoreError> {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("-- list_conflicts\nSELECT * FROM conflicts WHERE true");
        if let Some(sync) = &filter.sync {
            query
                .push(" AND sync = ")
                .push_bind(sync.as_str().to_owned());
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(kind) = &filter.kind {
            query
                .push(" AND (kind ->> 'kind') = ")
                .push_bind(kind.clone());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(sql::page(filter.limit));
        let rows = sql::all(&self.readers, query.build()).await?;
        rows::known("questions", &rows, read)
    }

    async fn conflict(&self, id: ConflictId) -> Result<Option<Conflict>, StoreError> {
        const CONFLICT: &str = "-- conflict\nSELECT * FROM conflicts WHERE id = ?1";
        sql::first(&self.readers, sqlx::query(CONFLICT).bind(id.to_string()))
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    async fn question_about(&self, subject: &str) -> Result<Option<Conflict>, StoreError> {
        const ABOUT: &str = "-- question_about
SELECT * FROM conflicts WHERE subject = ?1 AND state IN ('open', 'answered')";
        let about = sqlx::query(ABOUT).bind(subject.to_owned());
        let row = sql::first(&self.readers, about).await?;
        row.as_ref().map(read).transpose()
    }

    async fn close_question(
        &self,
        id: ConflictId,
        state: ConflictState,
        why: Option<&'static str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const CLOSE_IN_STATE: &str = "-- close_question
UPDATE conflicts SET state = 'closed', closed_at = ?4, closed_because = ?3 WHERE id = ?1 AND state = ?2";
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    let close = sqlx::query(CLOSE_IN_STATE)
                        .bind(id.to_string())
                        .bind(state.as_str())
                        .bind(why)
                        .bind(now.as_micros());
                    txn.run(close).await.map(|closed| closed > 0)
                })
            })
            .await
    }

    async fn resolve_conflict(
        &self,
        id: ConflictId,
        resolution: Resolution,
        job: JobId,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError> {
        self.writer
            .write(move |txn| {
                Box::pin(async move { resolve(txn, id, &resolution, job, now).await })
            })
            .await
    }
}
