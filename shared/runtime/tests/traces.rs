//! Traces on their way to a collector, over real sockets.

use std::net::TcpListener;
use std::time::Duration;

use tandem_runtime::telemetry::{LogFormat, TelemetryGuard, TelemetryOptions, prepare};
use tandem_testkit::OtlpReceiver;
use tandem_trace::{TARGET, TraceContext, context_of, continue_trace};
use tracing::dispatcher::DefaultGuard;
use tracing::{Span, info_span};

/// A process within the test: what it does on this thread is heard until the guard is dropped.
struct Process {
    telemetry: TelemetryGuard,
    _heard: DefaultGuard,
}

impl Process {
    fn start(service: &str, endpoint: &str, more: &[(&str, &str)]) -> Self {
        let environment = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.to_owned()),
            _ => {
                let found = more.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            }
        };
        let options =
            TelemetryOptions::from_environment(LogFormat::Json, service, "test-1", &environment)
                .expect("it can be understood");
        let (dispatch, telemetry) = prepare(&options).expect("it starts");
        Self {
            telemetry,
            _heard: tracing::dispatcher::set_default(&dispatch),
        }
    }

    async fn end(self) {
        self.telemetry.shutdown().await;
    }
}

fn step(name: &'static str, after: Option<TraceContext>) -> Span {
    let span = info_span!(target: TARGET, "step", otel.name = name, tandem.handled = 3);
    if let Some(parent) = after {
        continue_trace(&span, parent);
    }
    span
}

#[tokio::test]
async fn one_trace_leads_through_two_processes() {
    let receiver = OtlpReceiver::start().await;
    let api = Process::start("tandem-api", &receiver.endpoint(), &[]);
    let webhook = step("webhook", None);
    let stored = context_of(&webhook).expect("traces are on").to_string();
    drop(webhook);
    api.end().await;

    let worker = Process::start("tandem-worker", &receiver.endpoint(), &[]);
    let read: TraceContext = stored.parse().expect("as it was written");
    step("job", Some(read)).in_scope(|| {
        step("plan", None).in_scope(|| tracing::warn!(target: "tandem_worker", "a question"));
    });
    worker.end().await;

    let spans = receiver.wait_for(|spans| spans.len() == 3).await;
    let named = |name: &str| {
        let span = spans.iter().find(|span| span.name == name);
        span.expect("it was received")
    };
    let (webhook, job, plan) = (named("webhook"), named("job"), named("plan"));
    assert_eq!(webhook.parent_span_id, "");
    assert_eq!(job.parent_span_id, webhook.span_id);
    assert_eq!(plan.parent_span_id, job.span_id);
    assert!(spans.iter().all(|span| span.trace_id == webhook.trace_id));
    assert_eq!(
        (&*webhook.service, &*job.service),
        ("tandem-api", "tandem-worker")
    );
    assert_eq!(job.attributes["tandem.handled"], "3");
    assert_eq!(job.attributes["resource.service.instance.id"], "test-1");
}

#[tokio::test]
async fn headers_and_names_of_the_environment_reach_the_collector() {
    let receiver = OtlpReceiver::start().await;
    let process = Process::start(
        "tandem-api",
        &receiver.endpoint(),
        &[
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=north%20sea"),
            ("OTEL_SERVICE_NAME", "books"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=test",
            ),
        ],
    );
    drop(step("webhook", None));
    process.end().await;
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1, "the end of the process delivers them");
    assert_eq!(spans[0].service, "books");
    assert_eq!(
        spans[0].attributes["resource.deployment.environment.name"],
        "test"
    );
    assert_eq!(receiver.header("x-tenant").as_deref(), Some("north sea"));
}

#[tokio::test]
async fn what_was_not_sampled_or_found_nothing_to_do_is_not_sent() {
    let receiver = OtlpReceiver::start().await;
    let process = Process::start(
        "tandem-scheduler",
        &receiver.endpoint(),
        &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")],
    );
    let unsampled = step("unsampled", None);
    let context = context_of(&unsampled).expect("it has a context all the same");
    assert!(!context.sampled);
    let recorded: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        .parse()
        .expect("the example of the standard");
    let idle = info_span!(target: TARGET, "idle", tandem.idle = tracing::field::Empty);
    continue_trace(&idle, recorded);
    idle.record(tandem_trace::IDLE, true);
    drop((unsampled, idle, step("sampled", Some(recorded))));
    process.end().await;
    let names: Vec<String> = receiver.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["sampled"]);
}

#[tokio::test]
async fn spans_that_a_collector_refuses_for_a_while_are_delivered_later() {
    let receiver = OtlpReceiver::start().await;
    receiver.refuse(Some(503));
    let process = Process::start("tandem-worker", &receiver.endpoint(), &[]);
    drop(step("job", None));
    let ending = tokio::spawn(process.telemetry.shutdown());
    receiver.wait_for_refusals(1).await;
    receiver.refuse(None);
    ending.await.expect("no panic");
    assert_eq!(receiver.spans().len(), 1);
}

#[tokio::test]
async fn a_collector_that_is_down_or_silent_holds_up_neither_the_work_nor_the_end() {
    // It accepts connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = format!("http://{}", silent.local_addr().expect("it is bound"));
    for endpoint in ["http://127.0.0.1:9", &silent] {
        let process = Process::start("tandem-worker", endpoint, &[]);
        // More than the queue holds, and more than a batch.
        for _ in 0..5_000 {
            drop(step("job", None));
        }
        let end = tokio::time::timeout(Duration::from_secs(20), process.end());
        end.await.expect("the end is bounded");
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_one_is_refused_at_the_start() {
    for (endpoint, says) in [
        ("collector:4318", "is not spoken, only http and https"),
        ("not a url", "is no URL"),
    ] {
        let environment =
            |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.to_owned());
        let options =
            TelemetryOptions::from_environment(LogFormat::Human, "tandem-api", "1", &environment);
        let refused = prepare(&options.expect("it can be understood"));
        let error = refused.expect_err("no collector is there").to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{error}");
    }
}
