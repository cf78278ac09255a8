//! Which module of a crate a name stands for.

use std::collections::BTreeMap;

use crate::source::File;

/// A module: the names on the way to it from the root of its crate.
pub(crate) type Path = Vec<String>;

/// The files of a crate by their modules, and what each brings in from where.
pub(crate) struct Modules {
    files: BTreeMap<Path, usize>,
    uses: Vec<Vec<Path>>,
    brought_in: Vec<BTreeMap<String, Path>>,
}

impl Modules {
    pub(crate) fn of(files: &[File]) -> Self {
        let paths: Vec<Path> = files.iter().map(module_of).collect();
        let uses: Vec<Vec<Path>> = files
            .iter()
            .zip(&paths)
            .map(|(file, here)| uses_of(file, here))
            .collect();
        let by_name = |uses: &Vec<Path>| {
            let named = uses
                .iter()
                .filter_map(|path| Some((path.last()?.clone(), path.clone())));
            named.collect()
        };
        Self {
            brought_in: uses.iter().map(by_name).collect(),
            files: paths.into_iter().zip(0..).collect(),
            uses,
        }
    }

    /// The files that a file uses, by their places in the list.
    pub(crate) fn used_by(&self, file: usize) -> Vec<usize> {
        let mut used: Vec<usize> = self.uses[file]
            .iter()
            .filter_map(|path| self.file_of(path, DEPTH_MAX))
            .filter(|used| *used != file)
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// The file where a path ends: what a module only passes on stands elsewhere.
    fn file_of(&self, path: &[String], depth: usize) -> Option<usize> {
        let (known, rest) = (0..=path.len())
            .rev()
            .find(|end| self.files.contains_key(&path[..*end]))
            .map(|end| path.split_at(end))?;
        let file = *self.files.get(known)?;
        let passed_on = rest
            .first()
            .and_then(|name| self.brought_in[file].get(name));
        match passed_on {
            Some(further) if depth > 0 && further.as_slice() != path => {
                self.file_of(further, depth - 1)
            }
            Some(_) | None => Some(file),
        }
    }
}

/// So often is a name followed that is passed on.
const DEPTH_MAX: usize = 8;

fn module_of(file: &File) -> Path {
    let mut names: Path = file
        .path
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names
        .last()
        .is_some_and(|name| matches!(name.as_str(), "mod" | "lib" | "main"))
    {
        names.pop();
    }
    names
}

/// What a file uses of its own crate, outside its tests: `use`, and paths that stand in the code.
fn uses_of(file: &File, here: &Path) -> Vec<Path> {
    let code = file
        .lines
        .iter()
        .take_while(|line| line.trim() != "#[cfg(test)]");
    let code = code.filter(|line| !line.trim_start().starts_with("//"));
    let text: String = code.flat_map(|line| [line.as_str(), " "]).collect();
    let mut uses = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|character| !is_of_name(character) && character != ':') {
                expand(&text[at..], &[], &mut uses);
            }
        }
    }
    for (at, _) in text.match_indices("use ") {
        let rest = &text[at + "use ".len()..];
        expand(rest, &[], &mut uses);
    }
    uses.into_iter()
        .filter_map(|path| from_root(path, here))
        .collect()
}

const fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The paths of a tree like `a::{b, c::{d, e}}`. Gives what stands behind it.
fn expand<'t>(text: &'t str, before: &[String], into: &mut Vec<Path>) -> &'t str {
    let mut path = before.to_vec();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let end = rest
            .find(|character| !is_of_name(character))
            .unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else if let Some(inner) = rest.strip_prefix('{') {
            return expand_all(inner, &path, into);
        }
        match rest.strip_prefix("::") {
            Some(further) => rest = further,
            None => {
                into.push(path);
                return rest;
            }
        }
    }
}

fn expand_all<'t>(text: &'t str, before: &[String], into: &mut Vec<Path>) -> &'t str {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return behind;
        }
        let behind = expand(rest, before, into).trim_start();
        // `a as b` and `*`.
        let end = behind.find([',', '}']).unwrap_or(behind.len());
        let behind = &behind[end..];
        if behind.is_empty() || behind.len() == rest.len() {
            return "";
        }
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
}

/// A path as seen from a module, as one from the root of the crate; `None` for one of another crate.
fn from_root(path: Path, here: &[String]) -> Option<Path> {
    let mut names = path.into_iter().peekable();
    let mut base: Path = match names.peek()?.as_str() {
        "crate" => {
            names.next();
            Vec::new()
        }
        "self" | "super" => here.to_vec(),
        first => {
            // `use child::Name` in the module of the child.
            let first = first.to_owned();
            let mut base = here.to_vec();
            base.push(first);
            names.next();
            base.extend(names);
            return Some(base);
        }
    };
    while let Some(name) = names.next_if(|name| matches!(name.as_str(), "self" | "super")) {
        if name == "super" {
            base.pop();
        }
    }
    let mut named = names.filter(|name| name != "self").peekable();
    // A root alone is no use: it stands in a text.
    named.peek()?;
    base.extend(named);
    Some(base)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: PathBuf::from(path),
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn what_a_module_passes_on_stands_elsewhere() {
        let files = [
            file(
                "a/mod.rs",
                "mod b;\npub use b::{Thing, other::Deep as Shallow};\n",
            ),
            file("a/b.rs", "pub struct Thing;\n"),
            file("c.rs", "use crate::a::{\n    Thing,\n};\nuse std::fmt;\n"),
            file("lib.rs", "fn of() { crate::c::go() }\n"),
        ];
        let modules = Modules::of(&files);
        assert_eq!(modules.used_by(0), [1]);
        assert_eq!(modules.used_by(2), [1]);
        assert_eq!(modules.used_by(3), [2]);
    }

    #[test]
    fn a_module_uses_its_parent_and_tests_use_nothing() {
        let files = [
            file("a/mod.rs", "mod b;\npub struct Here;\n"),
            file(
                "a/b.rs",
                "use super::Here;\n#[cfg(test)]\nmod tests { use crate::c::X; }\n",
            ),
            file("c.rs", ""),
        ];
        let modules = Modules::of(&files);
        assert_eq!(modules.used_by(1), [0]);
        assert_eq!(modules.used_by(0), Vec::<usize>::new());
    }
}
