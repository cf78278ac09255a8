//! Who may use the API.
//!
//! With a token: whoever shows it. Without one: programs on this machine only. A reverse proxy on this
//! machine, and a web page in a browser on it, are not meant by that: requests that were forwarded, that
//! name another host, or that come from a page elsewhere are refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::server::Peer;

/// Shorter tokens could be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Headers that a proxy adds, or passes on from one before it.
const FORWARDING: [&str; 13] = [
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "cdn-loop",
    "x-host",
    "x-http-destinationurl",
    "x-arr-log-id",
    "x-request-start",
];
/// And those that begin with this.
const FORWARDING_PREFIXES: [&str; 8] = [
    "x-forwarded",
    "x-original-",
    "x-proxy",
    "x-envoy-",
    "x-amz",
    "x-azure-",
    "x-appengine-",
    "cf-",
];
/// And those that end with this: who the client is, by whatever proxy.
const FORWARDING_SUFFIXES: [&str; 5] = [
    "-ip",
    "-client-addr",
    "-remote-addr",
    "-peer-address",
    "-external-address",
];
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The secret that operators' programs show as `Authorization: Bearer …`. Kept as its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken([u8; 32]);

/// The token is none that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It could be guessed.
    #[error(
        "the API token has fewer than {TOKEN_BYTES_MIN} characters, blanks at its ends not counted; use a random one, such as from `openssl rand -hex 32`"
    )]
    Short,
    /// No header can hold it, so that nobody could show it.
    #[error(
        "the API token holds a line break or another control character, which no `Authorization` header carries, so that nobody could show it; use letters and digits, such as from `openssl rand -hex 32`"
    )]
    NotCarried,
}

impl ApiToken {
    /// Takes a token over.
    ///
    /// # Errors
    /// [`BadToken`] when it could be guessed, or nobody could show it.
    pub fn new(text: &str) -> Result<Self, BadToken> {
        // Blanks at an end are cut off on the way to us.
        let text = text.trim();
        if text.len() < TOKEN_BYTES_MIN {
            return Err(BadToken::Short);
        }
        if text.chars().any(char::is_control) {
            return Err(BadToken::NotCarried);
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

/// Who may use the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiAccess {
    /// Whoever shows one of these.
    pub tokens: Vec<ApiToken>,
    /// Programs on this machine, without showing one.
    pub local_without_token: bool,
}

impl ApiAccess {
    fn check(&self, request: &Request) -> Result<(), Problem> {
        // Who shows a token wants to be known by it, wherever it comes from.
        let shown = request.headers().contains_key(header::AUTHORIZATION);
        let by_token = shown && !self.tokens.is_empty();
        if self.local_without_token && !by_token {
            check_local(request)
        } else {
            check_token(&self.tokens, request.headers())
        }
    }
}

/// Lets through whoever may use the API.
pub async fn require(
    State(access): State<Arc<ApiAccess>>,
    request: Request,
    next: Next,
) -> Response {
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check_token(tokens: &[ApiToken], headers: &HeaderMap) -> Result<(), Problem> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let first = shown.next().and_then(|value| bearer(value.as_bytes()));
    if shown.next().is_some() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the request has more than one Authorization header; send one",
        ));
    }
    // All are compared, so that time does not tell which one it was nearest to.
    let known = first.is_some_and(|first| {
        let fits = |fits, token: &ApiToken| fits | token.matches(first);
        tokens.iter().fold(false, fits)
    });
    if known {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "show the API token of this Tandem: `Authorization: Bearer <token>`. It is what TANDEM_API_TOKEN was set to; of a \
         `tandem up` also what the file `api-token` of its data folder holds",
    ))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then_some(rest.trim_ascii())
}

/// A guess, however careful: so it only holds where nobody else can reach the listener, and a request
/// that looks as if a proxy or a browser had a part in it is refused.
fn check_local(request: &Request) -> Result<(), Problem> {
    let near = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    let headers = request.headers();
    // The bare reverse proxy of old speaks this to its upstream, and adds no header.
    let modern = request.version() >= Version::HTTP_11;
    if near
        && modern
        && !was_forwarded(headers)
        && names_this_machine(headers)
        && from_here(headers)
    {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "without a token only programs on this machine may use the API, directly and not through a proxy or a web page; \
         show the token that the file `api-token` of the data folder holds (`Authorization: Bearer <token>`), or set \
         TANDEM_API_TOKEN",
    ))
}

fn was_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        let begins = |prefix: &&str| name.starts_with(prefix);
        let ends = |suffix: &&str| name.ends_with(suffix);
        FORWARDING.contains(&name)
            || FORWARDING_PREFIXES.iter().any(begins)
            || FORWARDING_SUFFIXES.iter().any(ends)
    })
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
    let own_site = |value: &HeaderValue| matches!(value.as_bytes(), b"same-origin" | b"none");
    let host = headers.get(header::HOST);
    let is_own = |origin: &HeaderValue| host.is_some_and(|host| is_own_origin(origin, host));
    headers.get_all(SEC_FETCH_SITE).iter().all(own_site)
        && headers.get_all(header::ORIGIN).iter().all(is_own)
}

/// Whether a page comes from the very address that it calls. Whatever else listens on this machine, a page of it is
/// not ours.
fn is_own_origin(origin: &HeaderValue, host: &HeaderValue) -> bool {
    let authority = origin.as_bytes().strip_prefix(b"http://");
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
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
    fn a_token_that_no_header_can_hold_is_refused() {
        for held in ["0123456789\n012345", "0123456789\r\n01234567"] {
            assert_eq!(ApiToken::new(held), Err(BadToken::NotCarried), "{held:?}");
        }
        assert!(
            ApiToken::new("0123456789abcdef\n").is_ok(),
            "ends are cut off"
        );
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        for guessed in ["short", "", "                    ", "  short              "] {
            assert_eq!(ApiToken::new(guessed), Err(BadToken::Short), "{guessed:?}");
        }
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
            let tokens = [token.clone()];
            assert_eq!(check_token(&tokens, &headers).is_ok(), good, "{value}");
        }
    }

    #[test]
    fn a_second_authorization_header_is_refused_whichever_is_right() {
        let tokens = [ApiToken::new(TOKEN).expect("long enough")];
        let mut headers = HeaderMap::new();
        for value in ["Bearer 0123456789abcdef", "Bearer wrong"] {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert!(check_token(&tokens, &headers).is_err());
    }

    #[test]
    fn a_token_that_is_shown_must_be_right_also_on_this_machine() {
        let access = ApiAccess {
            tokens: vec![ApiToken::new(TOKEN).expect("long enough")],
            local_without_token: true,
        };
        for (shown, good) in [
            (None, true),
            (Some("Bearer 0123456789abcdef"), true),
            (Some("Bearer fedcba9876543210"), false),
        ] {
            let shown = shown.map(|value| ("authorization", value));
            let headers: Vec<_> = shown.into_iter().chain([("host", "localhost")]).collect();
            let allowed = access.check(&request("127.0.0.1:5", &headers)).is_ok();
            assert_eq!(allowed, good, "{shown:?}");
        }
    }

    #[test]
    fn a_bare_reverse_proxy_that_speaks_as_of_old_is_not_this_machine() {
        let mut request = request("127.0.0.1:5", &[("host", "127.0.0.1:8080")]);
        assert!(check_local(&request).is_ok());
        *request.version_mut() = Version::HTTP_10;
        assert!(check_local(&request).is_err());
    }

    #[test]
    fn whatever_a_proxy_or_a_browser_adds_shuts_the_door() {
        for (name, value) in [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "example.com"),
            ("forwarded", "for=1.2.3.4"),
            ("via", "1.1 proxy"),
            ("x-real-ip", "1.2.3.4"),
            ("x-client-ip", "1.2.3.4"),
            ("fastly-client-ip", "1.2.3.4"),
            ("x-cluster-client-ip", "1.2.3.4"),
            ("x-envoy-external-address", "1.2.3.4"),
            ("client-ip", "1.2.3.4"),
            ("do-connecting-ip", "1.2.3.4"),
            ("x-remote-addr", "1.2.3.4"),
            ("cf-connecting-ip", "1.2.3.4"),
            ("true-client-ip", "1.2.3.4"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let headers = [("host", "localhost"), (name, value)];
            let allowed = check_local(&request("127.0.0.1:5", &headers)).is_ok();
            assert!(!allowed, "{name}: {value}");
        }
        let own_page = [("host", "localhost"), ("sec-fetch-site", "same-origin")];
        assert!(check_local(&request("127.0.0.1:5", &own_page)).is_ok());
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
                &[
                    ("host", "localhost:8080"),
                    ("origin", "http://localhost:8080"),
                ],
                true,
            ),
            // A page of another program on this machine, a file, a frame without an origin.
            (
                "127.0.0.1:5",
                &[
                    ("host", "localhost:8080"),
                    ("origin", "http://localhost:3000"),
                ],
                false,
            ),
            (
                "127.0.0.1:5",
                &[
                    ("host", "localhost:8080"),
                    ("origin", "http://127.0.0.1:8080"),
                ],
                false,
            ),
            (
                "127.0.0.1:5",
                &[("host", "localhost:8080"), ("origin", "null")],
                false,
            ),
        ] {
            let allowed = check_local(&request(peer, headers)).is_ok();
            assert_eq!(allowed, good, "{peer} {headers:?}");
        }
    }
}
