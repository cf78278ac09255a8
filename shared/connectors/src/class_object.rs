//! Values as objects with a `__class__`, as Tryton's JSON-RPC writes what JSON has no type for:
//! `{"__class__": "Decimal", "decimal": "12.50"}`, and dates and instants part by part.

use serde_json::{Value as Json, json};
use tandem_domain::{Day, FieldType, Timestamp, Value};

/// An instant as Tryton's JSON-RPC writes it.
pub(crate) fn class_datetime(at: Timestamp) -> Json {
    let civil = civil(at);
    json!({
        "__class__": "datetime", "year": civil.year(), "month": civil.month(), "day": civil.day(),
        "hour": civil.hour(), "minute": civil.minute(), "second": civil.second(),
        "microsecond": civil.subsec_nanosecond() / 1_000,
    })
}

/// Day and time of an instant in UTC.
pub(crate) fn civil(at: Timestamp) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

/// Reads a class object as a value of `field_type`.
///
/// # Errors
/// When it is another kind of object, or not of that type.
pub(crate) fn decode_class(field_type: FieldType, json: &Json) -> Result<Value, String> {
    let value = match json.get("__class__").and_then(Json::as_str) {
        Some("Decimal") => json
            .get("decimal")
            .and_then(Json::as_str)
            .and_then(|text| Value::parse(field_type, text).ok()),
        Some("date") => class_date(json)
            .and_then(|date| Day::new(date.year(), date.month(), date.day()))
            .map(Value::Date),
        Some("datetime") => class_instant(json).map(Value::Instant),
        _ => None,
    };
    value.ok_or_else(|| {
        format!(
            "an object stands where a {} is expected",
            field_type.as_str()
        )
    })
}

/// A number of a class object; one that is absent counts as 0.
fn part<N: TryFrom<i64>>(json: &Json, name: &str) -> Option<N> {
    N::try_from(json.get(name).map_or(Some(0), Json::as_i64)?).ok()
}

fn class_date(json: &Json) -> Option<jiff::civil::Date> {
    jiff::civil::Date::new(
        part(json, "year")?,
        part(json, "month")?,
        part(json, "day")?,
    )
    .ok()
}

fn class_instant(json: &Json) -> Option<Timestamp> {
    let nanos = part::<i32>(json, "microsecond")?.checked_mul(1_000)?;
    let time = jiff::civil::Time::new(
        part(json, "hour")?,
        part(json, "minute")?,
        part(json, "second")?,
        nanos,
    )
    .ok()?;
    let zoned = class_date(json)?
        .to_datetime(time)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
}
