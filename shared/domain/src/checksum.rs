//! A short fingerprint of a record's fields, for telling an echo from an edit.

use crate::Fields;

/// The XXH3-128 hash of the fields as 32 hexadecimal digits. Not for security: whoever can choose
/// values can make two records collide; an edit is then seen by the next comparison of values.
///
/// Equal fields give equal checksums: numbers are normalised first, so that 1.0 equals 1.00.
#[must_use]
pub fn checksum(fields: &Fields) -> String {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    add_fields(&mut hash, fields);
    format!("{:032x}", hash.digest128())
}

fn add_fields(hash: &mut xxhash_rust::xxh3::Xxh3, fields: &Fields) {
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        add_text(hash, name);
        add_value(hash, value);
    }
}

/// Each text is preceded by its length, so that `ab`+`c` differs from `a`+`bc`.
fn add_text(hash: &mut xxhash_rust::xxh3::Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

fn add_value(hash: &mut xxhash_rust::xxh3::Xxh3, value: &crate::Value) {
    use crate::Value;
    match value {
        Value::Decimal(number) => add_text(hash, &number.normalize().to_string()),
        Value::Money(money) => {
            add_text(hash, &money.amount.normalize().to_string());
            add_text(hash, &money.currency);
        }
        Value::Lines(lines) => {
            hash.update(&(lines.len() as u64).to_le_bytes());
            for line in lines {
                add_fields(hash, line);
            }
        }
        Value::Null
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Boolean(_)
        | Value::Date(_)
        | Value::Instant(_)
        | Value::Reference(_) => add_text(hash, &value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldType, Value};

    fn fields(pairs: &[(&str, Value)]) -> Fields {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn an_empty_field_does_not_count_and_scale_does_not_matter() {
        let decimal = |text| Value::parse(FieldType::Decimal, text).expect("decimal");
        assert_eq!(
            checksum(&fields(&[("x", decimal("1.0")), ("y", Value::Null)])),
            checksum(&fields(&[("x", decimal("1.00"))]))
        );
    }

    #[test]
    fn another_value_or_name_gives_another_checksum() {
        let base = checksum(&fields(&[("ab", Value::Text("c".into()))]));
        assert_ne!(base, checksum(&fields(&[("a", Value::Text("bc".into()))])));
        assert_ne!(base, checksum(&fields(&[("ab", Value::Text("d".into()))])));
    }
}
