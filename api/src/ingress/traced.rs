//! The trace that a webhook begins, or continues when its sender named one.

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tandem_domain::Entropy;
use tandem_trace::{TARGET, TraceContext};
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

const TRACEPARENT: &str = "traceparent";

/// The spans of one request to a known address.
pub struct Arriving {
    /// The step of the trace; nothing where no traces are exported.
    traced: Span,
    /// Names connection and trace in all that is logged under it.
    logged: Span,
}

impl Arriving {
    /// Addresses that do not exist get no spans: whoever tries them out should not fill the traces.
    pub fn begin(connection: Option<&str>, parts: &Parts) -> Self {
        let Some(connection) = connection else {
            return Self {
                traced: Span::none(),
                logged: Span::none(),
            };
        };
        let sender = of_sender(&parts.headers);
        let traced = info_span!(
            target: TARGET,
            parent: None,
            "webhook",
            otel.name = "POST /hooks/{connection}",
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = parts.method.as_str(),
            http.route = "/hooks/{connection}",
            http.response.status_code = Empty,
            tandem.connection = connection,
            tandem.outcome = Empty,
        );
        if let Some(sender) = sender {
            tandem_trace::continue_trace(&traced, sender);
        }
        let context = tandem_trace::context_of(&traced).or(sender);
        let trace_id = context.map(|context| context.trace_hex());
        let logged = info_span!("webhook", connection, trace_id);
        Self { traced, logged }
    }

    /// Does the work of the request under its spans.
    pub async fn watch<F: Future>(&self, work: F) -> F::Output {
        let traced = work.instrument(self.traced.clone());
        traced.instrument(self.logged.clone()).await
    }

    /// Says in the trace how it was answered.
    pub fn answered(&self, outcome: &'static str, status: StatusCode) {
        self.traced.record("tandem.outcome", outcome);
        let code = u64::from(status.as_u16());
        self.traced.record("http.response.status_code", code);
        if status.is_server_error() {
            self.traced.record("otel.status_code", "ERROR");
        }
    }
}

/// The wait for the transaction that the delivery is stored in.
pub fn commit() -> Span {
    info_span!(target: TARGET, "commit")
}

/// What is stored with a delivery and its jobs: the context of the request's own span, or where no traces
/// are exported that of the sender, or else a new one, so that the logs of all processes name one trace.
pub fn context_to_store(headers: &HeaderMap, entropy: &dyn Entropy) -> TraceContext {
    let known = tandem_trace::current().or_else(|| of_sender(headers));
    known.unwrap_or_else(|| {
        let new = TraceContext::new(entropy);
        Span::current().record("trace_id", new.trace_hex());
        new
    })
}

fn of_sender(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Entropy for Sevens {
        fn next_u64(&self) -> u64 {
            0x7777_7777_7777_7777
        }
    }

    fn stored_for(traceparent: &'static str) -> String {
        let value = http::HeaderValue::from_static(traceparent);
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(TRACEPARENT), value)]);
        context_to_store(&headers, &Sevens).to_string()
    }

    #[test]
    fn without_traces_a_valid_context_of_the_sender_is_stored_as_it_is() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(stored_for(given), given);
    }

    #[test]
    fn an_invalid_trace_context_is_replaced_by_a_new_one() {
        for bad in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "",
        ] {
            assert_eq!(
                stored_for(bad),
                "00-77777777777777777777777777777777-7777777777777777-01",
                "{bad}"
            );
        }
    }
}
