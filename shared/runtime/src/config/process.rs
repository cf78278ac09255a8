//! How the processes themselves are set up: server, worker, scheduler, retention.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, de};

/// The HTTP server: webhook ingress, API, health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where it listens.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// Connections open at once; further ones are answered 503.
    pub connections_max: usize,
    /// Connections open at once from one address, three times as many from a loopback address; further ones are
    /// answered 503. 0 for no limit.
    pub connections_per_address_max: usize,
    /// Verified deliveries that wait to be stored at once; further ones are answered 503.
    pub deliveries_max: usize,
    /// All bytes of webhook bodies held in memory at once; beyond that, 503.
    pub body_bytes_total_max: usize,
    /// How many proxies in front of Tandem append to `X-Forwarded-For`.
    pub trusted_proxies: usize,
    /// Whether programs of this machine may use the API without showing a token, where none is set.
    pub local_without_token: bool,
    /// A sender has this long for its headers, in seconds.
    pub header_secs: u32,
    /// A sender has this long for its body, in seconds.
    pub body_secs: u32,
    /// Requests under way have this long to end at shutdown, in seconds.
    pub shutdown_secs: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            connections_max: 1_024,
            connections_per_address_max: 256,
            deliveries_max: 4_096,
            body_bytes_total_max: 256 * 1024 * 1024,
            trusted_proxies: 0,
            local_without_token: true,
            header_secs: 5,
            body_secs: 10,
            shutdown_secs: 10,
        }
    }
}

fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    read_listen_address(&text).map_err(de::Error::custom)
}

/// An address to listen on, as the configuration, the command line and the environment name it.
///
/// # Errors
/// What is wrong, and how to write one.
pub fn read_listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not an address to listen on; write one such as 127.0.0.1:8080 or [::]:8080"
        )
    })
}

/// The job runners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Jobs under way at once in a process.
    pub concurrency: usize,
    /// A job whose worker died is taken over after this, in seconds.
    pub lease_secs: u32,
    /// The longest time for a job about one record, in seconds.
    pub job_secs: u32,
    /// The longest time for a job that lists a whole side, in seconds.
    pub listing_secs: u32,
    /// Jobs under way have this long to end at shutdown, in seconds.
    pub shutdown_secs: u32,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: 32,
            lease_secs: 30,
            job_secs: 300,
            listing_secs: 6 * 3_600,
            shutdown_secs: 20,
        }
    }
}

/// The scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerConfig {
    /// Polls, sweeps and whole comparisons under way at once.
    pub runs_max: usize,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self { runs_max: 5 }
    }
}

/// How long is kept what has ended. What is open is never removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Webhook deliveries, in days.
    pub events_days: u32,
    /// Jobs that ended well or were discarded, in days.
    pub jobs_days: u32,
    /// The change log, in days.
    pub changes_days: u32,
    /// Runs, in days.
    pub runs_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            events_days: 30,
            jobs_days: 14,
            changes_days: 400,
            runs_days: 90,
        }
    }
}
