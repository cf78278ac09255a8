//! Jobs as steps of the traces that caused them.

use tandem_domain::{Clock, Disposition, ErrorCode, RetryPolicy};
use tandem_queue::{Handled, outcome_for};
use tandem_store::{Failure, JobClass, JobStore, NewJob, Trigger};
use tandem_testkit::{HeardSpans, ReceivedSpan};
use tracing::info_span;

use crate::support::{World, all_done, done, handler, idle_handler, reconcile};

const STORED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The span of one job that this trigger caused, with [`STORED`] beside it, after it is done.
async fn span_of_job(trigger: Trigger) -> ReceivedSpan {
    let heard = HeardSpans::listen();
    let world = World::new();
    let now = world.clock.now();
    let job = NewJob {
        trigger,
        traceparent: Some(STORED.to_owned()),
        ..world.new_job(reconcile("orders", 7), JobClass::Interactive, now)
    };
    let id = job.id;
    let stored = world.store.enqueue(vec![job], now).await;
    assert_eq!(
        stored.expect("the store in memory does not fail here"),
        [id]
    );
    let started = world.start(handler(|_, _| async {
        info_span!(target: tandem_trace::TARGET, "inside").in_scope(|| {});
        done()
    }));
    world.store.until(all_done).await;
    started.stop().await;
    let span = heard.only("job reconcile");
    assert_eq!(heard.only("inside").parent_span_id, span.span_id);
    assert_eq!(span.attributes["tandem.job"], id.to_string());
    assert_eq!(span.attributes["tandem.sync"], "orders");
    assert_eq!(span.attributes["tandem.outcome"], "done");
    span
}

#[tokio::test(start_paused = true)]
async fn a_job_continues_the_trace_of_the_webhook_that_caused_it() {
    let span = span_of_job(Trigger::Webhook).await;
    assert_eq!(span.trace_id, TRACE);
    assert_eq!(span.parent_span_id, "00f067aa0ba902b7");
    assert!(!span.failed);
}

#[tokio::test(start_paused = true)]
async fn what_a_poll_found_has_a_trace_of_its_own_that_names_the_poll() {
    let span = span_of_job(Trigger::Poll).await;
    assert_ne!(span.trace_id, TRACE);
    assert_eq!(span.parent_span_id, "");
    assert_eq!(span.links, [format!("{TRACE}-00f067aa0ba902b7")]);
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_trace_begins_one() {
    let heard = HeardSpans::listen();
    let world = World::new();
    world.enqueue([reconcile("orders", 7)]).await;
    let started = world.start(idle_handler());
    world.store.until(all_done).await;
    started.stop().await;
    let span = heard.only("job reconcile");
    assert_eq!(span.parent_span_id, "");
    assert_eq!(span.attributes["tandem.trigger"], "webhook");
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_an_error_in_the_trace_and_the_next_one_a_step_of_its_own() {
    let heard = HeardSpans::listen();
    let world = World::new();
    world.enqueue([reconcile("orders", 7)]).await;
    let clock = world.clock.clone();
    let started = world.start(handler(move |claimed, _| {
        let now = clock.now();
        async move {
            if claimed.job.attempt > 1 {
                return done();
            }
            let failure = Failure {
                code: ErrorCode::Unreachable,
                chain: vec!["no route".to_owned()],
            };
            let policy = RetryPolicy::default();
            Handled::Outcome(outcome_for(Disposition::Retry, 1, &policy, failure, now, 0))
        }
    }));
    world.store.until(all_done).await;
    started.stop().await;
    let ends: Vec<(String, bool)> = heard
        .spans()
        .into_iter()
        .map(|span| (span.attributes["tandem.outcome"].clone(), span.failed))
        .collect();
    assert_eq!(
        ends,
        [("retry".to_owned(), true), ("done".to_owned(), false)]
    );
}
