//! Schemes that sign nothing and only show a secret: basic authentication, a token in the URL or in a header.
//!
//! They prove who sent a request, not that nobody changed or repeated it. Use them over TLS only.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::header::single;
use super::mac::{Key, fingerprint, matching_secret};
use super::plan::UrlToken;
use super::{Reason, Request};
use crate::percent;

const AUTHORIZATION: &str = "authorization";
const BASIC: &[u8] = b"basic";

/// Checks `Authorization: Basic` (RFC 7617) and returns the index of the secret that matched.
pub(super) fn check_basic(request: &Request<'_>, keys: &[Key<'_>]) -> Result<usize, Reason> {
    let value = single(request.headers, AUTHORIZATION)?.ok_or(Reason::MissingHeader)?;
    let shown = basic_credentials(value).ok_or(Reason::MalformedCredentials)?;
    compare(&shown, keys)
}

fn basic_credentials(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(BASIC.len())?;
    let encoded = rest.trim_ascii_start();
    let well_formed = scheme.eq_ignore_ascii_case(BASIC) && encoded.len() < rest.len();
    let shown = STANDARD.decode(encoded).ok().filter(|_| well_formed)?;
    shown.contains(&b':').then_some(shown)
}

pub(super) fn basic_header(credentials: &[u8]) -> (String, String) {
    (
        "Authorization".to_owned(),
        format!("Basic {}", STANDARD.encode(credentials)),
    )
}

/// Checks a token in a header and returns the index of the secret that matched.
pub(super) fn check_header_token(
    request: &Request<'_>,
    header: &str,
    prefix: &str,
    keys: &[Key<'_>],
) -> Result<usize, Reason> {
    let value = single(request.headers, header)?.ok_or(Reason::MissingHeader)?;
    let token = value
        .strip_prefix(prefix.as_bytes())
        .filter(|token| !token.is_empty())
        .ok_or(Reason::MalformedCredentials)?;
    compare(token, keys)
}

/// Checks the token of a URL and returns the index of the secret that matched.
pub(super) fn check_url_token(
    request: &Request<'_>,
    place: &UrlToken,
    keys: &[Key<'_>],
) -> Result<usize, Reason> {
    match place {
        UrlToken::Parameter(parameter) => check_parameter(request, parameter, keys),
        UrlToken::LastSegment => check_last_segment(request, keys),
    }
}

fn check_last_segment(request: &Request<'_>, keys: &[Key<'_>]) -> Result<usize, Reason> {
    let path = request.url.split(['?', '#']).next().unwrap_or_default();
    let segment = path.rsplit('/').next().unwrap_or_default();
    if segment.is_empty() {
        return Err(Reason::MissingParameter);
    }
    compare(&percent::unescape(segment), keys)
}

fn check_parameter(
    request: &Request<'_>,
    parameter: &str,
    keys: &[Key<'_>],
) -> Result<usize, Reason> {
    let mut shown: Option<Cow<'_, str>> = None;
    for (name, value) in form_urlencoded::parse(query(request.url).as_bytes()) {
        if name != parameter {
            continue;
        }
        if shown.as_ref().is_some_and(|first| *first != value) {
            return Err(Reason::ConflictingHeaders);
        }
        shown = Some(value);
    }
    let token = shown
        .filter(|token| !token.is_empty())
        .ok_or(Reason::MissingParameter)?;
    compare(token.as_bytes(), keys)
}

fn query(url: &str) -> &str {
    let without_fragment = url.split('#').next().unwrap_or_default();
    without_fragment
        .split_once('?')
        .map_or("", |(_, query)| query)
}

/// The URL with the token where the scheme has it.
pub(super) fn url_with_token(url: &str, place: &UrlToken, token: &str) -> String {
    match place {
        UrlToken::Parameter(parameter) => with_parameter(url, parameter, token),
        UrlToken::LastSegment => {
            let end = url.find(['?', '#']).unwrap_or(url.len());
            let (address, rest) = url.split_at(end);
            let mut whole = format!("{}/", address.trim_end_matches('/'));
            percent::escape_segment(token, &mut whole);
            whole + rest
        }
    }
}

fn with_parameter(url: &str, parameter: &str, token: &str) -> String {
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    let separator = match address.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    let pair = form_urlencoded::Serializer::new(String::new())
        .append_pair(parameter, token)
        .finish();
    let hash = if fragment.is_empty() { "" } else { "#" };
    format!("{address}{separator}{pair}{hash}{fragment}")
}

fn compare(shown: &[u8], keys: &[Key<'_>]) -> Result<usize, Reason> {
    matching_secret(keys, &[fingerprint(shown)], fingerprint).ok_or(Reason::WrongCredentials)
}
