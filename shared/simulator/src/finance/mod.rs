//! The Xero-shaped finance system: `Contacts` under `/api.xro/2.0`, tokens at `/connect/token`.
//!
//! Shapes follow Xero's public Accounting API. Two deliberate differences: names are *not* kept
//! unique, so that a contact created twice shows instead of being refused, and `null` clears a
//! field as the empty text does. Absent: everything but contacts, `where` clauses of more than one
//! comparison, and the daily and minute limits.

mod query;
pub(crate) mod replies;
mod routes;
pub(crate) mod token;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::server::json_answer;
use crate::sim::Sim;

const TENANT_HEADER: &str = "xero-tenant-id";

pub(crate) fn routes() -> Router<Arc<Sim>> {
    const CONTACTS: &str = "/api.xro/2.0/Contacts";
    Router::new()
        .route("/connect/token", post(token::issue))
        .route(CONTACTS, get(query::list).put(routes::create))
        .route(
            &format!("{CONTACTS}/{{id}}"),
            get(routes::read).post(routes::update),
        )
}

/// The answer to a request without a living access token, or for a tenant that is not ours.
pub(crate) fn refuse_unauthorised(sim: &Sim, headers: &HeaderMap) -> Option<Response> {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| sim.tokens.is_alive(token, sim.clock.real_ms())) {
        return Some(problem(
            StatusCode::UNAUTHORIZED,
            "Unauthorized",
            "TokenExpired: the access token is not valid",
        ));
    }
    let tenant = headers
        .get(TENANT_HEADER)
        .and_then(|value| value.to_str().ok());
    if tenant != Some(sim.config.credentials.tenant_id.as_str()) {
        return Some(problem(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "AuthenticationUnsuccessful: unknown xero-tenant-id",
        ));
    }
    None
}

/// The answer that a faulted request gets.
pub(crate) fn fault_answer(status: StatusCode) -> Response {
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            problem(status, "Too Many Requests", "Rate limit exceeded")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            problem(status, "Service Unavailable", "The organisation is offline")
        }
        _ => problem(status, "Internal Server Error", "An error occurred"),
    }
}

fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    json_answer(
        status,
        json!({ "Type": null, "Title": title, "Status": status.as_u16(), "Detail": detail }),
    )
}

fn not_found() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "Not Found",
        "The resource you're looking for cannot be found",
    )
}

fn validation_error(messages: &[String]) -> Response {
    let errors: Vec<_> = messages
        .iter()
        .map(|message| json!({ "Message": message }))
        .collect();
    let body = json!({
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        "Elements": [{ "ValidationErrors": errors }],
    });
    json_answer(StatusCode::BAD_REQUEST, body)
}
