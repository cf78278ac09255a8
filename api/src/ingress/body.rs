//! Receives a body within a limit of length, time and memory, before anything is known of its sender.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

use super::answer::{Answer, Reply};
use super::memory::{BEGINNING_BYTES, BodyShare, NoMemory};

/// How much of a body that is not taken is still read, in multiples of its limit, so that the sender hears why.
const SURPLUS_FACTOR: usize = 4;
/// How long that may take.
const SURPLUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    TooLarge,
    TooSlow,
    Broken,
    /// All the memory for bodies is in use, or all that this sender may have.
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

impl From<NoMemory> for BodyFault {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// How long a body may be, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    pub bytes_max: usize,
    pub timeout: Duration,
}

/// A body, and its share of the memory.
#[derive(Debug)]
pub struct ReceivedBody {
    pub bytes: Vec<u8>,
    pub share: BodyShare,
}

/// Receives a body.
pub async fn receive<B>(
    body: B,
    limits: BodyLimits,
    share: BodyShare,
) -> Result<ReceivedBody, BodyFault>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().exact();
    let mut received = ReceivedBody {
        bytes: Vec::new(),
        share,
    };
    let result = read(body, limits, |piece| {
        received.push(piece, announced, limits.bytes_max)
    });
    result.await.map(|()| received)
}

/// Reads a body that is not wanted, and keeps nothing of it: so that its sender is answered as if it were, and no
/// memory is spent on it.
pub async fn pass_over<B>(body: B, limits: BodyLimits) -> Result<(), BodyFault>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = 0;
    let result = read(body, limits, |piece| {
        bytes += piece.len();
        if bytes > limits.bytes_max {
            return Err(BodyFault::TooLarge);
        }
        Ok(())
    });
    result.await
}

async fn read<B>(
    mut body: B,
    limits: BodyLimits,
    mut take: impl FnMut(&[u8]) -> Result<(), BodyFault>,
) -> Result<(), BodyFault>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.bytes_max as u64 {
        drain(body, limits.bytes_max).await;
        return Err(BodyFault::TooLarge);
    }
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyFault::Broken)?;
            if let Ok(piece) = frame.into_data() {
                take(&piece)?;
            }
        }
        Ok(())
    };
    let result = tokio::time::timeout(limits.timeout, reading)
        .await
        .unwrap_or(Err(BodyFault::TooSlow));
    if matches!(result, Err(BodyFault::TooLarge | BodyFault::NoMemory)) {
        drain(body, limits.bytes_max).await;
    }
    result
}

impl ReceivedBody {
    /// Grows in few steps, and never beyond what can come: what is allocated is what counts.
    fn push(
        &mut self,
        piece: &[u8],
        announced: Option<u64>,
        bytes_max: usize,
    ) -> Result<(), BodyFault> {
        let needed = self.bytes.len() + piece.len();
        if needed > bytes_max {
            return Err(BodyFault::TooLarge);
        }
        if needed > self.bytes.capacity() {
            let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
            let most = announced.unwrap_or(bytes_max).min(bytes_max);
            let wanted = (self.bytes.capacity() * 2).max(BEGINNING_BYTES);
            let capacity = wanted.min(most).max(needed);
            self.share.grow_to(capacity)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
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
    use std::convert::Infallible;
    use std::net::{IpAddr, Ipv4Addr};

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::super::memory::BodyMemory;
    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        bytes_max: 10,
        timeout: Duration::from_secs(1),
    };

    fn share(bytes: usize) -> BodyShare {
        BodyMemory::new(bytes).share(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn body(bytes: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![b'x'; bytes]))
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let taken = receive(body(10), LIMITS, share(100)).await;
        assert_eq!(taken.expect("within the limit").bytes.len(), 10);
        let refused = receive(body(11), LIMITS, share(100)).await;
        assert_eq!(refused.expect_err("too long"), BodyFault::TooLarge);
    }

    #[tokio::test]
    async fn a_body_that_finds_no_memory_is_refused() {
        let refused = receive(body(10), LIMITS, share(10)).await;
        assert_eq!(refused.expect_err("memory is used up"), BodyFault::NoMemory);
    }

    #[tokio::test]
    async fn what_is_allocated_for_a_body_in_pieces_is_what_it_counts_for() {
        let limits = BodyLimits {
            bytes_max: 1_024 * 1_024,
            ..LIMITS
        };
        let pieces = stream::iter(
            (0..1_000)
                .map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 1_000])))),
        );
        let memory = BodyMemory::new(64 * 1_024 * 1_024);
        let share = memory.share(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let taken = receive(StreamBody::new(pieces), limits, share).await;
        let taken = taken.expect("within the limit");
        assert_eq!(taken.bytes.len(), 1_000_000);
        assert_eq!(taken.share.bytes(), taken.bytes.capacity());
        assert!(taken.bytes.capacity() <= limits.bytes_max);
    }

    #[tokio::test]
    async fn a_body_that_is_passed_over_is_measured_all_the_same() {
        assert_eq!(pass_over(body(10), LIMITS).await, Ok(()));
        assert_eq!(pass_over(body(11), LIMITS).await, Err(BodyFault::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_cut_at_the_deadline() {
        let stalled = || StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let fault = receive(stalled(), LIMITS, share(100)).await;
        assert_eq!(fault.expect_err("it never ends"), BodyFault::TooSlow);
        assert_eq!(pass_over(stalled(), LIMITS).await, Err(BodyFault::TooSlow));
    }
}
