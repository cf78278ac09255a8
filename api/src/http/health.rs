//! Whether the process lives, whether it can work, and its metrics.

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{StatusCode, header};
use tandem_runtime::process::Readiness;

use super::RenderMetrics;

/// The Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/health/live` and `/health/ready`, for everybody.
pub fn health(readiness: Readiness) -> Router {
    Router::new()
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready))
        .with_state(readiness)
}

/// `/metrics`.
pub fn metrics(render: RenderMetrics) -> Router {
    Router::new()
        .route("/metrics", get(render_all))
        .with_state(render)
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.check().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        // What the storage says is for the log: anybody may ask this.
        Err(_said) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the storage takes no writes; see the log\n",
        ),
    }
}

async fn render_all(State(render): State<RenderMetrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], render())
}
