//! The count behind the delete brake, and behind that of emptied fields: one for the whole fleet, and not forgotten by a
//! restart.

use async_trait::async_trait;
use tandem_domain::{LinkId, Side, SyncName, Timestamp};

use crate::StoreError;

/// Which deletes were let pass of late.
#[async_trait]
pub trait BrakeStore: Send + Sync {
    /// Lets one more delete of a sync pass if fewer than `limit` others have since `since`, and counts it.
    /// Asked at once by many, it never lets more pass than the limit. A link counts once, so that a delete
    /// which has to be tried again needs no new leave. What is older than `since` is forgotten.
    async fn admit_delete(
        &self,
        sync: &SyncName,
        link: LinkId,
        limit: u64,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Counts a record whose side's answer leaves out a field that had a value, and says how many records have lost it
    /// since `since`, this one included, but at most `limit`: no more are kept, so that the count costs the same however
    /// many lose it. A link counts once. What is older than `since` is forgotten.
    async fn count_emptied(
        &self,
        sync: &SyncName,
        field: (Side, &str),
        link: LinkId,
        limit: u64,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}

/// What is counted of a field stands beside the deletes of the sync, under a name that no sync can have.
#[must_use]
pub fn emptied_subject(sync: &SyncName, side: Side, field: &str) -> String {
    format!("{sync}/{side}#emptied/{field}")
}
