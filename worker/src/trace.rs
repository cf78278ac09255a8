//! What of a job shows in its trace and in the metrics: planning, each write, and when it took effect.

use tandem_connectors::ConnectorError;
use tandem_domain::Timestamp;
use tandem_engine::{Plan, SyncPolicy, View, plan};
use tandem_runtime::End;
use tandem_store::{Intent, IntentOp, Job};
use tandem_trace::TARGET;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};

/// Plans, as a step of the trace.
pub fn planned(policy: &SyncPolicy, view: View<'_>) -> Plan {
    let span = info_span!(target: TARGET, "plan", tandem.writes = Empty, tandem.questions = Empty);
    let plan = span.in_scope(|| plan(policy, view));
    span.record("tandem.writes", plan.writes.len() as u64);
    span.record("tandem.questions", plan.questions.len() as u64);
    plan
}

/// The sending of one intent; the requests that it takes are steps within.
pub fn write(intent: &Intent, end: &End) -> Span {
    let verb = match intent.op {
        IntentOp::Create => "create",
        IntentOp::Update => "update",
        IntentOp::Delete => "delete",
    };
    let (connection, stream) = (&end.connection, &end.stream);
    info_span!(
        target: TARGET,
        "write",
        otel.name = %format_args!("{verb} {connection} {stream}"),
        otel.status_code = Empty,
        error.type = Empty,
        tandem.intent = %intent.id,
        tandem.operation = verb,
        tandem.side = intent.side.as_str(),
        tandem.connection = %connection,
        tandem.stream = %stream,
    )
}

/// Says how the sending ended.
pub fn sent<T>(span: &Span, result: &Result<T, ConnectorError>) {
    if let Err(error) = result {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", display(error.code()));
    }
}

/// Counts how long it took from the first event that asked for it to a write that is confirmed.
pub fn confirmed(job: &Job, now: Timestamp) {
    let sync = job.kind.sync().map_or("", |sync| sync.as_str()).to_owned();
    metrics::histogram!("tandem_sync_lag_seconds", "sync" => sync, "class" => job.class.as_str())
        .record(now.since(job.created_at).as_secs_f64());
}
