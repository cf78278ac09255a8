//! Connections beyond the limit: told to come back, and closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Refusals under way at once; beyond that connections are closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long a refused peer may take to hear it.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);
/// So much of what a refused peer had sent is read, so that closing does not destroy the answer.
const REFUSED_BYTES_MAX: u64 = 64 * 1_024;
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Refuses connections.
#[derive(Debug)]
pub struct Refusals(Arc<Semaphore>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(REFUSALS_MAX)))
    }
}

impl Refusals {
    /// Answers 503 in the background and closes.
    pub fn refuse(&self, stream: TcpStream) {
        metrics::counter!("tandem_http_connections_refused_total").increment(1);
        let Ok(turn) = Arc::clone(&self.0).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let _turn = turn;
            // A peer that is gone or slow has no answer to miss.
            let _told = tokio::time::timeout(REFUSAL_TIMEOUT, tell(stream)).await;
        });
    }
}

async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(REFUSED_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}
