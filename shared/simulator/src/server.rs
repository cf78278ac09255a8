//! The HTTP server of one system: accepts connections on loopback, checks credentials, applies
//! latency and faults, and hands what is left to the vendor's routes.
//!
//! Faults live in this one layer, so the routes know nothing of them, and "carried out, but the
//! answer was lost" is literally that: the routes run, and their answer is thrown away. Closing a
//! connection without an answer needs a service that may fail, which is why hyper is driven
//! directly here.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::clock::{SimClock, http_date};
use crate::config::SimKind;
use crate::faults::{Fault, Loss, RequestClass, classify, locked};
use crate::sim::{Sim, count};
use crate::{control, crm, finance};

/// Pause after a failed accept, such as when file descriptors have run out.
const ACCEPT_RETRY_MS: u64 = 20;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulator dropped the connection on purpose")]
struct Dropped;

/// Binds the loopback port, a free one when `port` is none.
pub(crate) async fn bind(port: Option<u16>) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until the system stops; each connection is a task of `tasks`.
pub(crate) async fn serve(sim: Arc<Sim>, listener: TcpListener, tasks: TaskTracker) {
    let front = Arc::new(Front {
        router: routes(&sim),
        date: DateHeader::new(sim.clock),
        sim,
    });
    loop {
        let accepted = tokio::select! {
            () = front.sim.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(serve_connection(Arc::clone(&front), stream));
            }
            Err(error) => {
                tracing::warn!(%error, "the simulator could not accept a connection");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

fn routes(sim: &Arc<Sim>) -> Router {
    let vendor = match sim.config.kind {
        SimKind::Crm => crm::routes(),
        SimKind::Finance => finance::routes(),
    };
    vendor.merge(control::routes()).with_state(Arc::clone(sim))
}

async fn serve_connection(front: Arc<Front>, stream: TcpStream) {
    // Small answers must not wait for more data; failing to say so only costs latency.
    let _ = stream.set_nodelay(true);
    let stop = front.sim.stop.clone();
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { front.answer(request).await }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error here is the peer's going away or a fault of ours: both are daily business.
    tokio::select! {
        () = stop.cancelled() => {}
        _ = connection => {}
    }
}

struct Front {
    sim: Arc<Sim>,
    router: Router,
    date: DateHeader,
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response, Dropped> {
        let request = request.map(Body::new);
        let mut response = if request.uri().path().starts_with("/_sim") {
            self.route(request).await
        } else {
            self.answer_api(request).await?
        };
        response.headers_mut().insert(DATE, self.date.now());
        Ok(response)
    }

    async fn answer_api(&self, request: Request<Body>) -> Result<Response, Dropped> {
        let sim = &self.sim;
        count(&sim.tally.requests);
        sim.let_go().await;
        if sim.config.latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(sim.config.latency_ms)).await;
        }
        let class = classify(request.method(), request.uri().path());
        if let Some(refusal) = self.refuse_unauthorised(class, &request) {
            return Ok(refusal);
        }
        let Some(fault) = sim.faults.draw(class) else {
            return Ok(self.route(request).await);
        };
        count(&sim.tally.faults);
        match fault {
            Fault::ServerError => Ok(self.error(StatusCode::INTERNAL_SERVER_ERROR)),
            Fault::Unavailable => Ok(self.error(StatusCode::SERVICE_UNAVAILABLE)),
            Fault::RateLimited => Ok(self.error(StatusCode::TOO_MANY_REQUESTS)),
            Fault::Hang => Err(self.hang().await),
            Fault::LostResponse(loss) => {
                self.route(request).await;
                self.lose(loss).await
            }
        }
    }

    async fn route(&self, request: Request<Body>) -> Response {
        let routed: Result<Response, Infallible> = self.router.clone().oneshot(request).await;
        match routed {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn refuse_unauthorised(
        &self,
        class: RequestClass,
        request: &Request<Body>,
    ) -> Option<Response> {
        match (self.sim.config.kind, class) {
            (SimKind::Crm, _) => crm::refuse_unauthorised(&self.sim, request.headers()),
            (SimKind::Finance, RequestClass::Token) => None,
            (SimKind::Finance, RequestClass::Read | RequestClass::Write) => {
                finance::refuse_unauthorised(&self.sim, request.headers())
            }
        }
    }

    async fn lose(&self, loss: Loss) -> Result<Response, Dropped> {
        match loss {
            Loss::Dropped => Err(Dropped),
            Loss::ServerError => Ok(self.error(StatusCode::INTERNAL_SERVER_ERROR)),
            Loss::Hang => Err(self.hang().await),
        }
    }

    async fn hang(&self) -> Dropped {
        let hold = Duration::try_from_secs_f64(self.sim.config.hang_secs).unwrap_or(Duration::ZERO);
        tokio::time::sleep(hold).await;
        Dropped
    }

    fn error(&self, status: StatusCode) -> Response {
        let mut response = match self.sim.config.kind {
            SimKind::Crm => crm::fault_answer(status),
            SimKind::Finance => finance::fault_answer(status),
        };
        if status == StatusCode::TOO_MANY_REQUESTS {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The `Date` header by the system's own clock, written once a second.
struct DateHeader {
    clock: SimClock,
    written: Mutex<(i64, HeaderValue)>,
}

impl DateHeader {
    fn new(clock: SimClock) -> DateHeader {
        DateHeader {
            clock,
            written: Mutex::new((i64::MIN, HeaderValue::from_static(""))),
        }
    }

    fn now(&self) -> HeaderValue {
        let secs = self.clock.now_ms().div_euclid(1_000);
        let mut written = locked(&self.written);
        if written.0 != secs {
            // A date is plain ASCII, which every header value may be.
            let value =
                HeaderValue::from_str(&http_date(secs)).expect("a date is a valid header value");
            *written = (secs, value);
        }
        written.1.clone()
    }
}

/// A JSON answer from a value that always serialises.
pub(crate) fn json_answer(status: StatusCode, body: impl serde::Serialize) -> Response {
    let headers = [(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    match serde_json::to_vec(&body) {
        Ok(bytes) => (status, headers, bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
