//! The commands, one a file; what they share is in `options`, `output` and `storage`.

pub mod apply;
pub mod check;
pub mod completions;
pub mod conflicts;
pub mod db;
pub mod dlq;
pub mod events;
pub mod explain;
mod hooks;
pub mod links;
pub mod options;
mod output;
pub mod runs;
pub mod schedules;
pub mod simulate;
mod storage;
pub mod sync;
pub mod up;
pub mod webhook;
