//! What is wrong with a configuration, and where: file, line, column, field.

use std::fmt;
use std::path::{Path, PathBuf};

/// The way to a value inside the configuration, from the top.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl FieldPath {
    /// The path of a top-level field.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self::default().key(key)
    }

    /// The path of a field of this value.
    #[must_use]
    pub fn key(&self, key: impl ToString) -> Self {
        self.then(Step::Key(key.to_string()))
    }

    /// The path of an entry of this list; the first is 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    pub(super) fn then(&self, step: Step) -> Self {
        let mut longer = self.clone();
        longer.0.push(step);
        longer
    }

    /// The path of what holds this field.
    pub(super) fn without_last(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether the other path is this one or leads into it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl FromIterator<Step> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A place in a text; lines and columns start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, if the configuration came from one.
    pub file: Option<PathBuf>,
    /// Where in the file.
    pub mark: Option<Mark>,
    /// Which field; empty when the text could not be read as far as that.
    pub field: FieldPath,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        if let Some(mark) = self.mark {
            write!(f, "{}:{}:", mark.line, mark.column)?;
        }
        if self.file.is_some() || self.mark.is_some() {
            f.write_str(" ")?;
        }
        if !self.field.steps().is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with a configuration; one line each when printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// A file that cannot be read at all.
    pub(super) fn unreadable(file: &Path, reason: &std::io::Error) -> Self {
        Self {
            problems: vec![Problem {
                file: Some(file.to_owned()),
                mark: None,
                field: FieldPath::default(),
                message: format!("the configuration cannot be read: {reason}"),
            }],
        }
    }
}

/// So many mistakes are named one by one where there is little room.
const NAMED_MAX: usize = 20;

impl ConfigError {
    /// How many mistakes there are, and what the first of them are, for a log and a status: one a line.
    #[must_use]
    pub fn in_brief(&self) -> String {
        let all = self.problems.len();
        let mut text = match all {
            1 => "1 mistake".to_owned(),
            _ => format!("{all} mistakes"),
        };
        for problem in self.problems.iter().take(NAMED_MAX) {
            text.push_str(&format!("\n{problem}"));
        }
        if all > NAMED_MAX {
            let more = all - NAMED_MAX;
            text.push_str(&format!("\nand {more} more; `tandem check` names them all"));
        }
        text
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_counted_and_beyond_twenty_not_named() {
        let of = |count: usize| ConfigError {
            problems: (0..count)
                .map(|number| Problem {
                    file: None,
                    mark: None,
                    field: FieldPath::of("syncs").key(number),
                    message: "is wrong".to_owned(),
                })
                .collect(),
        };
        assert_eq!(of(1).in_brief(), "1 mistake\nsyncs.0: is wrong");
        assert_eq!(of(20).in_brief().lines().count(), 21);
        let many = of(23).in_brief();
        assert!(many.starts_with("23 mistakes\n"), "{many}");
        assert!(
            many.ends_with("syncs.19: is wrong\nand 3 more; `tandem check` names them all"),
            "{many}"
        );
    }
}
