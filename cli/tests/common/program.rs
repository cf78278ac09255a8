//! The programs as built, as child processes.

use std::env;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// So much of a log is shown when a test fails.
const LOG_LINES_MAX: usize = 40;

/// `tandem` as built.
pub fn tandem() -> Command {
    bare(Path::new(env!("CARGO_BIN_EXE_tandem")))
}

/// A program without what the machine's own environment says to it. It dies with the test.
pub fn bare(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in env::vars_os() {
        let known = name.to_string_lossy();
        if known.starts_with("TANDEM_") || known.starts_with("OTEL_") || known == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .stdin(Stdio::null());
    command
}

/// Sends a signal to a child that was not waited for, so that its id is no other process's.
pub fn signal(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let id = id.and_then(Pid::from_raw).expect("it was not waited for");
    kill_process(id, signal).expect("our own child takes a signal");
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}
