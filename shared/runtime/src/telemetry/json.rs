//! Log lines as JSON objects, with the trace that they belong to at the top, where log stores look for it.

use std::fmt;

use serde::Deserialize;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::{Extensions, LookupSpan};

/// The usual JSON lines, and `trace_id` beside `message` when one of the spans around the event has it.
pub(super) struct JsonLines(Format<Json>);

impl Default for JsonLines {
    fn default() -> Self {
        Self(Format::default().json().flatten_event(true))
    }
}

/// What is looked for in the fields of a span.
#[derive(Deserialize)]
struct Ids {
    trace_id: String,
}

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let mut spans = context.event_scope().into_iter().flatten();
        let trace = spans.find_map(|span| trace_of(&span.extensions()));
        match (trace, line.strip_suffix("}\n")) {
            (Some(trace), Some(object)) => {
                // Ids are hexadecimal digits: nothing to escape.
                writeln!(writer, "{object},\"trace_id\":\"{trace}\"}}")
            }
            _ => writer.write_str(&line),
        }
    }
}

fn trace_of(extensions: &Extensions<'_>) -> Option<String> {
    let fields = extensions.get::<FormattedFields<JsonFields>>()?;
    let ids: Ids = serde_json::from_str(&fields.fields).ok()?;
    let plain = ids.trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then_some(ids.trace_id)
}
