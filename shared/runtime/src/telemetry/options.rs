//! What is logged and where traces go, as the environment says it. The variables are those of the
//! OpenTelemetry specification (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! How spans are batched (`OTEL_BSP_*`) is read by the SDK itself.

use std::time::Duration;

use super::headers::pairs;
use super::{LogFormat, TelemetryError};

/// How long a collector may take for one batch.
const TIMEOUT: Duration = Duration::from_secs(10);

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Reads an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a process speaks about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryOptions {
    /// How log lines look.
    pub format: LogFormat,
    /// What is logged: the value of `RUST_LOG`; `None` for the default.
    pub filter: Option<String>,
    /// Who speaks.
    pub service: Service,
    /// Where traces go; `None` for nowhere.
    pub otlp: Option<OtlpOptions>,
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `service.name`, for example `tandem-api`.
    pub name: String,
    /// `service.instance.id`: which of several processes.
    pub instance: String,
    /// More to say about it, from `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(String, String)>,
}

/// A collector that takes OTLP over HTTP.
#[derive(Clone, PartialEq)]
pub struct OtlpOptions {
    /// Where traces are posted, path included.
    pub endpoint: String,
    /// Sent with every request; they may hold credentials.
    pub headers: Vec<(String, String)>,
    /// How long one batch may take.
    pub timeout: Duration,
    /// Which traces are recorded.
    pub sampling: Sampling,
}

/// Headers hold credentials, so only their names are shown.
impl std::fmt::Debug for OtlpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("OtlpOptions")
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .field("sampling", &self.sampling)
            .finish_non_exhaustive()
    }
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether the decision of the step before holds; if not, each step decides by the ratio.
    pub follows_parent: bool,
    /// The part of new traces that is recorded, from 0 to 1.
    pub ratio: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            follows_parent: true,
            ratio: 1.0,
        }
    }
}

impl TelemetryOptions {
    /// What the environment says, for a process that is called `service` unless it says otherwise.
    ///
    /// # Errors
    /// [`TelemetryError::Variable`] for what cannot be understood.
    pub fn from_environment(
        format: LogFormat,
        service: &str,
        instance: &str,
        environment: Environment<'_>,
    ) -> Result<Self, TelemetryError> {
        // An empty variable counts as one that is not set, says the specification.
        let read = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut attributes = match read("OTEL_RESOURCE_ATTRIBUTES") {
            Some(text) => pairs("OTEL_RESOURCE_ATTRIBUTES", &text)?,
            None => Vec::new(),
        };
        let named = attributes
            .iter()
            .position(|(name, _)| name == "service.name")
            .map(|place| attributes.remove(place).1);
        let name = read("OTEL_SERVICE_NAME").or(named);
        Ok(Self {
            format,
            filter: read("RUST_LOG"),
            service: Service {
                name: name.unwrap_or_else(|| service.to_owned()),
                instance: instance.to_owned(),
                attributes,
            },
            otlp: otlp(&read)?,
        })
    }
}

fn otlp(read: Environment<'_>) -> Result<Option<OtlpOptions>, TelemetryError> {
    let Some(endpoint) = endpoint(read) else {
        return Ok(None);
    };
    if read("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    match read("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => {
            return Err(wrong(
                "OTEL_TRACES_EXPORTER",
                format!("`{other}` is not available; write `otlp` or `none`"),
            ));
        }
    }
    check_protocol(read)?;
    Ok(Some(OtlpOptions {
        endpoint,
        headers: headers(read)?,
        timeout: timeout(read)?,
        sampling: sampling(read)?,
    }))
}

/// The variable for traces is taken as it is; the one for all signals is the root of their paths.
fn endpoint(read: Environment<'_>) -> Option<String> {
    let of_all = || read(ENDPOINT).map(|root| format!("{}/v1/traces", root.trim_end_matches('/')));
    read(TRACES_ENDPOINT).or_else(of_all)
}

fn check_protocol(read: Environment<'_>) -> Result<(), TelemetryError> {
    let of_traces = read("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
    match of_traces
        .or_else(|| read("OTEL_EXPORTER_OTLP_PROTOCOL"))
        .as_deref()
    {
        None | Some("http/protobuf") => Ok(()),
        Some(other) => Err(wrong(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            format!(
                "`{other}` is not spoken; write `http/protobuf`, with the collector's port for it (usually 4318)"
            ),
        )),
    }
}

fn headers(read: Environment<'_>) -> Result<Vec<(String, String)>, TelemetryError> {
    let (name, text) = match read("OTEL_EXPORTER_OTLP_TRACES_HEADERS") {
        Some(text) => ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", Some(text)),
        None => (
            "OTEL_EXPORTER_OTLP_HEADERS",
            read("OTEL_EXPORTER_OTLP_HEADERS"),
        ),
    };
    text.map_or(Ok(Vec::new()), |text| pairs(name, &text))
}

fn timeout(read: Environment<'_>) -> Result<Duration, TelemetryError> {
    let of_traces = read("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT");
    let Some(text) = of_traces.or_else(|| read("OTEL_EXPORTER_OTLP_TIMEOUT")) else {
        return Ok(TIMEOUT);
    };
    text.parse().map(Duration::from_millis).map_err(|_| {
        wrong(
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            format!("`{text}` is not a number of milliseconds; write for example 10000"),
        )
    })
}

fn sampling(read: Environment<'_>) -> Result<Sampling, TelemetryError> {
    let Some(sampler) = read(SAMPLER) else {
        return Ok(Sampling::default());
    };
    let (follows_parent, kind) = match sampler.strip_prefix("parentbased_") {
        Some(kind) => (true, kind),
        None => (false, sampler.as_str()),
    };
    let ratio = match kind {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => ratio(read)?,
        _ => {
            return Err(wrong(
                SAMPLER,
                format!(
                    "`{sampler}` is not available; write `parentbased_always_on`, `parentbased_traceidratio`, \
                     `parentbased_always_off`, or one of these without `parentbased_`"
                ),
            ));
        }
    };
    Ok(Sampling {
        follows_parent,
        ratio,
    })
}

fn ratio(read: Environment<'_>) -> Result<f64, TelemetryError> {
    let Some(text) = read(SAMPLER_ARG) else {
        return Ok(1.0);
    };
    let ratio = text.parse::<f64>().ok();
    ratio
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| {
            wrong(
                SAMPLER_ARG,
                format!("`{text}` is not a part of all traces; write a number from 0 to 1"),
            )
        })
}

fn wrong(variable: &'static str, advice: String) -> TelemetryError {
    TelemetryError::Variable { variable, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<TelemetryOptions, TelemetryError> {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        TelemetryOptions::from_environment(LogFormat::Json, "tandem-worker", "w1", &environment)
    }

    fn otlp_of(variables: &[(&str, &str)]) -> OtlpOptions {
        let options = read(variables).expect("it can be understood");
        options.otlp.expect("a collector is named")
    }

    #[test]
    fn without_an_endpoint_nothing_is_exported() {
        for variables in [
            &[][..],
            &[(ENDPOINT, "")],
            &[
                (ENDPOINT, "http://c:4318"),
                ("OTEL_TRACES_EXPORTER", "none"),
            ],
            &[(ENDPOINT, "http://c:4318"), ("OTEL_SDK_DISABLED", "true")],
        ] {
            let options = read(variables).expect("it can be understood");
            assert_eq!(options.otlp, None, "{variables:?}");
            assert_eq!(options.service.name, "tandem-worker");
        }
    }

    #[test]
    fn the_endpoint_of_traces_is_taken_as_it_is_and_the_common_one_is_a_root() {
        let common = otlp_of(&[(ENDPOINT, "http://c:4318/")]);
        assert_eq!(common.endpoint, "http://c:4318/v1/traces");
        let own = otlp_of(&[
            (ENDPOINT, "http://c:4318"),
            (TRACES_ENDPOINT, "http://t/in"),
        ]);
        assert_eq!(own.endpoint, "http://t/in");
        assert_eq!(own.sampling, Sampling::default());
        assert_eq!(own.timeout, Duration::from_secs(10));
    }

    #[test]
    fn the_standard_variables_are_honoured() {
        let options = read(&[
            (ENDPOINT, "http://c:4318"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Basic%20YTpi, x-tenant=one",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=books,deployment.environment.name=test",
            ),
            (SAMPLER, "traceidratio"),
            (SAMPLER_ARG, "0.25"),
            ("RUST_LOG", "debug"),
        ])
        .expect("it can be understood");
        assert_eq!(options.service.name, "books");
        assert_eq!(
            options.service.attributes,
            [("deployment.environment.name".to_owned(), "test".to_owned())]
        );
        assert_eq!(options.filter.as_deref(), Some("debug"));
        let otlp = options.otlp.expect("a collector is named");
        assert_eq!(otlp.timeout, Duration::from_millis(2500));
        assert_eq!(
            otlp.sampling,
            Sampling {
                follows_parent: false,
                ratio: 0.25
            }
        );
        assert_eq!(otlp.headers[0].1, "Basic YTpi");
        assert!(!format!("{otlp:?}").contains("YTpi"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_name_and_with_advice() {
        for (variable, value) in [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "no value"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
            (SAMPLER, "xray"),
        ] {
            let error = read(&[(ENDPOINT, "http://c:4318"), (variable, value)])
                .expect_err("it cannot be understood");
            assert!(
                error.to_string().starts_with(&format!("{variable}: ")),
                "{error}"
            );
        }
        let ratio = [
            (ENDPOINT, "http://c:4318"),
            (SAMPLER, "parentbased_traceidratio"),
            (SAMPLER_ARG, "2"),
        ];
        assert_eq!(
            read(&ratio).expect_err("above 1").to_string(),
            "OTEL_TRACES_SAMPLER_ARG: `2` is not a part of all traces; write a number from 0 to 1"
        );
    }
}
