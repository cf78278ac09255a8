//! What people call a record.

use crate::{Fields, Value};

/// Fields by which people know a record, the best first.
const NAMES: [&str; 6] = ["name", "title", "full_name", "last_name", "email", "number"];

/// What people call a record with these mapped fields, if one of them is a name.
#[must_use]
pub fn called(fields: &Fields) -> Option<String> {
    let text = |name: &&str| match fields.get(*name) {
        Some(Value::Text(text)) if !text.trim().is_empty() => Some(text.clone()),
        _ => None,
    };
    NAMES.iter().find_map(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_called_by_the_best_of_its_names() {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut fields = Fields::from([("email".to_owned(), text("a@x.example"))]);
        assert_eq!(called(&fields).as_deref(), Some("a@x.example"));
        fields.insert("name".to_owned(), text("  "));
        assert_eq!(called(&fields).as_deref(), Some("a@x.example"));
        fields.insert("name".to_owned(), text("Acme"));
        assert_eq!(called(&fields).as_deref(), Some("Acme"));
        assert_eq!(called(&Fields::new()), None);
    }
}
