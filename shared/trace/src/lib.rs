//! What the crates that take part in a trace share: the context that is stored with events and jobs,
//! and how a span is tied to it.
//!
//! A trace crosses processes through the store: the ingress writes the context of its span beside the
//! delivery and its jobs, and whoever runs the job continues from there. Spans for traces are ordinary
//! spans of `tracing` under the target [`TARGET`]; where no traces are exported nothing listens to that
//! target, and making such a span costs a look at a flag. Logs have spans of their own.
//!
//! Nothing is exported here and nothing is set up: that is for `tandem_runtime::telemetry`.

mod context;
mod span;

pub use context::{TraceContext, TraceParentError};
pub use span::{IDLE, TARGET, context_of, continue_trace, current, current_or_new, link, within};
