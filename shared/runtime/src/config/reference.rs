//! Values that stand elsewhere: in the environment or in a file. Secrets are never written out in a
//! configuration, so what is stored, exported and shown of it holds none.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use tandem_connectors::read_short_file;

/// The longest file that a reference may name, in bytes: a secret is a line, not a database.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Gives the value of an environment variable.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A variable of this process. What is no UTF-8 in it comes as the replacement character, so that it can be told
/// from a variable that is not set.
#[must_use]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// In an environment variable.
    Env(String),
    /// In a file, white space at its end cut off; relative to the configuration file.
    File(PathBuf),
}

/// A value written out, or where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOrReference {
    /// Written out.
    Text(String),
    /// Elsewhere.
    Elsewhere(Reference),
}

/// Where a secret stands. Unlike [`TextOrReference`] it cannot be written out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretReference(pub Reference);

impl Reference {
    /// Fetches the value.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn resolve(&self, environment: &Environment<'_>) -> Result<String, String> {
        match self {
            Self::Env(name) => match environment(name) {
                Some(value) if value.contains(char::REPLACEMENT_CHARACTER) => Err(format!(
                    "the environment variable {name} holds bytes that are no UTF-8; set it to text in UTF-8 and start again"
                )),
                Some(value) if !value.is_empty() => Ok(value),
                Some(_) => Err(format!(
                    "the environment variable {name} is empty; give it a value"
                )),
                None => Err(format!(
                    "the environment variable {name} is not set; set it and start again"
                )),
            },
            Self::File(path) => read_short(path),
        }
    }

    pub(super) fn anchor(&mut self, folder: &Path) {
        if let Self::File(path) = self {
            *path = folder.join(&*path);
        }
    }
}

fn read_short(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = read_short_file(path, FILE_BYTES_MAX)
        .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
    match text.trim_end() {
        "" => Err(format!(
            "the file {shown} is empty; write the value into it"
        )),
        value => Ok(value.to_owned()),
    }
}

impl TextOrReference {
    /// The value.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn resolve(&self, environment: &Environment<'_>) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Elsewhere(reference) => reference.resolve(environment),
        }
    }

    pub(super) fn anchor(&mut self, folder: &Path) {
        if let Self::Elsewhere(reference) = self {
            reference.anchor(folder);
        }
    }
}

impl Serialize for TextOrReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Elsewhere(reference) => reference.serialize(serializer),
        }
    }
}

/// How references are written, for messages.
const FORMS: &str = "{ env: NAME } or { file: PATH }";

struct ReferenceVisitor {
    text_allowed: bool,
}

impl ReferenceVisitor {
    /// Takes what is written out, or refuses it without repeating it: it may be a secret.
    fn written<E: de::Error>(self, text: String) -> Result<TextOrReference, E> {
        if self.text_allowed {
            Ok(TextOrReference::Text(text))
        } else {
            Err(E::custom(format!(
                "a secret is written out here; keep it in the environment or in a file and write {FORMS}"
            )))
        }
    }
}

impl<'de> Visitor<'de> for ReferenceVisitor {
    type Value = TextOrReference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text_allowed {
            f.write_str("a text, ")?;
        }
        f.write_str(FORMS)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrReference, E> {
        self.written(text.to_owned())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<TextOrReference, E> {
        self.written(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<TextOrReference, E> {
        self.written(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<TextOrReference, E> {
        self.written(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<TextOrReference, E> {
        self.written(value.to_string())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<TextOrReference, M::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let reference = match key.as_str() {
                "env" => Reference::Env(map.next_value()?),
                "file" => Reference::File(map.next_value()?),
                _ => return Err(de::Error::unknown_field(&key, &["env", "file"])),
            };
            if found.replace(reference).is_some() {
                return Err(de::Error::custom(format!("name one place only: {FORMS}")));
            }
        }
        found
            .map(TextOrReference::Elsewhere)
            .ok_or_else(|| de::Error::custom(format!("the place is missing: write {FORMS}")))
    }
}

impl<'de> Deserialize<'de> for TextOrReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor { text_allowed: true })
    }
}

impl<'de> Deserialize<'de> for SecretReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = ReferenceVisitor {
            text_allowed: false,
        };
        match deserializer.deserialize_any(visitor)? {
            TextOrReference::Elsewhere(reference) => Ok(Self(reference)),
            TextOrReference::Text(_) => Err(de::Error::custom(FORMS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_fetched_from_the_environment_or_a_file() {
        let environment = |name: &str| (name == "CRM_TOKEN").then(|| "t0ken".to_owned());
        let env = Reference::Env("CRM_TOKEN".to_owned());
        assert_eq!(env.resolve(&environment), Ok("t0ken".to_owned()));
        let foreign = |_: &str| Some("t\u{fffd}ken".to_owned());
        let refused = env.resolve(&foreign).expect_err("it is no text");
        assert!(
            refused.contains("CRM_TOKEN holds bytes that are no UTF-8"),
            "{refused}"
        );
        let missing = Reference::Env("OTHER".to_owned());
        assert_eq!(
            missing.resolve(&environment),
            Err("the environment variable OTHER is not set; set it and start again".to_owned())
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), "from file\n").expect("written");
        let mut file = Reference::File("token".into());
        file.anchor(folder.path());
        assert_eq!(file.resolve(&environment), Ok("from file".to_owned()));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_never_ends_or_never_begins_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        for path in [pipe, "/dev/zero".into()] {
            let refused = Reference::File(path).resolve(&|_: &str| None);
            let refused = refused.expect_err("it is refused");
            assert!(refused.contains("a regular file is needed"), "{refused}");
        }
    }

    #[test]
    fn references_read_what_they_print() {
        for json in [r#"{"env":"A"}"#, r#"{"file":"/run/secret"}"#] {
            let secret: SecretReference = serde_json::from_str(json).expect("a reference");
            assert_eq!(serde_json::to_string(&secret).expect("printed"), json);
            let text: TextOrReference = serde_json::from_str(json).expect("a reference");
            assert_eq!(serde_json::to_string(&text).expect("printed"), json);
        }
        let text: TextOrReference = serde_json::from_str(r#""plain""#).expect("a text");
        assert_eq!(text, TextOrReference::Text("plain".to_owned()));
    }

    #[test]
    fn a_secret_written_out_is_refused_without_being_repeated() {
        for json in [r#""hunter2""#, "123456", "true"] {
            let error = serde_json::from_str::<SecretReference>(json).expect_err(json);
            let message = error.to_string();
            assert!(
                message.starts_with("a secret is written out here"),
                "{message}"
            );
            assert!(!message.contains("hunter2") && !message.contains("123456"));
        }
    }
}
