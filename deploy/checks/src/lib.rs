//! Checks of what is shipped to run Tandem: `docker-compose.yml` and everything under `deploy/`.
//!
//! Nothing of it is compiled, so a renamed metric, a probe of a port that is gone or a password left in a file would
//! be found by whoever installs it. Each rule is a function from text or a parsed document to what is wrong; the tests
//! beside a rule show that it finds what it is for, and `tests/shipped.rs` asks it about the real files.
//!
//! Absent: what needs a program of another project (`deploy/check.sh` runs those that are installed), and any network.

pub mod compose;
pub mod dashboard;
pub mod documents;
pub mod environment;
pub mod image;
pub mod kubernetes;
pub mod metrics;
pub mod query;
pub mod rules;
pub mod units;

/// What is wrong with something, a sentence each; empty when it is as it should be.
pub type Problems = Vec<String>;

/// How long a process that is told to stop may take: `worker.shutdown_secs` (20 s) and 5 s.
pub const STOP_SECS: u64 = 25;

/// The programs in the image.
pub const PROGRAMS: [&str; 4] = ["tandem", "tandem-api", "tandem-scheduler", "tandem-worker"];

/// Notes a problem unless something holds.
pub(crate) fn demand(problems: &mut Problems, holds: bool, problem: impl FnOnce() -> String) {
    if !holds {
        problems.push(problem());
    }
}
