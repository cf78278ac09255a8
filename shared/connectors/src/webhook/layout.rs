//! How signatures stand in their header, read and written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Reason;
use super::mac::{MAC_BYTES, MacBytes};

/// More entries than this in one signature header are refused unread. Svix sends eleven at most.
pub const SIGNATURES_MAX: usize = 64;
/// Length of a MAC in padded base64.
const MAC_BASE64_CHARS: usize = 44;
/// Length of a MAC in hex.
const MAC_HEX_CHARS: usize = 2 * MAC_BYTES;

/// How a single MAC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacText {
    LowerHex,
    /// Lower or upper case throughout, never mixed.
    EitherHex,
    Base64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// One signature behind a fixed prefix: `sha256=<hex>`.
    Single { prefix: String, text: MacText },
    /// Standard Webhooks: entries `v1,<base64>`, separated by spaces; other versions are passed over.
    Versioned,
    /// Stripe: `t=<timestamp>,v1=<hex>[,v1=<hex>]`; other fields are passed over.
    Fields {
        timestamp: &'static str,
        signature: &'static str,
    },
    /// Recurly: `<timestamp>,<hex>[,<hex>]`.
    Listed,
}

/// The content of a signature header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub timestamp: Option<&'a [u8]>,
    /// Never empty.
    pub signatures: Vec<MacBytes>,
}

impl Layout {
    pub(super) fn parse<'a>(&self, value: &'a [u8]) -> Result<Parsed<'a>, Reason> {
        match self {
            Self::Single { prefix, text } => {
                let mac = value
                    .strip_prefix(prefix.as_bytes())
                    .and_then(|rest| decode(rest, *text));
                Ok(Parsed {
                    timestamp: None,
                    signatures: vec![mac.ok_or(Reason::MalformedSignature)?],
                })
            }
            Self::Versioned => parse_versioned(value),
            Self::Fields {
                timestamp,
                signature,
            } => parse_fields(value, timestamp, signature),
            Self::Listed => parse_listed(value),
        }
    }

    pub(super) fn write(&self, timestamp: &str, mac: &MacBytes) -> String {
        match self {
            Self::Single { prefix, text } => format!("{prefix}{}", encode(mac, *text)),
            Self::Versioned => format!("v1,{}", encode(mac, MacText::Base64)),
            Self::Fields {
                timestamp: time_key,
                signature,
            } => {
                format!(
                    "{time_key}={timestamp},{signature}={}",
                    encode(mac, MacText::LowerHex)
                )
            }
            Self::Listed => format!("{timestamp},{}", encode(mac, MacText::LowerHex)),
        }
    }
}

fn parse_versioned(value: &[u8]) -> Result<Parsed<'_>, Reason> {
    let entries = value
        .split(|byte| *byte == b' ')
        .filter(|entry| !entry.is_empty());
    let of_version_1: Vec<&[u8]> = capped(entries)?
        .into_iter()
        .filter_map(|e| e.strip_prefix(b"v1,"))
        .collect();
    Ok(Parsed {
        timestamp: None,
        signatures: decode_all(&of_version_1, MacText::Base64)?,
    })
}

fn parse_fields<'a>(
    value: &'a [u8],
    time_key: &str,
    signature_key: &str,
) -> Result<Parsed<'a>, Reason> {
    let mut timestamp: Option<&[u8]> = None;
    let mut others = Vec::new();
    for field in value.split(|byte| *byte == b',') {
        match field_value(field, time_key) {
            Some(time) if timestamp.is_some_and(|first| first != time) => {
                return Err(Reason::ConflictingHeaders);
            }
            Some(time) => timestamp = Some(time),
            None if others.len() == SIGNATURES_MAX => return Err(Reason::TooManySignatures),
            None => others.push(field),
        }
    }
    if timestamp.is_none() {
        return Err(Reason::MalformedSignature);
    }
    let known: Vec<&[u8]> = others
        .into_iter()
        .filter_map(|field| field_value(field, signature_key))
        .collect();
    Ok(Parsed {
        timestamp,
        signatures: decode_all(&known, MacText::LowerHex)?,
    })
}

fn field_value<'a>(field: &'a [u8], key: &str) -> Option<&'a [u8]> {
    field.strip_prefix(key.as_bytes())?.strip_prefix(b"=")
}

fn parse_listed(value: &[u8]) -> Result<Parsed<'_>, Reason> {
    let mut entries = value.split(|byte| *byte == b',');
    let timestamp = entries.next();
    let signatures = capped(entries)?;
    if signatures.is_empty() {
        return Err(Reason::MalformedSignature);
    }
    Ok(Parsed {
        timestamp,
        signatures: decode_all(&signatures, MacText::LowerHex)?,
    })
}

fn capped<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Result<Vec<&'a [u8]>, Reason> {
    let read: Vec<&[u8]> = entries.take(SIGNATURES_MAX + 1).collect();
    if read.len() > SIGNATURES_MAX {
        Err(Reason::TooManySignatures)
    } else {
        Ok(read)
    }
}

/// Entries that are no MAC are passed over as long as one is: it alone decides.
fn decode_all(entries: &[&[u8]], text: MacText) -> Result<Vec<MacBytes>, Reason> {
    let macs: Vec<MacBytes> = entries
        .iter()
        .filter_map(|entry| decode(entry, text))
        .collect();
    match (entries.is_empty(), macs.is_empty()) {
        (true, _) => Err(Reason::NoSupportedSignature),
        (false, true) => Err(Reason::MalformedSignature),
        (false, false) => Ok(macs),
    }
}

fn decode(entry: &[u8], text: MacText) -> Option<MacBytes> {
    match text {
        MacText::LowerHex => decode_hex(entry, has_no_upper_case(entry)),
        MacText::EitherHex => {
            decode_hex(entry, has_no_upper_case(entry) || has_no_lower_case(entry))
        }
        // The length is checked first so that a huge header is not decoded in vain. The engine refuses other
        // alphabets, missing padding and stray bits at the end.
        MacText::Base64 if entry.len() == MAC_BASE64_CHARS => {
            STANDARD.decode(entry).ok()?.try_into().ok()
        }
        MacText::Base64 => None,
    }
}

fn decode_hex(entry: &[u8], case_is_right: bool) -> Option<MacBytes> {
    let mut mac = [0; MAC_BYTES];
    let plausible = case_is_right && entry.len() == MAC_HEX_CHARS;
    (plausible && hex::decode_to_slice(entry, &mut mac).is_ok()).then_some(mac)
}

fn has_no_upper_case(entry: &[u8]) -> bool {
    !entry.iter().any(u8::is_ascii_uppercase)
}

fn has_no_lower_case(entry: &[u8]) -> bool {
    !entry.iter().any(u8::is_ascii_lowercase)
}

fn encode(mac: &MacBytes, text: MacText) -> String {
    match text {
        MacText::LowerHex | MacText::EitherHex => hex::encode(mac),
        MacText::Base64 => STANDARD.encode(mac),
    }
}
