//! What each metric means, for the `# HELP` lines.

use metrics::{describe_counter, describe_gauge, describe_histogram};

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram};

/// Every metric that is recorded anywhere; a test of `deploy/checks` compares this with the sources.
const METRICS: &[(Kind, &str, &str)] = &[
    (
        Counter,
        "tandem_webhooks_total",
        "Webhooks by how they were answered, and why.",
    ),
    (
        Histogram,
        "tandem_webhook_seconds",
        "How long the answer to a webhook took, its body included.",
    ),
    (
        Counter,
        "tandem_webhook_events_total",
        "Events in webhooks: new, duplicate, or quarantined because they could not be understood.",
    ),
    (
        Histogram,
        "tandem_webhook_commit_deliveries",
        "Webhook deliveries that were stored in one transaction.",
    ),
    (
        Histogram,
        "tandem_webhook_commit_seconds",
        "How long a transaction that stores webhooks took.",
    ),
    (
        Counter,
        "tandem_http_connections_refused_total",
        "HTTP connections that were answered 503 because there were too many, in all or from one address.",
    ),
    (
        Counter,
        "tandem_jobs_claimed_total",
        "Jobs that were taken from the queue.",
    ),
    (
        Counter,
        "tandem_jobs_finished_total",
        "Jobs by how an attempt at them ended.",
    ),
    (
        Gauge,
        "tandem_jobs_in_flight",
        "Jobs under way in this process.",
    ),
    (
        Histogram,
        "tandem_job_wait_seconds",
        "How long jobs that were due waited before they began.",
    ),
    (
        Histogram,
        "tandem_job_duration_seconds",
        "How long jobs ran.",
    ),
    (
        Gauge,
        "tandem_breaker_state",
        "Whether requests to a connection are let through: 0 closed (all are), 1 half open, 2 open (none is).",
    ),
    (
        Gauge,
        "tandem_connection_state",
        "1 for the state in which a connection is, 0 for the others: up, unreachable, unauthorized.",
    ),
    (
        Gauge,
        "tandem_connection_clock_doubted",
        "1 for the reason why the clock of a connection's system is not used, 0 for the others: far_off, jumps, cached.",
    ),
    (
        Counter,
        "tandem_webhooks_badly_signed_total",
        "Webhooks whose signature was wrong, by connection.",
    ),
    (
        Counter,
        "tandem_values_not_kept_total",
        "Values that a system took and did not keep, by sync and field.",
    ),
    (
        Counter,
        "tandem_remote_requests_total",
        "Requests to connected systems, by how they ended.",
    ),
    (
        Histogram,
        "tandem_remote_request_seconds",
        "How long connected systems took to answer.",
    ),
    (
        Counter,
        "tandem_scheduler_handled_total",
        "What the scheduler's passes have handled.",
    ),
    (
        Counter,
        "tandem_scheduler_failures_total",
        "Passes of the scheduler that failed.",
    ),
    (
        Gauge,
        "tandem_queue_jobs",
        "Jobs in the queue by state; told by the leading scheduler.",
    ),
    (
        Gauge,
        "tandem_queue_oldest_due_seconds",
        "How long the oldest job that is due has waited; told by the leading scheduler.",
    ),
    (
        Histogram,
        "tandem_sync_lag_seconds",
        "From the making of a job to its confirmed write.",
    ),
    (
        Gauge,
        "tandem_leader",
        "1 for the scheduler that leads, 0 for the others.",
    ),
    (
        Gauge,
        "tandem_storage_takes_writes",
        "1 while the storage takes writes, 0 while nothing is kept: `tandem status` says why.",
    ),
    (
        Gauge,
        "tandem_doorbell_connected",
        "1 while Redis can be reached, 0 while workers look for jobs every second.",
    ),
    (
        Counter,
        "tandem_doorbell_rung_total",
        "Jobs that workers were woken for through Redis.",
    ),
    (
        Counter,
        "tandem_doorbell_heard_total",
        "Times that a worker was woken through Redis.",
    ),
    (
        Counter,
        "tandem_doorbell_dropped_total",
        "Jobs that nobody was woken for, because Redis could not be reached.",
    ),
    (
        Gauge,
        "tandem_rate_budget_remaining",
        "Requests that a rate limit of a connected system still allows.",
    ),
    (
        Counter,
        "tandem_rate_limited_total",
        "Requests that were held back by a rate limit.",
    ),
    (
        Counter,
        "tandem_trace_exports_total",
        "Batches of spans that were sent to the collector, by outcome.",
    ),
];

/// Describes all metrics to the recorder, which must be installed.
pub(super) fn describe() {
    for (kind, name, meaning) in METRICS {
        match kind {
            Counter => describe_counter!(*name, *meaning),
            Gauge => describe_gauge!(*name, *meaning),
            Histogram => describe_histogram!(*name, *meaning),
        }
    }
}
