//! The same verb by many at the same moment.

use std::collections::HashSet;
use std::time::Duration;

use tandem_domain::JobId;
use tandem_store::{
    ClaimRequest, DeliveryOutcome, EventFilter, JobClass, JobFilter, JobKind, NewJob,
};
use tandem_testkit::Make;

use super::Fleet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_identical_webhooks_at_two_processes_are_one_event_and_one_job() {
    const WEBHOOKS: usize = 100;
    let fleet = Fleet::of(2).await;
    let outcomes = fleet
        .all_at_once(WEBHOOKS, |_, store, make| async move {
            let delivery = make.delivery(vec![make.event("key-1", "a1")]);
            let stored = store.record_deliveries(vec![delivery], make.now()).await;
            stored.expect("record_deliveries").remove(0)
        })
        .await;
    let sum = |of: fn(&DeliveryOutcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    assert_eq!(sum(|one| one.new_events), 1);
    assert_eq!(sum(|one| one.duplicates), WEBHOOKS - 1);
    let store = fleet.store(0);
    let everything = EventFilter {
        limit: 100,
        ..EventFilter::default()
    };
    assert_eq!(store.events(&everything).await.expect("events").len(), 1);
    let jobs = store.jobs(&all_jobs()).await.expect("jobs");
    assert_eq!((jobs.len(), jobs[0].merged), (1, 0));
    let duplicates = store.duplicate_events().await.expect("duplicate_events");
    assert_eq!(duplicates, 99);
}

/// Batches that share keys and lanes, in whatever order: each waits for the other, and neither fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_of_webhooks_that_overlap_store_each_event_once() {
    const BATCHES: usize = 40;
    const KEYS: usize = 30;
    let fleet = Fleet::of(2).await;
    let outcomes = fleet
        .all_at_once(BATCHES, |turn, store, make| async move {
            let mut events: Vec<_> = (0..KEYS)
                .map(|key| make.event(&format!("key-{key}"), &format!("a{}", key % 7)))
                .collect();
            events.rotate_left(turn * 7 % KEYS);
            let deliveries = events.into_iter().map(|event| make.delivery(vec![event]));
            let stored = store.record_deliveries(deliveries.collect(), make.now());
            stored.await.expect("record_deliveries")
        })
        .await;
    let new: usize = outcomes.iter().flatten().map(|one| one.new_events).sum();
    assert_eq!(new, KEYS);
    let jobs = fleet.store(0).jobs(&all_jobs()).await.expect("jobs");
    assert_eq!(jobs.len(), 7);
    let causes: u32 = jobs.iter().map(|job| 1 + job.merged).sum();
    assert_eq!(causes, 30);
}

fn all_jobs() -> JobFilter {
    JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    }
}

/// Jobs of four syncs and three classes, a lane each.
fn jobs_of_all_kinds(make: &Make, count: usize) -> Vec<NewJob> {
    (0..count)
        .map(|number| NewJob {
            class: JobClass::ALL[number % 3],
            ..make.job_of(JobKind::Reconcile {
                sync: Make::sync(["one", "two", "three", "four"][number % 4]),
                side: tandem_domain::Side::A,
                record: tandem_domain::RecordId::new(format!("a{number}")),
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_asks_gets_what_it_asks_for_while_there_are_free_jobs() {
    const CLAIMERS: usize = 64;
    const EACH: usize = 10;
    let fleet = Fleet::of(4).await;
    let jobs = jobs_of_all_kinds(&fleet.make, 1_000);
    let enqueued = fleet.store(0).enqueue(jobs, fleet.make.now()).await;
    assert_eq!(enqueued.expect("enqueue").len(), 1_000);
    let claims = fleet
        .all_at_once(CLAIMERS, |_, store, make| async move {
            let request = ClaimRequest {
                shares: [7, 2, 1],
                ..make.claim(EACH)
            };
            store.claim(request).await.expect("claim")
        })
        .await;
    for claim in &claims {
        assert_eq!(claim.len(), EACH);
    }
    let distinct: HashSet<JobId> = claims.iter().flatten().map(|one| one.job.id).collect();
    assert_eq!(distinct.len(), CLAIMERS * EACH);
    // A class that had jobs for all shares gave each claim its share.
    let least = claims
        .iter()
        .flatten()
        .filter(|one| one.job.class == JobClass::Backfill);
    assert_eq!(least.count(), CLAIMERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_rescuers_one_rescues_each_job() {
    const JOBS: usize = 200;
    let fleet = Fleet::of(2).await;
    let jobs = jobs_of_all_kinds(&fleet.make, JOBS);
    let (store, make) = (fleet.store(0), &fleet.make);
    store.enqueue(jobs, make.now()).await.expect("enqueue");
    let claimed = store.claim(make.claim(JOBS)).await.expect("claim");
    assert_eq!(claimed.len(), JOBS);
    make.clock.advance(Duration::from_secs(61));
    let rescued = fleet
        .all_at_once(16, |_, store, make| async move {
            let rescued = store.rescue_expired(make.now(), JOBS).await;
            rescued.expect("rescue_expired").len()
        })
        .await;
    assert_eq!(rescued.iter().sum::<usize>(), JOBS);
    let counts = store.job_counts(None, make.now()).await.expect("counts");
    assert_eq!((counts.available, counts.running), (200, 0));
}
