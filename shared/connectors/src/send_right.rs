//! The right to send: whether a write may still leave this process.
//!
//! A worker writes under a lease. Between its last look at the lease and the moment the request goes out
//! lie waiting for a turn, signing in and connecting; and a process that was stopped there (a paused
//! machine, a debugger) may go on long after another one has taken the job over. So the right is asked
//! again at the last moment, when the request's body is taken to the wire; a request whose body never
//! comes is none.
//!
//! The right is carried along the task, not through every signature, because only the two ends know it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Answers whether a write may be sent now.
pub type SendRight = Arc<dyn Fn() -> bool + Send + Sync>;

tokio::task_local! {
    static RIGHT: SendRight;
}

/// Runs a future whose requests are sent only as long as there is the right to.
pub async fn with_send_right<F: Future>(right: SendRight, future: F) -> F::Output {
    RIGHT.scope(right, future).await
}

/// The right of the present task; without one, everything may be sent.
pub(crate) fn current() -> Option<SendRight> {
    RIGHT.try_with(Arc::clone).ok()
}

/// A body that is given out only while there is the right to send it.
pub(crate) struct GuardedBody {
    bytes: Option<Bytes>,
    right: SendRight,
    withheld: Arc<AtomicBool>,
}

/// The right to send had ended.
#[derive(Debug, thiserror::Error)]
#[error("the right to send has ended")]
pub(crate) struct Withheld;

impl GuardedBody {
    /// Guards a body. The flag tells afterwards whether it was withheld.
    pub(crate) fn new(bytes: Bytes, right: SendRight) -> (Self, Arc<AtomicBool>) {
        let withheld = Arc::new(AtomicBool::new(false));
        let body = Self {
            bytes: Some(bytes),
            right,
            withheld: Arc::clone(&withheld),
        };
        (body, withheld)
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = Withheld;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withheld>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        if (self.right)() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.withheld.store(true, Ordering::Release);
        Poll::Ready(Some(Err(Withheld)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
