//! Canonical values: what both systems' fields are turned into before they are compared.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{Day, Side, Timestamp, normal};

/// The fields of a record by name, in a fixed order so that they print and hash alike everywhere.
pub type Fields = BTreeMap<String, Value>;

/// An amount in a currency. Amounts are decimal: binary fractions lose cents.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Money {
    /// The amount in units of the currency, not in its cents.
    pub amount: Decimal,
    /// The ISO 4217 code, upper case.
    pub currency: String,
}

/// One canonical value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// No value; an empty text counts as none.
    #[default]
    Null,
    /// Text.
    Text(String),
    /// A decimal number; 1.0 equals 1.00.
    Decimal(Decimal),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A calendar day without a time or zone, so that it never shifts.
    Date(Day),
    /// An instant.
    Instant(Timestamp),
    /// An amount in a currency.
    Money(Money),
    /// The id of another record in the same system.
    Reference(String),
    /// The lines of a document.
    Lines(Vec<Fields>),
}

/// The values that a field had on both sides when these last agreed. They differ where a system
/// stores another form (case, rounding), or dropped what was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BaseValue {
    /// On side a.
    pub a: Value,
    /// On side b.
    pub b: Value,
}

impl BaseValue {
    /// The value on one side.
    #[must_use]
    pub const fn side(&self, side: Side) -> &Value {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// Puts another value on one side.
    pub fn set(&mut self, side: Side, value: Value) {
        match side {
            Side::A => self.a = value,
            Side::B => self.b = value,
        }
    }

    /// What one side held in each field when both last agreed.
    #[must_use]
    pub fn all_of(base: &BTreeMap<String, Self>, side: Side) -> Fields {
        base.iter()
            .map(|(name, base)| (name.clone(), base.side(side).clone()))
            .collect()
    }
}

/// The type of a field in a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// See [`Value::Text`].
    #[default]
    Text,
    /// See [`Value::Decimal`].
    Decimal,
    /// See [`Value::Integer`].
    Integer,
    /// See [`Value::Boolean`].
    Boolean,
    /// See [`Value::Date`].
    Date,
    /// See [`Value::Instant`].
    Instant,
    /// See [`Value::Money`].
    Money,
    /// See [`Value::Reference`].
    Reference,
    /// See [`Value::Lines`].
    Lines,
}

/// Why a text is not a value of a type.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a {expected}")]
pub struct ValueError {
    text: String,
    expected: &'static str,
}

impl FieldType {
    /// The name used in configuration and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Decimal => "decimal",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Instant => "instant",
            Self::Money => "money",
            Self::Reference => "reference",
            Self::Lines => "lines",
        }
    }
}

impl Value {
    /// What a value without text, such as a number or a truth, counts for.
    pub const SHORT_BYTES: usize = 8;

    /// How many bytes its texts have; what has none counts as little.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Text(text) | Self::Reference(text) => text.len(),
            Self::Decimal(_)
            | Self::Integer(_)
            | Self::Boolean(_)
            | Self::Date(_)
            | Self::Instant(_) => Self::SHORT_BYTES,
            Self::Money(money) => Self::SHORT_BYTES + money.currency.len(),
            Self::Lines(lines) => lines
                .iter()
                .flatten()
                .map(|(name, value)| name.len() + value.bytes())
                .sum(),
        }
    }

    /// Reads a value of `field_type` from its plain text form; empty text is [`Value::Null`].
    /// Money reads as `12.50 EUR`; lines have no text form.
    ///
    /// # Errors
    /// [`ValueError`] when the text is not of that type.
    pub fn parse(field_type: FieldType, text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Ok(Self::Null);
        }
        let wrong = || ValueError {
            text: text.to_owned(),
            expected: field_type.as_str(),
        };
        match field_type {
            FieldType::Text => Ok(Self::Text(normal(text).into_owned())),
            FieldType::Reference => Ok(Self::Reference(text.to_owned())),
            FieldType::Decimal => parse_decimal(text).map(Self::Decimal).ok_or_else(wrong),
            FieldType::Integer => text.trim().parse().map(Self::Integer).map_err(|_| wrong()),
            FieldType::Boolean => parse_boolean(text).map(Self::Boolean).ok_or_else(wrong),
            FieldType::Date => text.parse().map(Self::Date).map_err(|_| wrong()),
            FieldType::Instant => text.parse().map(Self::Instant).map_err(|_| wrong()),
            FieldType::Money => parse_money(text).map(Self::Money).ok_or_else(wrong),
            FieldType::Lines => Err(wrong()),
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

fn parse_decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_scientific(text))
        .ok()
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn parse_money(text: &str) -> Option<Money> {
    let (amount, currency) = text.trim().split_once(' ')?;
    let iso = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    iso.then(|| {
        parse_decimal(amount).map(|amount| Money {
            amount,
            currency: currency.to_owned(),
        })
    })?
}

impl fmt::Display for Value {
    /// The plain text form that [`Value::parse`] reads back; lines print as their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Text(text) | Self::Reference(text) => f.write_str(text),
            Self::Decimal(number) => write!(f, "{number}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Date(day) => write!(f, "{day}"),
            Self::Instant(instant) => write!(f, "{instant}"),
            Self::Money(money) => write!(f, "{} {}", money.amount, money.currency),
            Self::Lines(lines) => write!(f, "{} lines", lines.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_with_a_text_form_reads_what_it_prints() {
        for (field_type, text) in [
            (FieldType::Text, "Ada"),
            (FieldType::Decimal, "12.50"),
            (FieldType::Integer, "-7"),
            (FieldType::Boolean, "true"),
            (FieldType::Date, "2026-02-28"),
            (FieldType::Instant, "2026-02-28T01:02:03.000004Z"),
            (FieldType::Money, "12.50 EUR"),
            (FieldType::Reference, "42"),
        ] {
            let value = Value::parse(field_type, text).expect(text);
            assert_eq!(value.to_string(), text);
            let json = serde_json::to_string(&value).expect("values serialise");
            assert_eq!(
                serde_json::from_str::<Value>(&json).expect("and back"),
                value
            );
        }
    }

    #[test]
    fn decimals_of_another_scale_are_equal() {
        assert_eq!(
            Value::parse(FieldType::Decimal, "1.0").expect("decimal"),
            Value::parse(FieldType::Decimal, "1.00").expect("decimal")
        );
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        for (field_type, text) in [
            (FieldType::Decimal, "1,5"),
            (FieldType::Integer, "1.5"),
            (FieldType::Boolean, "maybe"),
            (FieldType::Date, "2026-02-30"),
            (FieldType::Money, "12.50"),
        ] {
            assert!(Value::parse(field_type, text).is_err(), "{text}");
        }
    }
}
