//! Ids: 128 bits, sortable by time of making (the layout of UUID version 7, RFC 9562), printed
//! with a prefix that says what they name (`job_01j…`), so that a wrong id is seen at a glance.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

/// A source of random bits. Tests hand in a seeded one; `runtime` owns the real one.
pub trait Entropy: Send + Sync {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Crockford's base 32 alphabet in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits in groups of five, the first of which has three.
const ENCODED_LEN: usize = 26;

/// Why a text is not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{text}` is not a {expected} id: it should look like `{expected}_` and 26 letters or digits"
)]
pub struct IdParseError {
    text: String,
    expected: &'static str,
}

/// No chance at all.
struct Least;

impl Entropy for Least {
    fn next_u64(&self) -> u64 {
        0
    }
}

fn random_id(now: Timestamp, entropy: &dyn Entropy) -> u128 {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    let mut bytes = [0u8; 10];
    bytes[..8].copy_from_slice(&entropy.next_u64().to_be_bytes());
    bytes[8..].copy_from_slice(&entropy.next_u64().to_be_bytes()[..2]);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes)
        .into_uuid()
        .as_u128()
}

fn encode(bits: u128) -> String {
    (0..ENCODED_LEN)
        .rev()
        .map(|group| char::from(ALPHABET[((bits >> (group * 5)) & 31) as usize]))
        .collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != ENCODED_LEN || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0u128, |bits, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        Some((bits << 5) | digit as u128)
    })
}

/// Makes one id type; a macro, because Rust has no other way to make distinct types alike.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// A new id; `now` makes it sortable, `entropy` makes it unique.
            #[must_use]
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(random_id(now, entropy))
            }

            /// The least id that can be made at this instant, to the millisecond: where a list by ids
            /// begins or ends that asks for a time.
            #[must_use]
            pub fn least(at: Timestamp) -> Self {
                Self(random_id(at, &Least))
            }

            /// When it was made, to the millisecond.
            #[must_use]
            pub fn made_at(self) -> Timestamp {
                // The upper 48 bits are the milliseconds, so they fit.
                Timestamp::from_millis(i64::try_from(self.0 >> 80).unwrap_or(i64::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdParseError;
            fn from_str(text: &str) -> Result<Self, IdParseError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| IdParseError { text: text.to_owned(), expected: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// One delivery: an HTTP request that a webhook sender made.
    DeliveryId, "dlv");
id_type!(
    /// One event inside a delivery.
    EventId, "evt");
id_type!(
    /// One durable job.
    JobId, "job");
id_type!(
    /// The right to finish one claimed job; a new one for each claim.
    LeaseToken, "lse");
id_type!(
    /// A pair of records held equal.
    LinkId, "lnk");
id_type!(
    /// A journalled write: the transaction id, and the idempotency key sent with it.
    IntentId, "txn");
id_type!(
    /// One entry of the change log.
    ChangeId, "chg");
id_type!(
    /// One run of a sync.
    RunId, "run");
id_type!(
    /// One question that waits for an operator.
    ConflictId, "cfl");

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);
    impl Entropy for Fixed {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn an_id_survives_printing_and_parsing() {
        let id = JobId::new(Timestamp::from_micros(1_700_000_000_000_000), &Fixed(42));
        assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
        assert!(id.to_string().starts_with("job_"));
    }

    #[test]
    fn ids_sort_by_time() {
        let early = JobId::new(Timestamp::from_micros(1_000_000), &Fixed(u64::MAX));
        let late = JobId::new(Timestamp::from_micros(2_000_000), &Fixed(0));
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn the_least_id_of_an_instant_comes_before_all_that_are_made_then() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let least = JobId::least(at);
        assert!(least <= JobId::new(at, &Fixed(0)));
        assert!(least > JobId::new(Timestamp::from_millis(1_700_000_000_122), &Fixed(u64::MAX)));
        assert_eq!(JobId::new(at, &Fixed(u64::MAX)).made_at(), at);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = JobId::new(Timestamp::from_micros(1), &Fixed(1));
        assert!(id.to_string().parse::<EventId>().is_err());
        assert!("job_".parse::<JobId>().is_err());
        assert!("job_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<JobId>().is_err());
    }
}
