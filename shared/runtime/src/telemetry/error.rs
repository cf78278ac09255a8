//! Why logs, metrics or traces could not be set up.

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
    /// A variable of the environment that says how traces are exported cannot be understood.
    #[error("{variable}: {advice}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it, and what to write.
        advice: String,
    },
    /// The exporter of traces did not start.
    #[error("traces cannot be exported: {0}; correct OTEL_EXPORTER_OTLP_ENDPOINT, or unset it")]
    Exporter(String),
    /// A second set-up in one process.
    #[error("{0} were set up twice in this process; this is a defect of Tandem")]
    Twice(&'static str),
}
