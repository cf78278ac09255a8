//! Connections beyond the limit: told to come back, and closed.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Refused connections that are still listened to, so that closing does not destroy the answer. Those beyond are
/// told as well, and closed at once.
const REFUSALS_MAX: usize = 512;
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
    /// Answers 503 and closes, in the background as far as there is room.
    pub fn refuse(&self, stream: TcpStream) {
        metrics::counter!("tandem_http_connections_refused_total").increment(1);
        let Ok(turn) = Arc::clone(&self.0).try_acquire_owned() else {
            return tell_at_once(stream);
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

/// Without waiting for anything: the buffer of a fresh connection has room for the answer. What has come is read
/// first, because closing with something unread would take the answer back.
fn tell_at_once(stream: TcpStream) {
    let Ok(mut stream) = stream.into_std() else {
        return;
    };
    let mut unread = [0; 4_096];
    while matches!(stream.read(&mut unread), Ok(count) if count == unread.len()) {}
    // A peer that is gone has no answer to miss.
    let _told = stream.write(ANSWER);
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_refused_connection_is_told_also_when_too_many_are_refused_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        for room in [1, 0] {
            let refusals = Refusals(Arc::new(Semaphore::new(room)));
            let mut peer = TcpStream::connect(address).await.expect("it listens");
            peer.write_all(b"POST /hooks/crm HTTP/1.1\r\n")
                .await
                .expect("it is open");
            let (accepted, _) = listener.accept().await.expect("somebody is there");
            accepted.readable().await.expect("half a head is there");
            refusals.refuse(accepted);
            peer.shutdown().await.expect("it ends");
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.expect("it is told");
            assert_eq!(answer, ANSWER, "room for {room}");
        }
    }
}
