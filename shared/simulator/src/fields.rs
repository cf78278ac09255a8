//! The nine fields of a company under the names that both simulated systems share.
//!
//! Every value is text here, so that the two sides compare directly: decimals as written,
//! `active` as `true` or `false`, an absent value as the empty text. The vendors' own shapes are
//! made and read in `crm` and `finance`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field of a company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Name,
    Email,
    Phone,
    City,
    Country,
    TaxNumber,
    Website,
    CreditLimit,
    Active,
}

impl Field {
    /// Every field, in the order in which they are shown.
    pub const ALL: [Field; 9] = [
        Field::Name,
        Field::Email,
        Field::Phone,
        Field::City,
        Field::Country,
        Field::TaxNumber,
        Field::Website,
        Field::CreditLimit,
        Field::Active,
    ];

    /// The canonical name, which is also the CRM's property name.
    pub fn name(self) -> &'static str {
        match self {
            Field::Name => "name",
            Field::Email => "email",
            Field::Phone => "phone",
            Field::City => "city",
            Field::Country => "country",
            Field::TaxNumber => "tax_number",
            Field::Website => "website",
            Field::CreditLimit => "credit_limit",
            Field::Active => "active",
        }
    }

    /// The field with this canonical name.
    pub fn parse(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Checks a value for this field and gives it without surrounding spaces where the field is
    /// not free text; the error says what would be accepted.
    pub(crate) fn check(self, value: &str) -> Result<String, String> {
        let trimmed = value.trim();
        match self {
            Field::CreditLimit if trimmed.is_empty() => Ok(String::new()),
            Field::CreditLimit => match decimal(trimmed) {
                Some(_) => Ok(trimmed.to_owned()),
                None => Err(format!("{value:?} is not a number; write it like 1250.00")),
            },
            Field::Active => match trimmed {
                "true" | "false" => Ok(trimmed.to_owned()),
                _ => Err(format!("{value:?} is not true or false")),
            },
            Field::Name
            | Field::Email
            | Field::Phone
            | Field::City
            | Field::Country
            | Field::TaxNumber
            | Field::Website => Ok(value.to_owned()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// New values for some of the fields.
pub type Changes = BTreeMap<Field, String>;

/// A value for every field; empty text where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fields([String; Field::ALL.len()]);

impl Fields {
    pub fn get(&self, field: Field) -> &str {
        &self.0[field as usize]
    }

    pub fn set(&mut self, field: Field, value: impl Into<String>) {
        self.0[field as usize] = value.into();
    }
}

impl From<Changes> for Fields {
    fn from(changes: Changes) -> Fields {
        let mut fields = Fields::default();
        for (field, value) in changes {
            fields.set(field, value);
        }
        fields
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Field::ALL.len()))?;
        for field in Field::ALL {
            map.serialize_entry(field.name(), self.get(field))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        Changes::deserialize(deserializer).map(Fields::from)
    }
}

/// What two e-mail addresses are compared by: no surrounding spaces, no case.
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// What two names are matched by: single spaces, no surrounding ones, no case.
pub(crate) fn name_key(name: &str) -> String {
    collapse_spaces(name).to_lowercase()
}

/// Single spaces between words and none around them.
pub(crate) fn collapse_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads a decimal, scientific notation included.
pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str(text)
        .or_else(|_| Decimal::from_scientific(text))
        .ok()
}
