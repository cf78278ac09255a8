//! The commands, one a file; what they share is in `options`, `output` and `storage`.

pub mod apply;
mod ask;
pub mod changes;
pub mod check;
pub mod completions;
pub mod conflicts;
pub mod connections;
pub mod db;
pub mod desk;
pub mod dlq;
pub mod events;
pub mod explain;
mod hooks;
pub mod jobs;
pub mod links;
mod nothing;
pub mod options;
mod output;
pub mod runs;
pub mod schedules;
pub mod simulate;
mod span;
mod storage;
pub mod sync;
pub mod up;
mod watch;
pub mod webhook;
