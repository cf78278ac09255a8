//! Roles that one process of the fleet has at a time, such as leading the schedulers.

use async_trait::async_trait;
use tandem_domain::Timestamp;

use crate::StoreError;

/// Who has which role, and until when.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes a role until `until`, or keeps it that long: when nobody has it, its time was over at
    /// `now`, or `holder` has it already. Returns whether `holder` has it now.
    ///
    /// `now` and the end that another process wrote are compared, so the clocks of the fleet must not
    /// differ by more than a role may be doubled for a moment.
    async fn hold_role(
        &self,
        role: &str,
        holder: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Gives up a role, if `holder` has it: another may take it at once.
    async fn give_up_role(&self, role: &str, holder: &str) -> Result<(), StoreError>;
}
