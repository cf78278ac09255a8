//! The deletes that were let pass of late. Those of one sync ask one after the other, so that counting and
//! letting pass are one.

use async_trait::async_trait;
use tandem_domain::{LinkId, Side, SyncName, Timestamp};
use tandem_store::{BrakeStore, StoreError, emptied_subject};

use crate::sql::{self, Failed};
use crate::txn::{self, Txn};
use crate::{PostgresStore, rows};

/// A delete that asks.
struct Asked {
    sync: SyncName,
    link: LinkId,
    limit: u64,
    since: Timestamp,
    now: Timestamp,
}

async fn admit(txn: &mut Txn, asked: &Asked) -> Result<bool, Failed> {
    txn.run(sqlx::query(LOCK).bind(asked.sync.as_str())).await?;
    let forget = sqlx::query(FORGET)
        .bind(asked.sync.as_str())
        .bind(asked.since.as_micros());
    txn.run(forget).await?;
    let admit = sqlx::query(ADMIT)
        .bind(asked.sync.as_str())
        .bind(asked.link.to_string())
        .bind(asked.now.as_micros())
        .bind(i64::try_from(asked.limit).unwrap_or(i64::MAX));
    txn.run(admit).await.map(|admitted| admitted > 0)
}

/// Each statement after it sees what those before have counted.
const LOCK: &str = "-- lock_brake
SELECT pg_advisory_xact_lock(hashtextextended('brake/' || $1::text, 0))";

const FORGET: &str = "-- forget_old_deletes
DELETE FROM deletes_admitted WHERE sync = $1 AND at < $2";

/// A link that was let pass already is let pass again, and counts from its first time.
const ADMIT: &str = "-- admit_delete
INSERT INTO deletes_admitted (sync, link, at)
SELECT $1::text, $2::text, $3::bigint
WHERE (SELECT count(*) FROM deletes_admitted WHERE sync = $1 AND link <> $2) < $4
ON CONFLICT (sync, link) DO UPDATE SET at = deletes_admitted.at";

/// A record that has lost a field; what is counted of it stands beside the deletes.
struct Emptied {
    subject: String,
    link: LinkId,
    limit: u64,
    since: Timestamp,
    now: Timestamp,
}

async fn count(txn: &mut Txn, emptied: &Emptied) -> Result<u64, Failed> {
    txn.run(sqlx::query(LOCK).bind(&*emptied.subject)).await?;
    let forget = sqlx::query(FORGET)
        .bind(&*emptied.subject)
        .bind(emptied.since.as_micros());
    txn.run(forget).await?;
    let note = sqlx::query(NOTE)
        .bind(&*emptied.subject)
        .bind(emptied.link.to_string())
        .bind(emptied.now.as_micros())
        .bind(i64::try_from(emptied.limit).unwrap_or(i64::MAX));
    txn.run(note).await?;
    let count = sqlx::query(COUNT).bind(&*emptied.subject);
    let counted = txn.first(count).await?;
    Ok(counted.map_or(Ok(0), |row| rows::count(&row, "records"))?)
}

/// Once the limit is reached nothing is added: it is asked for each record that loses the field.
const NOTE: &str = "-- note_emptied
INSERT INTO deletes_admitted (sync, link, at)
SELECT $1::text, $2::text, $3::bigint
WHERE (SELECT count(*) FROM deletes_admitted WHERE sync = $1) < $4
ON CONFLICT (sync, link) DO UPDATE SET at = deletes_admitted.at";

const COUNT: &str = "-- count_emptied
SELECT count(*) AS records FROM deletes_admitted WHERE sync = $1";

#[async_trait]
impl BrakeStore for PostgresStore {
    async fn admit_delete(
        &self,
        sync: &SyncName,
        link: LinkId,
        limit: u64,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let asked = Asked {
            sync: sync.clone(),
            link,
            limit,
            since,
            now,
        };
        txn::write(&self.pool, asked, |txn, asked| Box::pin(admit(txn, asked))).await
    }

    async fn count_emptied(
        &self,
        sync: &SyncName,
        (side, field): (Side, &str),
        link: LinkId,
        limit: u64,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let emptied = Emptied {
            subject: sql::key(&emptied_subject(sync, side, field)).into_owned(),
            link,
            limit,
            since,
            now,
        };
        txn::write(&self.pool, emptied, |txn, emptied| {
            Box::pin(count(txn, emptied))
        })
        .await
    }
}
