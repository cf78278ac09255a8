//! Whatever a handler answers, no job runs without end and without a pause.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_domain::{Clock, Disposition, Entropy, ErrorCode, JobId, RetryPolicy};
use tandem_queue::{Handled, outcome_for};
use tandem_store::{Failure, JobOutcome, JobState, STEPS_MAX, Waiting};
use tandem_testkit::SeededEntropy;

use crate::support::{World, handler, reconcile};

/// Ways back to waiting without having come forward.
const IN_VAIN: [Waiting; 8] = [
    Waiting::SystemDown,
    Waiting::Throttled,
    Waiting::Storage,
    Waiting::Partner,
    Waiting::KeyBusy,
    Waiting::Superseded,
    Waiting::FirstSync,
    Waiting::Elsewhere,
];

/// Without a step, the shortest waits double from 20 ms to 30 s: 12 of them, and 118 more in an hour. An attempt
/// that is tried again is one of four.
const RUNS_AN_HOUR: u32 = 140;
/// Each step may begin the short waits anew.
const RUNS_OF_A_STEP: u32 = 14;

type Runs = Arc<Mutex<HashMap<JobId, u32>>>;

/// Runs jobs for an hour whose handler answers by chance, with steps or without. Returns how often each ran.
async fn an_hour_of_chance(seed: u64, with_steps: bool) -> Vec<u32> {
    let world = World::new();
    let runs = Runs::default();
    let (chance, clock) = (Arc::new(SeededEntropy::new(seed)), Arc::clone(&world.clock));
    let counted = Arc::clone(&runs);
    let runner = world.start(handler(move |claimed, _| {
        let job = claimed.job;
        *counted
            .lock()
            .expect("no handler panics")
            .entry(job.id)
            .or_default() += 1;
        std::future::ready(Handled::Outcome(answer(
            &chance,
            job.attempt,
            clock.now(),
            with_steps,
        )))
    }));
    world
        .enqueue_and_ring((0..3).map(|number| reconcile("deals", number)))
        .await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    runner.stop().await;
    for job in world.store.all() {
        assert!(matches!(job.state, JobState::Available | JobState::Dead));
    }
    let runs = runs.lock().expect("no handler panics");
    runs.values().copied().collect()
}

/// Now and then an attempt fails; else the job waits, for a time that is now.
fn answer(
    chance: &SeededEntropy,
    attempt: u32,
    now: tandem_domain::Timestamp,
    with_steps: bool,
) -> JobOutcome {
    let failure = Failure {
        code: ErrorCode::Unreachable,
        chain: vec!["refused".to_owned()],
    };
    let drawn = chance.next_u64() % 256;
    if drawn == 0 {
        let policy = RetryPolicy::default();
        return outcome_for(Disposition::Retry, attempt, &policy, failure, now, drawn);
    }
    let place = usize::try_from(drawn % 9).unwrap_or(0);
    let reason = match IN_VAIN.get(place) {
        Some(reason) => *reason,
        None if with_steps => Waiting::Progress,
        None => Waiting::KeyBusy,
    };
    JobOutcome::Snooze {
        run_at: now,
        failure: None,
        reason,
    }
}

#[tokio::test(start_paused = true)]
async fn no_job_runs_more_than_so_often_an_hour_without_coming_forward() {
    for seed in 0..12 {
        for runs in an_hour_of_chance(seed, false).await {
            assert!(runs <= RUNS_AN_HOUR, "seed {seed}: {runs} runs");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn steps_without_an_end_come_to_one() {
    for seed in 0..12 {
        for runs in an_hour_of_chance(seed, true).await {
            let most = RUNS_AN_HOUR + STEPS_MAX * RUNS_OF_A_STEP;
            assert!(runs <= most, "seed {seed}: {runs} runs");
        }
    }
}
