//! The pairs of a side that show that it was set back. They stand beside the deletes that are counted.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use tandem_domain::{LinkId, Side, SyncName, Timestamp};
use tandem_store::{
    NotedPair, SetBackCount, SetBackSign, SetBackStore, StoreError, set_back_counted_by,
};

use crate::sql::Failed;
use crate::txn::{self, Txn};
use crate::{PostgresStore, alone, rows, sql};

/// What the pairs of a side are counted by, a sign each.
fn subjects(sync: &SyncName, side: Side) -> [String; 3] {
    SetBackSign::ALL.map(|sign| set_back_counted_by(sync, side, sign))
}

fn noted(row: &PgRow) -> Result<NotedPair, StoreError> {
    let is_older = rows::get::<bool>(row, "is_older")?;
    Ok(NotedPair {
        link: rows::parsed(row, "link")?,
        sign: if is_older {
            SetBackSign::Older
        } else {
            SetBackSign::Missing
        },
    })
}

/// What a pair shows.
struct Note {
    /// All that it may have been counted by before.
    subjects: [String; 3],
    /// What it is counted by from now on.
    noted: String,
    link: LinkId,
    limit: u64,
    now: Timestamp,
}

async fn put(txn: &mut Txn, note: &Note) -> Result<(), Failed> {
    for other in note.subjects.iter().filter(|other| **other != note.noted) {
        forget(txn, other, note.link, note.now).await?;
    }
    let statement = sqlx::query(NOTE)
        .bind(&*note.noted)
        .bind(note.link.to_string())
        .bind(note.now.as_micros())
        .bind(i64::try_from(note.limit).unwrap_or(i64::MAX));
    txn.run(statement).await.map(|_| ())
}

/// Once the limit is reached no other is added. Of several at once each may be the last.
const NOTE: &str = "-- note_set_back
INSERT INTO deletes_admitted (sync, link, at)
SELECT $1::text, $2::text, $3::bigint
WHERE (SELECT count(*) FROM deletes_admitted WHERE sync = $1 AND link <> $2) < $4
ON CONFLICT (sync, link) DO UPDATE SET at = excluded.at";

async fn forget(
    txn: &mut Txn,
    subject: &str,
    link: LinkId,
    until: Timestamp,
) -> Result<(), Failed> {
    let forget = sqlx::query(FORGET)
        .bind(subject)
        .bind(link.to_string())
        .bind(until.as_micros());
    txn.run(forget).await.map(|_| ())
}

const FORGET: &str = "-- forget_set_back
DELETE FROM deletes_admitted WHERE sync = $1 AND link = $2 AND at <= $3";

const FORGET_ALL: &str = "-- forget_all_set_back
DELETE FROM deletes_admitted WHERE sync = $1 AND at <= $2";

/// What is to be forgotten.
struct Forget {
    subjects: [String; 3],
    link: Option<LinkId>,
    until: Timestamp,
}

async fn forget_all(txn: &mut Txn, wanted: &Forget) -> Result<(), Failed> {
    for subject in &wanted.subjects {
        if let Some(link) = wanted.link {
            forget(txn, subject, link, wanted.until).await?;
            continue;
        }
        let all = sqlx::query(FORGET_ALL)
            .bind(&**subject)
            .bind(wanted.until.as_micros());
        txn.run(all).await?;
    }
    Ok(())
}

const COUNT: &str = "-- count_set_back
SELECT (SELECT count(*) FROM deletes_admitted WHERE sync = $1 AND at >= $4) AS doubted,
       (SELECT count(*) FROM deletes_admitted WHERE sync = $2 AND at >= $4) AS older,
       (SELECT count(*) FROM deletes_admitted WHERE sync = $3 AND at >= $4) AS missing";

const LINKS: &str = "-- set_back_links
SELECT link, sync = $1 AS is_older FROM deletes_admitted WHERE sync = $1 OR sync = $2 ORDER BY link COLLATE \"C\" LIMIT $3";

#[async_trait]
impl SetBackStore for PostgresStore {
    async fn note_set_back(
        &self,
        sync: &SyncName,
        side: Side,
        link: LinkId,
        sign: SetBackSign,
        limit: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let note = Note {
            subjects: subjects(sync, side),
            noted: set_back_counted_by(sync, side, sign),
            link,
            limit,
            now,
        };
        txn::write(&self.pool, note, |txn, note| Box::pin(put(txn, note))).await
    }

    async fn set_back_count(
        &self,
        sync: &SyncName,
        side: Side,
        since: Timestamp,
    ) -> Result<SetBackCount, StoreError> {
        let args = (subjects(sync, side), since);
        let found = alone::verb(&self.pool, &args, |([doubted, older, missing], since)| {
            sqlx::query(COUNT)
                .bind(&**doubted)
                .bind(&**older)
                .bind(&**missing)
                .bind(since.as_micros())
        });
        let Some(row) = found.await?.into_iter().next() else {
            return Ok(SetBackCount::default());
        };
        Ok(SetBackCount {
            doubted: rows::count(&row, "doubted")?,
            older: rows::count(&row, "older")?,
            missing: rows::count(&row, "missing")?,
        })
    }

    async fn set_back_links(
        &self,
        sync: &SyncName,
        side: Side,
        limit: usize,
    ) -> Result<Vec<NotedPair>, StoreError> {
        let args = (subjects(sync, side), limit);
        let found = alone::verb(&self.pool, &args, |([_, older, missing], limit)| {
            sqlx::query(LINKS)
                .bind(&**older)
                .bind(&**missing)
                .bind(sql::limit(*limit))
        });
        found.await?.iter().map(noted).collect()
    }

    async fn forget_set_back(
        &self,
        sync: &SyncName,
        side: Side,
        link: Option<LinkId>,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let wanted = Forget {
            subjects: subjects(sync, side),
            link,
            until,
        };
        txn::write(&self.pool, wanted, |txn, wanted| {
            Box::pin(forget_all(txn, wanted))
        })
        .await
    }
}
