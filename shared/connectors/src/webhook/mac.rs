//! Keys, MACs and their comparison in constant time.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{Reason, Secret};

/// Length of a SHA-256 in bytes.
pub(super) const MAC_BYTES: usize = 32;
pub(super) type MacBytes = [u8; MAC_BYTES];

/// Forgiving on purpose: this decodes what a user pasted as a secret, not what a stranger sent. The vendors'
/// libraries ignore stray bits at the end too.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a secret becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyRule {
    /// The bytes of the text, even where it looks like base64 (Xero) or starts with `whsec_` (Stripe).
    Text,
    /// Base64 behind an optional `whsec_`.
    StandardWebhooks,
    /// `user:password`; the password may contain colons.
    UserAndPassword,
}

impl KeyRule {
    /// How a secret must be written, for people.
    pub(super) const fn form(self) -> &'static str {
        match self {
            Self::Text => "any text",
            Self::StandardWebhooks => {
                "base64, with or without `whsec_` before it, as the vendor shows it"
            }
            Self::UserAndPassword => "`user:password`, with a password that is not empty",
        }
    }
}

/// What is computed over the signed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacKind {
    HmacSha256,
    /// HubSpot v1 and v2: SHA-256 of the secret followed by the bytes.
    Sha256WithSecretFirst,
}

/// A usable key and the index of the secret that it came from.
pub(super) struct Key<'a> {
    pub index: usize,
    pub bytes: Cow<'a, [u8]>,
}

/// The keys of all usable secrets, or why there is none. A secret that is broken does not spoil the others, so
/// that a slip in the new one of a rotation does not stop delivery.
pub(super) fn keys(rule: KeyRule, secrets: &[Secret]) -> Result<Vec<Key<'_>>, Reason> {
    if secrets.iter().all(|secret| secret.bytes().is_empty()) {
        return Err(Reason::NoSecret);
    }
    let usable: Vec<Key<'_>> = secrets
        .iter()
        .enumerate()
        .filter_map(|(index, secret)| key(rule, secret).map(|bytes| Key { index, bytes }))
        .collect();
    if usable.is_empty() {
        Err(Reason::BadSecret)
    } else {
        Ok(usable)
    }
}

fn key(rule: KeyRule, secret: &Secret) -> Option<Cow<'_, [u8]>> {
    let text = secret.bytes();
    let key = match rule {
        KeyRule::Text => Some(Cow::Borrowed(text)),
        KeyRule::StandardWebhooks => {
            let encoded = text.strip_prefix(b"whsec_").unwrap_or(text);
            SECRET_BASE64.decode(encoded).ok().map(Cow::Owned)
        }
        KeyRule::UserAndPassword => {
            // Without a password anybody could guess the credentials.
            let colon = text.iter().position(|byte| *byte == b':')?;
            let password = text[colon + 1..].trim_ascii();
            (!password.is_empty()).then_some(Cow::Borrowed(text))
        }
    };
    key.filter(|bytes| !bytes.is_empty())
}

pub(super) fn compute(kind: MacKind, key: &[u8], parts: &[Cow<'_, [u8]>]) -> MacBytes {
    match kind {
        MacKind::HmacSha256 => {
            // HMAC takes keys of any length: longer ones are hashed, shorter ones padded (RFC 2104).
            let mut mac =
                Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().into()
        }
        MacKind::Sha256WithSecretFirst => {
            let mut hash = Sha256::new();
            hash.update(key);
            parts.iter().for_each(|part| hash.update(part));
            hash.finalize().into()
        }
    }
}

/// The index of the first secret whose MAC is among the signatures. Every pair is compared, match or not.
pub(super) fn matching_secret(
    keys: &[Key<'_>],
    signatures: &[MacBytes],
    mac_of: impl Fn(&[u8]) -> MacBytes,
) -> Option<usize> {
    let matches: Vec<Choice> = keys
        .iter()
        .map(|key| {
            let expected = mac_of(&key.bytes);
            signatures.iter().fold(Choice::from(0), |found, given| {
                found | expected.ct_eq(given)
            })
        })
        .collect();
    let first = matches.into_iter().position(bool::from)?;
    Some(keys[first].index)
}

/// A digest of a text, so that texts of different lengths compare in the same time.
pub(super) fn fingerprint(text: &[u8]) -> MacBytes {
    Sha256::digest(text).into()
}
