//! What the parts of one runner share.

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::in_flight::InFlight;
use crate::{RunnerConfig, RunnerParts};

/// One for each runner.
pub(crate) struct Core {
    pub(crate) config: RunnerConfig,
    pub(crate) parts: RunnerParts,
    pub(crate) in_flight: InFlight,
    /// Wakes the claimer: a job has ended, so that its lane is free.
    pub(crate) freed: Notify,
    /// Cancelled when nothing more may be started.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when the time for finishing is over.
    pub(crate) hand_back: CancellationToken,
}

impl Core {
    pub(crate) fn new(
        config: RunnerConfig,
        parts: RunnerParts,
        shutdown: &CancellationToken,
    ) -> Self {
        Self {
            config,
            parts,
            in_flight: InFlight::default(),
            freed: Notify::new(),
            // A child, so that a part that fails stops this runner and not the whole process.
            stopping: shutdown.child_token(),
            hand_back: CancellationToken::new(),
        }
    }
}
