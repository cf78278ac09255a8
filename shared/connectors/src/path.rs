//! Places in a JSON document: JSON pointers (RFC 6901) with two additions.
//!
//! | segment | selects |
//! | --- | --- |
//! | `name`, `0` | the member, or the element of that number |
//! | `*` | every element or member |
//! | `[key=text]` | the elements whose member `key` is `text` |
//! | `[key^=text]` | the elements whose member `key` starts with `text` |
//!
//! An empty path is the whole document. Nothing here evaluates expressions: paths are read for every
//! field of every record, so they must be fast.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// Paths deeper than this are mistakes.
const SEGMENTS_MAX: usize = 16;

/// A place (or, with wildcards, several places) in a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Key(String),
    Every,
    Where {
        key: String,
        text: String,
        prefix: bool,
    },
}

/// Why a text is not a path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{path}` is not a path such as `/data/0/name`: {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let wrong = |reason| PathError {
            path: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Ok(Self {
                segments: Vec::new(),
            });
        }
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| wrong("it must be empty or start with `/`"))?;
        let segments: Vec<Segment> = rest
            .split('/')
            .map(parse_segment)
            .collect::<Result<_, _>>()
            .map_err(wrong)?;
        if segments.len() > SEGMENTS_MAX {
            return Err(wrong("it has more than 16 segments"));
        }
        Ok(Self { segments })
    }
}

fn parse_segment(text: &str) -> Result<Segment, &'static str> {
    if text == "*" {
        return Ok(Segment::Every);
    }
    let Some(condition) = text.strip_prefix('[') else {
        return Ok(Segment::Key(text.replace("~1", "/").replace("~0", "~")));
    };
    let condition = condition.strip_suffix(']').ok_or("`[` has no `]`")?;
    let (key, text) = condition
        .split_once('=')
        .ok_or("a condition is written `[key=text]`")?;
    let prefix = key.ends_with('^');
    let key = key.trim_end_matches('^').to_owned();
    if key.is_empty() {
        return Err("a condition is written `[key=text]`");
    }
    Ok(Segment::Where {
        key,
        text: text.to_owned(),
        prefix,
    })
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Every => f.write_str("/*"),
            Segment::Where { key, text, prefix } => {
                write!(f, "/[{key}{}={text}]", if *prefix { "^" } else { "" })
            }
        })
    }
}

impl Segment {
    fn accepts(&self, element: &Value) -> bool {
        match self {
            Self::Where { key, text, prefix } => match element.get(key) {
                Some(Value::String(found)) if *prefix => found.starts_with(text.as_str()),
                Some(Value::String(found)) => found == text,
                Some(Value::Number(found)) => !prefix && found.to_string() == *text,
                Some(Value::Bool(found)) => !prefix && found.to_string() == *text,
                Some(Value::Null) => !prefix && text == "null",
                Some(Value::Array(_) | Value::Object(_)) | None => false,
            },
            Self::Every => true,
            Self::Key(_) => false,
        }
    }
}

impl Path {
    /// The first value at this place; `None` when there is none.
    #[must_use]
    pub fn first<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        first(document, &self.segments)
    }

    /// Whether the document says nothing at all of this place: a member on the way to it, or it itself, is not
    /// there, or a list has no such element. A `null` or another value that ends the way early says that nothing
    /// stands here.
    #[must_use]
    pub fn is_left_out(&self, document: &Value) -> bool {
        is_left_out(document, &self.segments)
    }

    /// Calls `visit` with every value at this place.
    pub fn each<'v>(&self, document: &'v Value, visit: &mut dyn FnMut(&'v Value)) {
        each(document, &self.segments, visit);
    }

    /// Moves the values at this place out of the document; an array counts as its elements.
    /// Says whether the place exists.
    pub fn take(&self, document: &mut Value, into: &mut Vec<Value>) -> bool {
        take(document, &self.segments, into)
    }

    /// Sets the value at this place in a document that is about to be sent, making what is missing on
    /// the way. An array on the way is taken over whole from `current` (the record as it is), because a
    /// system that is sent an array replaces the one it has.
    ///
    /// A wildcard selects nothing definite: such a path is refused when the manifest is read
    /// ([`Path::is_settable`]) and ignored here.
    pub fn set(&self, document: &mut Value, current: Option<&Value>, value: Value) {
        set(document, current, &self.segments, value);
    }

    /// Whether [`Path::set`] can write there.
    #[must_use]
    pub fn is_settable(&self) -> bool {
        !self.segments.is_empty()
            && self.segments.iter().all(|segment| match segment {
                Segment::Key(_) => true,
                Segment::Every => false,
                Segment::Where { prefix, .. } => !prefix,
            })
            && matches!(self.segments[0], Segment::Key(_))
    }
}

fn child<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(key),
        Value::Array(elements) => elements.get(key.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn first<'v>(value: &'v Value, segments: &[Segment]) -> Option<&'v Value> {
    let Some((segment, rest)) = segments.split_first() else {
        return Some(value);
    };
    match segment {
        Segment::Key(key) => first(child(value, key)?, rest),
        Segment::Every | Segment::Where { .. } => match value {
            Value::Array(elements) => elements
                .iter()
                .filter(|e| segment.accepts(e))
                .find_map(|e| first(e, rest)),
            Value::Object(members) => members
                .values()
                .filter(|e| segment.accepts(e))
                .find_map(|e| first(e, rest)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        },
    }
}

fn is_left_out(value: &Value, segments: &[Segment]) -> bool {
    let Some((segment, rest)) = segments.split_first() else {
        return false;
    };
    let is_none_said = |one: &Value| !segment.accepts(one) || is_left_out(one, rest);
    match (segment, value) {
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => false,
        (Segment::Key(key), _) => child(value, key).is_none_or(|inner| is_left_out(inner, rest)),
        (_, Value::Array(elements)) => elements.iter().all(is_none_said),
        (_, Value::Object(members)) => members.values().all(is_none_said),
    }
}

fn each<'v>(value: &'v Value, segments: &[Segment], visit: &mut dyn FnMut(&'v Value)) {
    let Some((segment, rest)) = segments.split_first() else {
        return visit(value);
    };
    match (segment, value) {
        (Segment::Key(key), _) => {
            if let Some(inner) = child(value, key) {
                each(inner, rest, visit);
            }
        }
        (_, Value::Array(elements)) => {
            elements
                .iter()
                .filter(|e| segment.accepts(e))
                .for_each(|e| each(e, rest, visit));
        }
        (_, Value::Object(members)) => {
            members
                .values()
                .filter(|e| segment.accepts(e))
                .for_each(|e| each(e, rest, visit));
        }
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {}
    }
}

fn take(value: &mut Value, segments: &[Segment], into: &mut Vec<Value>) -> bool {
    let Some((segment, rest)) = segments.split_first() else {
        match std::mem::take(value) {
            Value::Array(elements) => into.extend(elements),
            Value::Null => return false,
            other => into.push(other),
        }
        return true;
    };
    match (segment, value) {
        (Segment::Key(key), Value::Object(members)) => {
            members.get_mut(key).is_some_and(|v| take(v, rest, into))
        }
        (Segment::Key(key), Value::Array(elements)) => {
            let place = key
                .parse::<usize>()
                .ok()
                .and_then(|index| elements.get_mut(index));
            place.is_some_and(|v| take(v, rest, into))
        }
        (_, Value::Array(elements)) => {
            elements
                .iter_mut()
                .filter(|e| segment.accepts(e))
                .for_each(|e| _ = take(e, rest, into));
            true
        }
        (_, Value::Object(members)) => {
            members
                .values_mut()
                .filter(|e| segment.accepts(e))
                .for_each(|e| _ = take(e, rest, into));
            true
        }
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => false,
    }
}

fn set(target: &mut Value, current: Option<&Value>, segments: &[Segment], value: Value) {
    let Some((segment, rest)) = segments.split_first() else {
        *target = value;
        return;
    };
    match segment {
        Segment::Key(key) => match target {
            Value::Array(elements) => {
                if let Some(element) = key
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| elements.get_mut(index))
                {
                    set(element, None, rest, value);
                }
            }
            _ => {
                let place = as_object(target).entry(key.clone()).or_insert(Value::Null);
                set(place, current.and_then(|c| child(c, key)), rest, value);
            }
        },
        Segment::Where { key, text, .. } => {
            let place = matching_element(target, current, segment, key, text);
            set(place, None, rest, value);
        }
        Segment::Every => {}
    }
}

fn as_object(target: &mut Value) -> &mut Map<String, Value> {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    match target {
        Value::Object(members) => members,
        // Set to an object two lines above.
        _ => unreachable!(),
    }
}

fn matching_element<'t>(
    target: &'t mut Value,
    current: Option<&Value>,
    segment: &Segment,
    key: &str,
    text: &str,
) -> &'t mut Value {
    if !target.is_array() {
        *target = Value::Array(
            current
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        );
    }
    let Value::Array(elements) = target else {
        // Set to an array just above.
        unreachable!()
    };
    let index = elements
        .iter()
        .position(|element| segment.accepts(element))
        .unwrap_or_else(|| {
            elements.push(Value::Object(Map::from_iter([(
                key.to_owned(),
                Value::String(text.to_owned()),
            )])));
            elements.len() - 1
        });
    &mut elements[index]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(text: &str) -> Path {
        text.parse().expect("a valid path")
    }

    #[test]
    fn a_key_may_hold_a_dot_and_an_index_selects_an_element() {
        let record = json!({"addresses.": [{"city": "Ghent"}]});
        assert_eq!(
            path("/addresses./0/city").first(&record),
            Some(&json!("Ghent"))
        );
        assert_eq!(path("/addresses./1/city").first(&record), None);
    }

    #[test]
    fn conditions_select_by_member() {
        let record = json!({"Phones": [{"T": "FAX", "N": "1"}, {"T": "DEFAULT", "N": "2"}]});
        assert_eq!(
            path("/Phones/[T=DEFAULT]/N").first(&record),
            Some(&json!("2"))
        );
        assert_eq!(path("/Phones/[T^=DEF]/N").first(&record), Some(&json!("2")));
        let mut all = Vec::new();
        path("/Phones/*/N").each(&record, &mut |value| all.push(value.clone()));
        assert_eq!(all, [json!("1"), json!("2")]);
    }

    #[test]
    fn what_is_not_there_is_left_out_and_what_is_null_or_empty_is_not() {
        let record = json!({
            "name": "Ada", "note": null, "text": "", "address": null, "company": {"vat": null},
            "Phones": [{"T": "FAX", "N": "1"}, {"T": "DEFAULT"}, {"T": "HOME", "N": null}], "tags": [],
        });
        for there in [
            "",
            "/name",
            "/note",
            "/text",
            "/address/city",
            "/company/vat",
            "/company/vat/number",
            "/name/first",
            "/Phones/[T=FAX]/N",
            "/Phones/*/N",
            "/Phones/[T=HOME]/N",
            "/Phones/0/N",
            "/tags",
        ] {
            assert!(!path(there).is_left_out(&record), "{there}");
        }
        for absent in [
            "/email",
            "/company/name",
            "/person/name",
            "/Phones/[T=DEFAULT]/N",
            "/Phones/[T=CAR]/N",
            "/Phones/7/N",
            "/tags/0",
            "/tags/*/name",
        ] {
            assert!(path(absent).is_left_out(&record), "{absent}");
        }
    }

    #[test]
    fn taking_an_array_takes_its_elements_and_an_absent_one_is_told() {
        let mut page = json!({"list": [{"customer": {"id": 1}}, {"customer": {"id": 2}}]});
        let mut rows = Vec::new();
        assert!(path("/list/*/customer").take(&mut page, &mut rows));
        assert_eq!(rows, [json!({"id": 1}), json!({"id": 2})]);
        assert!(!path("/data").take(&mut page, &mut rows));
    }

    #[test]
    fn setting_makes_the_way_and_keeps_the_rest_of_an_array() {
        let current = json!({"A": [{"T": "BOX", "City": "Ghent", "Land": "BE"}, {"T": "STREET"}]});
        let mut body = json!({});
        path("/A/[T=BOX]/City").set(&mut body, Some(&current), json!("Lyon"));
        path("/properties/name").set(&mut body, Some(&current), json!("Ada"));
        let expected = json!({
            "A": [{"T": "BOX", "City": "Lyon", "Land": "BE"}, {"T": "STREET"}],
            "properties": {"name": "Ada"},
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for bad in ["name", "/a/[b", "/a/[=c]", "/a/[b]"] {
            assert!(bad.parse::<Path>().is_err(), "{bad}");
        }
    }
}
