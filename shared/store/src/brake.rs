//! The count behind the delete brake: one for the whole fleet, and not forgotten by a restart.

use async_trait::async_trait;
use tandem_domain::{LinkId, SyncName, Timestamp};

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
}
