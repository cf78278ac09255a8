//! Starts logs and traces, and ends them.

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Dispatch, Level, Metadata, Subscriber, dispatcher};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, registry};

use super::{LogFormat, TelemetryError, TelemetryOptions, export, logs};

/// The last spans have this long to be delivered when the process ends.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Ends what was started. Keep it until the work of the process is over.
#[must_use = "spans that are not flushed are lost when the process ends"]
#[derive(Debug)]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
}

impl TelemetryGuard {
    /// Delivers the last spans, within 2 s; what a collector does not take by then is lost.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else {
            return;
        };
        let flushing =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_MAX));
        if !matches!(flushing.await, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be delivered in time; their traces end early");
        }
    }
}

/// Starts logging to standard error and, if a collector is named, exporting traces to it. With a
/// collector it must be called inside a Tokio runtime.
///
/// # Errors
/// [`TelemetryError`] when the options cannot be followed, or it was started before.
pub fn init(options: &TelemetryOptions) -> Result<TelemetryGuard, TelemetryError> {
    let (dispatch, guard) = prepare(options)?;
    dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::Twice("logs"))?;
    Ok(guard)
}

/// As [`init`], for a part of the process: what hears all is returned, and is to be made the default of
/// a thread or a task.
///
/// # Errors
/// [`TelemetryError`] when the options cannot be followed.
pub fn prepare(options: &TelemetryOptions) -> Result<(Dispatch, TelemetryGuard), TelemetryError> {
    let filter = logs::filter(options.filter.as_deref())?;
    let Some(otlp) = &options.otlp else {
        // One filter for all, so that what is not logged costs nothing.
        let dispatch = registry()
            .with(filter)
            .with(logs::layer(options.format, std::io::stderr));
        return Ok((dispatch.into(), TelemetryGuard { provider: None }));
    };
    let provider = export::provider(otlp, &options.service)?;
    let dispatch = registry()
        .with(trace_layer(provider.tracer("tandem")).with_filter(traced()))
        .with(logs::layer(options.format, std::io::stderr).with_filter(filter));
    let provider = Some(provider);
    Ok((dispatch.into(), TelemetryGuard { provider }))
}

/// Starts logging to standard error, without traces. `filter` is the value of `RUST_LOG`, if it is set.
///
/// # Errors
/// [`TelemetryError`] when the filter is none, or logging was started before.
pub fn init_logs(format: LogFormat, filter: Option<&str>) -> Result<(), TelemetryError> {
    let subscriber = registry()
        .with(logs::filter(filter)?)
        .with(logs::layer(format, std::io::stderr));
    dispatcher::set_global_default(subscriber.into()).map_err(|_| TelemetryError::Twice("logs"))
}

/// Times and places of the code say little to an operator, and double the size of a span.
fn trace_layer<S>(tracer: SdkTracer) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    OpenTelemetryLayer::new(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}

/// The spans of traces, and of the logs what an operator should find in a trace.
fn traced() -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    let wanted = |metadata: &Metadata<'_>| {
        if metadata.is_span() {
            metadata.target() == tandem_trace::TARGET
        } else {
            *metadata.level() <= Level::WARN && metadata.target().starts_with("tandem")
        }
    };
    FilterFn::new(wanted).with_max_level_hint(LevelFilter::INFO)
}
