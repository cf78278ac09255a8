//! What operators do to pairs and questions by hand, and closing questions that are moot.

use async_trait::async_trait;
use tandem_domain::{ConflictId, JobId, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{Change, Fact, HandLink, HandStore, LinkState, StoreError, TakeUp, Unlinked};

use super::{row, write};
use crate::jobs::enqueue::enqueue;
use crate::writer::Txn;
use crate::{SqliteStore, changes, rows, sql};

async fn link(txn: &mut Txn, hand: &HandLink, now: Timestamp) -> Result<Option<JobId>, StoreError> {
    let links = std::slice::from_ref(&hand.link);
    if write::insert_links(txn, links, now).await? == 0 {
        return Ok(None);
    }
    let sync = &hand.link.sync;
    for (side, state) in [(Side::A, &hand.link.a), (Side::B, &hand.link.b)] {
        let Some(record) = &state.id else { continue };
        leave_alone(txn, sync, side, record, false).await?;
        close_questions(txn, sync, side, record, Fact::Linked, now).await?;
    }
    changes::insert(txn, std::slice::from_ref(&hand.change)).await?;
    let standing = enqueue(txn, std::slice::from_ref(&hand.job), now).await?;
    Ok(standing.first().map(|standing| standing.job))
}

async fn unlink(
    txn: &mut Txn,
    id: LinkId,
    change: &Change,
    now: Timestamp,
) -> Result<Unlinked, StoreError> {
    const LINK: &str = "-- link_to_take_apart
SELECT * FROM links WHERE id = ?1";
    let row = txn.first(sqlx::query(LINK).bind(id.to_string())).await?;
    let link = row.as_ref().map(row::link).transpose()?;
    let Some(link) = link.filter(|link| link.state == LinkState::Active) else {
        return Ok(Unlinked::NotLinked);
    };
    let retire = sqlx::query(RETIRE)
        .bind(id.to_string())
        .bind(now.as_micros());
    if txn.run(retire).await? == 0 {
        return Ok(Unlinked::WriteUnderWay);
    }
    for (side, record) in link.records() {
        leave_alone(txn, &link.sync, side, record, true).await?;
    }
    let close = sqlx::query(CLOSE_OF_LINK)
        .bind(id.to_string())
        .bind(now.as_micros())
        .bind(Fact::TakenApart.because())
        .bind(sql::json("conflict", &Fact::TakenApart.kinds())?);
    txn.run(close).await?;
    changes::insert(txn, std::slice::from_ref(change)).await?;
    Ok(Unlinked::Done)
}

const RETIRE: &str = "-- take_link_apart
UPDATE links SET state = 'retired', kept_apart = 1, revision = revision + 1, updated_at = ?2
WHERE id = ?1 AND NOT EXISTS (
    SELECT 1 FROM intents i WHERE i.link = ?1 AND i.state IN ('planned', 'sent', 'unknown'))";

const CLOSE_OF_LINK: &str = "-- close_questions_of_link
UPDATE conflicts SET state = 'closed', closed_at = ?2, closed_because = ?3
WHERE link = ?1 AND state IN ('open', 'answered') AND kind ->> 'kind' IN (SELECT value FROM json_each(?4))";

/// Says whether a record is to be left alone.
async fn leave_alone(
    txn: &mut Txn,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
    alone: bool,
) -> Result<(), StoreError> {
    let statement = sqlx::query(LEAVE_ALONE)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(record.as_str().to_owned())
        .bind(alone);
    txn.run(statement).await.map(|_| ())
}

const LEAVE_ALONE: &str = "-- leave_alone
INSERT INTO records (sync, side, id, generation, ignored, keys) VALUES (?1, ?2, ?3, 0, ?4, '[]')
ON CONFLICT (sync, side, id) DO UPDATE SET ignored = excluded.ignored";

async fn close_questions(
    txn: &mut Txn,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
    fact: Fact,
    now: Timestamp,
) -> Result<Vec<ConflictId>, StoreError> {
    let statement = sqlx::query(CLOSE_OF_RECORD)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(record.as_str().to_owned())
        .bind(now.as_micros())
        .bind(fact.because())
        .bind(sql::json("conflict", &fact.kinds())?);
    txn.all(statement)
        .await?
        .iter()
        .map(|row| rows::parsed(row, "id"))
        .collect()
}

const CLOSE_OF_RECORD: &str = "-- close_questions_of_record
UPDATE conflicts SET state = 'closed', closed_at = ?4, closed_because = ?5
WHERE sync = ?1 AND side = ?2 AND record = ?3 AND link IS NULL AND state IN ('open', 'answered')
  AND kind ->> 'kind' IN (SELECT value FROM json_each(?6))
RETURNING id";

async fn close_moot(txn: &mut Txn, limit: usize, now: Timestamp) -> Result<usize, StoreError> {
    let [linked, alone, ended] = [Fact::Linked, Fact::LeftAlone, Fact::PairEnded];
    let statement = sqlx::query(CLOSE_MOOT)
        .bind(sql::limit(limit))
        .bind(now.as_micros())
        .bind(sql::json("conflict", &linked.kinds())?)
        .bind(linked.because())
        .bind(sql::json("conflict", &alone.kinds())?)
        .bind(alone.because())
        .bind(sql::json("conflict", &ended.kinds())?)
        .bind(ended.because());
    txn.run(statement).await
}

/// Open questions are few, and have an index of their own. Which kinds a fact ends is handed in.
const CLOSE_MOOT: &str = "-- close_moot_conflicts
UPDATE conflicts SET state = 'closed', closed_at = ?2, closed_because = moot.why
FROM (SELECT * FROM (
    SELECT c.id, CASE
        WHEN c.link IS NULL AND c.kind ->> 'kind' IN (SELECT value FROM json_each(?3)) AND (
            (c.side = 'a' AND EXISTS (SELECT 1 FROM links l
                WHERE l.sync = c.sync AND l.a_id = c.record AND l.state = 'active'))
            OR (c.side = 'b' AND EXISTS (SELECT 1 FROM links l
                WHERE l.sync = c.sync AND l.b_id = c.record AND l.state = 'active'))) THEN ?4
        WHEN c.kind ->> 'kind' IN (SELECT value FROM json_each(?5)) AND (
            EXISTS (SELECT 1 FROM records r
                WHERE r.sync = c.sync AND r.side = c.side AND r.id = c.record AND r.ignored)
            OR EXISTS (SELECT 1 FROM links l JOIN records r ON r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id
                WHERE l.id = c.link AND r.ignored)
            OR EXISTS (SELECT 1 FROM links l JOIN records r ON r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id
                WHERE l.id = c.link AND r.ignored)) THEN ?6
        WHEN c.kind ->> 'kind' IN (SELECT value FROM json_each(?7)) AND EXISTS (
            SELECT 1 FROM links l WHERE l.id = c.link AND l.state = 'retired') THEN ?8
        END AS why
    FROM conflicts c INDEXED BY conflicts_record WHERE c.state IN ('open', 'answered'))
    WHERE why IS NOT NULL LIMIT ?1) AS moot
WHERE conflicts.id = moot.id";

/// Has a record take part again. Says whether it was left alone.
async fn take_part(
    txn: &mut Txn,
    sync: &SyncName,
    side: Side,
    record: &RecordId,
) -> Result<bool, StoreError> {
    let statement = sqlx::query(TAKE_PART)
        .bind(sync.as_str().to_owned())
        .bind(side.as_str())
        .bind(record.as_str().to_owned());
    Ok(txn.run(statement).await? > 0)
}

const TAKE_PART: &str = "-- take_part
UPDATE records SET ignored = 0 WHERE sync = ?1 AND side = ?2 AND id = ?3 AND ignored";

async fn take_up(
    txn: &mut Txn,
    taken: &TakeUp,
    now: Timestamp,
) -> Result<Option<JobId>, StoreError> {
    let TakeUp {
        sync, side, record, ..
    } = taken;
    let mut changed = take_part(txn, sync, *side, record).await?;
    let partner = sqlx::query(match side {
        Side::A => PARTNER_OF_A,
        Side::B => PARTNER_OF_B,
    })
    .bind(sync.as_str().to_owned())
    .bind(record.as_str().to_owned());
    if let Some(row) = txn.first(partner).await?
        && let Some(partner) = rows::record_opt(&row, "partner")?
    {
        changed |= take_part(txn, sync, side.other(), &partner).await?;
    }
    if !changed {
        return Ok(None);
    }
    if let Some(question) = taken.question {
        let reopen = sqlx::query(REOPEN).bind(question.to_string());
        txn.run(reopen).await?;
    }
    let standing = enqueue(txn, std::slice::from_ref(&taken.job), now).await?;
    Ok(standing.first().map(|standing| standing.job))
}

const PARTNER_OF_A: &str = "-- partner_of_a
SELECT b_id AS partner FROM links WHERE sync = ?1 AND a_id = ?2 AND state = 'active'";

const PARTNER_OF_B: &str = "-- partner_of_b
SELECT a_id AS partner FROM links WHERE sync = ?1 AND b_id = ?2 AND state = 'active'";

const REOPEN: &str = "-- reopen_conflict
UPDATE conflicts SET state = 'open', resolution = NULL, answered_at = NULL, closed_at = NULL,
                     closed_because = NULL
WHERE id = ?1 AND state = 'closed' AND resolution ->> 'answer' = 'ignore' AND (
    SELECT o.id FROM conflicts o
    WHERE o.subject = conflicts.subject AND o.state IN ('open', 'answered') LIMIT 1) IS NULL";

const ALONE: &str = "-- links_left_alone
SELECT l.id FROM links l WHERE l.id IN (SELECT value FROM json_each(?1)) AND (l.state = 'active' OR l.kept_apart) AND (
    EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'a' AND r.id = l.a_id AND r.ignored)
    OR EXISTS (SELECT 1 FROM records r WHERE r.sync = l.sync AND r.side = 'b' AND r.id = l.b_id AND r.ignored))";

const ALONE_COUNT: &str = "-- count_left_alone
SELECT count(*) AS n FROM records INDEXED BY records_left_alone WHERE sync = ?1 AND ignored";

#[async_trait]
impl HandStore for SqliteStore {
    async fn link_by_hand(
        &self,
        hand: HandLink,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { link(txn, &hand, now).await }))
            .await
    }

    async fn unlink_by_hand(
        &self,
        link: LinkId,
        change: Change,
        now: Timestamp,
    ) -> Result<Unlinked, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { unlink(txn, link, &change, now).await }))
            .await
    }

    async fn take_up(&self, taken: TakeUp, now: Timestamp) -> Result<Option<JobId>, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { take_up(txn, &taken, now).await }))
            .await
    }

    async fn left_alone(&self, links: &[LinkId]) -> Result<Vec<LinkId>, StoreError> {
        let statement = sqlx::query(ALONE).bind(sql::json("link", links)?);
        let rows = sql::all(&self.readers, statement).await?;
        rows.iter().map(|row| rows::parsed(row, "id")).collect()
    }

    async fn left_alone_count(&self, sync: &SyncName) -> Result<u64, StoreError> {
        let statement = sqlx::query(ALONE_COUNT).bind(sync.as_str().to_owned());
        let row = sql::first(&self.readers, statement).await?;
        row.map_or(Ok(0), |row| rows::count(&row, "n"))
    }

    async fn close_moot_conflicts(
        &self,
        limit: usize,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { close_moot(txn, limit, now).await }))
            .await
    }

    async fn close_questions_of(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
        fact: Fact,
        now: Timestamp,
    ) -> Result<Vec<ConflictId>, StoreError> {
        let (sync, record) = (sync.clone(), record.clone());
        self.writer
            .write(move |txn| {
                Box::pin(async move { close_questions(txn, &sync, side, &record, fact, now).await })
            })
            .await
    }
}
