//! From the fields of a stream to the mapped fields of a sync, and back.

use std::borrow::Cow;

use tandem_domain::{Fields, Side, Value, normal};

use crate::policy::{SyncPolicy, Transform};

/// The mapped fields of a record of `side`. Texts are trimmed, and an empty one is no value: no
/// known system keeps either apart. They are in one Unicode form, whichever their system keeps.
#[must_use]
pub fn mapped(policy: &SyncPolicy, side: Side, stream_fields: &Fields) -> Fields {
    policy
        .fields
        .iter()
        .map(|rule| {
            let raw = stream_fields
                .get(rule.stream_field(side))
                .cloned()
                .unwrap_or_default();
            let plain = tidy(in_normal_form(raw));
            let value = rule.transforms.iter().fold(plain, transform);
            (rule.name.clone(), in_normal_form(value))
        })
        .collect()
}

/// The stream fields of `side` that carry these mapped fields.
#[must_use]
pub fn to_stream(policy: &SyncPolicy, side: Side, mapped: &Fields) -> Fields {
    policy
        .fields
        .iter()
        .filter_map(|rule| {
            let value = mapped.get(&rule.name)?;
            Some((rule.stream_field(side).to_owned(), value.clone()))
        })
        .collect()
}

fn in_normal_form(value: Value) -> Value {
    match value {
        Value::Text(text) => match normal(&text) {
            Cow::Borrowed(_) => Value::Text(text),
            Cow::Owned(normal) => Value::Text(normal),
        },
        Value::Lines(lines) => Value::Lines(lines.into_iter().map(line_in_normal_form).collect()),
        other => other,
    }
}

fn line_in_normal_form(line: Fields) -> Fields {
    line.into_iter()
        .map(|(name, value)| (name, in_normal_form(value)))
        .collect()
}

fn tidy(value: Value) -> Value {
    match value {
        Value::Text(text) => {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                Value::Null
            } else if trimmed.len() == text.len() {
                Value::Text(text)
            } else {
                Value::Text(trimmed.to_owned())
            }
        }
        other => other,
    }
}

fn transform(value: Value, how: &Transform) -> Value {
    let Value::Text(text) = value else {
        return value;
    };
    Value::Text(match how {
        Transform::Lower => text.to_lowercase(),
        Transform::Upper => text.to_uppercase(),
        Transform::CollapseSpaces => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Transform::Phone => phone(&text),
    })
}

fn phone(text: &str) -> String {
    let plus = if text.starts_with('+') { "+" } else { "" };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    format!("{plus}{digits}")
}
