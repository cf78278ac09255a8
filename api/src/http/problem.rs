//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde::Serialize;
use tandem_operator::OperatorError;
use tandem_store::StoreError;

/// After a failure of the storage it is worth trying again.
const RETRY_SECS: u64 = 1;

/// What went wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    /// A problem with this status; the detail says what to do.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(Body {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        });
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECS));
            }
            StatusCode::REQUEST_TIMEOUT => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            StatusCode::UNAUTHORIZED => {
                let bearer = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, bearer);
            }
            _ => {}
        }
        response
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        // What is wrong in the address is 400; what stands in a body that could be read, and cannot be done, is 422.
        let status = match &error {
            OperatorError::NotFound { .. } => StatusCode::NOT_FOUND,
            OperatorError::Unmeant(_) => StatusCode::BAD_REQUEST,
            OperatorError::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            OperatorError::NotNow { .. } | OperatorError::Unconfirmed { .. } => {
                StatusCode::CONFLICT
            }
            OperatorError::NotChecked { .. } => StatusCode::BAD_GATEWAY,
            OperatorError::Unseen { error, .. } | OperatorError::Store(error) => {
                store_status(error)
            }
        };
        if status.is_server_error() {
            tracing::error!(%error, "a request to the API failed");
        }
        let again = match &error {
            OperatorError::Store(StoreError::Unavailable(_)) => "; nothing was changed, ask again",
            _ => "",
        };
        Self::new(status, format!("{error}{again}"))
    }
}

fn store_status(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Unavailable(_) | StoreError::Unusable(_) => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::LeaseLost => StatusCode::CONFLICT,
        StoreError::NotFound { .. } => StatusCode::NOT_FOUND,
        StoreError::Corrupt { .. } | StoreError::Schema(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// No route has this path; `prefix` is the part of it that was taken off.
pub fn unknown_path(prefix: &str, uri: &Uri) -> Problem {
    let path = uri.path();
    let detail = format!(
        "there is nothing at {prefix}{path}; the API is under /api/v1, such as GET /api/v1/status"
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// The path exists, for other methods.
pub fn wrong_method(prefix: &str, method: &Method, uri: &Uri) -> Problem {
    let path = uri.path();
    let detail = format!("{prefix}{path} does not take {method}; see the Allow header");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
