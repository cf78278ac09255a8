//! Parts of a request, with errors as problems.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::words;
use crate::server::TooSlow;

/// The names and ids in the path.
pub struct ApiPath<T>(pub T);

/// The query, in which unknown parameters are errors.
pub struct ApiQuery<T>(pub T);

/// A JSON body.
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(value) =
            Path::from_request_parts(parts, state)
                .await
                .map_err(|rejection: PathRejection| {
                    bad_request(&words::plain(&rejection.body_text()))
                })?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(value) = Query::from_request_parts(parts, state).await.map_err(
            |rejection: QueryRejection| bad_request(&words::plain(&rejection.body_text())),
        )?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(value) = <Json<T> as FromRequest<S>>::from_request(request, state)
            .await
            .map_err(unreadable)?;
        Ok(Self(value))
    }
}

/// A body that may be left out.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let body = <Json<T> as OptionalFromRequest<S>>::from_request(request, state)
            .await
            .map_err(unreadable)?;
        Ok(body.map(|Json(value)| Self(value)))
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "`map_err` hands it over by value"
)]
fn unreadable(rejection: JsonRejection) -> Problem {
    if let Some(slow) = cause::<TooSlow>(&rejection) {
        return Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("{slow}; nothing was done, send it again"),
        );
    }
    Problem::new(rejection.status(), words::plain(&rejection.body_text()))
}

fn bad_request(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, words::plain(detail))
}

/// The cause of this kind in the chain of an error.
fn cause<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.find_map(|error| error.downcast_ref())
}
