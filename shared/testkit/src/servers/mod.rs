//! Throw-away PostgreSQL and Redis servers, made from the machine's own binaries.
//!
//! Tests of correctness take [`shared_database`]: one server for all test processes of the machine's
//! user, because starting one for each of hundreds of tests would cost more than the tests. Tests that
//! stop, restart or measure a server take a [`PostgresServer`] or a [`RedisServer`] of their own.
//!
//! Every server listens on 127.0.0.1 only, keeps its data in a temporary folder (the shared one in memory,
//! where there is enough), and ends with the tests that use it, also when they are killed (`guard.rs`,
//! `shared.rs`). Nothing here uses a server that the machine runs anyway, and nothing is downloaded:
//! `.ci/install-test-servers`, which `make test` calls, installs what is missing.
//!
//! Everything panics when it cannot do its work: a test cannot go on without its server.

mod binaries;
mod cluster;
mod guard;
mod port;
mod postgres;
mod redis;
mod shared;
#[cfg(test)]
mod tests;

pub use cluster::StopMode;
pub use postgres::{PostgresOptions, PostgresServer};
pub use redis::RedisServer;
pub use shared::{TestDatabase, shared_database};

/// Runs blocking work (processes, file locks) beside the async runtime. A paused tokio clock does not
/// advance meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the runtime ended while a test server was being used: {error}"),
        },
    }
}

/// A new secret of 128 bits, in hexadecimal digits: also fit for names that must not repeat.
///
/// From the kernel, not from a seed: two test processes with one seed must not meet in one database.
fn random_name() -> String {
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .expect("the kernel's source of randomness can be read");
    format!("{:032x}", u128::from_le_bytes(bytes))
}
