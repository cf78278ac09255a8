//! Which HTTP statuses a rule is about: `404`, `5xx`, or a list of such.

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, de};

/// A set of HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    pub(crate) fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn parse(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("`{text}` is not an HTTP status such as 404 or 5xx");
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().map_err(|_| wrong())?;
        return if (1..=5).contains(&class) {
            Ok(class * 100..=class * 100 + 99)
        } else {
            Err(wrong())
        };
    }
    let status: u16 = text.parse().map_err(|_| wrong())?;
    if (100..=599).contains(&status) {
        Ok(status..=status)
    } else {
        Err(wrong())
    }
}

struct StatusesVisitor;

impl<'de> de::Visitor<'de> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an HTTP status such as 404 or 5xx, or a list of them")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Statuses, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Statuses, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
        parse(text)
            .map(|range| Statuses(vec![range]))
            .map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Statuses, A::Error> {
        let mut ranges = Vec::new();
        while let Some(Statuses(more)) = access.next_element()? {
            ranges.extend(more);
        }
        Ok(Statuses(ranges))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}
