//! Logs for people or for programs.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;

/// What is logged when `RUST_LOG` does not say: what an operator wants to see, and the warnings of others.
const FILTER_DEFAULT: &str = "warn,tandem=info,tandem_api=info,tandem_worker=info,tandem_scheduler=info,tandem_queue=info,tandem_runtime=info,tandem_connectors=info,tandem_store_sqlite=info,tandem_operator=info";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// Not a log format.
    #[error("`{0}` is not a log format; write `human` or `json`")]
    Format(String),
    /// Not a log filter.
    #[error(
        "`{filter}` is not a log filter: {reason}; write for example `info` or `warn,tandem_worker=debug`"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        reason: String,
    },
    /// A second set-up in one process.
    #[error("{0} were set up twice in this process; this is a defect of Tandem")]
    Twice(&'static str),
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

/// Starts logging to standard error. `filter` is the value of `RUST_LOG`, if it is set.
///
/// # Errors
/// [`TelemetryError`] when the filter is none, or logging was started before.
pub fn init_logs(format: LogFormat, filter: Option<&str>) -> Result<(), TelemetryError> {
    let subscriber: SubscriberBuilder<_, _, EnvFilter> = tracing_subscriber::fmt()
        .with_env_filter(parse_filter(filter)?)
        .with_ansi(std::io::stderr().is_terminal());
    let subscriber = subscriber.with_writer(std::io::stderr);
    match format {
        LogFormat::Human => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
    .map_err(|_| TelemetryError::Twice("logs"))
}

fn parse_filter(filter: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let filter = filter
        .filter(|text| !text.is_empty())
        .unwrap_or(FILTER_DEFAULT);
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| TelemetryError::Filter {
            filter: filter.to_owned(),
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_filter_is_one_and_a_wrong_one_is_refused_with_advice() {
        assert!(parse_filter(None).is_ok());
        assert!(parse_filter(Some("")).is_ok());
        let error = parse_filter(Some("tandem=loud")).expect_err("no such level");
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
