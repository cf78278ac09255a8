//! Webhook signatures: who sent this request, and is it fresh?
//!
//! The ingress and `tandem webhook verify` call the same [`Verifier`]. It reads the raw request (method, URL,
//! headers, body bytes) and the secrets that are active at the moment, and answers with a [`Verdict`]. A scheme is a
//! description (`plan.rs`): which headers it uses, how the signature is written there (`layout.rs`), which bytes are
//! signed (`content.rs`), how the secret becomes a key (`mac.rs`) and how old a timestamp may be (`clock.rs`).
//! Verifying and signing interpret the same description, so they cannot drift apart.
//!
//! Rules that hold for every scheme:
//!
//! - No usable secret means rejection. There is no way to switch verification off.
//! - Every signature is compared with the MAC of every secret in constant time, without stopping at a match.
//! - Timestamps count in both directions: too far ahead is refused like too old. They are plain ASCII digits.
//! - A header that is read must say one thing. The same value twice is harmless, two different values are refused.
//! - Base64 is the standard alphabet, padded and canonical. Hex is lower case as the vendors write it; only
//!   `generic-hmac-sha256` also takes a signature that is upper case throughout, because some senders' standard
//!   library writes it so.
//! - A header that names the version of a signature (HubSpot's) must name the scheme's.
//! - A list of signatures has at most [`SIGNATURES_MAX`] entries. Entries that cannot be a signature are passed over.
//!
//! Absent on purpose: parsing of bodies (it comes after verification), reading the clock, I/O, asymmetric signatures
//! (`v1a` entries are passed over), and schemes whose secret stands inside the body (Zoho CRM's channel token).

mod clock;
mod content;
mod credentials;
mod header;
pub mod jsonl;
mod layout;
mod mac;
mod plan;
mod scheme;
mod sign;
mod verifier;

#[cfg(test)]
mod tests;

use std::fmt;

pub use layout::SIGNATURES_MAX;
pub use scheme::{
    Scheme, SchemeError, SchemeOptions, SignatureEncoding, TimestampUnit, TokenPlace, UnknownScheme,
};
pub use sign::{Outgoing, SignError, Signed};
pub use verifier::Verifier;

/// A request as it arrived: nothing decoded, nothing normalised.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// As on the request line, upper case for the usual methods.
    pub method: &'a str,
    /// The whole URL as the sender knows it: the configured public address plus the path and query that arrived.
    /// Never built from the `Host` header, which the sender controls.
    pub url: &'a str,
    /// All headers, repeated ones repeated. Names match without regard to case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The bytes of the body before any parsing.
    pub body: &'a [u8],
}

/// A shared secret exactly as the vendor shows it to the user (`whsec_…` as it stands, `user:password` for basic
/// authentication). Its text never appears in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What a verifier says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accepted {
        /// Which of the given secrets matched, to see when an old one is no longer in use.
        secret_index: usize,
        /// The signed time in Unix seconds (milliseconds are cut off), where the scheme signs one.
        signed_timestamp: Option<i64>,
        /// The signed message id, where the scheme signs one. Only such an id is safe to drop duplicates by.
        signed_id: Option<String>,
    },
    Rejected(Reason),
}

impl Verdict {
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

/// Why a request is refused. The texts are stable: they are metric labels and command output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A header that the scheme needs is absent or empty.
    MissingHeader,
    /// The query parameter or path segment with the token is absent or empty.
    MissingParameter,
    /// Two different values for something that must be single: a header, the timestamp inside one, a token.
    ConflictingHeaders,
    MalformedSignature,
    /// The header holds signatures, but none of a version that is understood here, or another one says that it is
    /// of another version than the scheme's.
    NoSupportedSignature,
    TooManySignatures,
    /// Not a plain non-negative whole number.
    BadTimestamp,
    StaleTimestamp,
    FutureTimestamp,
    /// The message id is too long or not printable ASCII.
    BadId,
    WrongSignature,
    /// `Authorization` is not well-formed basic authentication.
    MalformedCredentials,
    WrongCredentials,
    /// No secret is configured.
    NoSecret,
    /// Secrets are configured, but none has the form that the scheme needs.
    BadSecret,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingHeader => "missing-header",
            Self::MissingParameter => "missing-parameter",
            Self::ConflictingHeaders => "conflicting-headers",
            Self::MalformedSignature => "malformed-signature",
            Self::NoSupportedSignature => "no-supported-signature",
            Self::TooManySignatures => "too-many-signatures",
            Self::BadTimestamp => "bad-timestamp",
            Self::StaleTimestamp => "stale-timestamp",
            Self::FutureTimestamp => "future-timestamp",
            Self::BadId => "bad-id",
            Self::WrongSignature => "wrong-signature",
            Self::MalformedCredentials => "malformed-credentials",
            Self::WrongCredentials => "wrong-credentials",
            Self::NoSecret => "no-secret",
            Self::BadSecret => "bad-secret",
        }
    }

    /// True when the fault is in our configuration, not in the request: answer 503 so that the sender tries again.
    pub fn is_misconfiguration(self) -> bool {
        match self {
            Self::NoSecret | Self::BadSecret => true,
            Self::MissingHeader
            | Self::MissingParameter
            | Self::ConflictingHeaders
            | Self::MalformedSignature
            | Self::NoSupportedSignature
            | Self::TooManySignatures
            | Self::BadTimestamp
            | Self::StaleTimestamp
            | Self::FutureTimestamp
            | Self::BadId
            | Self::WrongSignature
            | Self::MalformedCredentials
            | Self::WrongCredentials => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
