//! The spans of a test, heard where they are made.

use std::collections::BTreeMap;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::ReceivedSpan;
use crate::otlp::received;

/// Hears the spans of traces of everything on this thread until it is dropped: so the test's runtime must have
/// one thread, which is what `#[tokio::test]` gives.
pub struct HeardSpans {
    exporter: InMemorySpanExporter,
    _default: DefaultGuard,
}

impl HeardSpans {
    /// Begins to listen.
    #[must_use]
    pub fn listen() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let of_traces = filter_fn(|metadata| metadata.target() == tandem_trace::TARGET);
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(of_traces));
        Self {
            exporter,
            _default: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The spans that have ended, first to last.
    ///
    /// # Panics
    /// When another thread panicked while it wrote one.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        let spans = self.exporter.get_finished_spans();
        let spans = spans.expect("nobody panicked while writing a span");
        let process = BTreeMap::new();
        spans
            .into_iter()
            .map(|span| received("", &process, span.into()))
            .collect()
    }

    /// The one span of this name.
    ///
    /// # Panics
    /// When there is none or more than one.
    #[must_use]
    pub fn only(&self, name: &str) -> ReceivedSpan {
        let spans = self.spans();
        let mut named = spans.iter().filter(|span| span.name == name);
        match (named.next(), named.next()) {
            (Some(span), None) => span.clone(),
            _ => panic!("not one span `{name}` in {spans:#?}"),
        }
    }
}
