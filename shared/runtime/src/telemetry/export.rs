//! Sends spans to a collector, by OTLP over HTTP, in the background.
//!
//! The SDK gathers ended spans in a bounded queue and hands them over from a thread of its own; what finds
//! no room is dropped. So a collector that is slow or down holds up nobody. It is said once, and once
//! more when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use tokio::runtime::Handle;

use super::{OtlpOptions, Sampling, Service, TelemetryError};

/// Starts exporting. Needs a Tokio runtime, on which the requests run.
pub(super) fn provider(
    options: &OtlpOptions,
    service: &Service,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(options)?)
        .with_endpoint(&options.endpoint)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(options.timeout)
        .with_headers(options.headers.iter().cloned().collect())
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let batches = BatchSpanProcessor::builder(exporter).build();
    Ok(SdkTracerProvider::builder()
        .with_sampler(sampler(options.sampling))
        .with_resource(resource(service))
        .with_span_processor(WithoutIdle(batches))
        .build())
}

fn sampler(sampling: Sampling) -> Sampler {
    let root = if sampling.ratio >= 1.0 {
        Sampler::AlwaysOn
    } else if sampling.ratio <= 0.0 {
        Sampler::AlwaysOff
    } else {
        Sampler::TraceIdRatioBased(sampling.ratio)
    };
    if sampling.follows_parent {
        Sampler::ParentBased(Box::new(root))
    } else {
        root
    }
}

fn resource(service: &Service) -> Resource {
    let given = service
        .attributes
        .iter()
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new(
            "service.instance.id",
            service.instance.clone(),
        ))
        .with_attributes(given)
        .with_service_name(service.name.clone())
        .build()
}

/// Passes spans on, but for those that say that they found nothing to do.
#[derive(Debug)]
struct WithoutIdle(BatchSpanProcessor);

impl SpanProcessor for WithoutIdle {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let mut attributes = span.attributes.iter();
        if !attributes.any(|attribute| attribute.key.as_str() == tandem_trace::IDLE) {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// The way to the collector. The SDK's thread waits for it, the runtime does it.
#[derive(Clone, Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
    timeout: Duration,
    host: String,
    failing: Arc<AtomicBool>,
}

impl Collector {
    fn new(options: &OtlpOptions) -> Result<Self, TelemetryError> {
        let broken = |reason: String| TelemetryError::Exporter(reason);
        let url = url::Url::parse(&options.endpoint)
            .map_err(|error| broken(format!("`{}` is no URL: {error}", options.endpoint)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(broken(format!(
                "`{}://` is not spoken, only http and https",
                url.scheme()
            )));
        }
        Ok(Self {
            client: tandem_connectors::http_client().map_err(broken)?,
            runtime: Handle::try_current().map_err(|error| broken(error.to_string()))?,
            timeout: options.timeout,
            host: url.host_str().unwrap_or_default().to_owned(),
            failing: Arc::default(),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = tokio::time::timeout(self.timeout, self.client.send_bytes(request)).await;
        sent.map_err(|_| format!("no answer within {} s", self.timeout.as_secs_f32()))?
            // The URL may hold a password.
            .map_err(|error| match error.downcast::<reqwest::Error>() {
                Ok(error) => error.without_url().into(),
                Err(other) => other,
            })
    }

    /// Says the first of several failures, and that it is over.
    fn tell(&self, result: &Result<Response<Bytes>, HttpError>) {
        let problem = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(chain(&**error)),
        };
        let outcome = if problem.is_some() { "failed" } else { "ok" };
        metrics::counter!("tandem_trace_exports_total", "outcome" => outcome).increment(1);
        let failed_before = self.failing.swap(problem.is_some(), Ordering::Relaxed);
        let collector = &self.host;
        match problem {
            Some(problem) if !failed_before => {
                tracing::warn!(%collector, problem, "traces cannot be delivered; the work goes on, and spans for which there is no room are dropped");
            }
            None if failed_before => tracing::info!(%collector, "traces are delivered again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sender = self.clone();
        let sending = self
            .runtime
            .spawn(async move { sender.send(request).await });
        // It is cancelled when the runtime has ended.
        let result = sending.await.unwrap_or_else(|error| Err(error.into()));
        self.tell(&result);
        result
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
