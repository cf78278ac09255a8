//! Jobs that cannot run now wait without burning attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tandem_domain::{Clock, ConnectionName, Disposition, ErrorCode, RetryPolicy, Timestamp};
use tandem_queue::{
    BreakerConfig, BreakerState, Breakers, Gates, Handled, JobHandler, SyncLimits, outcome_for,
};
use tandem_store::{Failure, JobState};
use tokio::time::Instant;

use crate::support::{TokioClock, World, all_done, done, handler, idle_handler, reconcile, sync};

fn crm() -> ConnectionName {
    "crm".parse().expect("a valid name")
}

fn breakers_of(world: &World) -> Arc<Breakers> {
    let breakers = Breakers::new(BreakerConfig::default(), Arc::clone(&world.entropy) as _);
    breakers.assign(sync("deals"), vec![crm()]);
    Arc::new(breakers)
}

/// A handler that calls a system which is up or down, and tells the breaker.
fn calling(
    up: &Arc<AtomicBool>,
    calls_while_down: &Arc<AtomicUsize>,
    breakers: &Arc<Breakers>,
    clock: &Arc<TokioClock>,
) -> Arc<dyn JobHandler> {
    let (up, calls, breakers, clock) = (
        Arc::clone(up),
        Arc::clone(calls_while_down),
        Arc::clone(breakers),
        Arc::clone(clock),
    );
    handler(move |claimed, _| {
        let now = clock.now();
        let handled = if up.load(Ordering::SeqCst) {
            breakers.succeeded(&crm(), now);
            done()
        } else {
            calls.fetch_add(1, Ordering::SeqCst);
            breakers.failed(&crm(), ErrorCode::Unreachable, now);
            let wait = breakers.open_until(&crm(), now);
            Handled::Outcome(down(claimed.job.attempt, wait, now))
        };
        std::future::ready(handled)
    })
}

fn down(attempt: u32, wait: Option<Timestamp>, now: Timestamp) -> tandem_store::JobOutcome {
    let disposition = wait.map_or(Disposition::Retry, |until| {
        Disposition::RetryAfter(until.since(now))
    });
    let failure = Failure {
        code: ErrorCode::Unreachable,
        chain: vec!["connection refused".to_owned()],
    };
    outcome_for(
        disposition,
        attempt,
        &RetryPolicy::default(),
        failure,
        now,
        0,
    )
}

#[tokio::test(start_paused = true)]
async fn while_a_system_is_down_its_jobs_wait_and_then_resume_by_themselves() {
    let mut world = World::new();
    let breakers = breakers_of(&world);
    world.gate = Arc::clone(&breakers) as _;
    let up = Arc::new(AtomicBool::new(false));
    let calls_while_down = Arc::new(AtomicUsize::new(0));
    let runner = world.start(calling(&up, &calls_while_down, &breakers, &world.clock));
    world
        .enqueue_and_ring((0..40).map(|number| reconcile("deals", number)))
        .await;
    // Ten minutes down: far longer than all attempts would last.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let calls = calls_while_down.load(Ordering::SeqCst);
    // The first eight went out together; then one probe each time that the breaker reopened.
    assert!((8..=8 + 14).contains(&calls), "{calls} calls");
    up.store(true, Ordering::SeqCst);
    let jobs = world.store.until(all_done).await;
    assert!(jobs.iter().all(|job| job.attempt <= 2));
    assert_eq!(
        breakers.states(world.clock.now()),
        [(crm(), BreakerState::Closed)]
    );
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_lets_one_job_through_and_the_others_follow_its_success() {
    let mut world = World::new();
    let breakers = breakers_of(&world);
    world.gate = Arc::clone(&breakers) as _;
    breakers.trip(&crm(), world.clock.now());
    let started = Arc::new(AtomicUsize::new(0));
    let (count, shared, clock) = (
        Arc::clone(&started),
        Arc::clone(&breakers),
        Arc::clone(&world.clock),
    );
    let runner = world.start(handler(move |_, _| {
        let (count, shared, clock) = (Arc::clone(&count), Arc::clone(&shared), Arc::clone(&clock));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
            shared.succeeded(&crm(), clock.now());
            done()
        }
    }));
    let start = Instant::now();
    world
        .enqueue_and_ring((0..8).map(|number| reconcile("deals", number)))
        .await;
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    assert_eq!(started.load(Ordering::SeqCst), 1);
    let jobs = world.store.until(all_done).await;
    assert!(jobs.iter().all(|job| job.attempt == 1));
    assert!(start.elapsed() < Duration::from_secs(11));
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_syncs_go_on_while_a_breaker_is_open() {
    let mut world = World::new();
    let breakers = breakers_of(&world);
    world.gate = Arc::clone(&breakers) as _;
    breakers.trip(&crm(), world.clock.now());
    let runner = world.start(idle_handler());
    let start = Instant::now();
    world
        .enqueue_and_ring([reconcile("deals", 1), reconcile("invoices", 1)])
        .await;
    world
        .store
        .until(|jobs| jobs[1].state == JobState::Done)
        .await;
    assert!(start.elapsed() < Duration::from_millis(5));
    assert_eq!(world.store.all()[0].attempt, 0);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sync_runs_no_more_jobs_at_once_than_its_limit() {
    let mut world = World::new();
    let limits = Arc::new(SyncLimits::default());
    limits.set_limit(&sync("deals"), Some(2));
    world.gate = Arc::new(Gates::new(vec![breakers_of(&world), limits]));
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, peak) = (Arc::clone(&running), Arc::clone(&most));
    let runner = world.start(handler(move |_, _| {
        let (counted, peak) = (Arc::clone(&counted), Arc::clone(&peak));
        async move {
            peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            counted.fetch_sub(1, Ordering::SeqCst);
            done()
        }
    }));
    world
        .enqueue_and_ring((0..20).map(|number| reconcile("deals", number)))
        .await;
    let jobs = world.store.until(all_done).await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert!(jobs.iter().all(|job| job.attempt == 1));
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_sync_waits_until_it_is_resumed() {
    let mut world = World::new();
    world.config.poll_interval = Duration::from_secs(1);
    let limits = Arc::new(SyncLimits::default());
    world.gate = Arc::clone(&limits) as _;
    limits.pause(&sync("deals"));
    let runner = world.start(idle_handler());
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.store.all()[0].attempt, 0);
    limits.resume(&sync("deals"));
    let start = Instant::now();
    world.store.until(all_done).await;
    assert!(start.elapsed() <= Duration::from_secs(2));
    runner.stop().await;
}
