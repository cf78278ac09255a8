//! Spans and the stored contexts that they continue.

use opentelemetry::Context;
use opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use tandem_domain::Entropy;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::TraceContext;

/// The target of spans that belong to traces and not to logs.
pub const TARGET: &str = "tandem_trace";
/// The field of a span that found nothing to do: recorded as `true`, it keeps the span out of what is
/// exported. It is for spans without children.
pub const IDLE: &str = "tandem.idle";

/// Makes a span the next step after a stored context. To be called before the span is entered.
pub fn continue_trace(span: &Span, parent: TraceContext) {
    // It fails where no traces are exported, and there the span does not exist.
    let _no_traces = span.set_parent(remote(parent));
}

/// Says that a span came from a stored context without being a part of that trace.
pub fn link(span: &Span, origin: TraceContext) {
    span.add_link(span_context(origin));
}

/// The context of a span, to be stored; `None` where no traces are exported.
#[must_use]
pub fn context_of(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    stored(span.context().span().span_context())
}

/// The context of the step under way; `None` where no traces are exported.
#[must_use]
pub fn current() -> Option<TraceContext> {
    Context::map_current(|context| stored(context.span().span_context()))
}

/// As [`current`], and where no traces are exported a new one: what is stored without a trace could not
/// be found in the logs either.
#[must_use]
pub fn current_or_new(entropy: &dyn Entropy) -> TraceContext {
    current().unwrap_or_else(|| TraceContext::new(entropy))
}

/// Does something as a part of a step that is under way elsewhere, in another task.
pub async fn within<F: Future>(step: Option<TraceContext>, work: F) -> F::Output {
    match step {
        Some(step) => work.with_context(remote(step)).await,
        None => work.await,
    }
}

fn remote(context: TraceContext) -> Context {
    Context::new().with_remote_span_context(span_context(context))
}

fn span_context(context: TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from(context.trace_id),
        SpanId::from(context.span_id),
        TraceFlags::default().with_sampled(context.sampled),
        true,
        TraceState::default(),
    )
}

fn stored(context: &SpanContext) -> Option<TraceContext> {
    context.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(context.span_id().to_bytes()),
        sampled: context.is_sampled(),
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use tracing::{Instrument, info_span};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const STORED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// Runs something with traces on, and returns the spans that ended.
    fn traced(work: impl FnOnce()) -> Vec<SpanData> {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, work);
        exporter.get_finished_spans().expect("kept in memory")
    }

    fn block_on<F: Future>(work: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(work)
    }

    fn stored_context() -> TraceContext {
        STORED.parse().expect("the example of the standard")
    }

    #[test]
    fn a_span_continues_the_stored_trace_and_its_context_leads_on() {
        let spans = traced(|| {
            let first = info_span!(target: TARGET, "first");
            continue_trace(&first, stored_context());
            let context = context_of(&first).expect("traces are on");
            assert_eq!(context.trace_id, stored_context().trace_id);
            assert!(context.sampled);
            let next = info_span!(target: TARGET, "next");
            continue_trace(&next, context);
            next.in_scope(|| assert_eq!(current(), context_of(&next)));
        });
        let [next, first] = spans.as_slice() else {
            panic!("two spans: {spans:?}")
        };
        assert_eq!(first.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(next.parent_span_id, first.span_context.span_id());
        assert_eq!(
            next.span_context.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
    }

    #[test]
    fn a_linked_span_begins_a_trace_of_its_own() {
        let spans = traced(|| {
            let span = info_span!(target: TARGET, "found by a poll");
            link(&span, stored_context());
        });
        assert_eq!(spans.len(), 1);
        assert_ne!(
            spans[0].span_context.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        let link = &spans[0].links.links[0];
        assert_eq!(link.span_context.span_id().to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn work_in_another_task_belongs_to_the_step_that_asked_for_it() {
        let spans = traced(|| {
            block_on(within(Some(stored_context()), async {
                async {}
                    .instrument(info_span!(target: TARGET, "batch"))
                    .await;
            }));
        });
        let batch = spans.iter().find(|span| span.name == "batch");
        let parent = batch.expect("it ended").parent_span_id;
        assert_eq!(parent.to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn without_traces_nothing_has_a_context_and_all_goes_on() {
        let span = info_span!(target: TARGET, "unheard");
        continue_trace(&span, stored_context());
        link(&span, stored_context());
        assert_eq!(context_of(&span), None);
        assert_eq!(current(), None);
        assert_eq!(block_on(within(None, async { 7 })), 7);
    }
}
