//! Measures the source of the workspace, crate by crate: how long files and functions are, which files of a crate use
//! each other in a circle, and how many lines stand twice. `make measure`.
//!
//! Reads text, and relies on rustfmt: a function ends with the first `}` that stands below its `fn`.

mod circles;
mod functions;
mod modules;
mod report;
mod source;
mod twice;

use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;
use source::crates_below;

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).map_or_else(root, PathBuf::from);
    match crates_below(&folder) {
        Ok(crates) => {
            print!("{}", Report::of(&crates));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{} cannot be measured: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace, two above this crate.
fn root() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder.pop();
    folder
}
