//! The HTTP API for operators, health, and metrics. Handlers take a request apart, call one use case of
//! `tandem-operator`, and give back its answer; nothing is decided here.
//!
//! Lists are paged by cursor: `?limit=` (50 unless said otherwise, 1,000 at most) and `?cursor=` with the
//! `next` of the page before. Errors are `application/problem+json` (RFC 9457).

mod access;
mod extract;
mod health;
mod problem;
mod routes;
mod words;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use http::{Method, Uri};
use tandem_operator::Operator;
use tandem_runtime::process::Readiness;

pub use access::{ApiAccess, ApiToken, BadToken, MetricsAccess};

/// Paths of the API start with this; the router of what is below sees the rest.
const API: &str = "/api/v1";
/// The longest body of an API request, in bytes: some thousand ids.
const BODY_BYTES_MAX: usize = 256 * 1_024;

/// Renders the metrics of the process in the Prometheus text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What the HTTP API works with.
#[derive(Clone)]
pub struct HttpParts {
    /// The use cases.
    pub operator: Operator,
    /// Whether the storage takes writes.
    pub readiness: Readiness,
    /// See [`RenderMetrics`].
    pub render_metrics: RenderMetrics,
    /// Who may use the API.
    pub access: ApiAccess,
    /// Who may read the metrics.
    pub metrics: MetricsAccess,
}

/// The routes of `/health`, `/metrics` and `/api/v1`, for a [`crate::Surface`].
pub fn router(parts: HttpParts) -> Router {
    let access = Arc::new(parts.access);
    let guarded = middleware::from_fn_with_state(Arc::clone(&access), access::require);
    let api = routes::api()
        .with_state(parts.operator.clone())
        .fallback(async |uri: Uri| problem::unknown_path(API, &uri))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            problem::wrong_method(API, &method, &uri)
        })
        .layer(guarded.clone());
    let metrics = health::metrics(parts.render_metrics, parts.readiness.clone());
    let metrics = match parts.metrics {
        MetricsAccess::Operators => metrics.layer(guarded),
        MetricsAccess::Everybody => metrics,
    };
    Router::new()
        .nest(API, api)
        .merge(metrics)
        .merge(health::health(parts.readiness))
        .fallback(async |uri: Uri| problem::unknown_path("", &uri))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            problem::wrong_method("", &method, &uri)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(access::secure_headers))
}
