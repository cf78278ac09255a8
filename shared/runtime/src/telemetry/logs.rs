//! Logs for people or for programs.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use super::TelemetryError;
use super::json::JsonLines;
use super::one_line::OneLine;

/// What is logged when `RUST_LOG` does not say: what an operator wants to see, and the warnings of others.
const FILTER_DEFAULT: &str = "warn,tandem=info,tandem_api=info,tandem_worker=info,tandem_scheduler=info,\
    tandem_queue=info,tandem_fleet=info,tandem_rate_limits=info,tandem_runtime=info,tandem_connectors=info,\
    tandem_store_postgres=info,tandem_store_sqlite=info,tandem_operator=info";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;
    fn from_str(word: &str) -> Result<Self, TelemetryError> {
        match word {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::Format(word.to_owned())),
        }
    }
}

/// The layer that writes log lines to `writer`.
pub(super) fn layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let in_colour = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(in_colour)
        .with_writer(OneLine::new(writer, format, in_colour));
    match format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines::default())
            .boxed(),
    }
}

/// What is logged. Spans of traces never are: they have a layer of their own.
pub(super) fn filter(text: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let text = text
        .filter(|text| !text.is_empty())
        .unwrap_or(FILTER_DEFAULT);
    let wrong = |reason: String| TelemetryError::Filter {
        filter: text.to_owned(),
        reason,
    };
    let filter = EnvFilter::builder()
        .parse(text)
        .map_err(|error| wrong(error.to_string()))?;
    let no_traces = format!("{}=off", tandem_trace::TARGET)
        .parse()
        .map_err(|error| wrong(format!("{error}")))?;
    Ok(filter.add_directive(no_traces))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::info_span;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut all = self.0.lock().expect("no test panics while it writes");
            all.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by some work, as text.
    fn text(format: LogFormat, rust_log: Option<&str>, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry()
            .with(filter(rust_log).expect("a filter"))
            .with(layer(format, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let bytes = lines.0.lock().expect("all is written").clone();
        String::from_utf8(bytes).expect("log lines are UTF-8")
    }

    /// What is logged by some work, as JSON.
    fn logged(rust_log: Option<&str>, work: impl FnOnce()) -> Vec<serde_json::Value> {
        text(LogFormat::Json, rust_log, work)
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect()
    }

    #[test]
    fn a_value_from_outside_forges_no_line_of_the_log_and_turns_none_around() {
        const HOSTILE: &str = "x\n2026-01-01T00:00:00Z  WARN forged\u{202e}\u{2028}\u{9b}";
        let work = || tracing::warn!(record = %HOSTILE, "{HOSTILE}");
        let human = text(LogFormat::Human, None, work);
        assert_eq!(human.lines().count(), 1, "{human}");
        let whole = human.trim_end();
        assert!(!whole.contains(tandem_domain::line::is_unsafe), "{human:?}");
        let json = logged(None, work);
        assert_eq!((json.len(), &json[0]["record"]), (1, &HOSTILE.into()));
        let json = text(LogFormat::Json, None, work);
        assert!(
            !json.trim_end().contains(tandem_domain::line::is_unsafe),
            "{json:?}"
        );
    }

    #[test]
    fn the_lines_of_a_job_carry_its_trace_at_the_top() {
        let lines = logged(None, || {
            let job = info_span!(target: "tandem_queue", "job", job = "job_1", trace_id = "0af7");
            let inner = info_span!(target: "tandem_worker", parent: &job, "page", number = 3);
            job.in_scope(|| tracing::warn!(attempt = 2, "the job is tried again"));
            inner.in_scope(|| tracing::warn!("a page is missing"));
            tracing::warn!("of no trace");
        });
        assert_eq!(lines[0]["trace_id"], "0af7");
        assert_eq!(lines[0]["message"], "the job is tried again");
        assert_eq!(lines[0]["attempt"], 2);
        assert_eq!(lines[0]["span"]["job"], "job_1");
        assert_eq!(lines[1]["trace_id"], "0af7");
        assert!(lines[2].get("trace_id").is_none());
    }

    #[test]
    fn spans_of_traces_are_in_no_log_however_much_is_asked_for() {
        for rust_log in ["trace", "tandem_trace=trace"] {
            logged(Some(rust_log), || {
                let span = info_span!(target: tandem_trace::TARGET, "job");
                assert!(span.is_disabled(), "{rust_log}");
            });
        }
    }

    #[test]
    fn the_default_filter_is_one_and_a_wrong_one_is_refused_with_advice() {
        assert!(filter(None).is_ok());
        assert!(filter(Some("")).is_ok());
        let error = filter(Some("tandem=loud")).expect_err("no such level");
        assert!(
            error
                .to_string()
                .starts_with("`tandem=loud` is not a log filter: "),
            "{error}"
        );
    }

    #[test]
    fn a_log_format_is_human_or_json() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        let error = "xml".parse::<LogFormat>().expect_err("no such format");
        assert_eq!(
            error.to_string(),
            "`xml` is not a log format; write `human` or `json`"
        );
    }
}
