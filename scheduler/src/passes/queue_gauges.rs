//! Shows how full the queue is, for dashboards, alerts and autoscaling. It changes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use metrics::gauge;
use tandem_domain::Timestamp;
use tandem_store::{JobClass, JobCounts, Store, StoreError};

use super::{Pass, PassReport};

/// See the module.
pub struct QueueGauges {
    store: Arc<dyn Store>,
}

impl QueueGauges {
    /// The pass over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Pass for QueueGauges {
    fn name(&self) -> &'static str {
        "queue_gauges"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        show(&self.store.job_counts(None, now).await?, now);
        Ok(PassReport::default())
    }
}

fn show(counts: &JobCounts, now: Timestamp) {
    for (class, waiting) in JobClass::ALL.into_iter().zip(counts.available_by_class) {
        gauge!("tandem_queue_jobs", "state" => "available", "class" => class.as_str())
            .set(waiting as f64);
    }
    // Whatever their class: an operator wants to know how many there are.
    for (state, jobs) in [("running", counts.running), ("dead", counts.dead)] {
        gauge!("tandem_queue_jobs", "state" => state, "class" => "all").set(jobs as f64);
    }
    let age = counts
        .oldest_due
        .map_or(0.0, |due| now.since(due).as_secs_f64());
    gauge!("tandem_queue_oldest_due_seconds").set(age);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::support::{Fixture, poll_job};
    use super::*;

    #[tokio::test]
    async fn the_queue_is_shown_by_class_with_the_age_of_the_oldest_due_job() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let fixture = Fixture::open().await;
        fixture.enqueue(poll_job("customers")).await;
        let pass = QueueGauges::new(fixture.store.shared());
        let later = fixture.now().plus(Duration::from_secs(7));
        pass.run(later).await.expect("it runs");
        let text = handle.render();
        for line in [
            "tandem_queue_jobs{state=\"available\",class=\"poll\"} 1",
            "tandem_queue_jobs{state=\"running\",class=\"all\"} 0",
            "tandem_queue_oldest_due_seconds 7",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
