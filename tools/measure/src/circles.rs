//! Files of a crate that use each other in a circle.

use crate::modules::Modules;
use crate::source::File;

/// The groups of files of which each reaches each other, by their places in the list.
pub(crate) fn circles(files: &[File]) -> Vec<Vec<usize>> {
    let modules = Modules::of(files);
    let used: Vec<Vec<usize>> = (0..files.len()).map(|file| modules.used_by(file)).collect();
    let reached: Vec<Vec<bool>> = (0..files.len())
        .map(|file| reached_from(file, &used))
        .collect();
    let mut circles: Vec<Vec<usize>> = Vec::new();
    for (file, from_here) in reached.iter().enumerate() {
        let is_known = circles.iter().any(|circle| circle.contains(&file));
        if from_here[file] && !is_known {
            let with = (0..files.len()).filter(|other| from_here[*other] && reached[*other][file]);
            circles.push(with.collect());
        }
    }
    circles
}

fn reached_from(file: usize, used: &[Vec<usize>]) -> Vec<bool> {
    let mut reached = vec![false; used.len()];
    let mut open = vec![file];
    while let Some(here) = open.pop() {
        for next in &used[here] {
            if !reached[*next] {
                reached[*next] = true;
                open.push(*next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn files_that_use_each_other_are_a_circle() {
        let file = |path: &str, text: &str| File {
            path: PathBuf::from(path),
            lines: text.lines().map(str::to_owned).collect(),
        };
        let files = [
            file("a.rs", "use crate::b::B;"),
            file("b.rs", "use crate::c::C;"),
            file("c.rs", "use crate::a::A;"),
            file("d.rs", "use crate::a::A;"),
        ];
        assert_eq!(circles(&files), [[0, 1, 2]]);
    }
}
