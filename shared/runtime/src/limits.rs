//! What the operating system allows a process, as far as it can be put right from inside.

/// A write beyond the limit of a file's size raises this signal, which ends a process that does not handle it.
/// The number is the same on all systems that Tandem runs on.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

/// Has a write beyond the limit of a file's size fail like one on a full disk, instead of ending the process in
/// the midst of its work; and takes as many open files as the system lets a process have. Must be called inside
/// a Tokio runtime.
///
/// # Errors
/// When the signal cannot be handled.
#[cfg(unix)]
pub fn take_limits() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // The handler stays when this is dropped; that it is there is all that is needed.
    let _handler = signal(SignalKind::from_raw(SIGXFSZ))?;
    raise_open_files();
    Ok(())
}

/// There is neither elsewhere.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn take_limits() -> std::io::Result<()> {
    Ok(())
}

/// Each connection is an open file, and the limit that a shell gives is often lower than the one it may give.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it may not be raised, what is there has to do.
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
