//! JSON that means one thing: an object that names a member twice is refused.
//!
//! `serde_json::Value` keeps the last of two equal names, other parsers the first; whoever signs a body and
//! whoever reads it must not understand two different things. Depth is limited by `serde_json` (128).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::long_numbers;

/// Reads a document. A number with more digits than a number holds becomes a text.
///
/// # Errors
/// What is wrong and where, without quoting the document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice::<Strict>(&long_numbers::quoted(bytes))
        .map(|strict| strict.0)
        .map_err(|error| error.to_string())
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Strict, E> {
        Ok(Strict(Value::from(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Strict, E> {
        Ok(Strict(Value::from(number)))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Strict, E> {
        Number::from_f64(number)
            .map(|number| Strict(Value::Number(number)))
            .ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Strict, E> {
        Ok(Strict(Value::String(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Strict, E> {
        Ok(Strict(Value::String(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
        let mut elements = Vec::new();
        while let Some(Strict(element)) = access.next_element()? {
            elements.push(element);
        }
        Ok(Strict(Value::Array(elements)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(de::Error::custom("an object names a member twice"));
            }
            let Strict(value) = access.next_value()?;
            members.insert(name, value);
        }
        Ok(Strict(Value::Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_as_usual() {
        let text = br#"{"a":[1,-2,2.5,true,null,"x"],"b":{"c":18446744073709551615}}"#;
        assert_eq!(
            parse(text),
            Ok(serde_json::from_slice(text).expect("plain JSON"))
        );
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for bad in [
            r#"{"id":1,"id":2}"#,
            r#"{"a":[{"x":1,"\u0078":2}]}"#,
            "{} {}",
            "\u{feff}{}",
            "NaN",
            "1e999",
            r#""\ud800""#,
            &deep,
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }
}
