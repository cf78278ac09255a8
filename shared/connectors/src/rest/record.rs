//! Records: from a system's JSON to canonical fields, and from fields to what a write sends.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::{Serde, Value as TemplateValue};
use serde_json::{Map, Value as Json};
use tandem_domain::{FieldType, Fields, Money, RecordId, Timestamp, Value};

use super::listing::Keep;
use super::two_parts;
use super::value_bytes::{brief, bytes_of, too_long};
use crate::RawRecord;
use crate::connector::{RemoteRecord, UnreadableRow};
use crate::lenient_json::{is_damaged, presentable};
use crate::manifest::{Field, Stream};
use crate::raw_record::LONG_BYTES;
use crate::value_form::{Form, ID_BYTES_MAX, id_text, scalar_text};

/// What is said of a text that JSON could not carry.
const DAMAGE: &str = "it holds what cannot be read, such as half a surrogate pair, bytes that are no UTF-8, or a \
                      number out of range; enter it anew in that system";

/// Reads a record.
///
/// # Errors
/// The row's id, if there is one, and why it is no record. A field that does not fit is kept in the record as such.
pub(super) fn decode(
    stream: &Stream,
    raw: Json,
    keep: Keep,
    value_bytes_max: usize,
) -> Result<RemoteRecord, UnreadableRow> {
    let id = stream
        .id
        .path
        .first(&raw)
        .and_then(id_text)
        .map(RecordId::new);
    match decode_parts(stream, &raw, id.clone(), value_bytes_max) {
        Ok(record) => {
            let raw = match keep {
                Keep::Row => RawRecord::from(raw),
                Keep::LongRow => RawRecord::as_text_beyond(LONG_BYTES, raw),
                Keep::Text => RawRecord::as_text_beyond(0, raw),
            };
            Ok(RemoteRecord { raw, ..record })
        }
        Err(reason) => Err(UnreadableRow { id, reason }),
    }
}

fn decode_parts(
    stream: &Stream,
    raw: &Json,
    id: Option<RecordId>,
    value_bytes_max: usize,
) -> Result<RemoteRecord, String> {
    let id = id.ok_or_else(|| no_id(stream, raw))?;
    if let Some(reason) = misleads(id.as_str()) {
        return Err(reason);
    }
    let mut fields = Fields::new();
    let mut unreadable = BTreeMap::new();
    let mut left_out = BTreeSet::new();
    for (name, field) in &stream.fields {
        if is_left_out(field, raw) {
            left_out.insert(name.clone());
        }
        match within(field, raw, value_bytes_max).and_then(|()| decode_field(field, raw)) {
            Ok(value) => _ = fields.insert(name.clone(), value),
            Err(reason) => {
                let reason = format!("field `{name}` at `{}`: {reason}", field.path.value);
                unreadable.insert(name.clone(), brief(&presentable(&reason)));
            }
        }
    }
    let text_at = |path: &crate::path::Path| {
        path.first(raw)
            .and_then(scalar_text)
            .filter(|text| !text.is_empty() && !is_damaged(text))
    };
    let changed = updated_at(stream, raw)?;
    Ok(RemoteRecord {
        id,
        fields,
        unreadable,
        left_out,
        in_part: false,
        version: stream.version.as_ref().and_then(text_at),
        updated_at: changed.map(|(at, _)| at),
        updated_again: changed.and_then(|(_, again)| again),
        created_at: created_at(stream, raw),
        archived: stream
            .archived
            .as_ref()
            .is_some_and(|rule| text_at(&rule.path).is_some_and(|text| text == rule.equals)),
        reference: stream.reference.as_ref().and_then(text_at),
        raw: RawRecord::default(),
    })
}

/// Why a row has no id that is of use.
fn no_id(stream: &Stream, raw: &Json) -> String {
    let path = &stream.id.path;
    let found = match path.first(raw) {
        None | Some(Json::Null) if matches!(raw, Json::Object(_)) => {
            return format!("it has no id at `{path}`");
        }
        None | Some(Json::Null) => return format!("it is not an object, and has no id at `{path}`"),
        Some(Json::String(text)) if text.is_empty() => "is empty".to_owned(),
        Some(Json::String(text)) if text.len() > ID_BYTES_MAX => format!(
            "is too long: it has {} bytes, and {ID_BYTES_MAX} are the most that are taken",
            text.len()
        ),
        Some(Json::String(_)) => DAMAGE.replacen("it ", "", 1),
        Some(Json::Number(_)) => {
            "is a number that is not whole or beyond 64 bits, so that its digits are not certain; have the \
             system send it as text"
                .to_owned()
        }
        Some(Json::Bool(_)) => "is `true` or `false`".to_owned(),
        Some(Json::Array(_)) => "is a list".to_owned(),
        Some(Json::Object(_)) => "is an object".to_owned(),
    };
    format!("it has no usable id: what stands at `{path}` {found}")
}

/// Whether a record says nothing of a field, or only of a part of it. Of lines that is so where none of them says
/// anything of one of their fields.
fn is_left_out(field: &Field, raw: &Json) -> bool {
    let is_missing = |path: &crate::path::Path| path.first(raw).is_none() && path.is_left_out(raw);
    if is_missing(&field.path.value) || field.rest.as_ref().is_some_and(is_missing) {
        return true;
    }
    match field.path.value.first(raw) {
        Some(Json::Array(rows)) if field.field_type == FieldType::Lines && !rows.is_empty() => {
            field
                .lines
                .values()
                .any(|inner| rows.iter().all(|row| is_left_out(inner, row)))
        }
        _ => false,
    }
}

/// A value that is longer than is taken is one that cannot be read, whoever could.
fn within(field: &Field, raw: &Json, value_bytes_max: usize) -> Result<(), String> {
    let places = [Some(&field.path.value), field.rest.as_ref()];
    let found = places
        .into_iter()
        .flatten()
        .filter_map(|path| path.first(raw));
    let bytes = found.map(bytes_of).sum();
    match bytes <= value_bytes_max {
        true => Ok(()),
        false => Err(too_long(bytes, value_bytes_max)),
    }
}

fn decode_field(field: &Field, raw: &Json) -> Result<Value, String> {
    let places = [Some(&field.path.value), field.rest.as_ref()];
    if places
        .into_iter()
        .flatten()
        .filter_map(|path| path.first(raw)?.as_str())
        .any(is_damaged)
    {
        return Err(DAMAGE.to_owned());
    }
    if let Some(rest) = &field.rest {
        return Ok(two_parts::join(
            field.path.value.first(raw),
            rest.first(raw),
        ));
    }
    let Some(json) = field.path.value.first(raw) else {
        return Ok(Value::Null);
    };
    match (field.field_type, &field.currency) {
        (FieldType::Money, Some(currency)) => {
            let amount = match field.form.decode(FieldType::Decimal, json, &field.values)? {
                Value::Decimal(amount) => amount,
                _ => return Ok(Value::Null),
            };
            let currency = currency
                .first(raw)
                .and_then(scalar_text)
                .filter(|text| !text.is_empty() && !is_damaged(text));
            Ok(Value::Money(Money {
                amount,
                currency: currency.ok_or("the amount has no currency")?,
            }))
        }
        (FieldType::Lines, _) => decode_lines(field, json),
        (field_type, _) => field.form.decode(field_type, json, &field.values),
    }
}

fn decode_lines(field: &Field, json: &Json) -> Result<Value, String> {
    let Json::Array(rows) = json else {
        return if json.is_null() {
            Ok(Value::Null)
        } else {
            Err("it is not a list of lines".to_owned())
        };
    };
    let line = |row: &Json| -> Result<Fields, String> {
        field
            .lines
            .iter()
            .map(|(name, field)| Ok((name.clone(), decode_field(field, row)?)))
            .collect()
    };
    rows.iter()
        .map(line)
        .collect::<Result<_, _>>()
        .map(Value::Lines)
}

/// The time of the last change, and the same once more where it is a local time that comes twice.
type Changed = (Timestamp, Option<Timestamp>);

fn updated_at(stream: &Stream, raw: &Json) -> Result<Option<Changed>, String> {
    let Some(stamp) = &stream.updated_at else {
        return Ok(None);
    };
    let mut latest = None;
    let mut unreadable = None;
    for path in &stamp.path.0 {
        path.each(raw, &mut |json| match stamp.decode(json) {
            Some(at) => latest = latest.max(Some((at, stamp.again(json)))),
            None if json.is_null() => {}
            None => unreadable = Some(json.to_string()),
        });
    }
    unreadable.map_or(Ok(latest), |json| {
        let json = brief(&presentable(&json));
        Err(format!("the time of the last change {json} cannot be read"))
    })
}

/// A time of creation that cannot be read counts as none: it only helps to tell records apart.
fn created_at(stream: &Stream, raw: &Json) -> Option<Timestamp> {
    let stamp = stream.created_at.as_ref()?;
    let found = stamp.path.0.iter().find_map(|path| path.first(raw))?;
    stamp.decode(found)
}

/// Why a write cannot be put into the system's form.
#[derive(Debug)]
pub(super) enum Unwritable {
    /// The mapping asks for what the manifest has not.
    Mapping(String),
    /// The system has no form for this value.
    Value { field: String, reason: String },
}

/// The fields of a write in the system's form.
pub(super) struct Encoded {
    /// By canonical name, for `fields` in templates.
    pub(super) fields: Map<String, Json>,
    /// Put together by the fields' paths, for `record` in templates.
    pub(super) record: Json,
}

/// Writes fields as the system wants them. `current` is the record as it is, for an update.
///
/// # Errors
/// The field that cannot be written, and why.
pub(super) fn encode(
    stream: &Stream,
    fields: &Fields,
    current: Option<&Json>,
) -> Result<Encoded, Unwritable> {
    let empty = stream.empty.as_ref().unwrap_or(&Json::Null);
    let mut encoded = Encoded {
        fields: Map::new(),
        record: Json::Object(Map::new()),
    };
    for (name, value) in fields {
        let field = stream
            .fields
            .get(name)
            .ok_or_else(|| format!("the stream has no field `{name}`; correct the mapping"))
            .map_err(Unwritable::Mapping)?;
        if !field.writable {
            return Err(Unwritable::Mapping(format!(
                "the field `{name}` cannot be written; make the mapping one-way"
            )));
        }
        if current.is_none() && value.is_null() {
            continue;
        }
        let json = encode_field(field, value, empty).map_err(|reason| Unwritable::Value {
            field: name.clone(),
            reason,
        })?;
        set_field(field, &mut encoded.record, current, &json);
        if let (Value::Money(money), Some(currency)) = (value, &field.currency) {
            currency.set(
                &mut encoded.record,
                current,
                Json::String(money.currency.clone()),
            );
        }
        encoded.fields.insert(name.clone(), json);
    }
    Ok(encoded)
}

/// Puts an encoded value where the field stands in the record.
fn set_field(field: &Field, record: &mut Json, current: Option<&Json>, json: &Json) {
    let path = &field.path.value;
    let (Some(rest), Json::String(text)) = (&field.rest, json) else {
        path.set(record, current, json.clone());
        if let Some(rest) = &field.rest {
            rest.set(record, current, json.clone());
        }
        return;
    };
    let now = current.and_then(|current| path.first(current));
    let (first, others) = two_parts::split(text, now.and_then(Json::as_str));
    path.set(record, current, Json::from(first));
    rest.set(record, current, Json::from(others));
}

fn encode_field(field: &Field, value: &Value, empty: &Json) -> Result<Json, String> {
    match value {
        Value::Money(money) => field.form.encode_decimal(money.amount),
        Value::Lines(lines) => {
            let line = |line: &Fields| -> Result<Json, String> {
                let mut row = Json::Object(Map::new());
                for (name, value) in line {
                    let inner = field
                        .lines
                        .get(name)
                        .ok_or_else(|| format!("a line has no field `{name}`"))?;
                    inner
                        .path
                        .value
                        .set(&mut row, None, encode_field(inner, value, empty)?);
                }
                Ok(row)
            };
            lines
                .iter()
                .map(line)
                .collect::<Result<_, _>>()
                .map(Json::Array)
        }
        other => field.form.encode(other, empty, &field.values),
    }
}

/// A canonical value as a search sends it.
pub(super) fn encode_for_search(field: &Field, value: &Value) -> Result<Json, String> {
    encode_field(field, value, &Json::Null)
}

/// Why an id is none that could be asked for: in the path of an address it would mean another place.
fn misleads(id: &str) -> Option<String> {
    matches!(id, "" | "." | "..").then(|| {
        format!(
            "it has no usable id: `{id}` in an address means another place, not a record; give the record another id \
             in that system"
        )
    })
}

/// An id as requests of this stream need it.
pub(super) fn id_value(stream: &Stream, id: &RecordId) -> Result<TemplateValue, String> {
    if let Some(reason) = misleads(id.as_str()) {
        return Err(reason);
    }
    if !stream.id.number {
        return Ok(TemplateValue::from(id.as_str()));
    }
    let reference = Value::Reference(id.as_str().to_owned());
    Form::Number
        .encode(&reference, &Json::Null, &Default::default())
        .map(|json| TemplateValue::from(Serde(json)))
}
