//! The traces that passes begin. A pass that found nothing to do leaves none.

use tandem_store::StoreError;
use tandem_trace::{IDLE, TARGET};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::passes::PassReport;

/// The root of what a pass does; jobs that it makes continue from there.
pub(crate) fn pass(name: &'static str) -> Span {
    info_span!(
        target: TARGET,
        parent: None,
        "pass",
        otel.name = %format_args!("pass {name}"),
        otel.status_code = Empty,
        tandem.pass = name,
        tandem.handled = Empty,
        tandem.idle = Empty,
    )
}

/// Says how the pass ended.
pub(crate) fn passed(span: &Span, result: &Result<PassReport, StoreError>) {
    match result {
        Ok(report) if report.handled == 0 => span.record(IDLE, true),
        Ok(report) => span.record("tandem.handled", report.handled as u64),
        Err(_) => span.record("otel.status_code", "ERROR"),
    };
}
