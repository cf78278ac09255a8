//! What a parser calls an error, in the words of a configuration, and where it stands.

use std::path::Path;

use serde_saphyr::Error as YamlError;
use tandem_domain::suggest::advice;

use super::error::{FieldPath, Problem};
use super::places::{Part, Places, mark};

/// A mistake of form: what the parser says, and which part of which field it means.
pub(super) struct Mistake {
    error: YamlError,
    /// The field that is wrong; of a missing one, what should hold it.
    pub(super) field: FieldPath,
    /// Whether its name or its value.
    pub(super) part: Part,
}

/// What a mistake asks of who reads on.
pub(super) enum Kind {
    /// There is no such field.
    Unknown,
    /// A field that must be there is not.
    Missing(&'static str),
    /// A name stands twice in one place.
    Twice,
    /// The name or value of the field cannot be used.
    Wrong,
}

impl Mistake {
    /// The mistake of this error. `within` is the value that was being read when it was noticed.
    pub(super) fn of(error: YamlError, within: FieldPath, places: &Places) -> Self {
        let error = match error {
            YamlError::WithSnippet { error, .. } => *error,
            bare => bare,
        };
        let (field, part) = match &error {
            // The library gives the place of the last field read; what is meant is the one around it.
            YamlError::SerdeMissingField { .. } => (within, Part::Value),
            located => located
                .location()
                .and_then(|place| places.field_at(mark(place)))
                .unwrap_or((within, Part::Value)),
        };
        Self { error, field, part }
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.error {
            YamlError::SerdeUnknownField { .. } => Kind::Unknown,
            YamlError::SerdeMissingField { field, .. } => Kind::Missing(field),
            YamlError::DuplicateMappingKey { .. } => Kind::Twice,
            _ => Kind::Wrong,
        }
    }

    /// As it is told. `places` are those of the file; where the field does not stand there, the place is
    /// the one that the parser gave, if it read the file itself.
    pub(super) fn problem(&self, file: &Path, places: &Places, own_place: bool) -> Problem {
        let given = own_place.then(|| self.error.location().map(mark)).flatten();
        let (mark, field) = match self.kind() {
            Kind::Missing(_) => (places.find(&self.field).or(given), self.field.clone()),
            // The message names the field; its own path would only repeat it.
            Kind::Unknown | Kind::Twice => (
                given.or_else(|| places.part(&self.field, self.part)),
                self.field.without_last(),
            ),
            Kind::Wrong => (
                given.or_else(|| places.part(&self.field, self.part)),
                self.field.clone(),
            ),
        };
        Problem {
            file: Some(file.to_owned()),
            mark,
            field,
            message: message(&self.error),
        }
    }
}

/// What is wrong, in the words of a configuration rather than of a parser. The file, line and column
/// stand in front of it, and pieces of the text are left out: they could be secrets.
fn message(error: &YamlError) -> String {
    match error {
        YamlError::SerdeUnknownField {
            field, expected, ..
        } => {
            format!(
                "unknown field `{field}`{}",
                advice(field, expected.iter().copied())
            )
        }
        YamlError::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            format!(
                "unknown word `{variant}`{}",
                advice(variant, expected.iter().copied())
            )
        }
        YamlError::SerdeMissingField { field, .. } => format!("the field `{field}` is missing"),
        YamlError::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the field `{key}` stands here twice; keep one")
        }
        YamlError::SerdeInvalidType { expected, .. } => format!("expected {expected}"),
        YamlError::InvalidScalar {
            ty: "floating point",
            ..
        } => "expected a number".to_owned(),
        YamlError::InvalidScalar { ty: "boolean", .. } => "expected true or false".to_owned(),
        YamlError::InvalidScalar { .. } => {
            "expected a whole number that is not negative".to_owned()
        }
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
