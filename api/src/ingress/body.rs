//! Receives a body within a limit of length, time and memory, before anything is known of its sender.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{Answer, Reply};

/// How much of an oversized body is still read, in multiples of its limit, so that the sender hears why.
const SURPLUS_FACTOR: usize = 4;
/// How long that may take.
const SURPLUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    TooLarge,
    TooSlow,
    Broken,
    /// All the memory for bodies is in use.
    NoMemory,
}

impl BodyFault {
    /// What the sender is told.
    pub fn answer(self) -> Answer {
        match self {
            Self::TooLarge => Answer::new(Reply::TooLarge, "too_large"),
            Self::TooSlow => Answer::new(Reply::TooSlow, "too_slow"),
            Self::Broken => Answer::new(Reply::Garbled, "garbled"),
            Self::NoMemory => Answer::busy("memory"),
        }
    }
}

/// The memory that bodies may take up together, in bytes.
#[derive(Clone, Debug)]
pub struct BodyMemory(Arc<Semaphore>);

/// A body, and its share of the memory.
#[derive(Debug)]
pub struct ReceivedBody {
    pub bytes: Vec<u8>,
    pub share: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            bytes_max.min(Semaphore::MAX_PERMITS),
        )))
    }

    /// Receives a body of at most `bytes_max` within `timeout`.
    pub async fn receive<B>(
        &self,
        mut body: B,
        bytes_max: usize,
        timeout: Duration,
    ) -> Result<ReceivedBody, BodyFault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > bytes_max as u64 {
            drain(body, bytes_max).await;
            return Err(BodyFault::TooLarge);
        }
        let received = tokio::time::timeout(timeout, self.collect(&mut body, bytes_max))
            .await
            .unwrap_or(Err(BodyFault::TooSlow));
        if matches!(received, Err(BodyFault::TooLarge)) {
            drain(body, bytes_max).await;
        }
        received
    }

    async fn collect<B>(&self, body: &mut B, bytes_max: usize) -> Result<ReceivedBody, BodyFault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut received = ReceivedBody {
            bytes: Vec::new(),
            share: None,
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyFault::Broken)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if received.bytes.len() + data.len() > bytes_max {
                return Err(BodyFault::TooLarge);
            }
            self.reserve(&mut received.share, data.len())?;
            received.bytes.extend_from_slice(&data);
        }
        Ok(received)
    }

    fn reserve(
        &self,
        share: &mut Option<OwnedSemaphorePermit>,
        bytes: usize,
    ) -> Result<(), BodyFault> {
        let count = u32::try_from(bytes).map_err(|_| BodyFault::TooLarge)?;
        let more = Arc::clone(&self.0)
            .try_acquire_many_owned(count)
            .map_err(|_| BodyFault::NoMemory)?;
        match share {
            Some(held) => held.merge(more),
            None => *share = Some(more),
        }
        Ok(())
    }
}

/// Reads on for a while without keeping anything: closing at once would destroy the answer.
async fn drain<B>(mut body: B, bytes_max: usize)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = bytes_max.saturating_mul(SURPLUS_FACTOR);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether the sender was done or not, it is answered now.
    let _done_or_not = tokio::time::timeout(SURPLUS_TIMEOUT, reading).await;
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn body(bytes: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![b'x'; bytes]))
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let memory = BodyMemory::new(100);
        let taken = memory.receive(body(10), 10, TIMEOUT).await;
        assert_eq!(taken.expect("within the limit").bytes.len(), 10);
        let refused = memory.receive(body(11), 10, TIMEOUT).await;
        assert_eq!(refused.expect_err("too long"), BodyFault::TooLarge);
    }

    #[tokio::test]
    async fn bodies_together_do_not_exceed_the_memory() {
        let memory = BodyMemory::new(15);
        let first = memory.receive(body(10), 10, TIMEOUT).await;
        let second = memory.receive(body(10), 10, TIMEOUT).await;
        assert_eq!(second.expect_err("memory is used up"), BodyFault::NoMemory);
        drop(first);
        assert!(memory.receive(body(10), 10, TIMEOUT).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_cut_at_the_deadline() {
        let stalled = http_body_util::StreamBody::new(stalled_frames());
        let fault = BodyMemory::new(100).receive(stalled, 10, TIMEOUT).await;
        assert_eq!(fault.expect_err("it never ends"), BodyFault::TooSlow);
    }

    fn stalled_frames()
    -> futures::stream::Pending<Result<hyper::body::Frame<Bytes>, std::convert::Infallible>> {
        futures::stream::pending()
    }
}
