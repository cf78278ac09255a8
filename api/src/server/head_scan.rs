//! Sees the heads of requests as they stood on the wire. The HTTP library forgives what opens the door
//! to request smuggling (a bare line feed, a length beside a transfer coding) and hides it from the
//! service, so the bytes are looked at before it gets them.
//!
//! Bodies are counted, not read: a byte behind the end of a request is a second request in the same
//! breath, whose head would go unseen. No webhook sender does that; such a connection is closed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use super::chunk_scan::ChunkScan;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";
/// As much of a line as the longest name that matters.
const PREFIX_BYTES: usize = TRANSFER_ENCODING.len();

/// What was seen of the request that is being handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadFacts {
    /// A line ended without a carriage return.
    pub bare_line_feed: bool,
    /// There is a `Content-Length`.
    pub length: bool,
    /// There is a `Transfer-Encoding`.
    pub coding: bool,
    /// A piece of the body names its size with more digits than a size has.
    pub endless_size: bool,
}

#[derive(Debug, Default)]
struct Scan {
    facts: HeadFacts,
    /// Bytes seen after the end of the head; `None` inside it.
    behind: Option<u64>,
    /// A line that is not empty was seen: the next empty one ends the head.
    begun: bool,
    line: Line,
    chunks: ChunkScan,
    /// The request is being answered: what is seen from now on nobody asks for.
    handled: bool,
}

/// The line that is being read; it may arrive in pieces.
#[derive(Debug, Default)]
struct Line {
    prefix: [u8; PREFIX_BYTES],
    bytes: usize,
    ends_with_return: bool,
}

impl Line {
    fn push(&mut self, piece: &[u8]) {
        let known = self.bytes.min(PREFIX_BYTES);
        let wanted = piece.len().min(PREFIX_BYTES - known);
        self.prefix[known..known + wanted].copy_from_slice(&piece[..wanted]);
        self.bytes = self.bytes.saturating_add(piece.len());
        if let Some(last) = piece.last() {
            self.ends_with_return = *last == b'\r';
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes == usize::from(self.ends_with_return)
    }

    fn is_header(&self, name: &[u8]) -> bool {
        self.bytes >= name.len() && self.prefix[..name.len()].eq_ignore_ascii_case(name)
    }
}

impl Scan {
    fn feed(&mut self, mut bytes: &[u8]) {
        while self.behind.is_none() {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.push(bytes);
                return;
            };
            self.line.push(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        let behind = self.behind.unwrap_or(0);
        self.behind = Some(behind.saturating_add(bytes.len() as u64));
        if self.facts.coding && !self.facts.endless_size {
            self.facts.endless_size = self.chunks.feed(bytes).is_err();
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.facts.bare_line_feed |= !line.ends_with_return;
        self.facts.length |= line.is_header(CONTENT_LENGTH);
        self.facts.coding |= line.is_header(TRANSFER_ENCODING);
        if !line.is_empty() {
            self.begun = true;
        } else if self.begun {
            self.behind = Some(0);
        }
    }
}

/// The service's view of the scan of its connection.
#[derive(Clone, Debug, Default)]
pub struct HeadWatch(Arc<Mutex<Scan>>);

impl HeadWatch {
    /// What was seen of the present request's head.
    pub fn facts(&self) -> HeadFacts {
        let mut scan = self.lock();
        scan.handled = true;
        scan.facts
    }

    /// Ends the present request, whose body had `body_bytes`. False when more or less than that came
    /// behind its head: then the connection cannot be used again.
    pub fn next_request(&self, body_bytes: u64) -> bool {
        let mut scan = self.lock();
        let clean = scan.behind == Some(body_bytes) && !scan.facts.coding;
        if clean {
            *scan = Scan::default();
        }
        clean
    }

    fn lock(&self) -> MutexGuard<'_, Scan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose incoming bytes are scanned.
#[derive(Debug)]
pub struct ScannedStream<S> {
    inner: S,
    watch: HeadWatch,
}

impl<S> ScannedStream<S> {
    /// Scans what comes from `inner`.
    pub fn new(inner: S, watch: HeadWatch) -> Self {
        Self { inner, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ScannedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let mut scan = self.watch.lock();
        scan.feed(&buf.filled()[before..]);
        let refused = scan.handled && scan.facts.endless_size;
        Poll::Ready(if refused {
            Err(io::Error::from(io::ErrorKind::InvalidData))
        } else {
            Ok(())
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ScannedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(pieces: &[&[u8]]) -> Scan {
        let mut scan = Scan::default();
        for piece in pieces {
            scan.feed(piece);
        }
        scan
    }

    const PLAIN: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";

    #[test]
    fn a_plain_request_has_a_length_and_its_body_is_counted() {
        let scan = scan(&[PLAIN]);
        assert_eq!(
            scan.facts,
            HeadFacts {
                length: true,
                ..HeadFacts::default()
            }
        );
        assert_eq!(scan.behind, Some(2));
    }

    #[test]
    fn a_head_that_arrives_byte_by_byte_is_seen_alike() {
        let bytes: Vec<&[u8]> = PLAIN.chunks(1).collect();
        assert_eq!(scan(&bytes).facts, scan(&[PLAIN]).facts);
        assert_eq!(scan(&bytes).behind, Some(2));
    }

    #[test]
    fn a_bare_line_feed_is_seen_at_every_line() {
        for head in [
            &b"POST / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: a\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\n\n",
            b"\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let scan = scan(&[head]);
            assert!(scan.facts.bare_line_feed, "{head:?}");
            assert_eq!(scan.behind, Some(0), "{head:?}");
        }
    }

    #[test]
    fn a_length_beside_a_coding_is_seen_in_either_order_and_any_case() {
        for head in [
            &b"POST / HTTP/1.1\r\nCONTENT-LENGTH: 2\r\nTransfer-encoding: chunked\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\ncontent-length:2\r\n\r\n",
        ] {
            let facts = scan(&[head]).facts;
            assert!(facts.length && facts.coding, "{head:?}");
        }
    }

    #[test]
    fn a_line_feed_in_a_body_is_no_matter() {
        let facts = scan(&[b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nb"]).facts;
        assert!(!facts.bare_line_feed);
    }

    #[test]
    fn a_second_request_in_the_same_breath_ends_the_connection() {
        let watch = HeadWatch::default();
        watch.lock().feed(PLAIN);
        assert!(watch.next_request(2));
        watch.lock().feed(PLAIN);
        watch.lock().feed(PLAIN);
        assert!(!watch.next_request(2));
    }
}
