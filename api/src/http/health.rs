//! Whether the process lives, whether it can work, and its metrics.

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{StatusCode, header};
use tandem_operator::Operator;

use super::RenderMetrics;

/// The Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/health/live` and `/health/ready`, for everybody.
pub fn health(operator: Operator) -> Router {
    Router::new()
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready))
        .with_state(operator)
}

/// `/metrics`.
pub fn metrics(render: RenderMetrics) -> Router {
    Router::new()
        .route("/metrics", get(render_all))
        .with_state(render)
}

async fn ready(State(operator): State<Operator>) -> impl IntoResponse {
    match operator.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the storage does not answer\n",
            )
        }
    }
}

async fn render_all(State(render): State<RenderMetrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], render())
}
