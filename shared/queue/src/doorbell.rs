//! Tells a waiting runner that there may be work. A ring that is lost costs latency, never work:
//! the runner also looks at the store by itself.

use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::JobId;
use tokio::sync::Notify;

/// Carries the news of new jobs to the runners.
#[async_trait]
pub trait Doorbell: Send + Sync {
    /// Says that these jobs wait to be claimed. Never fails and never blocks.
    fn ring(&self, jobs: &[JobId]);

    /// Resolves when the bell was rung since the last wait, or after `at_most`. Dropping the future
    /// loses no ring.
    async fn wait(&self, at_most: Duration);

    /// Says that the runner has claimed these jobs and has no free slot left, so that what it heard
    /// beyond them should be rung for others. Never fails and never blocks.
    fn pass_on(&self, claimed: &[JobId]) {
        // Where one runner hears everything there is nobody to pass it on to.
        let _no_others = claimed;
    }
}

/// The doorbell of a process that runs its jobs itself. One runner a process waits on it; each ring
/// wakes one.
#[derive(Debug, Default)]
pub struct InProcessDoorbell {
    /// Keeps one ring for a runner that is not waiting yet; more than one would only say the same.
    rung: Notify,
}

#[async_trait]
impl Doorbell for InProcessDoorbell {
    fn ring(&self, jobs: &[JobId]) {
        if !jobs.is_empty() {
            self.rung.notify_one();
        }
    }

    async fn wait(&self, at_most: Duration) {
        // Both endings mean the same to the caller: look at the store.
        let _rung_or_time = tokio::time::timeout(at_most, self.rung.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::{Entropy, Timestamp};
    use tokio::time::Instant;

    use super::*;

    struct Zeros;
    impl Entropy for Zeros {
        fn next_u64(&self) -> u64 {
            0
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_ring_before_the_wait_is_not_lost() {
        let bell = InProcessDoorbell::default();
        let start = Instant::now();
        bell.ring(&[JobId::new(Timestamp::default(), &Zeros)]);
        bell.wait(LONG).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_ring_the_wait_ends_with_the_time() {
        let bell = InProcessDoorbell::default();
        let start = Instant::now();
        bell.ring(&[]);
        bell.wait(LONG).await;
        assert!(start.elapsed() >= LONG);
    }
}
