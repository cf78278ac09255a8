//! The properties of a company, and which of them may be written.

use serde_json::{Map, Value, json};

use crate::book::Record;
use crate::clock::iso_millis;
use crate::fields::Field;
use crate::world::Patch;

/// The property that integrations keep their external reference in.
pub(crate) const TANDEM_KEY: &str = "tandem_key";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Field(Field),
    TandemKey,
    LastModified,
    Created,
    ObjectId,
}

impl Property {
    /// Those that come back when a caller names none, as in the real API.
    pub(super) const DEFAULT: [Property; 4] = [
        Property::Field(Field::Name),
        Property::Created,
        Property::LastModified,
        Property::ObjectId,
    ];

    pub(super) fn all() -> Vec<Property> {
        let kept_by_the_system = [
            Property::TandemKey,
            Property::LastModified,
            Property::Created,
            Property::ObjectId,
        ];
        Field::ALL
            .into_iter()
            .map(Property::Field)
            .chain(kept_by_the_system)
            .collect()
    }

    pub(super) fn parse(name: &str) -> Option<Property> {
        match name {
            TANDEM_KEY => Some(Property::TandemKey),
            "hs_lastmodifieddate" => Some(Property::LastModified),
            "createdate" => Some(Property::Created),
            "hs_object_id" => Some(Property::ObjectId),
            other => Field::parse(other).map(Property::Field),
        }
    }

    /// The known ones among the names asked for: the real API passes over unknown ones when reading.
    pub(super) fn known<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Property> {
        let known: Vec<_> = names
            .into_iter()
            .filter_map(|name| Property::parse(name.trim()))
            .collect();
        if known.is_empty() {
            Property::DEFAULT.to_vec()
        } else {
            known
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Property::Field(field) => field.name(),
            Property::TandemKey => TANDEM_KEY,
            Property::LastModified => "hs_lastmodifieddate",
            Property::Created => "createdate",
            Property::ObjectId => "hs_object_id",
        }
    }

    /// The property's value as text; empty where there is none.
    pub(super) fn value(self, record: &Record) -> std::borrow::Cow<'_, str> {
        match self {
            Property::Field(field) => record.fields.get(field).into(),
            Property::TandemKey => record.reference.as_str().into(),
            Property::LastModified => iso_millis(record.updated_ms).into(),
            Property::Created => iso_millis(record.created_ms).into(),
            Property::ObjectId => (&*record.id).into(),
        }
    }
}

/// Reads the properties of a create or an update; the errors are the `errors` of the answer.
pub(super) fn parse_write(properties: Map<String, Value>) -> Result<Patch, Vec<Value>> {
    let mut patch = Patch::default();
    let mut errors = Vec::new();
    for (name, value) in properties {
        if let Err(problem) = write_one(&mut patch, &name, value) {
            errors.push(json!({ "message": problem, "in": name }));
        }
    }
    if errors.is_empty() {
        Ok(patch)
    } else {
        Err(errors)
    }
}

fn write_one(patch: &mut Patch, name: &str, value: Value) -> Result<(), String> {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => {
            return Err(format!("Property {name:?} must be a text"));
        }
    };
    match Property::parse(name) {
        None => Err(format!("Property {name:?} does not exist")),
        Some(Property::LastModified | Property::Created | Property::ObjectId) => Err(format!(
            "Property {name:?} is a read only property; its value cannot be set"
        )),
        Some(Property::TandemKey) => {
            patch.reference = Some(text);
            Ok(())
        }
        Some(Property::Field(field)) => {
            patch.fields.insert(field, field.check(&text)?);
            Ok(())
        }
    }
}
