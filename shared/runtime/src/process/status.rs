//! What a process without an API says over HTTP: whether it lives, whether it can work, its metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use tandem_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Readiness, StartError};
use crate::telemetry::MetricsHandle;

/// The Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Status {
    readiness: Readiness,
    metrics: MetricsHandle,
    shutdown: CancellationToken,
}

/// Listens, and returns the address and what serves `/health/live`, `/health/ready` and `/metrics`
/// there until `shutdown`. The three tell nothing about anybody's data, and are for everybody who can
/// reach the address.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn serve_status(
    address: SocketAddr,
    store: Arc<dyn Store>,
    metrics: MetricsHandle,
    shutdown: CancellationToken,
) -> Result<(SocketAddr, impl Future<Output = std::io::Result<()>> + Send), StartError> {
    let listen = |reason| StartError::Listen { address, reason };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let router = Router::new()
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(render))
        .with_state(Status {
            readiness: Readiness::new(store),
            metrics,
            shutdown: shutdown.clone(),
        });
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    Ok((bound, serving.into_future()))
}

async fn ready(State(status): State<Status>) -> impl IntoResponse {
    use axum::http::StatusCode;
    if status.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "ending\n");
    }
    match status.readiness.check().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_said) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the storage takes no writes; see the log\n",
        ),
    }
}

async fn render(State(status): State<Status>) -> impl IntoResponse {
    // Looked at now, so that the metrics tell of it. It is the only way to know when nothing is written.
    let _said_by_the_metrics = status.readiness.check().await;
    let header = [(axum::http::header::CONTENT_TYPE, METRICS_TYPE)];
    (header, status.metrics.render())
}
