//! What long listings leave behind page by page, so that they go on where they stood: what a whole comparison
//! has read of records that have no partner yet, and where the listing of each side goes on.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tandem_domain::{Fields, RecordId, Side, SyncName, Timestamp};

use crate::StoreError;
use crate::links::SideState;
use crate::runs::{Progress, Run};

/// What a whole comparison keeps of a record that has no partner: what it needs to match it and to compare
/// it with its partner, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurveyedRecord {
    /// The record.
    pub id: RecordId,
    /// Its normalised match keys, strongest first.
    pub keys: Vec<String>,
    /// Its mapped fields.
    pub fields: Fields,
    /// What a link would remember of it.
    pub state: SideState,
    /// When it was edited, by our clock.
    pub edited_at: Option<Timestamp>,
}

/// Where the listing of one side stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListingPlace {
    /// Where it goes on; `None` at the beginning.
    pub token: Option<Json>,
    /// Whether it has ended.
    pub has_ended: bool,
    /// What its pages were read by. A sync that is configured anew does not go on with them.
    #[serde(default)]
    pub mapping: String,
    /// What it has come to, of this side alone.
    pub progress: Progress,
    /// The latest time of change that it has shown, by the system's clock.
    #[serde(default)]
    pub latest: Option<Timestamp>,
}

/// One page of a listing as it is stored.
#[derive(Clone, Debug)]
pub struct StoredPage {
    /// The side.
    pub side: Side,
    /// The records of the page that have no partner.
    pub records: Vec<SurveyedRecord>,
    /// Rows that could not be read, whose id is known.
    pub unreadable: Vec<RecordId>,
    /// Where the listing goes on after this page.
    pub place: ListingPlace,
}

/// Pages of long listings.
#[async_trait]
pub trait ListingStore: Send + Sync {
    /// Stores a page of a run and where its listing goes on, in one transaction, if the run still runs.
    /// Records that could not be read count as seen: they are not gone. A record that came before is
    /// replaced. The job that carries the run and has come further than ever before is not held to be what killed
    /// its processes so far, see [`crate::Job::crashes`].
    async fn keep_page(&self, run: &Run, page: StoredPage) -> Result<(), StoreError>;

    /// Where the listing of a side stands; `None` before its first page.
    async fn listing_place(
        &self,
        run: &Run,
        side: Side,
    ) -> Result<Option<ListingPlace>, StoreError>;

    /// Ids and match keys of what the pages of a run held and what has no active link (any more), in order of
    /// id after `after`, at most `limit`.
    async fn surveyed_keys(
        &self,
        run: &Run,
        side: Side,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<(RecordId, Vec<String>)>, StoreError>;

    /// Those of these records that the pages of a run held, in order of id.
    async fn surveyed(
        &self,
        run: &Run,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<SurveyedRecord>, StoreError>;

    /// Removes the pages of runs that run no more, at most `limit` records. Returns how many.
    async fn forget_pages(&self, limit: usize) -> Result<usize, StoreError>;

    /// What the stored match keys of a sync are made of; `None` when no whole comparison has said so.
    async fn key_form(&self, sync: &SyncName) -> Result<Option<String>, StoreError>;

    /// Says what they are made of, after a whole comparison.
    async fn set_key_form(&self, sync: &SyncName, form: &str) -> Result<(), StoreError>;
}
