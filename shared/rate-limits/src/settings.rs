//! How a process takes part in the fleet's rate limits.

use std::time::Duration;

/// Who this process is, and where the fleet meets.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// `redis://[user:password@]host:port/[database]`, or `rediss://` for TLS.
    pub redis_url: String,
    /// The beginning of every key, so that several fleets can use one Redis.
    pub namespace: String,
    /// A name that no other process of the fleet has, new at every start.
    pub process: String,
    /// The least number of processes that limits are divided by while Redis is away.
    pub fleet_size_hint: u32,
    /// How long things take.
    pub timings: Timings,
}

/// How long things take. All processes of a fleet must have the same.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// A process beats this often, and looks this often for a Redis that was away.
    pub beat: Duration,
    /// Redis answers within this, or counts as away.
    pub answer: Duration,
    /// Redis takes a new connection within this.
    pub connect: Duration,
    /// A process that has not beaten for this long counts as away. More than `beat`.
    pub away_after: Duration,
    /// A process that has had no answer for this long goes by its own share. More than `away_after`.
    pub share_after: Duration,
    /// A process that has not beaten for this long is forgotten.
    pub remembered: Duration,
    /// Nothing is given out for this long after Redis was empty or away. More than `beat`, `connect` and
    /// twice `answer` together, and than twice `share_wait`.
    pub settle: Duration,
    /// A request waits no longer than this for its turn in a share.
    pub share_wait: Duration,
    /// What was taken in Redis starts within this. More than `answer`.
    pub lease: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(500),
            answer: Duration::from_millis(100),
            connect: Duration::from_millis(250),
            away_after: Duration::from_secs(2),
            share_after: Duration::from_millis(2_250),
            remembered: Duration::from_secs(60),
            settle: Duration::from_millis(1_900),
            share_wait: Duration::from_millis(900),
            lease: Duration::from_millis(200),
        }
    }
}

/// Why a process cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The address of Redis is none.
    #[error(
        "the Redis address cannot be used: {0}; write redis://[user:password@]host:port/ or rediss:// for TLS"
    )]
    Address(#[source] redis::RedisError),
}
