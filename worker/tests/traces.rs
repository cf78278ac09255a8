//! What of the worker's work shows in traces and metrics.

#[expect(dead_code, reason = "the simulation uses the rest of it")]
mod world;

use tandem_domain::Side;
use tandem_runtime::telemetry::init_metrics;
use tandem_store::{JobFilter, Trigger};
use tandem_testkit::HeardSpans;
use tandem_trace::{TARGET, context_of};
use tracing::{Instrument, info_span};
use world::system::Talents;
use world::{World, policy};

const TALENTS: Talents = Talents {
    external_reference: false,
    idempotent_create: true,
    answers_with_record: true,
    changed_since: true,
};

#[tokio::test]
async fn plans_and_writes_are_steps_of_the_job_and_the_lag_is_measured() {
    let metrics = init_metrics().expect("the only set-up of this test process");
    let heard = HeardSpans::listen();
    let world = World::before_first_sync(1, policy(), TALENTS, TALENTS).await;
    world
        .a
        .user_creates(&[("name", "Ada"), ("email", "ada@x.example")]);
    let first_sync = info_span!(target: TARGET, "first sync");
    let root = context_of(&first_sync).expect("traces are on");
    let root = format!("{:016x}", root.span_id);
    world.first_sync().instrument(first_sync).await;

    let write = heard.only("create b things");
    assert_eq!(write.parent_span_id, root);
    assert_eq!(write.attributes["tandem.side"], Side::B.as_str());
    assert!(write.attributes["tandem.intent"].starts_with("txn_"));
    let spans = heard.spans();
    let planned = spans.iter().filter(|span| span.name == "plan");
    let writes: Vec<&str> = planned
        .map(|span| {
            assert_eq!(span.parent_span_id, root);
            span.attributes["tandem.writes"].as_str()
        })
        .collect();
    assert!(writes.contains(&"1"), "{writes:?}");

    let filter = JobFilter {
        limit: 10,
        ..JobFilter::default()
    };
    let jobs = world.store.jobs(&filter).await.expect("asked");
    let mut found = jobs.iter().filter(|job| job.trigger == Trigger::Backfill);
    let found = found.next().expect("the first sync found a record");
    let stored = found.traceparent.as_deref().expect("it has its origin");
    assert!(stored.contains(&root), "{stored}");
    let text = metrics.render();
    let lag = "tandem_sync_lag_seconds_count{sync=\"pairs\",class=\"backfill\"} 1";
    assert!(text.contains(lag), "{text}");
}
