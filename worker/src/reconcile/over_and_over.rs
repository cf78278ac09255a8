//! A record that is made, taken away and made again, by us and by an automation in turn, has an end.

use std::time::Duration;

use tandem_domain::{RecordId, Side};
use tandem_store::Trigger;

use crate::executor::Work;
use crate::failure::WorkError;

/// Creates are counted over this long.
const WINDOW: Duration = Duration::from_secs(3_600);
/// So many creates for one source, or with one match key, and no more by themselves.
const CREATES_MAX: u64 = 5;

/// Refuses to make a record once more, for its source or with its match key. A person who replays the dead letter that
/// comes of it has one more made.
pub(super) async fn refuse(
    work: Work<'_>,
    side: Side,
    source: &RecordId,
    match_key: Option<&str>,
) -> Result<(), WorkError> {
    if work.claimed.job.trigger == Trigger::Manual {
        return Ok(());
    }
    let (sync, since) = (&work.sync.name, work.context.now().minus(WINDOW));
    let store = &work.context.store;
    let times = store
        .creates_of(sync, side, source, match_key, since)
        .await?;
    if times < CREATES_MAX {
        return Ok(());
    }
    Err(WorkError::MadeOverAndOver {
        system: work.sync.end(side).connection.to_string(),
        source_system: work.sync.end(side.other()).connection.to_string(),
        record: source.clone(),
        times,
    })
}
