//! What a webhook sender is told. Senders act on these answers, so each has its reason.
//!
//! `200` and `401` have no body, and there is never a cookie: Xero switches a hook off otherwise. A fault
//! of ours is never a 4xx, because HubSpot and others do not send such an event again.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use tandem_connectors::webhook::Reason;

/// An answer, and the words for it in the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is sent.
    pub reply: Reply,
    /// The metric label `outcome`.
    pub outcome: &'static str,
    /// The metric label `reason`; empty where the outcome says it all.
    pub reason: &'static str,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Stored, stored before, or a handshake.
    Taken,
    /// Slack asks for its challenge back when an address is set up.
    Challenge(String),
    /// The body could not be received.
    Garbled,
    /// The signature is missing, wrong, or too old; the sender learns no more.
    Unsigned,
    /// The same, for a sender that shows a password.
    WantsPassword,
    /// No such hook, or the token in the address is wrong.
    Unknown,
    /// Only POST is taken.
    NotPost,
    /// The body took too long.
    TooSlow,
    /// The connection was removed; the sender should stop.
    Deleted,
    /// The body is too long.
    TooLarge,
    /// The body is compressed or in parts; neither is opened before it is verified.
    Encoded,
    /// Too many requests from this address failed.
    TooMany {
        /// When to come back.
        retry_secs: u64,
    },
    /// Ours: overload, storage, configuration. The sender tries again.
    Unavailable {
        /// When to come back.
        retry_secs: u64,
    },
}

/// After an overload senders may come back at once; the queue empties in less.
const BUSY_RETRY_SECS: u64 = 1;
/// A configuration is not mended within seconds.
const MISCONFIGURED_RETRY_SECS: u64 = 60;

impl Answer {
    /// An answer whose outcome says it all.
    pub fn new(reply: Reply, outcome: &'static str) -> Self {
        Self {
            reply,
            outcome,
            reason: "",
        }
    }

    /// A fault of ours that passes soon.
    pub fn busy(reason: &'static str) -> Self {
        Self {
            reply: Reply::Unavailable {
                retry_secs: BUSY_RETRY_SECS,
            },
            outcome: "unavailable",
            reason,
        }
    }

    /// A fault of ours that an operator has to mend.
    pub fn misconfigured(reason: &'static str) -> Self {
        Self {
            reply: Reply::Unavailable {
                retry_secs: MISCONFIGURED_RETRY_SECS,
            },
            outcome: "misconfigured",
            reason,
        }
    }

    /// The answer to a signature that does not hold.
    pub fn rejected(reply: Reply, reason: Reason) -> Self {
        Self {
            reply,
            outcome: "rejected",
            reason: reason.as_str(),
        }
    }
}

impl Reply {
    /// As HTTP.
    pub fn into_response(self) -> Response {
        let (status, body) = self.status_and_body();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        match self {
            Self::WantsPassword => {
                let realm = HeaderValue::from_static("Basic realm=\"webhooks\"");
                headers.insert(header::WWW_AUTHENTICATE, realm);
            }
            Self::NotPost => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            Self::TooMany { retry_secs } | Self::Unavailable { retry_secs } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_secs));
            }
            Self::Challenge(_) => {
                let plain = HeaderValue::from_static("text/plain");
                headers.insert(header::CONTENT_TYPE, plain);
            }
            Self::TooSlow | Self::TooLarge | Self::Garbled => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Taken | Self::Unsigned | Self::Unknown | Self::Deleted | Self::Encoded => {}
        }
        response
    }

    fn status_and_body(&self) -> (StatusCode, Body) {
        let (status, text) = match self {
            Self::Taken => (StatusCode::OK, ""),
            Self::Challenge(challenge) => return (StatusCode::OK, Body::from(challenge.clone())),
            Self::Garbled => (StatusCode::BAD_REQUEST, "The body broke off.\n"),
            Self::Unsigned | Self::WantsPassword => (StatusCode::UNAUTHORIZED, ""),
            Self::Unknown => (StatusCode::NOT_FOUND, "There is no such webhook address.\n"),
            Self::NotPost => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Webhooks are sent by POST.\n",
            ),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "The body took too long.\n"),
            Self::Deleted => (StatusCode::GONE, "This webhook address was removed.\n"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long.\n"),
            Self::Encoded => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Send the body in one part and not compressed.\n",
            ),
            Self::TooMany { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests from this address had no valid signature.\n",
            ),
            Self::Unavailable { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not taken now; send it again.\n",
            ),
        };
        (status, Body::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_says_when_to_come_back() {
        let response = Answer::busy("queue-full").reply.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn a_password_is_asked_for_with_the_scheme() {
        let response = Reply::WantsPassword.into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
