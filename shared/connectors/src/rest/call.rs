//! What is seen of a request from outside: a step of the trace, and how long it took.

use metrics::SharedString;
use tandem_domain::{Clock, Timestamp};
use tandem_trace::TARGET;
use tracing::field::Empty;
use tracing::{Span, info_span};

use super::errors::Operation;
use super::request::Prepared;

/// One request under way. Dropping it ends it: with the status that came, or without an answer.
pub(super) struct Call<'a> {
    span: Span,
    connection: &'a SharedString,
    method: &'static str,
    clock: &'a dyn Clock,
    began_at: Timestamp,
    status: Option<u16>,
}

impl<'a> Call<'a> {
    /// The name of the step is that of the stream, not the address, which may hold ids and secrets.
    pub(super) fn begin(
        connection: &'a SharedString,
        operation: &Operation<'_>,
        prepared: &Prepared,
        clock: &'a dyn Clock,
    ) -> Self {
        let method = method_word(&prepared.method);
        let span = info_span!(
            target: TARGET,
            "request",
            otel.name = %format_args!("{method} {connection} {}", operation.subject),
            otel.kind = "client",
            otel.status_code = Empty,
            error.type = Empty,
            http.request.method = method,
            http.response.status_code = Empty,
            server.address = prepared.url.host_str(),
            server.port = prepared.url.port_or_known_default(),
            tandem.connection = %connection,
            tandem.operation = operation.verb,
        );
        Self {
            span,
            connection,
            method,
            clock,
            began_at: clock.now(),
            status: None,
        }
    }

    /// What is waited for while the request is under way belongs in here.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes what came back.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = Some(status);
        self.span
            .record("http.response.status_code", u64::from(status));
        if status >= 400 {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", "no_answer");
        }
        metrics::histogram!(
            "tandem_remote_request_seconds",
            "connection" => self.connection.clone(),
            "method" => self.method,
            "status_class" => class_of(self.status),
        )
        .record(self.clock.now().since(self.began_at).as_secs_f64());
    }
}

/// Methods are few, so they may be labels; anything else is not.
fn method_word(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "OTHER",
    }
}

const fn class_of(status: Option<u16>) -> &'static str {
    match status {
        None => "none",
        Some(100..=199) => "1xx",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(_) => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use opentelemetry::trace::{Status, TracerProvider};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use tandem_domain::RecordId;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    struct Stopped;
    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_000)
        }
    }

    /// The span and the metrics of one call.
    fn observed(status: Option<u16>) -> (SpanData, String) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let recorder = PrometheusBuilder::new().build_recorder();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            metrics::with_local_recorder(&recorder, || call(status));
        });
        let mut spans = exporter.get_finished_spans().expect("kept in memory");
        (spans.pop().expect("it ended"), recorder.handle().render())
    }

    fn call(status: Option<u16>) {
        let id = RecordId::new("4711".to_owned());
        let operation = Operation {
            verb: "update",
            subject: "companies",
            writes: true,
            id: Some(&id),
            accept: None,
            past_end: None,
        };
        let url = "https://crm.example/v1/companies/4711?key=hunter2";
        let prepared = Prepared {
            method: http::Method::PATCH,
            url: url.parse().expect("a URL"),
            headers: http::HeaderMap::new(),
            body: None,
        };
        let label = SharedString::const_str("crm");
        let mut call = Call::begin(&label, &operation, &prepared, &Stopped);
        if let Some(status) = status {
            call.answered(status);
        }
    }

    #[test]
    fn a_request_is_named_by_its_stream_and_shows_neither_ids_nor_secrets() {
        let (span, metrics) = observed(Some(200));
        assert_eq!(span.name, "PATCH crm companies");
        let all = format!("{:?}", span.attributes);
        assert!(all.contains("crm.example"), "{all}");
        assert!(!all.contains("4711") && !all.contains("hunter2"), "{all}");
        let labels = "connection=\"crm\",method=\"PATCH\",status_class=\"2xx\"";
        let line = format!("tandem_remote_request_seconds_count{{{labels}}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }

    #[test]
    fn refusals_and_lost_answers_are_errors_of_the_step() {
        for (status, class) in [(Some(404), "4xx"), (Some(503), "5xx"), (None, "none")] {
            let (span, metrics) = observed(status);
            assert_eq!(span.status, Status::error(""));
            let label = format!("status_class=\"{class}\"");
            assert!(metrics.contains(&label), "{metrics}");
        }
    }
}
