//! What an operator wants a replayed job to write: values that both sides are to have, whatever they hold.

use std::collections::BTreeMap;

use tandem_domain::Value;
use tandem_runtime::SyncDefinition;
use tandem_store::Edits;

use crate::failure::WorkError;

/// The values that a job was given, by mapped field.
///
/// # Errors
/// [`WorkError::WrongEdit`] when the sync has no such field, or it holds no such value.
pub fn values(sync: &SyncDefinition, edits: &Edits) -> Result<BTreeMap<String, Value>, WorkError> {
    let value = |(field, text): (&String, &String)| {
        let wrong = |reason: String| WorkError::WrongEdit {
            field: field.clone(),
            reason,
        };
        let rule = sync.policy.rule(field).ok_or_else(|| {
            let rules = sync.policy.fields.iter();
            let names: Vec<&str> = rules.map(|rule| rule.name.as_str()).collect();
            wrong(format!("the sync has only {}", names.join(", ")))
        })?;
        let value = Value::parse(rule.field_type, text);
        Ok((
            field.clone(),
            value.map_err(|error| wrong(error.to_string()))?,
        ))
    };
    edits.iter().map(value).collect()
}
