//! Who may use the API.
//!
//! With a token: whoever shows it. Without one: programs on this machine only. A reverse proxy on this
//! machine, and a web page in a browser on it, are not meant by that: requests that were forwarded, that
//! name another host, or that come from a page elsewhere are refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::server::Peer;

/// Shorter tokens could be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Headers that a proxy adds.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The secret that operators' programs show as `Authorization: Bearer …`. Kept as its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken([u8; 32]);

/// The token is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API token has fewer than {TOKEN_BYTES_MIN} characters; use a random one, such as from `openssl rand -hex 32`"
)]
pub struct ShortToken;

impl ApiToken {
    /// Takes a token over.
    ///
    /// # Errors
    /// [`ShortToken`] when it could be guessed.
    pub fn new(text: &str) -> Result<Self, ShortToken> {
        if text.len() < TOKEN_BYTES_MIN {
            return Err(ShortToken);
        }
        Ok(Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// Takes as long for a wrong token as for the right one.
    fn matches(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.0.ct_eq(&shown).into()
    }
}

/// Who may read `/metrics`. They name connections and syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Whoever may use the API.
    #[default]
    Operators,
    /// Whoever reaches the listener.
    Everybody,
}

/// Decides who is let in.
#[derive(Debug)]
pub struct Access {
    token: Option<ApiToken>,
}

impl Access {
    pub fn new(token: Option<ApiToken>) -> Self {
        Self { token }
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        match &self.token {
            Some(token) => check_token(token, request.headers()),
            None => check_local(request),
        }
    }
}

/// Lets through whoever may use the API.
pub async fn require(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check_token(token: &ApiToken, headers: &HeaderMap) -> Result<(), Problem> {
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()));
    if shown.is_some_and(|shown| token.matches(shown)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "show the API token of this Tandem: `Authorization: Bearer <token>`",
    ))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then_some(rest.trim_ascii())
}

fn check_local(request: &Request) -> Result<(), Problem> {
    let near = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    let headers = request.headers();
    let forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
    if near && !forwarded && names_this_machine(headers) && from_here(headers) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "without an API token only programs on this machine may use the API; configure a token to use it from elsewhere",
    ))
}

/// Against web pages that let their own name point to this machine.
fn names_this_machine(headers: &HeaderMap) -> bool {
    headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .is_some_and(is_local_authority)
}

/// Against web pages that send forms to this machine.
fn from_here(headers: &HeaderMap) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        origin
            .to_str()
            .ok()
            .and_then(|text| text.parse::<Uri>().ok())
            .and_then(|uri| {
                uri.authority()
                    .map(|host| is_local_authority(host.as_str()))
            })
            .unwrap_or(false)
    })
}

fn is_local_authority(authority: &str) -> bool {
    let host = authority
        .parse::<http::uri::Authority>()
        .map_or_else(|_| String::new(), |authority| authority.host().to_owned());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Answers are for programs: never kept, framed, or taken for something else.
pub async fn secure_headers(mut response: Response) -> Response {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("content-security-policy"),
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        assert_eq!(ApiToken::new("short"), Err(ShortToken));
    }

    #[test]
    fn only_the_right_bearer_token_is_let_in() {
        let token = ApiToken::new(TOKEN).expect("long enough");
        for (value, good) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Basic 0123456789abcdef", false),
            ("Bearer", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(check_token(&token, &headers).is_ok(), good, "{value}");
        }
    }

    fn request(peer: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(axum::body::Body::empty());
        let peer = Peer(peer.parse().expect("an address"));
        request.extensions_mut().insert(peer);
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request
                .headers_mut()
                .append(name, value.parse().expect("a value"));
        }
        request
    }

    #[test]
    fn without_a_token_only_programs_on_this_machine_are_let_in() {
        for (peer, headers, good) in [
            ("127.0.0.1:5", &[("host", "localhost:8080")][..], true),
            ("[::1]:5", &[("host", "[::1]:8080")], true),
            ("127.0.0.1:5", &[("host", "127.0.0.1")], true),
            ("10.0.0.1:5", &[("host", "localhost")], false),
            ("127.0.0.1:5", &[("host", "evil.example")], false),
            ("127.0.0.1:5", &[], false),
            (
                "127.0.0.1:5",
                &[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")],
                false,
            ),
            (
                "127.0.0.1:5",
                &[("host", "localhost"), ("origin", "https://evil.example")],
                false,
            ),
            (
                "127.0.0.1:5",
                &[("host", "localhost"), ("origin", "http://localhost:8080")],
                true,
            ),
        ] {
            let allowed = check_local(&request(peer, headers)).is_ok();
            assert_eq!(allowed, good, "{peer} {headers:?}");
        }
    }
}
