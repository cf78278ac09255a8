//! The delete brake: deletes that come too many at once wait for a person.
//!
//! The storage counts, so that the limit holds for the whole fleet and a restart forgets nothing.

use std::time::Duration;

use tandem_domain::LinkId;
use tandem_runtime::{DeleteBrake, SyncDefinition};

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
    let links = context.store.link_count(&sync.name).await?;
    let now = context.now();
    let (limit, since) = (limit(sync.brake, links), now.minus(WINDOW));
    let store = &context.store;
    Ok(store
        .admit_delete(&sync.name, link, limit, since, now)
        .await?)
}

/// So many deletes pass within the window: the number, or the share of the links if that is more.
fn limit(brake: DeleteBrake, links: u64) -> u64 {
    let share = links.saturating_mul(u64::from(brake.percent)) / 100;
    u64::from(brake.count).max(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_or_the_share_passes_whichever_is_more() {
        let brake = DeleteBrake {
            count: 2,
            percent: 10,
        };
        assert_eq!(limit(brake, 0), 2);
        assert_eq!(limit(brake, 29), 2);
        assert_eq!(limit(brake, 100), 10);
        assert_eq!(limit(brake, u64::MAX), u64::MAX / 100);
    }
}
