//! Lines that stand twice.

use std::collections::{HashMap, HashSet};

use crate::source::{Crate, File};

/// So many lines in a row, the same elsewhere, stand twice.
const ROW: usize = 6;

/// The lines of code of a file: no comments, and nothing that is only punctuation.
fn code(file: &File) -> Vec<&str> {
    let lines = file.lines.iter().map(|line| line.trim());
    lines
        .filter(|line| !line.starts_with("//") && line.chars().any(char::is_alphanumeric))
        .collect()
}

/// By crate, how many lines of code it has in `src`, and how many of them stand in rows that stand elsewhere too.
pub(crate) fn twice(crates: &[Crate]) -> Vec<(usize, usize)> {
    let files: Vec<Vec<Vec<&str>>> = crates
        .iter()
        .map(|one| one.files.iter().map(code).collect())
        .collect();
    let mut counts: HashMap<&[&str], usize> = HashMap::new();
    for row in files.iter().flatten().flat_map(|lines| lines.windows(ROW)) {
        *counts.entry(row).or_default() += 1;
    }
    let doubled = |lines: &Vec<&str>| {
        let mut is_doubled = vec![false; lines.len()];
        for (start, row) in lines.windows(ROW).enumerate() {
            if counts.get(row).is_some_and(|count| *count > 1) {
                is_doubled[start..start + ROW].fill(true);
            }
        }
        is_doubled.into_iter().filter(|doubled| *doubled).count()
    };
    files
        .iter()
        .map(|files| {
            let lines = files.iter().map(Vec::len).sum();
            (lines, files.iter().map(doubled).sum())
        })
        .collect()
}

/// How many lines of code one crate has, and how many of them stand in the other too, wherever that is.
pub(crate) fn shared(one: &Crate, other: &Crate) -> (usize, usize) {
    let known: HashSet<&str> = other.files.iter().flat_map(code).collect();
    let lines: Vec<&str> = one.files.iter().flat_map(code).collect();
    let shared = lines.iter().filter(|line| known.contains(*line)).count();
    (lines.len(), shared)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn with(name: &str, text: &str) -> Crate {
        Crate {
            name: name.to_owned(),
            files: vec![File {
                path: PathBuf::from("lib.rs"),
                lines: text.lines().map(str::to_owned).collect(),
            }],
            tests: Vec::new(),
        }
    }

    #[test]
    fn six_lines_in_a_row_that_stand_elsewhere_stand_twice() {
        let six = "a1\nb1\nc1\n}\nd1\ne1\n// told\nf1\n";
        let crates = [
            with("one", &format!("x\n{six}y\n")),
            with("two", &format!("{six}z\na1\n")),
        ];
        assert_eq!(twice(&crates), [(8, 6), (8, 6)]);
        assert_eq!(shared(&crates[0], &crates[1]), (8, 6));
    }
}
