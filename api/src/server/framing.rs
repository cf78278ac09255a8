//! Requests that two programs could understand differently are refused.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode, Version, header};

use super::head_scan::HeadFacts;

/// What is wrong with the form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingFault {
    BareLineFeed,
    LengthAndCoding,
    NoHost,
    TwoHosts,
}

impl FramingFault {
    fn advice(self) -> &'static str {
        match self {
            Self::BareLineFeed => "Lines of the head must end with CR LF.\n",
            Self::LengthAndCoding => "Send Content-Length or Transfer-Encoding, not both.\n",
            Self::NoHost => "A Host header is needed.\n",
            Self::TwoHosts => "Send one Host header.\n",
        }
    }

    /// 400; the caller closes the connection, because where the next request starts is not certain.
    pub fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.advice()));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
            .headers_mut()
            .insert(header::CONNECTION, http::HeaderValue::from_static("close"));
        response
    }
}

/// Whether the request can be understood in one way only.
pub fn check<B>(request: &Request<B>, facts: HeadFacts) -> Result<(), FramingFault> {
    if facts.bare_line_feed {
        return Err(FramingFault::BareLineFeed);
    }
    if facts.length && facts.coding {
        return Err(FramingFault::LengthAndCoding);
    }
    match request.headers().get_all(header::HOST).iter().count() {
        0 if request.version() == Version::HTTP_11 => Err(FramingFault::NoHost),
        0 | 1 => Ok(()),
        _ => Err(FramingFault::TwoHosts),
    }
}

/// The length that a request announces; zero without one. Differing ones never get here.
pub fn content_length(headers: &HeaderMap) -> u64 {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
