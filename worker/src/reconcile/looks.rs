//! How soon it is looked again for what does not show yet: after pauses that grow with the time that was waited, so that
//! there are few looks, and none comes late.

use std::time::Duration;

/// The first pause.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// No pause is longer.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);

/// How long to pause when it has been waited for so long.
pub(super) fn pause(waited: Duration) -> Duration {
    waited.clamp(LOOK_AGAIN, LOOK_AGAIN_MAX)
}

/// How long to pause before it is looked again for a record that was never seen, when it has been waited for so long, of
/// so long in all. Thousands of events may tell of such, so these looks are few: after 2 s, 10 s, and at the end.
pub(super) fn pause_of_unseen(waited: Duration, patience: Duration) -> Duration {
    const FIRST: Duration = Duration::from_secs(2);
    let left = patience.saturating_sub(waited);
    (4 * waited).max(FIRST).min(left)
}

/// How long to pause before the effect of a write is looked for again, that was sent so long ago. The pauses end where its
/// time is over: the growing floor of all waits would carry them far beyond.
pub(super) fn pause_within(since: Duration, left: Duration) -> Duration {
    pause(since / 2).min(left)
}
