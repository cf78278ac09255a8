//! A collector of traces for tests: takes OTLP over HTTP as protobuf, and remembers the spans.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Long enough for any machine; a test ends as soon as the spans are there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span as the collector got it. Ids are lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedSpan {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
    /// 16 digits; empty for the root of a trace.
    pub parent_span_id: String,
    /// Its name.
    pub name: String,
    /// The `service.name` of the process that sent it.
    pub service: String,
    /// Its attributes and those of its process (these as `resource.…`), values as text.
    pub attributes: BTreeMap<String, String>,
    /// The spans that it names as its origin, as `trace_id-span_id`.
    pub links: Vec<String>,
    /// Whether it ended in an error.
    pub failed: bool,
}

/// A running collector. It ends when it is dropped.
pub struct OtlpReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Received>,
    changed: Notify,
}

#[derive(Default)]
struct Received {
    spans: Vec<ReceivedSpan>,
    headers: Vec<HeaderMap>,
    /// Answered instead of `200`, and nothing is kept.
    refusal: Option<StatusCode>,
    refused: usize,
}

impl OtlpReceiver {
    /// Starts one on a free port of this machine.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::<Shared>::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("serving goes on until the task is ended");
        });
        Self {
            address,
            shared,
            task,
        }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be: the root, without `/v1/traces`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far, in the order in which they came.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.received().spans.clone()
    }

    /// A header of the last request that was taken.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let received = self.shared.received();
        let value = received.headers.last()?.get(name)?;
        value.to_str().ok().map(ToOwned::to_owned)
    }

    /// Refuses requests with this status from now on, or takes them again.
    pub fn refuse(&self, status: Option<u16>) {
        let status = status.map(|code| StatusCode::from_u16(code).expect("a status of HTTP"));
        self.shared.received().refusal = status;
    }

    /// Waits until the spans so far are enough, and returns them.
    ///
    /// # Panics
    /// When they are not after a minute.
    pub async fn wait_for(&self, enough: impl Fn(&[ReceivedSpan]) -> bool) -> Vec<ReceivedSpan> {
        let waiting =
            self.until(|received| enough(&received.spans).then(|| received.spans.clone()));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(spans) => spans,
            Err(_elapsed) => panic!("the spans never came; these did: {:#?}", self.spans()),
        }
    }

    /// Waits until so many requests were refused.
    ///
    /// # Panics
    /// When they were not after a minute.
    pub async fn wait_for_refusals(&self, count: usize) {
        let waiting = self.until(|received| (received.refused >= count).then_some(()));
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("requests that are refused");
    }

    async fn until<T>(&self, look: impl Fn(&Received) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Listening begins before looking, so that nothing is missed in between.
            changed.as_mut().enable();
            if let Some(found) = look(&self.shared.received()) {
                return found;
            }
            changed.await;
        }
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn received(&self) -> MutexGuard<'_, Received> {
        // Whatever a panicking test has added is whole.
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, headers: HeaderMap, body: &[u8]) -> StatusCode {
        let Ok(request) = ExportTraceServiceRequest::decode(body) else {
            return StatusCode::BAD_REQUEST;
        };
        let mut received = self.received();
        if let Some(status) = received.refusal {
            received.refused += 1;
            return status;
        }
        received.headers.push(headers);
        received
            .spans
            .extend(request.resource_spans.into_iter().flat_map(spans_of));
        StatusCode::OK
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = shared.take(headers, &body);
    shared.changed.notify_waiters();
    status
}

fn spans_of(resource: ResourceSpans) -> Vec<ReceivedSpan> {
    let of_process = resource.resource.unwrap_or_default().attributes;
    let process: BTreeMap<String, String> = attributes("resource.", &of_process).collect();
    let service = process.get("resource.service.name").cloned();
    let service = service.unwrap_or_default();
    let spans = resource
        .scope_spans
        .into_iter()
        .flat_map(|scope| scope.spans);
    spans
        .map(|span| received(&service, &process, span))
        .collect()
}

pub(crate) fn received(
    service: &str,
    process: &BTreeMap<String, String>,
    span: Span,
) -> ReceivedSpan {
    /// `STATUS_CODE_ERROR` of the protocol.
    const ERROR: i32 = 2;
    let mut all = process.clone();
    all.extend(attributes("", &span.attributes));
    let links = span.links.iter();
    ReceivedSpan {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: hex(&span.parent_span_id),
        name: span.name,
        service: service.to_owned(),
        attributes: all,
        links: links
            .map(|link| format!("{}-{}", hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        failed: span.status.is_some_and(|status| status.code == ERROR),
    }
}

fn attributes<'a>(
    prefix: &'a str,
    pairs: &'a [KeyValue],
) -> impl Iterator<Item = (String, String)> + 'a {
    pairs.iter().map(move |pair| {
        let value = pair.value.as_ref().map(text).unwrap_or_default();
        (format!("{prefix}{}", pair.key), value)
    })
}

fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
