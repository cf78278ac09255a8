//! The delete brake: deletes that come too many at once wait for a person. So do fields that vanish from too many
//! records.
//!
//! The storage counts, so that the limit holds for the whole fleet and a restart forgets nothing.

use std::time::Duration;

use tandem_domain::{LinkId, Side};
use tandem_runtime::{DeleteBrake, SyncDefinition};
use tandem_store::StoreError;

use crate::context::Context;
use crate::failure::WorkError;

/// Deletes are counted over this long.
const WINDOW: Duration = Duration::from_secs(3_600);

/// Whether one more delete may pass; if so it is counted.
///
/// # Errors
/// What the storage says.
pub async fn admits(
    context: &Context,
    sync: &SyncDefinition,
    link: LinkId,
) -> Result<bool, WorkError> {
    let now = context.now();
    let since = now.minus(WINDOW);
    let store = &context.store;
    within(
        sync.brake,
        |limit| store.admit_delete(&sync.name, link, limit, since, now),
        || store.link_count(&sync.name),
    )
    .await
    .map_err(WorkError::from)
}

/// Counts a record that has lost a field, and says how many have within the window: no more than one beyond the brake.
///
/// # Errors
/// What the storage says.
pub async fn count_emptied(
    context: &Context,
    sync: &SyncDefinition,
    field: (Side, &str),
    link: LinkId,
) -> Result<u64, WorkError> {
    let now = context.now();
    let since = now.minus(WINDOW);
    let store = &context.store;
    let limit = u64::from(sync.brake.count) + 1;
    Ok(store
        .count_emptied(&sync.name, field, link, limit, since, now)
        .await?)
}

/// So many deletes pass within the window: the number, or the share of the links if that is more. The links are
/// counted only once the number is used up: counting them reads the whole index of the sync.
async fn within<A, C>(
    brake: DeleteBrake,
    admit: impl Fn(u64) -> A,
    count_links: impl FnOnce() -> C,
) -> Result<bool, StoreError>
where
    A: Future<Output = Result<bool, StoreError>>,
    C: Future<Output = Result<u64, StoreError>>,
{
    let number = u64::from(brake.count);
    if admit(number).await? {
        return Ok(true);
    }
    if brake.percent == 0 {
        return Ok(false);
    }
    let share = share(brake, count_links().await?);
    Ok(share > number && admit(share).await?)
}

fn share(brake: DeleteBrake, links: u64) -> u64 {
    links.saturating_mul(u64::from(brake.percent)) / 100
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use super::*;

    /// Whether a delete passes after so many others, and how often the links were counted for it.
    async fn asked(percent: u32, links: u64, passed: u64) -> (bool, u32) {
        let brake = DeleteBrake { count: 2, percent };
        let counted = Cell::new(0);
        let count = || {
            counted.set(counted.get() + 1);
            ready(Ok(links))
        };
        let admitted = within(brake, |limit| ready(Ok(passed < limit)), count).await;
        (admitted.expect("it answers"), counted.get())
    }

    #[tokio::test]
    async fn the_number_or_the_share_passes_whichever_is_more() {
        assert_eq!(asked(10, 29, 2).await, (false, 1));
        assert_eq!(asked(10, 100, 9).await, (true, 1));
        assert_eq!(asked(10, 100, 10).await, (false, 1));
        assert!(asked(10, u64::MAX, 1_000).await.0);
    }

    #[tokio::test]
    async fn the_links_are_counted_only_when_the_number_is_used_up_and_a_share_may_pass() {
        assert_eq!(asked(10, 100, 1).await, (true, 0));
        assert_eq!(asked(0, 100, 2).await, (false, 0));
    }
}
