//! The description of each scheme as data, which `verifier.rs` and `sign.rs` interpret.

use http::HeaderName;

use super::clock::{TOLERANCE_SECS, TOLERANCE_SECS_MAX};
use super::content::{Content, UrlForm};
use super::header::HeaderSet;
use super::layout::{Layout, MacText};
use super::mac::{KeyRule, MacKind};
use super::{Scheme, SchemeError, SchemeOptions, SignatureEncoding, TimestampUnit, TokenPlace};

/// Longest prefix before a signature, in bytes.
pub(super) const PREFIX_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    Signed(SignedPlan),
    Basic,
    UrlToken(UrlToken),
    HeaderToken { header: String, prefix: String },
}

/// Where a token stands in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UrlToken {
    Parameter(String),
    LastSegment,
}

/// A scheme that signs the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedPlan {
    /// Alternative header names; the first is the one that signing uses. Never empty.
    pub headers: Vec<HeaderSet>,
    /// Headers that a sender adds. A receiver can do without them, but they must not say otherwise.
    pub sent_along: &'static [(&'static str, &'static str)],
    pub layout: Layout,
    pub content: Content,
    pub unit: TimestampUnit,
    pub tolerance_secs: u32,
    pub key: KeyRule,
    pub mac: MacKind,
}

impl Plan {
    pub(super) fn new(scheme: Scheme, options: &SchemeOptions) -> Result<Self, SchemeError> {
        let taken = scheme.options();
        if let Some(option) = options
            .given()
            .into_iter()
            .find(|name| !taken.contains(name))
        {
            return Err(SchemeError::OptionNotTaken { scheme, option });
        }
        describe(scheme, options)
    }

    pub(super) fn key_rule(&self) -> KeyRule {
        match self {
            Self::Signed(plan) => plan.key,
            Self::Basic => KeyRule::UserAndPassword,
            Self::UrlToken(_) | Self::HeaderToken { .. } => KeyRule::Text,
        }
    }
}

/// One row a vendor: header, layout, signed bytes, and what differs from HMAC with the text of the secret.
fn describe(scheme: Scheme, options: &SchemeOptions) -> Result<Plan, SchemeError> {
    let signed = match scheme {
        Scheme::StandardWebhooksV1 => standard_webhooks(&["webhook"]),
        Scheme::Svix => standard_webhooks(&["svix", "webhook"]),
        Scheme::HubspotV1 => hubspot_digest("{body}", &[("X-HubSpot-Signature-Version", "v1")]),
        Scheme::HubspotV2 => hubspot_digest(
            "{method}{url}{body}",
            &[("X-HubSpot-Signature-Version", "v2")],
        ),
        Scheme::HubspotV3 => hubspot_v3(),
        Scheme::Xero => base("x-xero-signature", bare(MacText::Base64), "{body}"),
        Scheme::Intuit => base("intuit-signature", bare(MacText::Base64), "{body}"),
        Scheme::Stripe => {
            let header = header_name("header", options.header.as_deref(), "Stripe-Signature")?;
            base(
                &header,
                Layout::Fields {
                    timestamp: "t",
                    signature: "v1",
                },
                "{timestamp}.{body}",
            )
        }
        Scheme::Shopify => {
            let mut plan = base("X-Shopify-Hmac-Sha256", bare(MacText::Base64), "{body}")?;
            plan.headers.push(signature_only("shopify-hmac-sha256"));
            Ok(plan)
        }
        Scheme::Github => base(
            "X-Hub-Signature-256",
            prefixed("sha256=", MacText::LowerHex),
            "{body}",
        ),
        Scheme::Slack => {
            let mut plan = base(
                "X-Slack-Signature",
                prefixed("v0=", MacText::LowerHex),
                "v0:{timestamp}:{body}",
            )?;
            plan.headers[0].timestamp = Some("X-Slack-Request-Timestamp".to_owned());
            Ok(plan)
        }
        Scheme::Square => base(
            "x-square-hmacsha256-signature",
            bare(MacText::Base64),
            "{url}{body}",
        ),
        Scheme::Recurly => in_milliseconds(base(
            "recurly-signature",
            Layout::Listed,
            "{timestamp}.{body}",
        )?),
        Scheme::ZohoPayments => in_milliseconds(base(
            "X-Zoho-Webhook-Signature",
            Layout::Fields {
                timestamp: "t",
                signature: "v",
            },
            "{timestamp}.{body}",
        )?),
        Scheme::GenericHmacSha256 => generic(options),
        Scheme::BasicAuth => return Ok(Plan::Basic),
        Scheme::UrlToken => return url_token(options),
        Scheme::HeaderToken => return header_token(options),
    }?;
    Ok(Plan::Signed(SignedPlan {
        tolerance_secs: tolerance(options)?,
        ..signed
    }))
}

fn header_token(options: &SchemeOptions) -> Result<Plan, SchemeError> {
    let prefix = options.prefix.as_deref().unwrap_or_default();
    check_prefix(prefix)?;
    Ok(Plan::HeaderToken {
        header: header_name("header", options.header.as_deref(), "x-webhook-token")?,
        prefix: prefix.to_owned(),
    })
}

fn check_prefix(prefix: &str) -> Result<(), SchemeError> {
    let printable = prefix.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if prefix.len() <= PREFIX_BYTES_MAX && printable {
        Ok(())
    } else {
        Err(SchemeError::BadPrefix)
    }
}

fn url_token(options: &SchemeOptions) -> Result<Plan, SchemeError> {
    let place = options.place.unwrap_or(TokenPlace::Query);
    match (place, options.parameter.as_deref()) {
        (TokenPlace::Path, Some(_)) => Err(SchemeError::ParameterInPath),
        (TokenPlace::Path, None) => Ok(Plan::UrlToken(UrlToken::LastSegment)),
        (TokenPlace::Query, Some("")) => Err(SchemeError::EmptyParameter),
        (TokenPlace::Query, parameter) => {
            let parameter = parameter.unwrap_or("token").to_owned();
            Ok(Plan::UrlToken(UrlToken::Parameter(parameter)))
        }
    }
}

/// HMAC-SHA256 keyed with the text of the secret, five minutes where a timestamp is signed.
fn base(header: &str, layout: Layout, template: &str) -> Result<SignedPlan, SchemeError> {
    Ok(SignedPlan {
        headers: vec![signature_only(header)],
        sent_along: &[],
        layout,
        content: Content::parse(template, UrlForm::AsIs)?,
        unit: TimestampUnit::Seconds,
        tolerance_secs: TOLERANCE_SECS,
        key: KeyRule::Text,
        mac: MacKind::HmacSha256,
    })
}

fn standard_webhooks(brands: &[&str]) -> Result<SignedPlan, SchemeError> {
    let headers = brands.iter().map(|brand| HeaderSet {
        signature: format!("{brand}-signature"),
        timestamp: Some(format!("{brand}-timestamp")),
        id: Some(format!("{brand}-id")),
    });
    Ok(SignedPlan {
        headers: headers.collect(),
        key: KeyRule::StandardWebhooks,
        ..base("", Layout::Versioned, "{id}.{timestamp}.{body}")?
    })
}

fn hubspot_digest(
    template: &str,
    sent_along: &'static [(&'static str, &'static str)],
) -> Result<SignedPlan, SchemeError> {
    Ok(SignedPlan {
        sent_along,
        mac: MacKind::Sha256WithSecretFirst,
        ..base("X-HubSpot-Signature", bare(MacText::LowerHex), template)?
    })
}

fn hubspot_v3() -> Result<SignedPlan, SchemeError> {
    let template = "{method}{url}{body}{timestamp}";
    let mut plan = base("X-HubSpot-Signature-v3", bare(MacText::Base64), template)?;
    plan.headers[0].timestamp = Some("X-HubSpot-Request-Timestamp".to_owned());
    plan.content = Content::parse(template, UrlForm::HubspotQuery)?;
    in_milliseconds(plan)
}

fn in_milliseconds(plan: SignedPlan) -> Result<SignedPlan, SchemeError> {
    Ok(SignedPlan {
        unit: TimestampUnit::Milliseconds,
        ..plan
    })
}

fn generic(options: &SchemeOptions) -> Result<SignedPlan, SchemeError> {
    let header = header_name("header", options.header.as_deref(), "x-webhook-signature")?;
    let text = match options.encoding.unwrap_or(SignatureEncoding::Hex) {
        SignatureEncoding::Hex => MacText::EitherHex,
        SignatureEncoding::Base64 => MacText::Base64,
    };
    let prefix = options.prefix.as_deref().unwrap_or("sha256=");
    check_prefix(prefix)?;
    let template = options.template.as_deref().unwrap_or("{body}");
    let mut plan = base(&header, prefixed(prefix, text), template)?;
    plan.headers[0].timestamp = generic_timestamp(options, &plan.content)?;
    plan.headers[0].id = generic_id(options, &plan.content)?;
    plan.unit = options.timestamp_unit.unwrap_or(TimestampUnit::Seconds);
    Ok(plan)
}

fn generic_timestamp(
    options: &SchemeOptions,
    content: &Content,
) -> Result<Option<String>, SchemeError> {
    if content.signs_timestamp() {
        let given = options.timestamp_header.as_deref();
        return header_name("timestamp_header", given, "x-webhook-timestamp").map(Some);
    }
    let idle = ["timestamp_header", "timestamp_unit", "tolerance_secs"];
    match options.given().into_iter().find(|name| idle.contains(name)) {
        Some(option) => Err(SchemeError::OptionWithoutPlaceholder {
            option,
            placeholder: "timestamp",
        }),
        None => Ok(None),
    }
}

fn generic_id(options: &SchemeOptions, content: &Content) -> Result<Option<String>, SchemeError> {
    if content.signs_id() {
        return header_name("id_header", options.id_header.as_deref(), "x-webhook-id").map(Some);
    }
    match options.id_header {
        Some(_) => Err(SchemeError::OptionWithoutPlaceholder {
            option: "id_header",
            placeholder: "id",
        }),
        None => Ok(None),
    }
}

fn header_name(
    option: &'static str,
    given: Option<&str>,
    usual: &str,
) -> Result<String, SchemeError> {
    let name = given.unwrap_or(usual);
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(SchemeError::BadHeaderName {
            option,
            value: name.to_owned(),
        }),
    }
}

fn tolerance(options: &SchemeOptions) -> Result<u32, SchemeError> {
    match options.tolerance_secs.unwrap_or(TOLERANCE_SECS) {
        secs @ 1..=TOLERANCE_SECS_MAX => Ok(secs),
        _ => Err(SchemeError::BadTolerance),
    }
}

fn signature_only(header: &str) -> HeaderSet {
    HeaderSet {
        signature: header.to_owned(),
        timestamp: None,
        id: None,
    }
}

fn bare(text: MacText) -> Layout {
    prefixed("", text)
}

fn prefixed(prefix: &str, text: MacText) -> Layout {
    Layout::Single {
        prefix: prefix.to_owned(),
        text,
    }
}
