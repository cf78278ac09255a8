//! The pairs of a side that show that it was set back. They stand beside the deletes that are counted.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use tandem_domain::{LinkId, Side, SyncName, Timestamp};
use tandem_store::{
    NotedPair, SetBackCount, SetBackSign, SetBackStore, StoreError, set_back_counted_by,
};

use crate::writer::Txn;
use crate::{SqliteStore, rows, sql};

/// What the pairs of a side are counted by, a sign each.
fn subjects(sync: &SyncName, side: Side) -> [String; 3] {
    SetBackSign::ALL.map(|sign| set_back_counted_by(sync, side, sign))
}

fn noted(row: &SqliteRow) -> Result<NotedPair, StoreError> {
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
    /// What it may have been counted by before.
    others: Vec<String>,
    /// What it is counted by from now on.
    noted: String,
    link: LinkId,
    limit: u64,
    now: Timestamp,
}

async fn put(txn: &mut Txn, note: Note) -> Result<(), StoreError> {
    for other in note.others {
        forget(txn, other, note.link, note.now).await?;
    }
    let statement = sqlx::query(NOTE)
        .bind(note.noted)
        .bind(note.link.to_string())
        .bind(note.now.as_micros())
        .bind(i64::try_from(note.limit).unwrap_or(i64::MAX));
    txn.run(statement).await.map(|_| ())
}

async fn forget(
    txn: &mut Txn,
    subject: String,
    link: LinkId,
    until: Timestamp,
) -> Result<(), StoreError> {
    let forget = sqlx::query(FORGET)
        .bind(subject)
        .bind(link.to_string())
        .bind(until.as_micros());
    txn.run(forget).await.map(|_| ())
}

const FORGET: &str = "-- forget_set_back
DELETE FROM deletes_admitted WHERE sync = ?1 AND link = ?2 AND at <= ?3";

const FORGET_ALL: &str = "-- forget_all_set_back
DELETE FROM deletes_admitted WHERE sync = ?1 AND at <= ?2";

/// Once the limit is reached no other is added.
const NOTE: &str = "-- note_set_back
INSERT INTO deletes_admitted (sync, link, at)
SELECT ?1, ?2, ?3
WHERE (SELECT count(*) FROM deletes_admitted WHERE sync = ?1 AND link <> ?2) < ?4
ON CONFLICT (sync, link) DO UPDATE SET at = excluded.at";

const COUNT: &str = "-- count_set_back
SELECT (SELECT count(*) FROM deletes_admitted WHERE sync = ?1 AND at >= ?4) AS doubted,
       (SELECT count(*) FROM deletes_admitted WHERE sync = ?2 AND at >= ?4) AS older,
       (SELECT count(*) FROM deletes_admitted WHERE sync = ?3 AND at >= ?4) AS missing";

const LINKS: &str = "-- set_back_links
SELECT link, sync = ?1 AS is_older FROM deletes_admitted WHERE sync IN (?1, ?2) ORDER BY link LIMIT ?3";

#[async_trait]
impl SetBackStore for SqliteStore {
    async fn note_set_back(
        &self,
        sync: &SyncName,
        side: Side,
        link: LinkId,
        sign: SetBackSign,
        limit: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let subjects = subjects(sync, side);
        let noted = set_back_counted_by(sync, side, sign);
        let others = subjects
            .into_iter()
            .filter(|other| *other != noted)
            .collect();
        let note = Note {
            others,
            noted,
            link,
            limit,
            now,
        };
        self.writer
            .write(move |txn| Box::pin(async move { put(txn, note).await }))
            .await
    }

    async fn set_back_count(
        &self,
        sync: &SyncName,
        side: Side,
        since: Timestamp,
    ) -> Result<SetBackCount, StoreError> {
        let [doubted, older, missing] = subjects(sync, side);
        let count = sqlx::query(COUNT)
            .bind(doubted)
            .bind(older)
            .bind(missing)
            .bind(since.as_micros());
        let row = sql::one(&self.readers, count).await?;
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
        let [_, older, missing] = subjects(sync, side);
        let links = sqlx::query(LINKS)
            .bind(older)
            .bind(missing)
            .bind(sql::limit(limit));
        let rows = sql::all(&self.readers, links).await?;
        rows.iter().map(noted).collect()
    }

    async fn forget_set_back(
        &self,
        sync: &SyncName,
        side: Side,
        link: Option<LinkId>,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let subjects = subjects(sync, side);
        self.writer
            .write(move |txn| {
                Box::pin(async move {
                    for subject in subjects {
                        if let Some(link) = link {
                            forget(txn, subject, link, until).await?;
                            continue;
                        }
                        let all = sqlx::query(FORGET_ALL)
                            .bind(subject)
                            .bind(until.as_micros());
                        txn.run(all).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}
