//! The listener: accepts connections, bounds how many there are and how long their heads may take, and
//! hands requests to the ingress or to the HTTP API.
//!
//! An own loop, because the convenient one of the web framework sets no time limit on half a head.
//! TLS is absent on purpose: a reverse proxy ends it.

mod chunk_scan;
mod deadline;
mod framing;
mod head_scan;
mod peers;
mod refusal;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::ingress::{HOOKS_PREFIX, Ingress};
use deadline::TimedBody;
use head_scan::{HeadWatch, ScannedStream};

pub use deadline::TooSlow;

/// After a failed `accept` (no file descriptors are left) the listener rests.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once; the next are answered 503.
    pub connections_max: usize,
    /// Connections open at once from one address, three times as many from a loopback address; the next are
    /// answered 503. 0 for no limit.
    pub connections_per_address_max: usize,
    /// How long a head may take, counted from when the connection is ready for it. Also how long a
    /// connection may be idle.
    pub head_timeout: Duration,
    /// The longest head and read buffer, in bytes.
    pub head_bytes_max: usize,
    /// Headers in a request.
    pub headers_max: usize,
    /// How long the body of a request to the router may take.
    pub body_timeout: Duration,
    /// How long requests in flight may take once shutdown has begun.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            head_timeout: Duration::from_secs(5),
            head_bytes_max: 64 * 1_024,
            headers_max: 100,
            body_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// What a listener offers. Webhooks and the API can share one, or have one each.
pub struct Surface {
    /// Takes `POST /hooks/{connection}`; without it these paths are unknown.
    pub ingress: Option<Arc<Ingress>>,
    /// Everything else.
    pub router: axum::Router,
}

/// The address of the peer of a request, for handlers of the router.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves until `shutdown`, then finishes what is in flight within [`ServerLimits::drain_timeout`].
pub async fn serve(
    listener: TcpListener,
    surface: Arc<Surface>,
    limits: ServerLimits,
    shutdown: CancellationToken,
) {
    let server = Server {
        surface,
        limits,
        slots: Arc::new(Semaphore::new(limits.connections_max)),
        peers: peers::Peers::new(limits.connections_per_address_max),
        refusals: refusal::Refusals::default(),
        graceful: GracefulShutdown::new(),
        cut: CancellationToken::new(),
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => server.welcome(accepted).await,
        }
    }
    drop(listener);
    server.drain().await;
}

struct Server {
    surface: Arc<Surface>,
    limits: ServerLimits,
    slots: Arc<Semaphore>,
    peers: peers::Peers,
    refusals: refusal::Refusals,
    graceful: GracefulShutdown,
    /// Cancelled when the time to drain is over.
    cut: CancellationToken,
}

/// Held as long as a connection is open.
struct Slot {
    _of_address: peers::Admitted,
    _of_all: OwnedSemaphorePermit,
}

impl Server {
    async fn welcome(&self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => match self.slot(peer) {
                Some(slot) => self.begin(stream, peer, slot),
                None => self.refusals.refuse(stream),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; if this lasts, raise the limit of open files");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Room for one more connection, and for one more from this address.
    fn slot(&self, peer: SocketAddr) -> Option<Slot> {
        Some(Slot {
            _of_address: self.peers.admit(peer.ip())?,
            _of_all: Arc::clone(&self.slots).try_acquire_owned().ok()?,
        })
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        // Only a matter of latency; a connection that is gone already shows at the first read.
        let _no_delay = stream.set_nodelay(true);
        let watch = HeadWatch::default();
        let (surface, body_timeout) = (Arc::clone(&self.surface), self.limits.body_timeout);
        let io = TokioIo::new(ScannedStream::new(stream, watch.clone()));
        let service = service_fn(move |request| {
            let (surface, watch) = (Arc::clone(&surface), watch.clone());
            async move {
                let answer = surface.answer(request, peer, &watch, body_timeout).await;
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_header_size(self.limits.head_bytes_max)
            .max_buf_size(self.limits.head_bytes_max)
            .max_headers(self.limits.headers_max)
            .serve_connection(io, service);
        let connection = self.graceful.watch(connection);
        let cut = self.cut.clone();
        tokio::spawn(async move {
            let _slot = slot;
            tokio::select! {
                result = connection => if let Err(error) = result {
                    tracing::debug!(%error, %peer, "a connection ended early");
                },
                () = cut.cancelled() => {}
            }
        });
    }

    async fn drain(self) {
        let waiting = self.graceful.count();
        if tokio::time::timeout(self.limits.drain_timeout, self.graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                waiting,
                "requests were still in flight when the time to finish them was over"
            );
        }
        self.cut.cancel();
    }
}

impl Surface {
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        watch: &HeadWatch,
        body_timeout: Duration,
    ) -> Response {
        let body_bytes = framing::content_length(request.headers());
        let mut response = match framing::check(&request, watch.facts()) {
            Ok(()) => self.route(request, peer, body_timeout).await,
            Err(fault) => fault.response(),
        };
        if !watch.next_request(body_bytes) {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        body_timeout: Duration,
    ) -> Response {
        match &self.ingress {
            Some(ingress) if request.uri().path().starts_with(HOOKS_PREFIX) => {
                ingress.handle(request, peer.ip()).await
            }
            _ => {
                let mut request = request.map(|body| Body::new(TimedBody::new(body, body_timeout)));
                request.extensions_mut().insert(Peer(peer));
                match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        }
    }
}
