//! Configuration and schedules.

use async_trait::async_trait;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use tandem_domain::{ConnectionName, SyncName, Timestamp};
use tandem_store::{
    Addressed, ConfigStore, ConnectionRow, Moved, Notice, Pause, ScheduleKey, SchedulePurpose,
    ScheduleRow, StoreError, StoredSchedule, SyncRow,
};

use crate::sql::Statement;
use crate::writer::Txn;
use crate::{SqliteStore, rows, sql};

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    document: String,
}

#[derive(Serialize)]
struct ScheduleParam<'a> {
    sync: &'a str,
    purpose: SchedulePurpose,
    spec: &'a str,
    next_at: Option<i64>,
}

async fn apply(
    txn: &mut Txn,
    connections: &str,
    syncs: &str,
    schedules: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let deletions = [(DELETE_CONNECTIONS, connections), (DELETE_SYNCS, syncs)];
    for (text, documents) in deletions {
        let statement = sqlx::query(text)
            .bind(documents.to_owned())
            .bind(now.as_micros());
        txn.run(statement).await?;
    }
    let others = [
        (PUT_CONNECTIONS, connections),
        (PUT_SYNCS, syncs),
        (DELETE_SCHEDULES, schedules),
        (PUT_SCHEDULES, schedules),
    ];
    for (text, documents) in others {
        txn.run(sqlx::query(text).bind(documents.to_owned()))
            .await?;
    }
    let statement = sqlx::query(CLOSE_QUESTIONS).bind(now.as_micros());
    txn.run(statement).await?;
    Ok(())
}

const DELETE_CONNECTIONS: &str = "-- delete_connections
UPDATE connections SET deleted_at = ?2
WHERE deleted_at IS NULL AND name NOT IN (SELECT value ->> 'name' FROM json_each(?1))";

const DELETE_SYNCS: &str = "-- delete_syncs
UPDATE syncs SET deleted_at = ?2
WHERE deleted_at IS NULL AND name NOT IN (SELECT value ->> 'name' FROM json_each(?1))";

/// Nobody can answer the questions of a sync that is no more; they are asked again when it is back. Those that are asked
/// once only stay, and can be dismissed. They are few, and have an index of their own.
const CLOSE_QUESTIONS: &str = "-- close_questions_of_removed_syncs
UPDATE conflicts INDEXED BY conflicts_record
SET state = 'closed', closed_at = ?1, closed_because = 'the sync was removed from the configuration'
WHERE state IN ('open', 'answered') AND kind ->> 'kind' NOT IN ('overwritten', 'not_kept') AND sync IN (SELECT name FROM syncs WHERE deleted_at IS NOT NULL)";

const PUT_CONNECTIONS: &str = "-- put_connections
INSERT INTO connections (name, document, version)
SELECT value ->> 'name', value ->> 'document', 1 FROM json_each(?1) WHERE true
ON CONFLICT (name) DO UPDATE SET
    document = excluded.document, version = connections.version + 1, deleted_at = NULL
WHERE connections.document <> excluded.document OR connections.deleted_at IS NOT NULL";

const PUT_SYNCS: &str = "-- put_syncs
INSERT INTO syncs (name, document, version)
SELECT value ->> 'name', value ->> 'document', 1 FROM json_each(?1) WHERE true
ON CONFLICT (name) DO UPDATE SET
    document = excluded.document, version = syncs.version + 1, deleted_at = NULL
WHERE syncs.document <> excluded.document OR syncs.deleted_at IS NOT NULL";

const NOTE_ADDRESSES: &str = "-- note_addresses
UPDATE connections SET
    address = given.address,
    linked_to = CASE WHEN linked_to <> given.address AND given.has_links THEN linked_to ELSE given.address END,
    moved_at = CASE WHEN linked_to <> given.address AND given.has_links
        THEN CASE WHEN connections.address = given.address THEN coalesce(moved_at, ?2) ELSE ?2 END
        ELSE NULL END
FROM (
    SELECT value ->> 'connection' AS name, value ->> 'address' AS address,
        EXISTS (SELECT 1 FROM links WHERE state = 'active' AND sync IN (SELECT s.value FROM json_each(each.value, '$.syncs') AS s)) AS has_links
    FROM json_each(?1) AS each) AS given
WHERE connections.name = given.name AND deleted_at IS NULL";

const DELETE_SCHEDULES: &str = "-- delete_schedules
DELETE FROM schedules WHERE NOT EXISTS (
    SELECT 1 FROM json_each(?1)
    WHERE value ->> 'sync' = schedules.sync AND value ->> 'purpose' = schedules.purpose)";

/// A schedule whose words have changed gets a new clock; a pause is a person's, and stays.
const PUT_SCHEDULES: &str = "-- put_schedules
INSERT INTO schedules (sync, purpose, spec, next_at)
SELECT value ->> 'sync', value ->> 'purpose', value ->> 'spec', value ->> 'next_at'
FROM json_each(?1) WHERE true
ON CONFLICT (sync, purpose) DO UPDATE SET spec = excluded.spec, next_at = excluded.next_at
WHERE schedules.spec <> excluded.spec";

fn named<N: AsRef<str>>(documents: &[(N, serde_json::Value)]) -> Result<String, StoreError> {
    let rows: Vec<Named<'_>> = documents
        .iter()
        .map(|(name, document)| Named {
            name: name.as_ref(),
            document: document.to_string(),
        })
        .collect();
    sql::json("configuration", &rows)
}

/// How a connection or a sync is paused.
fn pause(row: &SqliteRow) -> Result<Option<Pause>, StoreError> {
    let paused: bool = rows::get(row, "paused")?;
    let pause = Pause {
        since: rows::instant_opt(row, "paused_at")?,
        because: rows::get(row, "paused_because")?,
        moved: None,
    };
    Ok(paused.then_some(pause))
}

/// How a connection leads elsewhere than its records were linked, and since when.
fn moved(row: &SqliteRow) -> Result<Option<(Timestamp, Moved)>, StoreError> {
    let since = rows::instant_opt(row, "moved_at")?;
    let addresses: [Option<String>; 2] = [rows::get(row, "linked_to")?, rows::get(row, "address")?];
    Ok(match (since, addresses) {
        (Some(since), [Some(linked_to), Some(address)]) => {
            Some((since, Moved { linked_to, address }))
        }
        _ => None,
    })
}

fn schedule(row: &SqliteRow) -> Result<StoredSchedule, StoreError> {
    Ok(StoredSchedule {
        key: ScheduleKey {
            sync: rows::parsed(row, "sync")?,
            purpose: rows::word(row, "purpose")?,
        },
        spec: rows::get(row, "spec")?,
        paused: rows::get(row, "paused")?,
        next_at: rows::instant_opt(row, "next_at")?,
        last_at: rows::instant_opt(row, "last_at")?,
    })
}

impl SqliteStore {
    /// Runs a statement that changes at most one row. Returns whether it did.
    pub(crate) async fn change_one(
        &self,
        statement: Statement<'static>,
    ) -> Result<bool, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { Ok(txn.run(statement).await? == 1) }))
            .await
    }

    /// Pauses what has this name, if there is a reason, else lets it go on. Returns whether there is such a one.
    async fn set_pause(
        &self,
        pause: &'static str,
        name: &str,
        because: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(pause)
            .bind(name.to_owned())
            .bind(because.map(ToOwned::to_owned))
            .bind(now.as_micros());
        self.change_one(statement).await
    }
}

#[async_trait]
impl ConfigStore for SqliteStore {
    async fn apply_config(
        &self,
        connections: Vec<(ConnectionName, serde_json::Value)>,
        syncs: Vec<(SyncName, serde_json::Value)>,
        schedules: Vec<ScheduleRow>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let schedules: Vec<ScheduleParam<'_>> = schedules
            .iter()
            .map(|row| ScheduleParam {
                sync: row.key.sync.as_str(),
                purpose: row.key.purpose,
                spec: &row.spec,
                next_at: row.next_at.map(Timestamp::as_micros),
            })
            .collect();
        let schedules = sql::json("schedule", &schedules)?;
        let connections: Vec<(String, _)> = strings(connections);
        let syncs: Vec<(String, _)> = strings(syncs);
        let (connections, syncs) = (named(&connections)?, named(&syncs)?);
        self.writer
            .write(move |txn| {
                Box::pin(async move { apply(txn, &connections, &syncs, &schedules, now).await })
            })
            .await
    }

    async fn connections(&self) -> Result<Vec<ConnectionRow>, StoreError> {
        const CONNECTIONS: &str = "-- connections\nSELECT * FROM connections ORDER BY name";
        sql::all(&self.readers, sqlx::query(CONNECTIONS))
            .await?
            .iter()
            .map(|row| {
                Ok(ConnectionRow {
                    name: rows::parsed(row, "name")?,
                    document: rows::document(row, "document")?,
                    version: rows::get(row, "version")?,
                    pause: Pause::of_connection(pause(row)?, moved(row)?),
                    linked_to: rows::get(row, "linked_to")?,
                    deleted_at: rows::instant_opt(row, "deleted_at")?,
                    reset_at: rows::instant_opt(row, "reset_at")?,
                })
            })
            .collect()
    }

    async fn syncs(&self) -> Result<Vec<SyncRow>, StoreError> {
        const SYNCS: &str = "-- syncs\nSELECT * FROM syncs ORDER BY name";
        sql::all(&self.readers, sqlx::query(SYNCS))
            .await?
            .iter()
            .map(|row| {
                Ok(SyncRow {
                    name: rows::parsed(row, "name")?,
                    document: rows::document(row, "document")?,
                    version: rows::get(row, "version")?,
                    pause: pause(row)?,
                    deleted_at: rows::instant_opt(row, "deleted_at")?,
                })
            })
            .collect()
    }

    async fn note_addresses(
        &self,
        addresses: Vec<Addressed>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let addresses = sql::json("addresses", &addresses)?;
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    let statement = sqlx::query(NOTE_ADDRESSES)
                        .bind(addresses.clone())
                        .bind(now.as_micros());
                    txn.run(statement).await.map(|_| ())
                })
            })
            .await
    }

    async fn pause_connection(
        &self,
        name: &ConnectionName,
        because: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const PAUSE: &str = "-- pause_connection
UPDATE connections SET
    paused = ?2 IS NOT NULL,
    paused_at = CASE WHEN ?2 IS NULL THEN NULL WHEN paused THEN paused_at ELSE ?3 END,
    paused_because = CASE WHEN ?2 IS NULL THEN NULL WHEN paused THEN paused_because ELSE ?2 END,
    linked_to = CASE WHEN ?2 IS NULL AND NOT paused THEN coalesce(address, linked_to) ELSE linked_to END,
    moved_at = CASE WHEN ?2 IS NULL AND NOT paused THEN NULL ELSE moved_at END
WHERE name = ?1 AND deleted_at IS NULL";
        self.set_pause(PAUSE, name.as_str(), because, now).await
    }

    async fn reset_connection(
        &self,
        name: &ConnectionName,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const RESET: &str = "-- reset_connection
UPDATE connections SET reset_at = ?2 WHERE name = ?1 AND deleted_at IS NULL";
        let statement = sqlx::query(RESET)
            .bind(name.as_str().to_owned())
            .bind(now.as_micros());
        self.change_one(statement).await
    }

    async fn put_notice(
        &self,
        process: &str,
        text: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const PUT: &str = "-- put_notice
INSERT INTO notices (process, text, at) VALUES (?1, ?2, ?3)
ON CONFLICT (process) DO UPDATE SET text = excluded.text, at = excluded.at";
        const TAKE_BACK: &str = "-- take_notice_back
DELETE FROM notices WHERE process = ?1";
        let statement = match text {
            Some(text) => sqlx::query(PUT)
                .bind(process.to_owned())
                .bind(text.to_owned())
                .bind(now.as_micros()),
            None => sqlx::query(TAKE_BACK).bind(process.to_owned()),
        };
        self.change_one(statement).await.map(|_| ())
    }

    async fn notices(&self) -> Result<Vec<Notice>, StoreError> {
        const NOTICES: &str = "-- notices\nSELECT * FROM notices ORDER BY process";
        sql::all(&self.readers, sqlx::query(NOTICES))
            .await?
            .iter()
            .map(|row| {
                Ok(Notice {
                    process: rows::get(row, "process")?,
                    text: rows::get(row, "text")?,
                    at: rows::instant(row, "at")?,
                })
            })
            .collect()
    }

    async fn pause_sync(
        &self,
        name: &SyncName,
        because: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const PAUSE: &str = "-- pause_sync
UPDATE syncs SET
    paused = ?2 IS NOT NULL,
    paused_at = CASE WHEN ?2 IS NULL THEN NULL WHEN paused THEN paused_at ELSE ?3 END,
    paused_because = CASE WHEN ?2 IS NULL THEN NULL WHEN paused THEN paused_because ELSE ?2 END
WHERE name = ?1 AND deleted_at IS NULL";
        self.set_pause(PAUSE, name.as_str(), because, now).await
    }

    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError> {
        const SCHEDULES: &str = "-- schedules\nSELECT * FROM schedules ORDER BY sync, purpose";
        let rows = sql::all(&self.readers, sqlx::query(SCHEDULES)).await?;
        rows::known("schedules", &rows, schedule)
    }

    async fn advance_schedule(
        &self,
        key: &ScheduleKey,
        expected: Timestamp,
        next_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const ADVANCE: &str = "-- advance_schedule
UPDATE schedules SET next_at = ?4, last_at = ?5
WHERE sync = ?1 AND purpose = ?2 AND next_at = ?3 AND paused = 0";
        let statement = sqlx::query(ADVANCE)
            .bind(key.sync.as_str().to_owned())
            .bind(key.purpose.as_str())
            .bind(expected.as_micros())
            .bind(next_at.map(Timestamp::as_micros))
            .bind(now.as_micros());
        self.change_one(statement).await
    }

    async fn edit_schedule(
        &self,
        key: &ScheduleKey,
        paused: Option<bool>,
        next_at: Option<Timestamp>,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        const EDIT: &str = "-- edit_schedule
UPDATE schedules SET paused = coalesce(?3, paused), next_at = coalesce(?4, next_at)
WHERE sync = ?1 AND purpose = ?2";
        let statement = sqlx::query(EDIT)
            .bind(key.sync.as_str().to_owned())
            .bind(key.purpose.as_str())
            .bind(paused)
            .bind(next_at.map(Timestamp::as_micros));
        self.change_one(statement).await
    }
}

fn strings<N: Into<String>>(
    documents: Vec<(N, serde_json::Value)>,
) -> Vec<(String, serde_json::Value)> {
    documents
        .into_iter()
        .map(|(name, document)| (name.into(), document))
        .collect()
}
