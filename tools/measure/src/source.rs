//! The crates of a folder, and their files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A crate: a folder with a `Cargo.toml` and a `src`.
pub(crate) struct Crate {
    /// Its folder, from the root of the workspace.
    pub(crate) name: String,
    /// What is in `src`.
    pub(crate) files: Vec<File>,
    /// What is in `tests`.
    pub(crate) tests: Vec<File>,
}

/// A file of source.
pub(crate) struct File {
    /// Where it is, from `src` or `tests`.
    pub(crate) path: PathBuf,
    /// Its lines.
    pub(crate) lines: Vec<String>,
}

/// The crates below a folder, by name.
pub(crate) fn crates_below(folder: &Path) -> io::Result<Vec<Crate>> {
    let mut crates = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(here) = open.pop() {
        if here.join("Cargo.toml").is_file() && here.join("src").is_dir() {
            let name = here.strip_prefix(folder).unwrap_or(&here);
            crates.push(Crate {
                name: name.display().to_string(),
                files: files_below(&here.join("src"))?,
                tests: files_below(&here.join("tests"))?,
            });
            continue;
        }
        open.extend(folders_in(&here)?);
    }
    crates.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(crates)
}

fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_source = !name.starts_with('.') && name != "target";
        if is_source && path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn files_below(folder: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(here) = open.pop() {
        if !here.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&here)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path)?;
                files.push(File {
                    path: path.strip_prefix(folder).unwrap_or(&path).to_owned(),
                    lines: text.lines().map(str::to_owned).collect(),
                });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}
