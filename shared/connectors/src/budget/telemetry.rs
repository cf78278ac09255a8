//! What operators see of budgets.

use metrics::{SharedString, counter, gauge};

/// How many requests of a connection may start now; nothing for one without limits.
pub fn note_remaining(connection: &SharedString, remaining: Option<u64>) {
    if let Some(remaining) = remaining {
        gauge!("tandem_rate_budget_remaining", "connection" => connection.clone())
            .set(remaining as f64);
    }
}

/// A request was held back, or answered with "too many".
pub(crate) fn note_limited(connection: &SharedString, cause: &'static str) {
    counter!("tandem_rate_limited_total", "connection" => connection.clone(), "cause" => cause)
        .increment(1);
}
