//! What the processes say about themselves: logs, metrics, traces.
//!
//! Logs go to standard error, so that standard output stays free for what a command prints. Metrics
//! are kept in the process and rendered on request; nothing listens here. Spans of traces are sent to a
//! collector in the background if one is named; without one they are not even made.

mod describe;
mod error;
mod export;
mod headers;
mod json;
mod logs;
mod metrics;
mod one_line;
mod options;
mod start;

pub use error::TelemetryError;
pub use logs::LogFormat;
pub use metrics::{MetricsHandle, init_metrics};
pub use options::{OtlpOptions, Sampling, Service, TelemetryOptions};
pub use start::{TelemetryGuard, init, init_logs, prepare};
