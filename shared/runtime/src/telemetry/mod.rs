//! What the processes say about themselves: logs, metrics, trace contexts.
//!
//! Logs go to standard error, so that standard output stays free for what a command prints. Metrics
//! are kept in the process and rendered on request; nothing listens here.

mod logs;
mod metrics;
mod trace;

pub use logs::{LogFormat, TelemetryError, init_logs};
pub use metrics::{MetricsHandle, init_metrics};
pub use trace::{TraceContext, TraceParentError};
