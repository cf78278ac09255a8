//! Handlers, leases and the storage fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tandem_domain::{Clock, ErrorCode, LeaseToken};
use tandem_store::{Job, JobState};
use tokio::time::Instant;

use crate::support::{Started, World, all_done, done, handler, idle_handler, reconcile};

fn dead(jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.state == JobState::Dead)
}

async fn end_of_one(world: &World, runner: Started) -> (Job, Duration) {
    let start = Instant::now();
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    let jobs = world.store.until(dead).await;
    let took = start.elapsed();
    runner.stop().await;
    (jobs.into_iter().next().expect("one was inserted"), took)
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_tried_again_until_the_attempts_are_used_up() {
    let world = World::new();
    let runner = world.start(handler(|_, _| async { panic!("a broken invariant") }));
    let (job, took) = end_of_one(&world, runner).await;
    let failure = job.failure.expect("it failed");
    assert_eq!(failure.code, ErrorCode::Internal);
    assert_eq!(
        failure.chain,
        ["the job's code panicked: a broken invariant"]
    );
    assert_eq!(job.attempt, 4);
    // 2 s, 4 s and 8 s, each up to a fifth shorter.
    assert!(took >= Duration::from_millis(11_200));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_stopped_and_tried_again() {
    let mut world = World::new();
    world.config.handler_timeout = Duration::from_secs(10);
    let runner = world.start(handler(|_, _| std::future::pending()));
    let (job, took) = end_of_one(&world, runner).await;
    let failure = job.failure.expect("it failed");
    assert_eq!(failure.code, ErrorCode::Unreachable);
    assert_eq!(failure.chain, ["the job did not end within 10 s"]);
    assert_eq!(job.attempt, 4);
    assert!(took >= Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_while_their_jobs_run() {
    let world = World::new();
    let runner = world.start(handler(|_, context| async move {
        let hour = tokio::time::sleep(Duration::from_secs(200));
        let cut = context.cancelled.run_until_cancelled(hour).await;
        assert_eq!(cut, Some(()));
        done()
    }));
    let ids = world.enqueue_and_ring([reconcile("deals", 1)]).await;
    world.store.until(|jobs| jobs[0].attempt == 1).await;
    tokio::time::advance(Duration::from_secs(150)).await;
    tokio::task::yield_now().await;
    let jobs = world.store.until(all_done).await;
    assert_eq!(jobs[0].attempt, 1);
    assert!(world.store.renewals.load(Ordering::SeqCst) >= 6);
    assert_eq!(world.store.lease_end(ids[0]), None);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_learns_that_its_lease_is_lost_and_its_outcome_changes_nothing() {
    let world = World::new();
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    let runner = world.start(handler(move |_, context| {
        let tell = Arc::clone(&tell);
        async move {
            context.cancelled.cancelled().await;
            tell.store(true, Ordering::SeqCst);
            done()
        }
    }));
    let ids = world.enqueue_and_ring([reconcile("deals", 1)]).await;
    world.store.until(|jobs| jobs[0].attempt == 1).await;
    let other = LeaseToken::new(world.clock.now(), &*world.entropy);
    world.store.steal(ids[0], other);
    world
        .store
        .until(|_| world.store.finishes.load(Ordering::SeqCst) == 1)
        .await;
    assert!(told.load(Ordering::SeqCst));
    assert_eq!(world.store.all()[0].state, JobState::Running);
    assert_eq!(runner.stop().await.abandoned, 0);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_written_down_once_the_storage_is_back() {
    let world = World::new();
    world.store.failing_finishes.store(20, Ordering::SeqCst);
    let runner = world.start(idle_handler());
    world
        .enqueue_and_ring((0..20).map(|number| reconcile("deals", number)))
        .await;
    let jobs = world.store.until(all_done).await;
    assert!(jobs.iter().all(|job| job.attempt == 1));
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn claiming_goes_on_once_the_storage_is_back() {
    let world = World::new();
    world.store.failing_claims.store(10, Ordering::SeqCst);
    world.enqueue([reconcile("deals", 1)]).await;
    let runner = world.start(idle_handler());
    world.store.until(all_done).await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_job_that_cannot_be_ended_does_not_hold_up_the_others() {
    let world = World::new();
    let ids = world
        .enqueue((0..8).map(|number| reconcile("deals", number)))
        .await;
    *world.store.corrupt.lock().expect("not poisoned") = Some(ids[3]);
    let runner = world.start(idle_handler());
    let jobs = world
        .store
        .until(|jobs| {
            jobs.iter()
                .filter(|job| job.state == JobState::Done)
                .count()
                == 7
        })
        .await;
    assert_eq!(jobs[3].state, JobState::Running);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_lease_cannot_be_renewed_is_told_before_it_ends() {
    let world = World::new();
    world
        .store
        .failing_renewals
        .store(usize::MAX, Ordering::SeqCst);
    let runner = world.start(handler(|_, context| async move {
        context.cancelled.cancelled().await;
        done()
    }));
    let start = Instant::now();
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    world.store.until(all_done).await;
    assert!(start.elapsed() > world.config.lease / 3);
    assert!(start.elapsed() < world.config.lease);
    runner.stop().await;
}
