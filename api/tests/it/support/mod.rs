//! What the tests share: a clock that stands still, a storage that can fail and wait, a client that
//! sends exactly the bytes it is given.

pub mod client;
pub mod fake_store;
pub mod hooks;
pub mod server;
pub mod site;
pub mod systems;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{Clock, Entropy, JobId, Timestamp};
use tandem_queue::Doorbell;

/// 2026-01-15T12:00:00Z.
pub const NOW_SECS: i64 = 1_768_478_400;

/// A clock that always shows [`NOW_SECS`].
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW_SECS)
    }
}

/// Numbers that never repeat.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        // Multiplying by an odd number keeps them distinct and spreads them over all bits.
        self.0
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Remembers who was rung for.
#[derive(Default)]
pub struct RecordingDoorbell(Mutex<Vec<JobId>>);

impl RecordingDoorbell {
    pub fn rung(&self) -> Vec<JobId> {
        self.0.lock().expect("no test panics with it").clone()
    }
}

#[async_trait]
impl Doorbell for RecordingDoorbell {
    fn ring(&self, jobs: &[JobId]) {
        self.0
            .lock()
            .expect("no test panics with it")
            .extend_from_slice(jobs);
    }

    async fn wait(&self, _at_most: Duration) {}
}
