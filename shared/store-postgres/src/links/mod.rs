//! Links, the index of records, and the journal of writes.

mod confirm;
mod hand;
mod index;
mod intents;
mod journal;
mod read;
mod row;
mod write;

pub(crate) use confirm::{Step, confirm_all};
pub(crate) use journal::{Entry, journal_linked};
pub(crate) use read::{Asked, pairs};

use async_trait::async_trait;
use tandem_domain::{IntentId, LinkId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    Confirmation, IndexedRecord, Intent, JournalError, KnownRecord, Lease, Link, LinkSeen,
    LinkStanding, LinkStore, LinkUpdate, NewJob, NewLink, PairContext, SeenRecord, StoreError,
};

use crate::{PostgresStore, txn};

#[async_trait]
impl LinkStore for PostgresStore {
    async fn pair(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<PairContext, StoreError> {
        let asked = Asked {
            sync: sync.clone(),
            side,
            record: record.clone(),
        };
        self.pairs.call(asked).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>, StoreError> {
        read::link(&self.pool, id).await
    }

    async fn links(
        &self,
        sync: &SyncName,
        after: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<Link>, StoreError> {
        read::links(&self.pool, sync, after, limit).await
    }

    async fn links_standing(
        &self,
        sync: &SyncName,
        standing: LinkStanding,
        after: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<Link>, StoreError> {
        read::links_standing(&self.pool, sync, standing, after, limit).await
    }

    async fn link_count(&self, sync: &SyncName) -> Result<u64, StoreError> {
        read::link_count(&self.pool, sync).await
    }

    async fn partnerless_count(&self, sync: &SyncName, side: Side) -> Result<u64, StoreError> {
        read::partnerless_count(&self.pool, sync, side).await
    }

    async fn relane(&self, lease: Lease, link: LinkId, now: Timestamp) -> Result<bool, StoreError> {
        txn::write(&self.pool, (lease, link, now), |txn, (lease, link, now)| {
            Box::pin(write::relane(txn, *lease, *link, *now))
        })
        .await
    }

    async fn journal(
        &self,
        lease: Lease,
        link: Option<LinkSeen>,
        intents: Vec<Intent>,
        now: Timestamp,
    ) -> Result<Result<(), JournalError>, StoreError> {
        let entry = Entry::new(lease, link, intents, now);
        if entry.is_linked() {
            self.journalled.call(entry).await
        } else {
            journal::journal(&self.pool, entry).await
        }
    }

    async fn mark_sent(
        &self,
        lease: Lease,
        intent: IntentId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        journal::mark_sent(&self.pool, lease, intent, now).await
    }

    async fn confirm(
        &self,
        sync: &SyncName,
        lease: Lease,
        confirmation: Confirmation,
        now: Timestamp,
    ) -> Result<Result<(), JournalError>, StoreError> {
        let step = Step {
            sync: sync.clone(),
            lease,
            confirmation,
            now,
        };
        if matches!(step.confirmation.link, Some(LinkUpdate::Insert(_))) {
            return txn::decide(&self.pool, step, |txn, step| {
                Box::pin(confirm::linking(txn, step))
            })
            .await;
        }
        self.confirmations.call(step).await
    }

    async fn insert_links(&self, links: Vec<NewLink>, now: Timestamp) -> Result<usize, StoreError> {
        txn::write(&self.pool, (links, now), |txn, (links, now)| {
            Box::pin(write::insert_links(txn, links, *now))
        })
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
        txn::write(&self.pool, listing, |txn, listing| {
            Box::pin(index::index_records(txn, listing))
        })
        .await
    }

    async fn let_be(
        &self,
        sync: &SyncName,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<RecordId>, StoreError> {
        index::let_be(&self.pool, sync, side, records).await
    }

    async fn records_by_keys(
        &self,
        sync: &SyncName,
        side: Side,
        keys: &[String],
    ) -> Result<Vec<KnownRecord>, StoreError> {
        index::records_by_keys(&self.pool, sync, side, keys).await
    }

    async fn unseen_records(
        &self,
        sync: &SyncName,
        side: Side,
        generation: i64,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, StoreError> {
        index::unseen_records(&self.pool, sync, side, generation, after, limit).await
    }

    async fn open_creates(
        &self,
        sync: &SyncName,
        side: Side,
        keys: &[String],
    ) -> Result<Vec<Intent>, StoreError> {
        intents::open_creates(&self.pool, sync, side, keys).await
    }

    async fn intents_of(
        &self,
        sync: &SyncName,
        record: &RecordId,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::intents_of(&self.pool, sync, record).await
    }

    async fn writes_of(
        &self,
        link: LinkId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::writes_of(&self.pool, link, since, limit).await
    }

    async fn intent(&self, id: IntentId) -> Result<Option<Intent>, StoreError> {
        intents::intent(&self.pool, id).await
    }

    async fn listed_at(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Timestamp>, StoreError> {
        index::listed_at(&self.pool, sync, side, record).await
    }

    async fn answered_only(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<String>, StoreError> {
        index::answered_only(&self.pool, sync, side, record).await
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
        intents::creates_of(&self.pool, made, since).await
    }

    async fn stale_intents(
        &self,
        before: Timestamp,
        after: Option<(Timestamp, IntentId)>,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::stale_intents(&self.pool, before, after, limit).await
    }
}
