//! Counters, gauges and histograms in the Prometheus text form.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{TelemetryError, describe::describe};

/// How often histograms are emptied into their buckets. Until then each recorded value takes up memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Upper edges for what takes milliseconds to minutes, in seconds.
const SECONDS_BUCKETS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

/// From an event to the write that it caused.
const LAG: &str = "tandem_sync_lag_seconds";
/// Upper edges for the lag, which may be hours, in seconds.
const LAG_BUCKETS: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0,
];

/// Renders what has been counted in this process.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// The metrics in the text form that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    /// Keeps what was recorded small until `shutdown`, whether anybody asks for it or not: a histogram holds
    /// every single value until it is emptied, and whoever sends requests decides how many there are.
    pub async fn keep_up(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => self.0.run_upkeep(),
            }
        }
    }
}

/// Starts counting. Every histogram whose name ends in `_seconds` gets buckets for durations, and
/// that of the lag gets wider ones.
///
/// # Errors
/// [`TelemetryError::Twice`] when counting was started before.
pub fn init_metrics() -> Result<MetricsHandle, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        // The list of buckets is a constant and not empty.
        .expect("there are buckets")
        .set_buckets_for_metric(Matcher::Full(LAG.to_owned()), &LAG_BUCKETS)
        .expect("there are buckets")
        .install_recorder()
        .map_err(|_| TelemetryError::Twice("metrics"))
        .map(|handle| {
            describe();
            MetricsHandle(handle)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_buckets_for_durations() {
        let handle = init_metrics().expect("the only set-up of this test process");
        metrics::counter!("tandem_test_total").increment(3);
        metrics::histogram!("tandem_test_seconds").record(0.2);
        metrics::histogram!(LAG).record(4_000.0);
        let text = handle.render();
        assert!(text.contains("tandem_test_total 3"), "{text}");
        assert!(
            text.contains("# HELP tandem_sync_lag_seconds From the making of a job"),
            "{text}"
        );
        assert!(
            text.contains("tandem_test_seconds_bucket{le=\"0.25\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("tandem_sync_lag_seconds_bucket{le=\"21600\"} 1"),
            "{text}"
        );
    }
}
