//! Links, the index of records, and the journal of writes.

mod confirm;
mod hand;
mod index;
mod intents;
mod journal;
mod read;
mod row;
mod write;

use async_trait::async_trait;
use tandem_domain::{IntentId, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    Confirmation, IndexedRecord, Intent, JournalError, KnownRecord, Lease, Link, LinkSeen,
    LinkStanding, LinkStore, NewJob, NewLink, PairContext, SeenRecord, StoreError,
};

use crate::SqliteStore;

/// Why a verb under a lease changed nothing.
enum Refusal {
    Journal(JournalError),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Tells a refusal, which is an answer, from a failure of the storage.
fn answer(result: Result<(), Refusal>) -> Result<Result<(), JournalError>, StoreError> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(Refusal::Journal(error)) => Ok(Err(error)),
        Err(Refusal::Store(error)) => Err(error),
    }
}

#[async_trait]
impl LinkStore for SqliteStore {
    async fn pair(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<PairContext, StoreError> {
        read::pair(&self.readers, sync, side, record).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>, StoreError> {
        read::link(&self.readers, id).await
    }

    async fn links(
        &self,
        sync: &SyncName,
        after: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<Link>, StoreError> {
        read::links(&self.readers, sync, after, limit).await
    }

    async fn links_standing(
        &self,
        sync: &SyncName,
        standing: LinkStanding,
        after: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<Link>, StoreError> {
        read::links_standing(&self.readers, sync, standing, after, limit).await
    }

    async fn link_count(&self, sync: &SyncName) -> Result<u64, StoreError> {
        read::link_count(&self.readers, sync).await
    }

    async fn partnerless_count(&self, sync: &SyncName, side: Side) -> Result<u64, StoreError> {
        read::partnerless_count(&self.readers, sync, side).await
    }

    async fn relane(&self, lease: Lease, link: LinkId, now: Timestamp) -> Result<bool, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { write::relane(txn, lease, link, now).await }))
            .await
    }

    async fn journal(
        &self,
        lease: Lease,
        link: Option<LinkSeen>,
        intents: Vec<Intent>,
        now: Timestamp,
    ) -> Result<Result<(), JournalError>, StoreError> {
        let result = self
            .writer
            .decide(move |txn| {
                Box::pin(async move { journal::journal(txn, lease, link, &intents, now).await })
            })
            .await?;
        answer(result)
    }

    async fn mark_sent(
        &self,
        lease: Lease,
        intent: IntentId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.writer
            .write(move |txn| {
                Box::pin(async move { journal::mark_sent(txn, lease, intent, now).await })
            })
            .await
    }

    async fn confirm(
        &self,
        sync: &SyncName,
        lease: Lease,
        confirmation: Confirmation,
        now: Timestamp,
    ) -> Result<Result<(), JournalError>, StoreError> {
        let sync = sync.clone();
        let result = self
            .writer
            .decide(move |txn| {
                Box::pin(
                    async move { confirm::confirm(txn, &sync, lease, &confirmation, now).await },
                )
            })
            .await?;
        answer(result)
    }

    async fn insert_links(&self, links: Vec<NewLink>, now: Timestamp) -> Result<usize, StoreError> {
        self.writer
            .write(move |txn| Box::pin(async move { write::insert_links(txn, &links, now).await }))
            .await
    }

    async fn index_records(
        &self,
        sync: &SyncName,
        side: Side,
        records: Vec<IndexedRecord>,
        jobs: Vec<NewJob>,
        generation: i64,
        now: Timestamp,
    ) -> Result<Vec<SeenRecord>, StoreError> {
        let listing = index::Listing {
            sync: sync.clone(),
            side,
            records,
            jobs,
            generation,
            now,
        };
        self.writer
            .write(move |txn| Box::pin(async move { index::index_records(txn, listing).await }))
            .await
    }

    async fn let_be(
        &self,
        sync: &SyncName,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<RecordId>, StoreError> {
        index::let_be(&self.readers, sync, side, records).await
    }

    async fn records_by_keys(
        &self,
        sync: &SyncName,
        side: Side,
        keys: &[String],
    ) -> Result<Vec<KnownRecord>, StoreError> {
        index::records_by_keys(&self.readers, sync, side, keys).await
    }

    async fn unseen_records(
        &self,
        sync: &SyncName,
        side: Side,
        generation: i64,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, StoreError> {
        index::unseen_records(&self.readers, sync, side, generation, after, limit).await
    }

    async fn open_creates(
        &self,
        sync: &SyncName,
        side: Side,
        keys: &[String],
    ) -> Result<Vec<Intent>, StoreError> {
        intents::open_creates(&self.readers, sync, side, keys).await
    }

    async fn intents_of(
        &self,
        sync: &SyncName,
        record: &RecordId,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::intents_of(&self.readers, sync, record).await
    }

    async fn writes_of(
        &self,
        link: LinkId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::writes_of(&self.readers, link, since, limit).await
    }

    async fn intent(&self, id: IntentId) -> Result<Option<Intent>, StoreError> {
        intents::intent(&self.readers, id).await
    }

    async fn listed_at(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Timestamp>, StoreError> {
        index::listed_at(&self.readers, sync, side, record).await
    }

    async fn answered_only(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<String>, StoreError> {
        index::answered_only(&self.readers, sync, side, record).await
    }

    async fn creates_of(
        &self,
        sync: &SyncName,
        side: Side,
        source: &RecordId,
        match_key: Option<&str>,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let made = (sync, side, source, match_key);
        intents::creates_of(&self.readers, made, since).await
    }

    async fn stale_intents(
        &self,
        before: Timestamp,
        after: Option<(Timestamp, IntentId)>,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::stale_intents(&self.readers, before, after, limit).await
    }
}
