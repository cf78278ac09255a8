//! Files of the repository, and the documents in them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The top of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file's text.
///
/// # Errors
/// Which file could not be read, and why.
pub fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// All YAML documents of a text; those that hold nothing are left out.
///
/// # Errors
/// Where the text is not YAML.
pub fn yaml(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}

/// The only YAML document of a text.
///
/// # Errors
/// Where the text is not YAML, or that it holds more than one document.
pub fn one_yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// All files under a folder, sorted, without those of folders named `target`.
///
/// # Errors
/// Which folder could not be listed, and why.
pub fn files_under(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(told)? {
            let path = entry.map_err(told)?.path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The text at a JSON pointer; empty when there is none.
#[must_use]
pub fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The list at a JSON pointer; empty when there is none.
#[must_use]
pub fn list_at<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The entries of the mapping at a JSON pointer; none when there is no mapping.
pub fn entries_at<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

/// The words of letters, digits and underscores in a text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
}

/// Is an image named with a version, and not with a name that moves?
#[must_use]
pub fn is_pinned(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains("@sha256:") {
        return true;
    }
    name.split_once(':')
        .is_some_and(|(_, tag)| tag.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_version_is_not_pinned() {
        for (image, pinned) in [
            ("postgres:16-bookworm", true),
            ("registry.example.com:5000/tandem:0.1.0", true),
            ("postgres@sha256:0123", true),
            ("postgres", false),
            ("postgres:latest", false),
            ("registry.example.com:5000/tandem", false),
        ] {
            assert_eq!(is_pinned(image), pinned, "{image}");
        }
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let text = "base: &base { a: 1, b: 2 }\nmore: { <<: *base, b: 3 }";
        let value = one_yaml(text).expect("it is YAML");
        assert_eq!(value["more"]["a"], 1);
        assert_eq!(value["more"]["b"], 3);
    }

    #[test]
    fn text_that_is_not_yaml_is_refused() {
        assert!(yaml("a: [1").is_err());
    }
}
