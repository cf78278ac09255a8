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
pub fn metrics(render: RenderMetrics, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(render_all))
        .with_state((render, readiness))
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

async fn render_all(
    State((render, readiness)): State<(RenderMetrics, Readiness)>,
) -> impl IntoResponse {
    // Looked at now, so that the metrics tell of it. It is the only way to know when nothing is written.
    let _said_by_the_metrics = readiness.check().await;
    ([(header::CONTENT_TYPE, METRICS_TYPE)], render())
}
