//! Cleaning up after a test process, however it ends.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of this process, or for the drop of this guard, and then runs a script.
///
/// `Drop` of the servers alone would not do: nextest kills a test that hangs. The shell hears of the end
/// by the closing of its standard input, which the kernel does for every process. (The kernel's signal at
/// a parent's death is sent when the *thread* ends that started the child: no use under tokio.)
pub(super) struct Guard {
    shell: Child,
}

impl Guard {
    /// `script` finds the last line told in `$told`, and the arguments from `$1`.
    pub(super) fn run_at_the_end<'a>(
        script: &str,
        arguments: impl IntoIterator<Item = &'a OsStr>,
    ) -> Self {
        let script =
            format!("trap '' HUP INT TERM; while read -r line; do told=$line; done; {script}");
        let shell = Command::new("sh")
            .args(["-c", &script, "sh"])
            .args(arguments)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be started");
        Self { shell }
    }

    /// Hands the script its newest `$told`.
    pub(super) fn tell(&mut self, line: &str) {
        let stdin = self.shell.stdin.as_mut();
        let stdin = stdin.expect("the input is open until the guard is dropped");
        writeln!(stdin, "{line}").expect("the guarding shell reads its input");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The script has no way to report; that it has ended is what matters.
        let _ended = self.shell.wait();
    }
}
