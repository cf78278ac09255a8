//! Going back to waiting: no loop is without a pause, and each has an end.

use std::time::Duration;

use tandem_domain::{ErrorCode, JobId, Timestamp};
use tandem_store::{
    ClaimRequest, Job, JobClass, JobOutcome, JobState, Lane, NewJob, Progress, RunKind, RunState,
    STEPS_MAX, Waiting,
};

use super::{Subject, claim, claim_this, claimed, enqueue, finish, job};
use crate::Make;

fn wait(make: &Make, reason: Waiting) -> JobOutcome {
    JobOutcome::Snooze {
        run_at: make.now(),
        failure: None,
        reason,
    }
}

/// Runs a job that is due, and lets it wait. Returns it as stored.
async fn wait_again(store: &Subject, make: &Make, id: JobId, reason: Waiting) -> Job {
    let running = claim_this(store, make, id).await;
    assert!(finish(store, make, &running, wait(make, reason)).await);
    job(store, id).await
}

/// Lets the time pass until the job is due.
fn until(make: &Make, due: Timestamp) {
    make.clock.advance(due.since(make.now()));
}

/// The pause of a job grows with each wait, and no caller can forget it.
pub async fn the_pause_of_a_job_grows_with_each_wait(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    let since = make.now();
    let mut pauses = Vec::new();
    for count in 1..=4 {
        let waiting = wait_again(&store, &make, id, Waiting::SystemDown).await;
        pauses.push(waiting.run_at.since(make.now()).as_secs());
        assert_eq!((waiting.state, waiting.attempt), (JobState::Available, 0));
        assert_eq!(waiting.waits.count, count);
        assert_eq!(waiting.waits.since, Some(since));
        assert_eq!(waiting.waits.reason, Some(Waiting::SystemDown));
        assert_eq!(claim(&store, &make, 9).await.len(), 0);
        until(&make, waiting.run_at);
    }
    assert_eq!(pauses, [1, 2, 4, 8]);
}

/// The second look at a record that is missing stands behind fresh work, until something new is told of it.
pub async fn the_second_look_at_a_missing_record_stands_behind_fresh_work(store: Subject) {
    let make = Make::default();
    let missing = enqueue(&store, &make, make.job("a1")).await;
    let waiting = wait_again(&store, &make, missing, Waiting::Missing).await;
    assert_eq!(waiting.class, JobClass::Poll);
    until(&make, waiting.run_at);
    make.clock.advance(Duration::from_secs(60));
    let fresh = enqueue(&store, &make, make.job("a2")).await;
    let request = ClaimRequest {
        shares: [1, 0, 0],
        ..make.claim(1)
    };
    let first = store.claim(request).await.expect("claim");
    assert_eq!(first[0].job.id, fresh);

    enqueue(&store, &make, make.job("a1")).await;
    assert_eq!(job(&store, missing).await.class, JobClass::Interactive);
    let swept = NewJob {
        class: JobClass::Backfill,
        ..make.job("a3")
    };
    let swept = enqueue(&store, &make, swept).await;
    let waiting = wait_again(&store, &make, swept, Waiting::Missing).await;
    assert_eq!(
        waiting.class,
        JobClass::Backfill,
        "none becomes more urgent"
    );
}

/// A step that was stored begins the waits anew.
pub async fn a_step_that_was_stored_begins_the_waits_anew(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    for _ in 0..3 {
        let waiting = wait_again(&store, &make, id, Waiting::KeyBusy).await;
        until(&make, waiting.run_at);
    }
    let carried_on = wait_again(&store, &make, id, Waiting::Progress).await;
    assert_eq!(carried_on.run_at, make.now());
    assert_eq!((carried_on.waits.count, carried_on.waits.steps), (0, 1));
    assert_eq!(carried_on.waits.since, None);
    // What it waited for stays known, for the dead letter of steps without an end.
    assert_eq!(carried_on.waits.reason, Some(Waiting::KeyBusy));
    let waiting = wait_again(&store, &make, id, Waiting::KeyBusy).await;
    assert_eq!(waiting.run_at, make.now().plus(Duration::from_millis(20)));
}

/// Runs a job until it is dead. Returns it, and how often it ran.
async fn until_dead(store: &Subject, make: &Make, id: JobId, reason: Waiting) -> (Job, u32) {
    for runs in 1..1_000 {
        let stored = wait_again(store, make, id, reason).await;
        if stored.state == JobState::Dead {
            return (stored, runs);
        }
        until(make, stored.run_at);
    }
    panic!("it goes on for ever");
}

/// A job that waits in vain becomes a dead letter that names what it waited for.
pub async fn a_job_that_waits_in_vain_becomes_a_dead_letter_that_names_what_for(store: Subject) {
    let make = Make::default();
    let begin = make.now();
    let id = enqueue(&store, &make, make.job("a1")).await;
    let (dead, runs) = until_dead(&store, &make, id, Waiting::KeyBusy).await;
    let failure = dead.failure.expect("it says why");
    assert_eq!(failure.code, ErrorCode::Stuck);
    assert!(failure.chain[0].contains("match key"), "{failure:?}");
    assert!(make.now().since(begin) >= Duration::from_secs(3_600));
    assert!(runs < 150, "{runs} runs");
    assert_eq!(store.attempts(id).await.expect("attempts").len(), 1);
    assert_eq!(store.totals(None).await.expect("totals").dead, 1);
}

/// What a job waits for is not given up because nobody came to look: a process that stood still, a sync that was paused.
pub async fn time_in_which_nobody_looked_is_not_held_against_a_job(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    for _ in 0..20 {
        let waiting = wait_again(&store, &make, id, Waiting::Partner).await;
        until(&make, waiting.run_at);
    }
    make.clock.advance(Duration::from_secs(2 * 86_400));
    let waiting = wait_again(&store, &make, id, Waiting::Partner).await;
    assert_eq!(waiting.state, JobState::Available);
    let since = waiting.waits.since.expect("it waits");
    assert!(make.now().since(since) < Duration::from_secs(3_600));
}

/// A job whose steps never end becomes a dead letter.
pub async fn a_job_whose_steps_never_end_becomes_a_dead_letter(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    let (dead, runs) = until_dead(&store, &make, id, Waiting::Progress).await;
    assert_eq!(runs, STEPS_MAX + 1);
    assert_eq!(dead.failure.expect("it says why").code, ErrorCode::Stuck);
}

/// A move into the lane of a link is a step.
pub async fn a_move_into_the_lane_of_a_link_is_a_step(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let link = make.link("a1", "b1");
    let inserted = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(inserted.expect("link"), 1);
    let moved = store.relane(running.lease, link.id, make.now()).await;
    assert!(moved.expect("relane"));
    let waiting = job(&store, running.job.id).await;
    assert_eq!(waiting.lane, Lane::of_link(link.id));
    assert_eq!((waiting.run_at, waiting.waits.steps), (make.now(), 1));
    for _ in 1..STEPS_MAX {
        let stored = wait_again(&store, &make, running.job.id, Waiting::Progress).await;
        until(&make, stored.run_at);
    }
    let running = claim_this(&store, &make, running.job.id).await;
    let moved = store.relane(running.lease, link.id, make.now()).await;
    assert!(moved.expect("relane"), "the lease was held");
    assert_eq!(job(&store, running.job.id).await.state, JobState::Dead);
}

/// A replayed job begins its waits anew.
pub async fn a_replayed_job_begins_its_waits_anew(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    until_dead(&store, &make, id, Waiting::Partner).await;
    let replayed = store.replay_jobs(&[id], make.now()).await;
    assert_eq!(replayed.expect("replay"), [id]);
    let waiting = wait_again(&store, &make, id, Waiting::Partner).await;
    assert_eq!(
        (waiting.state, waiting.waits.count),
        (JobState::Available, 1)
    );
}

/// What waits for something is released when it has come, and nothing else is.
pub async fn what_waits_for_something_is_released_when_it_has_come(store: Subject) {
    let make = Make::default();
    let mut ids = Vec::new();
    for (record, reason) in [
        ("a1", Waiting::SystemDown),
        ("a2", Waiting::SystemDown),
        ("a3", Waiting::KeyBusy),
    ] {
        let id = enqueue(&store, &make, make.job(record)).await;
        wait_again(&store, &make, id, reason).await;
        ids.push(id);
    }
    let other = Make::sync("invoices");
    let released = store.release_waiting(&other, Waiting::SystemDown, make.now());
    assert_eq!(released.await.expect("released"), 0);
    let customers = Make::customers();
    let released = store.release_waiting(&customers, Waiting::SystemDown, make.now());
    assert_eq!(released.await.expect("released"), 2);
    let due: Vec<JobId> = claim(&store, &make, 9)
        .await
        .iter()
        .map(|one| one.job.id)
        .collect();
    assert_eq!(due, ids[..2]);
    let waiting = job(&store, ids[2]).await;
    assert_eq!(waiting.waits.reason, Some(Waiting::KeyBusy));
}

/// The end of the first sync releases what waits for it; one that failed does not.
pub async fn the_end_of_the_first_sync_releases_what_waits_for_it(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    let waiting = wait_again(&store, &make, id, Waiting::FirstSync).await;
    assert!(waiting.run_at > make.now());
    for (state, due) in [(RunState::Failed, 0), (RunState::Partial, 1)] {
        let run = store
            .begin_run(make.run(RunKind::Backfill, None), make.now())
            .await
            .expect("begun");
        store
            .end_run(run.id, state, &Progress::default(), None, None, make.now())
            .await
            .expect("ended");
        assert_eq!(claim(&store, &make, 9).await.len(), due, "{state:?}");
    }
}
