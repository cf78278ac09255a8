//! How a system writes values: what turns its JSON into canonical values and back.

use std::collections::BTreeMap;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Number, Value as Json, json};
use tandem_domain::{Day, FieldType, Timestamp, Value};

use crate::class_object::{civil, class_datetime, decode_class};
use crate::lenient_json::DAMAGED;
use crate::manifest::Zone;

/// How a system writes a value of a type. Reading is generous (a number may arrive as text); writing is
/// exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The JSON type nearest to the field's: numbers as numbers, instants as RFC 3339 text.
    #[default]
    Plain,
    /// Everything as text.
    Text,
    /// Numbers, and references, as JSON numbers.
    Number,
    /// `/Date(1439434356790+0000)/`.
    MsDate,
    /// Milliseconds since 1970, as a number or as text.
    EpochMs,
    /// Seconds since 1970, as a number or as text, perhaps with a fraction.
    EpochS,
    /// `{"__class__": "Decimal", "decimal": "12.50"}` and the like for dates and instants.
    ClassObject,
}

/// Reads an instant in RFC 3339; without a zone it counts as UTC.
pub(crate) fn parse_instant(text: &str) -> Option<Timestamp> {
    parse_instant_in(text, None)
}

/// As [`parse_instant`]; without a zone it is a time of this one.
fn parse_instant_in(text: &str, zone: Option<&Zone>) -> Option<Timestamp> {
    Timestamp::from_str(text).ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        match zone {
            Some(zone) => zone.instant(local),
            None => {
                let zoned = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
                Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
            }
        }
    })
}

impl Form {
    /// Reads what the system wrote. `values` translates its words into canonical ones first.
    ///
    /// # Errors
    /// What does not fit, without the place.
    pub(crate) fn decode(
        self,
        field_type: FieldType,
        json: &Json,
        values: &BTreeMap<String, String>,
    ) -> Result<Value, String> {
        if let Some(word) = scalar_text(json).and_then(|text| values.get(text.as_str())) {
            return Value::parse(field_type, word).map_err(|error| error.to_string());
        }
        match json {
            Json::Null => Ok(Value::Null),
            Json::String(text) if text.is_empty() => Ok(Value::Null),
            _ if !values.is_empty() => Err(format!(
                "{json} is none of the system's words that `values` in the manifest knows: {}",
                listed(values.keys())
            )),
            Json::Object(_) => decode_class(field_type, json),
            Json::Array(_) => Err("a list stands where one value is expected".to_owned()),
            Json::String(_) | Json::Number(_) | Json::Bool(_) => {
                self.decode_scalar(field_type, json)
            }
        }
    }

    fn decode_scalar(self, field_type: FieldType, json: &Json) -> Result<Value, String> {
        let wrong = || format!("{json} is not a {}", field_type.as_str());
        match field_type {
            // No database keeps a NUL, and no person means one.
            FieldType::Text => {
                let text = scalar_text(json).ok_or_else(wrong)?;
                Ok(Value::Text(text.replace('\0', "")))
            }
            FieldType::Reference => Ok(Value::Reference(id_text(json).ok_or_else(wrong)?)),
            FieldType::Instant => self
                .decode_instant(json)
                .map(Value::Instant)
                .ok_or_else(wrong),
            FieldType::Date => self.decode_date(json).map(Value::Date).ok_or_else(wrong),
            FieldType::Decimal | FieldType::Integer | FieldType::Boolean => {
                let text = scalar_text(json).ok_or_else(wrong)?;
                Value::parse(field_type, &text).map_err(|_| wrong())
            }
            FieldType::Money | FieldType::Lines => Err(wrong()),
        }
    }

    pub(crate) fn decode_instant(self, json: &Json) -> Option<Timestamp> {
        self.decode_instant_in(json, None)
    }

    /// As [`Form::decode_instant`]; a text without a zone is a time of this one.
    pub(crate) fn decode_instant_in(self, json: &Json, zone: Option<&Zone>) -> Option<Timestamp> {
        match (self, json) {
            (Self::EpochMs, _) => scalar_text(json)?.parse().ok().map(Timestamp::from_millis),
            (Self::EpochS, _) => epoch_seconds(&scalar_text(json)?),
            (_, Json::Object(_)) => match decode_class(FieldType::Instant, json) {
                Ok(Value::Instant(at)) => Some(at),
                _ => None,
            },
            (_, Json::String(text)) if text.starts_with("/Date(") => ms_date(text),
            (_, Json::String(text)) => parse_instant_in(text, zone),
            _ => None,
        }
    }

    /// The local time that stands there without a zone.
    pub(crate) fn local_time(self, json: &Json) -> Option<jiff::civil::DateTime> {
        match json {
            Json::String(text) if self.may_lack_zone() && Timestamp::from_str(text).is_err() => {
                text.parse().ok()
            }
            _ => None,
        }
    }

    fn decode_date(self, json: &Json) -> Option<Day> {
        let Json::String(text) = json else {
            return self.decode_instant(json).and_then(day_of);
        };
        match text.parse() {
            Ok(day) => Some(day),
            // The day as written counts, whatever the zone: dates must not shift.
            Err(_) if self == Self::Plain || self == Self::Text => text.get(..10)?.parse().ok(),
            Err(_) => self.decode_instant(json).and_then(day_of),
        }
    }

    /// Whether a time in this form may lack its zone.
    pub(crate) const fn may_lack_zone(self) -> bool {
        matches!(self, Self::Plain | Self::Text | Self::Number)
    }

    /// Writes a value as the system wants it; `empty` is how it writes none.
    ///
    /// # Errors
    /// What cannot be written.
    pub(crate) fn encode(
        self,
        value: &Value,
        empty: &Json,
        values: &BTreeMap<String, String>,
    ) -> Result<Json, String> {
        if value.is_null() {
            return Ok(empty.clone());
        }
        if !values.is_empty() {
            let canonical = value.to_string();
            return match values.iter().find(|(_, word)| **word == canonical) {
                Some((word, _)) => Ok(self.typed(word)),
                None => Err(format!(
                    "the system has no word for `{canonical}`: `values` of the field in the manifest knows {}",
                    listed(values.values())
                )),
            };
        }
        match value {
            Value::Instant(at) => Ok(self.encode_instant(*at)),
            Value::Date(day) if self == Self::ClassObject => {
                let (year, month, day) = day.parts();
                Ok(json!({"__class__": "date", "year": year, "month": month, "day": day}))
            }
            Value::Date(day) => Ok(Json::String(day.to_string())),
            Value::Decimal(number) => self.encode_decimal(*number),
            Value::Integer(number) if self != Self::Text => Ok(Json::from(*number)),
            Value::Boolean(truth) if self != Self::Text => Ok(Json::Bool(*truth)),
            Value::Reference(id) if self == Self::Number => id
                .parse::<i64>()
                .map(Json::from)
                .map_err(|_| format!("the id `{id}` is not a number")),
            Value::Integer(_) | Value::Boolean(_) | Value::Text(_) | Value::Reference(_) => {
                Ok(Json::String(value.to_string()))
            }
            Value::Money(_) | Value::Lines(_) | Value::Null => {
                Err("it cannot be written in this form".to_owned())
            }
        }
    }

    /// A word of the system in its JSON type: what reads as a boolean or a number is one, unless all is text.
    fn typed(self, word: &str) -> Json {
        match serde_json::from_str(word) {
            Ok(scalar @ (Json::Bool(_) | Json::Number(_))) if self != Self::Text => scalar,
            _ => Json::String(word.to_owned()),
        }
    }

    fn encode_instant(self, at: Timestamp) -> Json {
        match self {
            Self::Plain | Self::Text | Self::Number => Json::String(at.to_string()),
            Self::MsDate => Json::String(format!("/Date({}+0000)/", at.as_millis())),
            Self::EpochMs => Json::from(at.as_millis()),
            Self::EpochS => Json::from(at.as_secs()),
            Self::ClassObject => class_datetime(at),
        }
    }

    pub(crate) fn encode_decimal(self, number: Decimal) -> Result<Json, String> {
        match self {
            Self::Text => Ok(Json::String(number.to_string())),
            Self::ClassObject => Ok(json!({"__class__": "Decimal", "decimal": number.to_string()})),
            Self::Plain | Self::Number | Self::MsDate | Self::EpochMs | Self::EpochS => {
                exact_number(number)
                    .map(Json::Number)
                    .ok_or_else(|| format!("{number} has more digits than a JSON number can carry"))
            }
        }
    }
}

/// The JSON number that reads back as exactly this decimal, if there is one.
fn exact_number(number: Decimal) -> Option<Number> {
    let normal = number.normalize();
    if let Ok(whole) = i64::try_from(normal)
        && normal.scale() == 0
    {
        return Some(Number::from(whole));
    }
    let float: f64 = normal.to_string().parse().ok()?;
    let written = Number::from_f64(float)?;
    let back = Decimal::from_str(&written.to_string())
        .or_else(|_| Decimal::from_scientific(&written.to_string()));
    (back.ok()? == normal).then_some(written)
}

fn listed<'a>(words: impl Iterator<Item = &'a String>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// A text, number or boolean as text.
pub(crate) fn scalar_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A longer id is none: ids are keys of the storage's indexes, whose entries are bounded.
pub(crate) const ID_BYTES_MAX: usize = 256;

/// An id as text. A number with a fraction or beyond 64 bits has lost digits, so it is no id.
pub(crate) fn id_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text)
            if (1..=ID_BYTES_MAX).contains(&text.len()) && !text.contains([DAMAGED, '\0']) =>
        {
            Some(text.clone())
        }
        Json::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

fn epoch_seconds(text: &str) -> Option<Timestamp> {
    let micros = Decimal::from_str(text)
        .ok()?
        .checked_mul(Decimal::from(1_000_000))?
        .trunc();
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

/// `/Date(1439434356790)/`, with or without a zone. The number is UTC whatever the zone says.
fn ms_date(text: &str) -> Option<Timestamp> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let end = inner
        .char_indices()
        .skip(1)
        .find(|(_, c)| *c == '+' || *c == '-')
        .map_or(inner.len(), |(at, _)| at);
    inner[..end].parse().ok().map(Timestamp::from_millis)
}

fn day_of(at: Timestamp) -> Option<Day> {
    let civil = civil(at);
    Day::new(civil.year(), civil.month(), civil.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Value {
        Value::Instant(text.parse().expect("an instant"))
    }

    #[test]
    fn an_instant_is_read_and_written_in_every_form() {
        let cases = [
            (
                Form::Plain,
                json!("2026-11-20T18:03:13.478342Z"),
                "2026-11-20T18:03:13.478342Z",
            ),
            (
                Form::MsDate,
                json!("/Date(1795197793478+0000)/"),
                "2026-11-20T18:03:13.478Z",
            ),
            (
                Form::EpochMs,
                json!(1_795_197_793_478_i64),
                "2026-11-20T18:03:13.478Z",
            ),
            (Form::EpochS, json!(1_795_197_793), "2026-11-20T18:03:13Z"),
            (
                Form::ClassObject,
                json!({"__class__": "datetime", "year": 2026, "month": 11, "day": 20,
                       "hour": 18, "minute": 3, "second": 13, "microsecond": 478_342}),
                "2026-11-20T18:03:13.478342Z",
            ),
        ];
        for (form, json, instant) in cases {
            assert_eq!(
                form.decode(FieldType::Instant, &json, &BTreeMap::new()),
                Ok(at(instant)),
                "{form:?}"
            );
            assert_eq!(
                form.encode(&at(instant), &Json::Null, &BTreeMap::new()),
                Ok(json),
                "{form:?}"
            );
        }
    }

    #[test]
    fn generous_forms_of_an_instant_are_understood() {
        for (form, json, instant) in [
            (
                Form::Plain,
                json!("2024-06-21T01:15:39.902"),
                "2024-06-21T01:15:39.902Z",
            ),
            (
                Form::EpochMs,
                json!("1752613920733"),
                "2025-07-15T21:12:00.733Z",
            ),
            (
                Form::EpochS,
                json!("1795197824.169418"),
                "2026-11-20T18:03:44.169418Z",
            ),
            (
                Form::MsDate,
                json!("/Date(-62135596800000+0000)/"),
                "0001-01-01T00:00:00Z",
            ),
        ] {
            assert_eq!(
                form.decode(FieldType::Instant, &json, &BTreeMap::new()),
                Ok(at(instant)),
                "{json}"
            );
        }
    }

    #[test]
    fn decimals_lose_no_digit_in_any_form() {
        let value = Value::parse(FieldType::Decimal, "1250000.50").expect("a decimal");
        for (form, json) in [
            (Form::Plain, json!(1_250_000.5)),
            (Form::Text, json!("1250000.50")),
            (
                Form::ClassObject,
                json!({"__class__": "Decimal", "decimal": "1250000.50"}),
            ),
        ] {
            assert_eq!(
                form.decode(FieldType::Decimal, &json, &BTreeMap::new()),
                Ok(value.clone())
            );
            assert_eq!(form.encode(&value, &Json::Null, &BTreeMap::new()), Ok(json));
        }
        let long = Value::parse(FieldType::Decimal, "409.940000000000000001").expect("a decimal");
        assert!(
            Form::Plain
                .encode(&long, &Json::Null, &BTreeMap::new())
                .is_err()
        );
        let whole = Value::parse(FieldType::Decimal, "9007199254740993").expect("a decimal");
        assert_eq!(
            Form::Plain.encode(&whole, &Json::Null, &BTreeMap::new()),
            Ok(json!(9_007_199_254_740_993_i64))
        );
    }

    #[test]
    fn words_of_the_system_are_translated_both_ways() {
        let words = BTreeMap::from([
            ("ACTIVE".to_owned(), "true".to_owned()),
            ("ARCHIVED".to_owned(), "false".to_owned()),
        ]);
        let decoded = Form::Plain.decode(FieldType::Boolean, &json!("ARCHIVED"), &words);
        assert_eq!(decoded, Ok(Value::Boolean(false)));
        assert_eq!(
            Form::Plain.encode(&Value::Boolean(true), &Json::Null, &words),
            Ok(json!("ACTIVE"))
        );
    }

    #[test]
    fn a_word_that_is_a_boolean_or_a_number_is_written_as_one_unless_all_is_text() {
        let words = BTreeMap::from([
            ("false".to_owned(), "true".to_owned()),
            ("1".to_owned(), "false".to_owned()),
        ]);
        for (form, json) in [
            (Form::Plain, [json!(false), json!(1)]),
            (Form::Text, [json!("false"), json!("1")]),
        ] {
            for (value, json) in [true, false].into_iter().zip(json) {
                let written = form.encode(&Value::Boolean(value), &Json::Null, &words);
                assert_eq!(written, Ok(json.clone()), "{form:?}");
                let read = form.decode(FieldType::Boolean, &json, &words);
                assert_eq!(read, Ok(Value::Boolean(value)), "{form:?}");
            }
        }
    }

    #[test]
    fn a_word_that_is_not_in_the_manifest_is_neither_read_nor_written() {
        let words = BTreeMap::from([("LEAD".to_owned(), "lead".to_owned())]);
        let read = Form::Plain.decode(FieldType::Text, &json!("PROSPECT"), &words);
        let error = read.expect_err("no word for it");
        assert!(
            error.contains("\"PROSPECT\"") && error.contains("`LEAD`"),
            "{error}"
        );
        let written = Form::Plain.encode(&Value::Text("client".to_owned()), &Json::Null, &words);
        assert!(written.expect_err("no word for it").contains("`client`"));
        let read = Form::Plain.decode(FieldType::Text, &Json::Null, &words);
        assert_eq!(read, Ok(Value::Null));
    }

    #[test]
    fn an_empty_text_and_null_are_no_value() {
        for json in [json!(""), Json::Null] {
            assert_eq!(
                Form::Plain.decode(FieldType::Integer, &json, &BTreeMap::new()),
                Ok(Value::Null)
            );
        }
        assert_eq!(
            Form::Plain.encode(&Value::Null, &json!(""), &BTreeMap::new()),
            Ok(json!(""))
        );
    }

    #[test]
    fn a_day_keeps_its_date_whatever_the_zone() {
        let day = Form::Plain.decode(
            FieldType::Date,
            &json!("2026-03-01T00:30:00+02:00"),
            &BTreeMap::new(),
        );
        assert_eq!(day, Ok(Value::Date(Day::new(2026, 3, 1).expect("a day"))));
    }
}
