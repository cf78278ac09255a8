//! Jobs are found, started and ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_domain::Clock;
use tandem_queue::Handled;
use tandem_store::{JobClass, JobKind, JobOutcome, JobState, JobStore};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::support::{World, all_done, done, handler, idle_handler, reconcile};

const SOON: Duration = Duration::from_millis(5);

#[tokio::test(start_paused = true)]
async fn an_idle_runner_starts_a_job_at_once_when_rung() {
    let world = World::new();
    let runner = world.start(idle_handler());
    world.idle().await;
    let start = Instant::now();
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    let jobs = world.store.until(all_done).await;
    assert!(start.elapsed() < SOON);
    assert_eq!(jobs[0].note.as_deref(), Some("did it"));
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_ring_the_fallback_poll_finds_the_job() {
    let mut world = World::new();
    world.config.poll_interval = Duration::from_secs(1);
    let runner = world.start(idle_handler());
    world.idle().await;
    let start = Instant::now();
    world.enqueue([reconcile("deals", 1)]).await;
    world.store.until(all_done).await;
    assert!(start.elapsed() >= Duration::from_millis(900));
    assert!(start.elapsed() <= Duration::from_secs(1) + SOON);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_for_later_starts_when_it_is_due() {
    let world = World::new();
    let now = world.clock.now();
    let run_at = now.plus(Duration::from_secs(7));
    let job = world.new_job(reconcile("deals", 1), JobClass::Interactive, run_at);
    world.store.enqueue(vec![job], now).await.expect("inserted");
    let start = Instant::now();
    let runner = world.start(idle_handler());
    world.store.until(all_done).await;
    assert!(start.elapsed() >= Duration::from_secs(7));
    assert!(start.elapsed() <= Duration::from_secs(7) + SOON);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_starts_at_once_when_its_lane_comes_free() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let runner = world.start(handler(move |_, _| {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.expect("never closed").forget();
            done()
        }
    }));
    for _ in 0..2 {
        world.enqueue_and_ring([reconcile("deals", 1)]).await;
        world
            .store
            .until(|jobs| jobs[0].state == JobState::Running)
            .await;
    }
    assert_eq!(world.store.all()[1].state, JobState::Available);
    let start = Instant::now();
    gate.add_permits(2);
    world.store.until(all_done).await;
    assert!(start.elapsed() < SOON);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_class_has_its_share_of_the_slots() {
    let mut world = World::new();
    world.config.concurrency = 10;
    let now = world.clock.now();
    let mut jobs = Vec::new();
    for number in 0..300 {
        let class = JobClass::ALL[number % 3];
        let kind = JobKind::Noop {
            number: number as u64,
        };
        jobs.push(world.new_job(kind, class, now));
    }
    world.store.enqueue(jobs, now).await.expect("inserted");
    let runner = world.start(handler(|_, context| async move {
        context.stopping.cancelled().await;
        done()
    }));
    let running = |job: &&tandem_store::Job| job.state == JobState::Running;
    let jobs = world
        .store
        .until(|jobs| jobs.iter().filter(running).count() == 10)
        .await;
    let of_class = |class| {
        jobs.iter()
            .filter(running)
            .filter(move |job| job.class == class)
    };
    assert_eq!(
        JobClass::ALL.map(|class| of_class(class).count()),
        [7, 2, 1]
    );
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_jobs_run_at_once_than_there_are_slots() {
    let world = World::new();
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, peak) = (Arc::clone(&running), Arc::clone(&most));
    let runner = world.start(handler(move |_, _| {
        let (counted, peak) = (Arc::clone(&counted), Arc::clone(&peak));
        async move {
            peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            counted.fetch_sub(1, Ordering::SeqCst);
            done()
        }
    }));
    world
        .enqueue_and_ring((0..500).map(|number| reconcile("deals", number)))
        .await;
    world.store.until(all_done).await;
    assert_eq!(most.load(Ordering::SeqCst), world.config.concurrency);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_its_handler_settled_is_not_ended_again() {
    let world = World::new();
    let store = Arc::clone(&world.store);
    let now = world.clock.now();
    let runner = world.start(handler(move |claimed, _| {
        let store = Arc::clone(&store);
        async move {
            let note = "confirmed".to_owned();
            let ending = vec![(claimed.lease, JobOutcome::Done { note })];
            store.finish(ending, now).await.expect("finished");
            Handled::Settled
        }
    }));
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    let jobs = world.store.until(all_done).await;
    assert_eq!(jobs[0].note.as_deref(), Some("confirmed"));
    assert_eq!(runner.stop().await.abandoned, 0);
    assert_eq!(world.store.finishes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_end_together_are_written_down_together() {
    let mut world = World::new();
    world.config.concurrency = 50;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let runner = world.start(handler(move |_, _| {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.expect("never closed").forget();
            done()
        }
    }));
    world
        .enqueue_and_ring((0..50).map(|number| reconcile("deals", number)))
        .await;
    world
        .store
        .until(|jobs| jobs.iter().all(|job| job.state == JobState::Running))
        .await;
    gate.add_permits(50);
    world.store.until(all_done).await;
    assert!(world.store.finishes.load(Ordering::SeqCst) < 10);
    runner.stop().await;
}
