//! The HubSpot-shaped CRM: objects of type `companies` under `/crm/v3/objects/companies`.
//!
//! Shapes follow HubSpot's public CRM v3 API. Absent: associations, owners, schemas, batch writes,
//! and the delay with which the real search sees changes.

mod properties;
mod routes;
mod search;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::server::json_answer;
use crate::sim::Sim;

pub(crate) use properties::TANDEM_KEY;

pub(crate) fn routes() -> Router<Arc<Sim>> {
    const COMPANIES: &str = "/crm/v3/objects/companies";
    Router::new()
        .route(COMPANIES, get(routes::list).post(routes::create))
        .route(&format!("{COMPANIES}/search"), post(search::search))
        .route(&format!("{COMPANIES}/batch/read"), post(routes::batch_read))
        .route(
            &format!("{COMPANIES}/{{id}}"),
            get(routes::read)
                .patch(routes::update)
                .delete(routes::archive),
        )
}

/// The answer to a request without the right bearer token.
pub(crate) fn refuse_unauthorised(sim: &Sim, headers: &HeaderMap) -> Option<Response> {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer "));
    if token == Some(sim.config.api_token.as_str()) {
        return None;
    }
    let message =
        "Authentication credentials not found. This API supports OAuth 2.0 authentication.";
    Some(error(
        StatusCode::UNAUTHORIZED,
        "INVALID_AUTHENTICATION",
        message,
        Vec::new(),
    ))
}

/// The answer that a faulted request gets.
pub(crate) fn fault_answer(status: StatusCode) -> Response {
    let (category, message) = match status {
        StatusCode::TOO_MANY_REQUESTS => ("RATE_LIMITS", "You have reached your secondly limit."),
        StatusCode::SERVICE_UNAVAILABLE => (
            "SERVICE_UNAVAILABLE",
            "The service is temporarily unavailable.",
        ),
        _ => ("INTERNAL_ERROR", "internal error"),
    };
    error(status, category, message, Vec::new())
}

fn error(status: StatusCode, category: &str, message: &str, errors: Vec<Value>) -> Response {
    let mut body = json!({ "status": "error", "message": message, "category": category });
    if !errors.is_empty() {
        body["errors"] = Value::Array(errors);
    }
    json_answer(status, body)
}

fn bad_request(message: &str) -> Response {
    error(
        StatusCode::BAD_REQUEST,
        "VALIDATION_ERROR",
        message,
        Vec::new(),
    )
}

fn not_found(id: &str) -> Response {
    let message = format!("Object not found. objectId {id} of type companies does not exist.");
    error(
        StatusCode::NOT_FOUND,
        "OBJECT_NOT_FOUND",
        &message,
        Vec::new(),
    )
}
