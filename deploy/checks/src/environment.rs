//! Variables of the environment: is every one that is set read by somebody, and every one that is named known?

use std::collections::BTreeSet;

use crate::Problems;
use crate::documents::words;
use crate::metrics::without_tests;

/// Read by libraries, not by our sources.
const STANDARD_STARTS: [&str; 2] = ["OTEL_", "PG"];
const STANDARD: [&str; 1] = ["RUST_LOG"];

/// Names of variables.
pub type Names = BTreeSet<String>;

/// Adds the variables that a source file names as a text of its own, which is how they are read.
pub fn collect_read(source: &str, names: &mut Names) {
    let quoted = without_tests(source).split('"').skip(1).step_by(2);
    names.extend(quoted.filter(|text| is_name(text)).map(str::to_owned));
}

/// Adds the variables that a configuration refers to with `{ env: NAME }`.
pub fn collect_referred(configuration: &str, names: &mut Names) {
    let after = configuration.split("env:").skip(1);
    names.extend(
        after
            .filter_map(|text| words(text).next())
            .filter(|name| is_name(name))
            .map(str::to_owned),
    );
}

/// Adds the variables that a file of variables has a line for, commented out or not.
pub fn collect_listed(file: &str, names: &mut Names) {
    let lines = file.lines().filter_map(|line| line.split_once('='));
    names.extend(
        lines
            .map(|(name, _)| name.trim_start_matches(['#', ' ']))
            .filter(|name| is_name(name))
            .map(str::to_owned),
    );
}

/// Variables of ours that a text names and nobody knows.
#[must_use]
pub fn unknown_in(text: &str, known: &Names) -> Problems {
    let ours: BTreeSet<_> = words(text)
        .filter(|word| word.starts_with("TANDEM_"))
        .collect();
    ours.into_iter()
        .filter(|word| !known.contains(*word))
        .map(|word| format!("`{word}` is read by no program"))
        .collect()
}

/// Does a program of ours, or a library in it, read this variable?
#[must_use]
pub fn is_read(name: &str, known: &Names) -> bool {
    known.contains(name)
        || STANDARD.contains(&name)
        || STANDARD_STARTS.iter().any(|start| name.starts_with(start))
}

/// Values in a file of variables that should come from whoever installs.
#[must_use]
pub fn filled_in(file: &str) -> Problems {
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(name, _)| format!("`{name}` has a value; an example leaves it empty"))
        .collect()
}

fn is_name(text: &str) -> bool {
    text.len() > 2
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_no_program_reads_is_told() {
        let mut known = Names::new();
        collect_read(r#"#[arg(env = "TANDEM_CONFIG")]"#, &mut known);
        collect_referred("token: { env: CRM_TOKEN }", &mut known);
        assert!(unknown_in("TANDEM_CONFIG: /etc/tandem.yaml", &known).is_empty());
        assert_eq!(
            unknown_in("TANDEM_CONFG: /etc/tandem.yaml", &known).len(),
            1
        );
        assert!(is_read("CRM_TOKEN", &known));
        assert!(is_read("OTEL_SERVICE_NAME", &known));
        assert!(!is_read("CRM_TOKN", &known));
    }

    #[test]
    fn what_only_a_test_reads_does_not_count() {
        let mut known = Names::new();
        collect_read(
            "#[cfg(test)]\nmod tests { const A: &str = \"TANDEM_A\"; }",
            &mut known,
        );
        assert!(known.is_empty());
    }

    #[test]
    fn commented_lines_count_as_listed() {
        let mut names = Names::new();
        collect_listed("# Where: a=b\nA_B=\n# RUST_LOG=\n", &mut names);
        assert!(names.iter().eq(["A_B", "RUST_LOG"]));
    }

    #[test]
    fn a_password_in_an_example_is_told() {
        assert_eq!(filled_in("# A=1\nB=\nC=secret\n").len(), 1);
    }
}
