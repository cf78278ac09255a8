//! Manifests: one YAML file describes how to speak with one vendor's API.
//!
//! A manifest is read once, at start or when it is applied; every expression in it is compiled then, and
//! every mistake is reported with file, line, column and field. Nothing here performs I/O.

mod paths;
mod request;
mod statuses;
mod time_zone;
mod types;
mod validate;
mod webhook;

use std::fmt;

pub use paths::Paths;
pub use request::{Auth, ErrorClass, ErrorRule, Login, Method, Oauth2ClientCredentials, Request};
pub use statuses::Statuses;
pub use time_zone::Zone;
pub use types::{
    Archived, Create, Delete, Ends, Field, Finder, Limits, List, Manifest, Paging, Read, RecordKey,
    Stamp, Step, Stream, Update, Variable,
};
pub use webhook::{Duplicates, EventKind, EventType, RecordIds, Signature, Webhook};

/// The version of the manifest format that this program reads.
pub const FORMAT: u32 = 1;
/// A manifest longer than this is not a manifest.
const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// One mistake in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The field that holds the mistake, dotted: `streams.companies.fields.name.type`.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Why a file is not a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file's name as given.
    pub file: String,
    /// All mistakes that were found; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let Problem {
                line,
                column,
                field,
                message,
            } = problem;
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{}:{line}:{column}: ", self.file)?;
            match field.as_str() {
                "" => f.write_str(message)?,
                field => write!(f, "`{field}`: {message}")?,
            }
        }
        Ok(())
    }
}

impl Manifest {
    /// Reads a manifest; `file` is only used in messages.
    ///
    /// # Errors
    /// Every mistake with its place: of YAML, of names and types, and of what the parts say about each other.
    pub fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        let fail = |problems| ManifestError {
            file: file.to_owned(),
            problems,
        };
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(fail(vec![problem(
                text,
                1,
                1,
                format!("it is longer than {MANIFEST_BYTES_MAX} bytes"),
            )]));
        }
        let manifest: Self =
            serde_saphyr::from_str(text).map_err(|error| fail(vec![yaml_problem(text, &error)]))?;
        let mistakes = validate::mistakes(&manifest);
        if mistakes.is_empty() {
            return Ok(manifest);
        }
        let problems = mistakes
            .into_iter()
            .map(|(place, message)| problem(text, place.line, place.column, message))
            .collect();
        Err(fail(problems))
    }
}

fn problem(text: &str, line: u64, column: u64, message: String) -> Problem {
    Problem {
        line,
        column,
        field: field_at(text, line),
        message,
    }
}

fn yaml_problem(text: &str, error: &serde_saphyr::Error) -> Problem {
    let plain = error.without_snippet();
    let (line, column) = plain
        .location()
        .map_or((1, 1), |location| (location.line(), location.column()));
    problem(text, line, column, without_place(&plain.to_string()))
}

/// The library adds the place to its message; it is already in front of ours.
fn without_place(message: &str) -> String {
    let message = message.lines().next().unwrap_or(message);
    match message
        .rfind(" at line ")
        .or_else(|| message.rfind(", line "))
    {
        Some(end) => message[..end].trim_end().to_owned(),
        None => message.to_owned(),
    }
}

/// The dotted name of the field on a line of block-style YAML: the keys of the lines that enclose it.
fn field_at(text: &str, line: u64) -> String {
    let Ok(last) = usize::try_from(line) else {
        return String::new();
    };
    let lines: Vec<&str> = text.lines().take(last).collect();
    let mut keys = Vec::new();
    let mut limit = usize::MAX;
    for line in lines.iter().rev() {
        let content = line.trim_start();
        let (indent, content) = match content.strip_prefix("- ") {
            Some(item) => (line.len() - content.len() + 2, item),
            None => (line.len() - content.len(), content),
        };
        if content.is_empty() || content.starts_with('#') || indent >= limit {
            continue;
        }
        limit = indent;
        if let Some((key, _)) = content.split_once(':') {
            keys.push(key.trim_start_matches(['{', ' ']).trim().trim_matches('"'));
        }
        if line.trim_start().starts_with("- ") {
            limit = indent.saturating_sub(1);
        }
    }
    keys.reverse();
    keys.join(".")
}
