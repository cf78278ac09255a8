//! Doorbells at a Redis of the test's own, and what that Redis says about them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, InfoDict};
use tandem_domain::{JobId, Timestamp};
use tandem_queue::{DoorbellRole, RedisDoorbell, RedisDoorbellOptions};
use tandem_testkit::SeededEntropy;
use tandem_testkit::servers::RedisServer;

/// Far longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A wait that only a ring can end within the patience.
pub const LONG: Duration = Duration::from_secs(600);
/// A wait that ends with its time.
pub const SHORT: Duration = Duration::from_millis(10);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// So many new ids.
pub fn jobs(count: usize) -> Vec<JobId> {
    let entropy = SeededEntropy::new(NEXT.fetch_add(1, Ordering::SeqCst));
    (0..count)
        .map(|_| JobId::new(Timestamp::default(), &entropy))
        .collect()
}

/// The end of `future`, which must come.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it comes")
}

pub fn options(consumer: &str, role: DoorbellRole) -> RedisDoorbellOptions {
    RedisDoorbellOptions::new(consumer, role)
}

pub fn entropy() -> Arc<SeededEntropy> {
    Arc::new(SeededEntropy::new(1))
}

async fn doorbell(server: &RedisServer, consumer: &str, role: DoorbellRole) -> Arc<RedisDoorbell> {
    RedisDoorbell::connect(&server.url(), options(consumer, role), entropy())
        .await
        .expect("Redis runs")
}

/// The doorbell of a process without a runner.
pub async fn ringer(server: &RedisServer) -> Arc<RedisDoorbell> {
    doorbell(server, "api", DoorbellRole::Rings).await
}

/// The doorbell of a process with a runner.
pub async fn hearer(server: &RedisServer, consumer: &str) -> Arc<RedisDoorbell> {
    doorbell(server, consumer, DoorbellRole::RingsAndHears).await
}

/// Somebody who asks Redis.
pub struct Observer(MultiplexedConnection);

impl Observer {
    pub async fn of(server: &RedisServer) -> Self {
        let client = redis::Client::open(server.url()).expect("a URL");
        let connection = client.get_multiplexed_async_connection().await;
        Self(connection.expect("Redis runs"))
    }

    pub async fn ask<T: FromRedisValue>(&mut self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut ask = redis::cmd(words.next().expect("a command"));
        for word in words {
            ask.arg(word);
        }
        ask.query_async(&mut self.0).await.expect("an answer")
    }

    /// Adds one entry to the stream.
    pub async fn add_entry(&mut self, ids: &str) {
        let mut add = redis::cmd("XADD");
        add.arg(&["tandem:jobs", "*", "ids", ids]);
        let _id: String = add.query_async(&mut self.0).await.expect("an answer");
    }

    /// Returns when so many doorbells wait inside Redis.
    pub async fn until_waiting(&mut self, count: u64) {
        soon(async {
            loop {
                let info: InfoDict = self.ask("INFO clients").await;
                if info.get("blocked_clients") == Some(count) {
                    return;
                }
            }
        })
        .await;
    }

    /// Returns when the stream holds nothing, neither to be read nor to be acknowledged.
    pub async fn until_settled(&mut self) {
        soon(async {
            loop {
                let entries: u64 = self.ask("XLEN tandem:jobs").await;
                let (unsettled, ..): (u64, Option<String>, Option<String>, redis::Value) =
                    self.ask("XPENDING tandem:jobs workers").await;
                if (entries, unsettled) == (0, 0) {
                    return;
                }
            }
        })
        .await;
    }
}
