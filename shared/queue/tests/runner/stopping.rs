//! The orderly end: nothing new is taken, what runs finishes or goes back, in a bounded time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tandem_queue::{Drained, Handled};
use tandem_store::{JobOutcome, JobState, Waiting};
use tokio::time::Instant;

use crate::support::{World, all_done, done, handler, idle_handler, reconcile};

const NONE: Drained = Drained { abandoned: 0 };

#[tokio::test(start_paused = true)]
async fn an_idle_runner_stops_at_once() {
    let world = World::new();
    let runner = world.start(idle_handler());
    world.idle().await;
    let start = Instant::now();
    assert_eq!(runner.stop().await, NONE);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_runs_may_finish_and_nothing_more_is_claimed() {
    let world = World::new();
    let runner = world.start(handler(|_, context| async move {
        context.stopping.cancelled().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        done()
    }));
    world
        .enqueue_and_ring((0..12).map(|number| reconcile("deals", number)))
        .await;
    let in_state =
        |jobs: &[tandem_store::Job], state| jobs.iter().filter(|job| job.state == state).count();
    world
        .store
        .until(|jobs| in_state(jobs, JobState::Running) == 8)
        .await;
    // The eight have to have begun: what is claimed and not begun goes back.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let start = Instant::now();
    assert_eq!(runner.stop().await, NONE);
    assert!(start.elapsed() < Duration::from_secs(4));
    let jobs = world.store.all();
    assert_eq!(in_state(&jobs, JobState::Done), 8);
    assert_eq!(in_state(&jobs, JobState::Available), 4);
    assert!(
        jobs.iter()
            .all(|job| (job.state == JobState::Done) == (job.attempt == 1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_in_time_is_handed_back_and_its_attempt_does_not_count() {
    let world = World::new();
    let runner = world.start(handler(|_, _| std::future::pending()));
    world
        .enqueue_and_ring((0..5).map(|number| reconcile("deals", number)))
        .await;
    world
        .store
        .until(|jobs| jobs.iter().all(|job| job.state == JobState::Running))
        .await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let start = Instant::now();
    assert_eq!(runner.stop().await, NONE);
    assert!(start.elapsed() >= world.config.shutdown_grace);
    assert!(start.elapsed() < world.config.shutdown_grace + Duration::from_secs(1));
    for job in world.store.all() {
        assert_eq!(job.state, JobState::Available);
        assert_eq!(job.attempt, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_job_may_hand_itself_back_when_the_process_stops() {
    let world = World::new();
    let now = tandem_domain::Clock::now(&*world.clock);
    let runner = world.start(handler(move |_, context| async move {
        context.stopping.cancelled().await;
        Handled::Outcome(JobOutcome::Snooze {
            run_at: now,
            failure: None,
            reason: Waiting::Stopping,
        })
    }));
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    world.store.until(|jobs| jobs[0].attempt == 1).await;
    let start = Instant::now();
    assert_eq!(runner.stop().await, NONE);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(world.store.all()[0].state, JobState::Available);
}

#[tokio::test(start_paused = true)]
async fn a_runner_whose_storage_is_gone_still_ends_in_time() {
    let world = World::new();
    world
        .store
        .failing_finishes
        .store(usize::MAX, Ordering::SeqCst);
    let runner = world.start(idle_handler());
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    world
        .store
        .until(|_| world.store.finishes.load(Ordering::SeqCst) > 0)
        .await;
    // The failing finish itself changes nothing; wait for one more by time.
    let start = Instant::now();
    assert_eq!(runner.stop().await, Drained { abandoned: 1 });
    assert!(start.elapsed() <= world.config.shutdown_grace + Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_second_runner_takes_over_what_the_first_handed_back() {
    let world = World::new();
    let first = world.start(handler(|_, _| std::future::pending()));
    world.enqueue_and_ring([reconcile("deals", 1)]).await;
    world.store.until(|jobs| jobs[0].attempt == 1).await;
    first.stop().await;
    let second = world.start(idle_handler());
    let jobs = world.store.until(all_done).await;
    assert_eq!(jobs[0].attempt, 1);
    second.stop().await;
}
