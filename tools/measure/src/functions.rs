//! How long functions are.

use crate::source::File;

/// A function: where it begins, counted from 1, and how many lines it has with its head and its end.
pub(crate) struct Function {
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// The functions of a file that have a body. One inside another counts for both.
pub(crate) fn functions(file: &File) -> Vec<Function> {
    let starts = file.lines.iter().enumerate();
    let starts = starts.filter(|(_, line)| begins_function(line));
    starts
        .filter_map(|(start, line)| {
            let end = end_of(&file.lines[start..], indent(line))?;
            Some(Function {
                line: start + 1,
                lines: end + 1,
            })
        })
        .collect()
}

/// Whether a line begins a function: words that may stand before `fn`, then its name.
fn begins_function(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut before = words.take_while(|word| *word != "fn");
    let is_head = before.all(|word| {
        word.starts_with("pub")
            || matches!(word, "const" | "async" | "unsafe" | "default")
            || word.starts_with("extern")
            || word.starts_with("crate)")
    });
    is_head && line.split_whitespace().any(|word| word == "fn")
}

/// The last line of a function that begins with the first of these; `None` when it is declared only.
fn end_of(lines: &[String], indent_of_head: usize) -> Option<usize> {
    for (place, line) in lines.iter().enumerate() {
        let is_at_head = indent(line) == indent_of_head;
        let text = line.trim_end();
        if place == 0 && text.ends_with('}') {
            return Some(0);
        }
        if is_at_head && text.trim_start() == "}" {
            return Some(place);
        }
        let is_of_head = place == 0 || (is_at_head && text.trim_start().starts_with(')'));
        if is_of_head && text.ends_with(';') {
            return None;
        }
        if is_of_head && place > 0 && text.ends_with("{}") {
            return Some(place);
        }
    }
    None
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn sizes(text: &str) -> Vec<(usize, usize)> {
        let file = File {
            path: PathBuf::from("lib.rs"),
            lines: text.lines().map(str::to_owned).collect(),
        };
        let found = functions(&file);
        found.iter().map(|one| (one.line, one.lines)).collect()
    }

    #[test]
    fn a_function_ends_below_its_head() {
        let text = "pub(crate) const fn one() {\n    if true {\n    }\n}\n\nasync fn two(\n    a: u8,\n) -> u8 {\n    a\n}\n";
        assert_eq!(sizes(text), [(1, 4), (6, 5)]);
    }

    #[test]
    fn one_line_is_a_function_and_a_declaration_is_none() {
        let text = "fn one() {}\ntrait Two {\n    fn three();\n    fn four(\n        &self,\n    ) -> u8;\n    fn five() {\n    }\n}\n";
        assert_eq!(sizes(text), [(1, 1), (7, 2)]);
    }

    #[test]
    fn a_function_type_and_a_closure_are_none() {
        assert_eq!(
            sizes("let one: fn(u8) = two;\n// a fn that\nuse fn_of;\n"),
            []
        );
    }
}
