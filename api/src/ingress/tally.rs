//! The metrics of the ingress. Labels come from the configuration and from fixed words, never from senders.

use std::time::Duration;

use metrics::{counter, histogram};
use tandem_operator::hooks::Hook;
use tandem_store::DeliveryOutcome;

use super::answer::{Answer, Reply};

/// Counts an answered request.
pub fn request(connection: &str, answer: &Answer, took: Duration) {
    counter!(
        "tandem_webhooks_total",
        "connection" => connection.to_owned(),
        "outcome" => answer.outcome,
        "reason" => answer.reason,
    )
    .increment(1);
    histogram!("tandem_webhook_seconds", "connection" => connection.to_owned())
        .record(took.as_secs_f64());
}

/// Counts the events of a stored delivery, and says how it is answered.
pub fn stored(hook: &Hook, outcome: &DeliveryOutcome) -> Answer {
    let fresh = outcome.new_events.saturating_sub(outcome.quarantined);
    for (result, count) in [
        ("new", fresh),
        ("duplicate", outcome.duplicates),
        ("quarantined", outcome.quarantined),
    ] {
        if count > 0 {
            counter!(
                "tandem_webhook_events_total",
                "connection" => hook.connection.as_str().to_owned(),
                "result" => result,
            )
            .increment(count as u64);
        }
    }
    if outcome.quarantined > 0 {
        tracing::warn!(connection = %hook.connection, events = outcome.quarantined, "webhook events could not be understood and wait in quarantine; see the dead letters");
    }
    Answer::new(Reply::Taken, outcome_word(outcome))
}

fn outcome_word(outcome: &DeliveryOutcome) -> &'static str {
    if outcome.quarantined > 0 {
        "quarantined"
    } else if outcome.new_events > 0 {
        "accepted"
    } else {
        "duplicate"
    }
}
