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
    TwoAuthorizations,
    CodingOfOld,
    ChunkedTwice,
    OtherCoding,
    EndlessSize,
}

impl FramingFault {
    fn advice(self) -> &'static str {
        match self {
            Self::BareLineFeed => "Lines of the head must end with CR LF.\n",
            Self::LengthAndCoding => "Send Content-Length or Transfer-Encoding, not both.\n",
            Self::NoHost => "A Host header is needed.\n",
            Self::TwoHosts => "Send one Host header.\n",
            Self::TwoAuthorizations => "Send one Authorization header.\n",
            Self::CodingOfOld => "Transfer-Encoding needs HTTP/1.1.\n",
            Self::ChunkedTwice => "Transfer-Encoding names chunked more than once.\n",
            Self::OtherCoding => "The only Transfer-Encoding that is taken is chunked.\n",
            Self::EndlessSize => "A piece of the body names its size with too many digits.\n",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::OtherCoding => StatusCode::NOT_IMPLEMENTED,
            Self::BareLineFeed
            | Self::LengthAndCoding
            | Self::NoHost
            | Self::TwoHosts
            | Self::TwoAuthorizations
            | Self::CodingOfOld
            | Self::ChunkedTwice
            | Self::EndlessSize => StatusCode::BAD_REQUEST,
        }
    }

    /// 400 or 501; the caller closes the connection, because where the next request starts is not certain.
    pub fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.advice()));
        *response.status_mut() = self.status();
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
    if facts.endless_size {
        return Err(FramingFault::EndlessSize);
    }
    check_coding(request.version(), request.headers())?;
    // Of two, one program would take the first and another the last.
    if request
        .headers()
        .get_all(header::AUTHORIZATION)
        .iter()
        .nth(1)
        .is_some()
    {
        return Err(FramingFault::TwoAuthorizations);
    }
    match request.headers().get_all(header::HOST).iter().count() {
        0 if request.version() == Version::HTTP_11 => Err(FramingFault::NoHost),
        0 | 1 => Ok(()),
        _ => Err(FramingFault::TwoHosts),
    }
}

/// A body is sent as it is, or once in pieces. The library looks at the last coding only, so that a body that is
/// compressed, or in pieces twice, would be taken for another one than the sender means.
fn check_coding(version: Version, headers: &HeaderMap) -> Result<(), FramingFault> {
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    if version < Version::HTTP_11 {
        return Err(FramingFault::CodingOfOld);
    }
    let values = headers.get_all(header::TRANSFER_ENCODING);
    let codings = values
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let (mut chunked, mut others) = (0, 0);
    for coding in codings {
        if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            chunked += 1;
        } else {
            others += 1;
        }
    }
    match (chunked, others) {
        (1, 0) => Ok(()),
        (_, 0) => Err(FramingFault::ChunkedTwice),
        _ => Err(FramingFault::OtherCoding),
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
