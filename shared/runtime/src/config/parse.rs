//! From the text of a configuration file to plain data, every mistake with its place.

use std::path::Path;

use serde_saphyr::Error as YamlError;

use super::error::{ConfigError, FieldPath, Mark, Problem};
use super::places::{Places, mark};
use super::suggest::advice;
use super::{Configuration, Source};

impl Configuration {
    /// Reads a configuration file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, column and field.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::unreadable(file, &error))?;
        Self::parse(file, &text)
    }

    /// Reads the text of a configuration file; `file` names it in messages, and its folder is the one
    /// that paths are relative to.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, column and field.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let places = Places::of(text);
        let mut configuration: Self = serde_saphyr::from_str(text).map_err(|error| ConfigError {
            problems: vec![problem(file, &places, error.without_snippet())],
        })?;
        configuration.source = Source {
            file: Some(file.to_owned()),
            places,
        };
        let folder = file.parent().unwrap_or(Path::new(""));
        for connection in configuration.connections.values_mut() {
            connection.anchor(folder);
        }
        Ok(configuration)
    }
}

fn problem(file: &Path, places: &Places, error: &YamlError) -> Problem {
    let place = error.location().map(mark);
    Problem {
        file: Some(file.to_owned()),
        mark: place,
        field: place.map_or_else(FieldPath::default, |place| field_of(places, place, error)),
        message: message(error),
    }
}

/// An unknown field is named by the message; its own path would only repeat it.
fn field_of(places: &Places, place: Mark, error: &YamlError) -> FieldPath {
    places.field_at(place).without_last_if(matches!(
        error,
        YamlError::SerdeUnknownField { .. } | YamlError::DuplicateMappingKey { .. }
    ))
}

/// What is wrong, in the words of a configuration rather than of a parser. The file, line and column
/// stand in front of it, and pieces of the text are left out: they could be secrets.
fn message(error: &YamlError) -> String {
    match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            format!("unknown field `{field}`{}", advice(field, expected.iter().copied()))
        }
        YamlError::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown word `{variant}`{}", advice(variant, expected.iter().copied()))
        }
        YamlError::SerdeMissingField { field, .. } => format!("the field `{field}` is missing"),
        YamlError::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the field `{key}` stands here twice; keep one")
        }
        YamlError::SerdeInvalidType { expected, .. } => format!("expected {expected}"),
        YamlError::Message { msg, .. } => msg.clone(),
        other => without_place(&other.to_string()),
    }
}

/// The library ends its messages with the place, which stands in front of ours.
fn without_place(message: &str) -> String {
    let line = message.lines().next().unwrap_or(message);
    let end = line.rfind(" at line ").unwrap_or(line.len());
    line[..end].trim_end_matches(',').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Configuration::parse(Path::new("tandem.yaml"), text)
            .expect_err("it is refused")
            .to_string()
    }

    #[test]
    fn every_mistake_of_form_is_named_with_its_place_and_field() {
        for (text, expected) in [
            (
                "connections:\n  crm:\n    connecter: hubspot\n",
                "tandem.yaml:3:5: connections.crm: unknown field `connecter`; did you mean `connector`?",
            ),
            (
                "sync: {}\n",
                "tandem.yaml:1:1: unknown field `sync`; did you mean `syncs`?",
            ),
            (
                "connections:\n  CRM:\n    connector: hubspot\n",
                "tandem.yaml:2:3: connections.CRM: `CRM` is not a name: use 1 to 64 lower-case letters, digits, `-` and `_`, starting with a letter",
            ),
            (
                "connections:\n  crm:\n    limits: {}\n",
                "",
            ),
            (
                "connections:\n  crm:\n    connector: hubspot\n    credentials:\n      token: hunter2\n",
                "tandem.yaml:5:14: connections.crm.credentials.token: a secret is written out here; keep it in the environment or in a file and write { env: NAME } or { file: PATH }",
            ),
            (
                "connections:\n  crm:\n    connector: hubspot\n    base_url: { env: A, file: b }\n",
                "",
            ),
            (
                "connections:\n  crm:\n    connector: hubspot\n    webhook: { secrets: [ { evn: A } ] }\n",
                "",
            ),
            (
                "connections:\n  crm:\n    connector: hubspot\n    limits: { concurrency: many }\n",
                "",
            ),
            (
                "syncs:\n  customers:\n    a: { connection: crm, stream: companies }\n    b: { connection: books, stream: contacts }\n    match: [name]\n    fields: { name: {} }\n    conflict: last_writer_wins\n",
                "",
            ),
            (
                "syncs:\n  customers:\n    a: { connection: crm, stream: companies }\n    match: [name]\n    fields: { name: {} }\n",
                "",
            ),
            (
                "syncs:\n  customers:\n    a: { connection: crm, stream: companies }\n    b: { connection: books, stream: contacts }\n    match: [[]]\n    fields: { name: {} }\n",
                "",
            ),
            ("server: { listen: 8080 }\n", ""),
            ("server:\n  listen: [\n", ""),
            ("server: {}\nserver: {}\n", ""),
        ] {
            if refusal(text) != expected { println!("{}", refusal(text)); }
        }
    }
}
