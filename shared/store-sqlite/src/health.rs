//! What is known of each connection: one row each.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use tandem_domain::{ConnectionName, MeasuredOffset, Timestamp};
use tandem_store::{
    ClockNote, ConnectionHealth, ConnectionState, HealthStore, HeldUp, Refused, StoreError,
};

use crate::{SqliteStore, rows, sql};

const NOTE_HEALTH: &str = "-- note_health
INSERT INTO connection_health (connection, state, reason, since) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (connection) DO UPDATE
SET state = excluded.state, reason = excluded.reason, since = excluded.since
WHERE connection_health.state <> excluded.state";

const NOTE_LOOK: &str = "-- note_look
UPDATE connection_health SET seen_at = ?2, seen_by = ?3 WHERE connection = ?1";

const NOTE_BADLY_SIGNED: &str = "-- note_badly_signed
INSERT INTO connection_health (connection, state, since, badly_signed, badly_signed_from, badly_signed_at)
VALUES (?1, 'unknown', ?4, ?2, ?3, ?4)
ON CONFLICT (connection) DO UPDATE
SET badly_signed = CASE WHEN connection_health.badly_signed_at >= ?5 THEN connection_health.badly_signed ELSE 0 END
                   + excluded.badly_signed,
    badly_signed_from = CASE WHEN connection_health.badly_signed_at >= ?5
                        THEN coalesce(connection_health.badly_signed_from, excluded.badly_signed_from)
                        ELSE excluded.badly_signed_from END,
    badly_signed_at = excluded.badly_signed_at";

const NOTE_RIGHTLY_SIGNED: &str = "-- note_rightly_signed
UPDATE connection_health SET rightly_signed_at = ?2
WHERE connection = ?1 AND (rightly_signed_at IS NULL OR rightly_signed_at < ?2)";

const NOTE_HELD_UP: &str = "-- note_held_up
INSERT INTO connection_health (connection, state, since, asked_until, unanswered_since, held_by, held_at)
VALUES (?1, 'unknown', ?5, ?2, ?3, ?4, ?5)
ON CONFLICT (connection) DO UPDATE
SET asked_until = excluded.asked_until, unanswered_since = excluded.unanswered_since,
    held_by = excluded.held_by, held_at = excluded.held_at";

const NOTE_FREE: &str = "-- note_free
UPDATE connection_health SET asked_until = NULL, unanswered_since = NULL, held_by = NULL, held_at = NULL
WHERE connection = ?1 AND held_by = ?2";

const NOTE_CLOCK: &str = "-- note_clock
INSERT INTO connection_health (connection, state, since, clock_doubt, clock_wrong, clock_by, clock_at)
VALUES (?1, 'unknown', ?5, ?2, ?3, ?4, ?5)
ON CONFLICT (connection) DO UPDATE
SET clock_doubt = excluded.clock_doubt, clock_wrong = excluded.clock_wrong,
    clock_by = excluded.clock_by, clock_at = excluded.clock_at";

const NOTE_CLOCK_IN_ORDER: &str = "-- note_clock_in_order
UPDATE connection_health SET clock_doubt = NULL, clock_by = NULL, clock_at = NULL
WHERE connection = ?1 AND clock_by = ?2";

const KEEP_CLOCK_OFFSET: &str = "-- keep_clock_offset
INSERT INTO connection_health (connection, state, since, clock_offset, clock_offset_at)
VALUES (?1, 'unknown', ?3, ?2, ?3)
ON CONFLICT (connection) DO UPDATE
SET clock_offset = excluded.clock_offset, clock_offset_at = excluded.clock_offset_at";

const HEALTH: &str = "-- health
SELECT * FROM connection_health ORDER BY connection";

fn read(row: &SqliteRow) -> Result<ConnectionHealth, StoreError> {
    Ok(ConnectionHealth {
        connection: rows::parsed(row, "connection")?,
        state: rows::word(row, "state")?,
        reason: rows::get(row, "reason")?,
        since: rows::instant(row, "since")?,
        seen_at: rows::instant_opt(row, "seen_at")?,
        seen_by: rows::get(row, "seen_by")?,
        held_up: held_up(row)?,
        clock: clock(row)?,
        clock_offset: clock_offset(row)?,
        badly_signed: rows::small(row, "badly_signed")?,
        badly_signed_from: rows::instant_opt(row, "badly_signed_from")?,
        badly_signed_at: rows::instant_opt(row, "badly_signed_at")?,
        rightly_signed_at: rows::instant_opt(row, "rightly_signed_at")?,
    })
}

fn clock(row: &SqliteRow) -> Result<Option<ClockNote>, StoreError> {
    let told_by: Option<String> = rows::get(row, "clock_by")?;
    let (Some(told_by), Some(told_at)) = (told_by, rows::instant_opt(row, "clock_at")?) else {
        return Ok(None);
    };
    Ok(Some(ClockNote {
        doubt: rows::get(row, "clock_doubt")?,
        is_wrong: rows::get(row, "clock_wrong")?,
        told_by,
        told_at,
    }))
}

fn clock_offset(row: &SqliteRow) -> Result<Option<MeasuredOffset>, StoreError> {
    let micros: Option<i64> = rows::get(row, "clock_offset")?;
    let kept = micros.zip(rows::instant_opt(row, "clock_offset_at")?);
    Ok(kept.map(|(micros, at)| MeasuredOffset { micros, at }))
}

fn held_up(row: &SqliteRow) -> Result<Option<HeldUp>, StoreError> {
    let told_by: Option<String> = rows::get(row, "held_by")?;
    let (Some(told_by), Some(told_at)) = (told_by, rows::instant_opt(row, "held_at")?) else {
        return Ok(None);
    };
    Ok(Some(HeldUp {
        asked_until: rows::instant_opt(row, "asked_until")?,
        unanswered_since: rows::instant_opt(row, "unanswered_since")?,
        told_by,
        told_at,
    }))
}

#[async_trait]
impl HealthStore for SqliteStore {
    async fn note_health(
        &self,
        connection: &ConnectionName,
        state: ConnectionState,
        reason: Option<String>,
        seen_by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (connection, seen_by) = (connection.as_str().to_owned(), seen_by.to_owned());
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    let noted = sqlx::query(NOTE_HEALTH)
                        .bind(connection.clone())
                        .bind(state.as_str())
                        .bind(reason)
                        .bind(now.as_micros());
                    let is_new = txn.run(noted).await? == 1;
                    let look = sqlx::query(NOTE_LOOK)
                        .bind(connection)
                        .bind(now.as_micros())
                        .bind(seen_by);
                    txn.run(look).await?;
                    Ok(is_new)
                })
            })
            .await
    }

    async fn note_held_up(
        &self,
        connection: &ConnectionName,
        held_up: HeldUp,
    ) -> Result<(), StoreError> {
        let connection = connection.as_str().to_owned();
        let statement = match (held_up.asked_until, held_up.unanswered_since) {
            (None, None) => sqlx::query(NOTE_FREE)
                .bind(connection)
                .bind(held_up.told_by),
            (asked_until, unanswered_since) => sqlx::query(NOTE_HELD_UP)
                .bind(connection)
                .bind(asked_until.map(Timestamp::as_micros))
                .bind(unanswered_since.map(Timestamp::as_micros))
                .bind(held_up.told_by)
                .bind(held_up.told_at.as_micros()),
        };
        self.change_one(statement).await.map(|_noted| ())
    }

    async fn note_clock(
        &self,
        connection: &ConnectionName,
        clock: ClockNote,
    ) -> Result<(), StoreError> {
        let connection = connection.as_str().to_owned();
        let statement = match clock.doubt {
            None => sqlx::query(NOTE_CLOCK_IN_ORDER)
                .bind(connection)
                .bind(clock.told_by),
            Some(doubt) => sqlx::query(NOTE_CLOCK)
                .bind(connection)
                .bind(doubt)
                .bind(clock.is_wrong)
                .bind(clock.told_by)
                .bind(clock.told_at.as_micros()),
        };
        self.change_one(statement).await.map(|_noted| ())
    }

    async fn keep_clock_offset(
        &self,
        connection: &ConnectionName,
        offset: MeasuredOffset,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(KEEP_CLOCK_OFFSET)
            .bind(connection.as_str().to_owned())
            .bind(offset.micros)
            .bind(offset.at.as_micros());
        self.change_one(statement).await.map(|_kept| ())
    }

    async fn note_badly_signed(
        &self,
        connection: &ConnectionName,
        refused: Refused,
        anew: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(NOTE_BADLY_SIGNED)
            .bind(connection.as_str().to_owned())
            .bind(i64::from(refused.count))
            .bind(refused.first_at.as_micros())
            .bind(refused.last_at.as_micros())
            .bind(anew.as_micros());
        self.change_one(statement).await.map(|_noted| ())
    }

    async fn note_rightly_signed(
        &self,
        connection: &ConnectionName,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(NOTE_RIGHTLY_SIGNED)
            .bind(connection.as_str().to_owned())
            .bind(at.as_micros());
        self.change_one(statement).await.map(|_noted| ())
    }

    async fn health(&self) -> Result<Vec<ConnectionHealth>, StoreError> {
        let rows = sql::all(&self.readers, sqlx::query(HEALTH)).await?;
        rows::known("connections", &rows, read)
    }
}
