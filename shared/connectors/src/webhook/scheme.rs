//! The names of the schemes and their options, as a manifest or a command line writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a sender proves itself. Sources are the vendors' own pages and libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// <https://www.standardwebhooks.com>, symmetric signatures.
    StandardWebhooksV1,
    /// Svix: the same with `svix-*` headers. Like its libraries, it also takes the unbranded `webhook-*` ones.
    Svix,
    /// HubSpot's first form: SHA-256 of secret and body. Neither time nor URL is covered.
    HubspotV1,
    /// HubSpot's second form: SHA-256 of secret, method, URL and body.
    HubspotV2,
    /// HubSpot's current form: HMAC of method, URL, body and time.
    HubspotV3,
    Xero,
    /// QuickBooks Online.
    Intuit,
    /// Stripe, and all who copied its `t=…,v1=…` header under another name (option `header`).
    Stripe,
    Shopify,
    Github,
    Slack,
    Square,
    Recurly,
    ZohoPayments,
    /// HTTP basic authentication (Pipedrive, Chargebee).
    BasicAuth,
    /// A secret in the URL: in its query (Odoo, Zoho workflows), or as its last segment (a capability address).
    UrlToken,
    /// A fixed secret in a header (GitLab's `X-Gitlab-Token`, a bearer token).
    HeaderToken,
    /// HMAC-SHA256 put together from [`SchemeOptions`].
    #[serde(rename = "generic-hmac-sha256")]
    GenericHmacSha256,
}

impl Scheme {
    pub const ALL: [Self; 18] = [
        Self::StandardWebhooksV1,
        Self::Svix,
        Self::HubspotV1,
        Self::HubspotV2,
        Self::HubspotV3,
        Self::Xero,
        Self::Intuit,
        Self::Stripe,
        Self::Shopify,
        Self::Github,
        Self::Slack,
        Self::Square,
        Self::Recurly,
        Self::ZohoPayments,
        Self::BasicAuth,
        Self::UrlToken,
        Self::HeaderToken,
        Self::GenericHmacSha256,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::StandardWebhooksV1 => "standard-webhooks-v1",
            Self::Svix => "svix",
            Self::HubspotV1 => "hubspot-v1",
            Self::HubspotV2 => "hubspot-v2",
            Self::HubspotV3 => "hubspot-v3",
            Self::Xero => "xero",
            Self::Intuit => "intuit",
            Self::Stripe => "stripe",
            Self::Shopify => "shopify",
            Self::Github => "github",
            Self::Slack => "slack",
            Self::Square => "square",
            Self::Recurly => "recurly",
            Self::ZohoPayments => "zoho-payments",
            Self::BasicAuth => "basic-auth",
            Self::UrlToken => "url-token",
            Self::HeaderToken => "header-token",
            Self::GenericHmacSha256 => "generic-hmac-sha256",
        }
    }

    /// The options that mean something for this scheme. Any other is an error, so that a typing mistake shows.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::StandardWebhooksV1
            | Self::Svix
            | Self::HubspotV3
            | Self::Slack
            | Self::Recurly
            | Self::ZohoPayments => &["tolerance_secs"],
            Self::Stripe => &["header", "tolerance_secs"],
            Self::UrlToken => &["place", "parameter"],
            Self::HeaderToken => &["header", "prefix"],
            Self::GenericHmacSha256 => &[
                "header",
                "prefix",
                "encoding",
                "template",
                "timestamp_header",
                "timestamp_unit",
                "id_header",
                "tolerance_secs",
            ],
            Self::HubspotV1
            | Self::HubspotV2
            | Self::Xero
            | Self::Intuit
            | Self::Shopify
            | Self::Github
            | Self::Square
            | Self::BasicAuth => &[],
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A scheme name that is not one of [`Scheme::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown scheme {0:?}; the known ones are {known}", known = known_names())]
pub struct UnknownScheme(pub String);

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(name: &str) -> Result<Self, UnknownScheme> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.name() == name)
            .ok_or_else(|| UnknownScheme(name.to_owned()))
    }
}

fn known_names() -> String {
    Scheme::ALL.map(Scheme::name).join(", ")
}

/// How a MAC is written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    Hex,
    Base64,
}

/// What a timestamp header counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestampUnit {
    Seconds,
    Milliseconds,
}

/// Where a token stands in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenPlace {
    /// A parameter of the query.
    Query,
    /// The last segment of the path, behind the connection's name.
    Path,
}

/// What a scheme leaves open. [`Scheme::options`] says which scheme takes what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemeOptions {
    /// The header with the signature or token. `stripe`: `Stripe-Signature`; `generic-hmac-sha256`:
    /// `x-webhook-signature`; `header-token`: `x-webhook-token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Text before the signature in that header; `sha256=` when not given, empty for none. `header-token`: none when
    /// not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `hex` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<SignatureEncoding>,
    /// The signed bytes: plain text with `{body}` and, where wanted, `{timestamp}`, `{id}`, `{method}`, `{url}`.
    /// `{body}` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Where `{timestamp}` comes from; `x-webhook-timestamp` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// `seconds` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_unit: Option<TimestampUnit>,
    /// Where `{id}` comes from; `x-webhook-id` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// How far a timestamp may lie from now, in seconds, on either side; 300 when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance_secs: Option<u32>,
    /// Where the token stands; `query` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<TokenPlace>,
    /// The query parameter with the token; `token` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
}

impl SchemeOptions {
    /// The names of the options that are set.
    pub(super) fn given(&self) -> Vec<&'static str> {
        [
            ("header", self.header.is_some()),
            ("prefix", self.prefix.is_some()),
            ("encoding", self.encoding.is_some()),
            ("template", self.template.is_some()),
            ("timestamp_header", self.timestamp_header.is_some()),
            ("timestamp_unit", self.timestamp_unit.is_some()),
            ("id_header", self.id_header.is_some()),
            ("tolerance_secs", self.tolerance_secs.is_some()),
            ("place", self.place.is_some()),
            ("parameter", self.parameter.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
        .collect()
    }
}

/// Options that do not make a usable scheme. Found when the configuration is read, before any request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    #[error("scheme {scheme} takes no option `{option}`; {}", takes(*scheme))]
    OptionNotTaken {
        scheme: Scheme,
        option: &'static str,
    },
    #[error(
        "option `{option}`: {value:?} is not a header name; write one such as x-webhook-signature"
    )]
    BadHeaderName { option: &'static str, value: String },
    #[error("option `prefix` must be at most {max} printable ASCII characters, such as sha256=", max = super::plan::PREFIX_BYTES_MAX)]
    BadPrefix,
    #[error(
        "option `template`: {{{0}}} is unknown; {{id}}, {{timestamp}}, {{method}}, {{url}} and {{body}} exist"
    )]
    UnknownPlaceholder(String),
    #[error(
        "option `template`: the brace at character {0} has no partner; braces only enclose a name such as {{body}}"
    )]
    LoneBrace(usize),
    #[error(
        "option `template` must contain {{body}}, or the body could be changed under a valid signature"
    )]
    BodyNotSigned,
    #[error(
        "option `{option}` is of no use unless `template` contains {{{placeholder}}}; add it there or drop the option"
    )]
    OptionWithoutPlaceholder {
        option: &'static str,
        placeholder: &'static str,
    },
    #[error("option `tolerance_secs` must lie between 1 and {max}", max = super::clock::TOLERANCE_SECS_MAX)]
    BadTolerance,
    #[error(
        "option `parameter` must not be empty; write the name of the query parameter, such as token"
    )]
    EmptyParameter,
    #[error(
        "option `parameter` names a part of the query, and `place` says `path`; drop one of them"
    )]
    ParameterInPath,
}

fn takes(scheme: Scheme) -> String {
    match scheme.options() {
        [] => "it takes none".to_owned(),
        names => format!("it takes {}", names.join(", ")),
    }
}
