//! Parts of a request, with errors as problems.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::Problem;
use super::words;
use crate::server::TooSlow;

/// The names and ids in the path.
pub struct ApiPath<T>(pub T);

/// The query, in which unknown parameters are errors.
pub struct ApiQuery<T>(pub T);

/// A JSON body, which is an object.
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if holds_nul(parts.uri.path()) {
            return Err(bad_request(&nul("the address")));
        }
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
        if parts.uri.query().is_some_and(holds_nul) {
            return Err(bad_request(&nul("the address")));
        }
        let Query(value) = Query::from_request_parts(parts, state).await.map_err(
            |rejection: QueryRejection| bad_request(&words::plain(&rejection.body_text())),
        )?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = take_body(request, state).await?;
        object(parts, body, state).await
    }
}

/// A body that may be left out. What is there is read, whatever the headers say: a reason must not get lost.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let (parts, body) = take_body(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        object(parts, body, state).await.map(Some)
    }
}

/// Of a verb that takes nothing: no body, or an empty object. Anything else was meant to do something.
pub struct NoBody;

/// Of what takes no parameters in its address. One that is given was meant to do something.
pub type NoQuery = ApiQuery<Nothing>;

/// See [`NoBody`] and [`NoQuery`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Option::<ApiJson<Nothing>>::from_request(request, state).await?;
        body.map_or(Ok(Self), |ApiJson(Nothing {})| Ok(Self))
    }
}

/// Whatever takes a body takes nothing in its address.
async fn take_body<S: Send + Sync>(request: Request, state: &S) -> Result<(Parts, Bytes), Problem> {
    let (mut parts, body) = request.into_parts();
    let ApiQuery(Nothing {}) = NoQuery::from_request_parts(&mut parts, state).await?;
    // The limit of the body is among the extensions.
    let mut whole = Request::new(body);
    *whole.extensions_mut() = parts.extensions.clone();
    let body = Bytes::from_request(whole, state)
        .await
        .map_err(|rejection| unreadable(&rejection, rejection.status(), &rejection.body_text()))?;
    Ok((parts, body))
}

async fn object<S: Send + Sync, T: DeserializeOwned>(
    parts: Parts,
    body: Bytes,
    state: &S,
) -> Result<ApiJson<T>, Problem> {
    // Serde would take a list for an object whose names were left out.
    if serde_json::from_slice::<Vec<IgnoredAny>>(&body).is_ok() {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "an object is expected, not a list; nothing was done",
        ));
    }
    if let Some(place) = nul_in(&body) {
        return Err(bad_request(&nul(&place)));
    }
    let request = Request::from_parts(parts, Body::from(body));
    let Json(value) = <Json<T> as FromRequest<S>>::from_request(request, state)
        .await
        .map_err(|rejection| unreadable(&rejection, rejection.status(), &rejection.body_text()))?;
    Ok(ApiJson(value))
}

/// What no storage keeps in a text, and no person means.
fn nul(place: &str) -> String {
    format!(
        "{place} holds a NUL character, which no text can hold here; leave it out. Nothing was done"
    )
}

/// Whether an address has one in it. It can only stand there in this way.
fn holds_nul(address: &str) -> bool {
    address.contains("%00")
}

/// Where a NUL stands in a body that is JSON, if one does.
fn nul_in(body: &[u8]) -> Option<String> {
    // In JSON it can only be written so; what stands there may be a backslash and five characters all the same.
    if !body.windows(6).any(|six| six == br"\u0000") {
        return None;
    }
    place_of_nul("", &serde_json::from_slice(body).ok()?)
}

fn place_of_nul(at: &str, value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    let below = |name: &str| match at {
        "" => name.to_owned(),
        at => format!("{at}.{name}"),
    };
    match value {
        Value::String(text) => text.contains('\0').then(|| format!("`{at}`")),
        Value::Array(elements) => elements.iter().find_map(|value| place_of_nul(at, value)),
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            if name.contains('\0') {
                return Some("the name of a member".to_owned());
            }
            place_of_nul(&below(name), value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn unreadable(
    rejection: &(dyn std::error::Error + 'static),
    status: StatusCode,
    said: &str,
) -> Problem {
    if let Some(slow) = cause::<TooSlow>(rejection) {
        return Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("{slow}; nothing was done, send it again"),
        );
    }
    Problem::new(status, words::plain(said))
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
