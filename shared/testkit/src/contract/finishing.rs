//! How jobs end.

use std::time::Duration;

use tandem_domain::{ErrorCode, Timestamp};
use tandem_store::{Hints, JobOutcome, JobState, NewJob, Waiting};

use super::{Subject, claim, claim_this, claimed, done, enqueue, finish, job};
use crate::Make;

fn retry(make: &Make, secs: u64) -> JobOutcome {
    JobOutcome::Retry {
        run_at: make.after(secs),
        failure: Make::failure(ErrorCode::Unreachable, "no route"),
    }
}

fn snooze(make: &Make, secs: u64, message: Option<&str>) -> JobOutcome {
    JobOutcome::Snooze {
        run_at: make.after(secs),
        failure: message.map(|message| Make::failure(ErrorCode::RateLimited, message)),
        reason: Waiting::Progress,
    }
}

fn dead() -> JobOutcome {
    JobOutcome::Dead {
        failure: Make::failure(ErrorCode::Refused, "no such field"),
    }
}

/// A job done well keeps its note.
pub async fn a_job_done_well_keeps_its_note(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    make.clock.advance(Duration::from_secs(1));
    assert!(finish(&store, &make, &running, done("written_b")).await);
    let ended = job(&store, running.job.id).await;
    assert_eq!(
        (ended.state, ended.note.as_deref()),
        (JobState::Done, Some("written_b"))
    );
    assert_eq!((ended.ended_at, ended.attempt), (Some(make.now()), 1));
    assert_eq!(
        store.attempts(ended.id).await.expect("attempts"),
        Vec::new()
    );
}

/// A retry waits for its time, and its attempt counts.
pub async fn a_retry_waits_for_its_time_and_its_attempt_counts(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    assert!(finish(&store, &make, &running, retry(&make, 10)).await);
    let waiting = job(&store, running.job.id).await;
    assert_eq!((waiting.state, waiting.attempt), (JobState::Available, 1));
    assert_eq!(waiting.run_at, make.after(10));
    assert_eq!(
        waiting.failure,
        Some(Make::failure(ErrorCode::Unreachable, "no route"))
    );
    assert_eq!(claim(&store, &make, 1).await.len(), 0);
    make.clock.advance(Duration::from_secs(10));
    assert_eq!(claim_this(&store, &make, waiting.id).await.job.attempt, 2);
}

/// A snooze gives the attempt back.
pub async fn a_snooze_gives_the_attempt_back(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    assert!(finish(&store, &make, &running, snooze(&make, 10, None)).await);
    let waiting = job(&store, running.job.id).await;
    assert_eq!((waiting.attempt, waiting.run_at), (0, make.after(10)));
    assert_eq!(
        store.attempts(waiting.id).await.expect("attempts"),
        Vec::new()
    );
    make.clock.advance(Duration::from_secs(10));
    assert_eq!(claim_this(&store, &make, waiting.id).await.job.attempt, 1);
}

/// A snooze with a failure is logged.
pub async fn a_snooze_with_a_failure_is_logged(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    assert!(
        finish(
            &store,
            &make,
            &running,
            snooze(&make, 10, Some("slow down"))
        )
        .await
    );
    let attempts = store.attempts(running.job.id).await.expect("attempts");
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        attempts[0].failure,
        Make::failure(ErrorCode::RateLimited, "slow down")
    );
    assert_eq!(
        job(&store, running.job.id).await.failure,
        Some(attempts[0].failure.clone())
    );
}

/// Repeated snoozes keep one entry: an outage of a day must not fill the log.
pub async fn repeated_snoozes_keep_one_entry(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    for message in ["first", "second", "third"] {
        let running = claim_this(&store, &make, id).await;
        assert!(finish(&store, &make, &running, snooze(&make, 0, Some(message))).await);
    }
    let attempts = store.attempts(id).await.expect("attempts");
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        attempts[0].failure,
        Make::failure(ErrorCode::RateLimited, "third")
    );
}

/// A dead job waits for an operator.
pub async fn a_dead_job_waits_for_an_operator(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    assert!(finish(&store, &make, &running, dead()).await);
    let parked = job(&store, running.job.id).await;
    assert_eq!((parked.state, parked.attempt), (JobState::Dead, 1));
    assert_eq!(parked.ended_at, Some(make.now()));
    assert_eq!(
        parked.failure,
        Some(Make::failure(ErrorCode::Refused, "no such field"))
    );
    assert_eq!(store.attempts(parked.id).await.expect("attempts").len(), 1);
    make.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(claim(&store, &make, 1).await.len(), 0);
}

/// Every failed attempt is logged in order.
pub async fn every_failed_attempt_is_logged_in_order(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    let started = make.now();
    for outcome in [
        retry(&make, 0),
        snooze(&make, 0, Some("slow down")),
        retry(&make, 0),
        dead(),
    ] {
        let running = claim_this(&store, &make, id).await;
        make.clock.advance(Duration::from_secs(1));
        assert!(finish(&store, &make, &running, outcome).await);
    }
    let attempts = store.attempts(id).await.expect("attempts");
    let numbers: Vec<u32> = attempts.iter().map(|one| one.attempt).collect();
    assert_eq!(numbers, vec![1, 2, 2, 3]);
    assert_eq!(
        (attempts[0].started_at, attempts[0].ended_at),
        (started, started.plus(Duration::from_secs(1)))
    );
    assert_eq!(attempts[3].failure.code, ErrorCode::Refused);
}

/// A late finisher changes nothing.
pub async fn a_late_finisher_changes_nothing(store: Subject) {
    let make = Make::default();
    let late = claimed(&store, &make, "a1").await;
    store.release_all(make.now()).await.expect("release");
    let current = claim_this(&store, &make, late.job.id).await;
    for outcome in [
        done("echo"),
        retry(&make, 5),
        snooze(&make, 5, Some("x")),
        dead(),
    ] {
        assert!(!finish(&store, &make, &late, outcome).await);
    }
    assert_eq!(job(&store, late.job.id).await, current.job);
    assert_eq!(
        store.attempts(late.job.id).await.expect("attempts"),
        Vec::new()
    );
    assert!(finish(&store, &make, &current, done("echo")).await);
}

/// A finished lease is not finished again.
pub async fn a_finished_lease_is_not_finished_again(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    assert!(finish(&store, &make, &running, done("written_b")).await);
    assert!(!finish(&store, &make, &running, dead()).await);
    assert_eq!(job(&store, running.job.id).await.state, JobState::Done);
}

/// Finishing answers for each lease.
pub async fn finishing_answers_for_each_lease(store: Subject) {
    let make = Make::default();
    let mut running = Vec::new();
    for record in ["a1", "a2", "a3", "a4", "a5"] {
        running.push(claimed(&store, &make, record).await);
    }
    assert!(finish(&store, &make, &running[2], done("echo")).await);
    let finished = vec![
        (running[0].lease, retry(&make, 5)),
        (running[1].lease, done("echo")),
        (running[2].lease, done("echo")),
        (running[3].lease, dead()),
        (running[4].lease, snooze(&make, 5, None)),
    ];
    let held = store.finish(finished, make.now()).await.expect("finish");
    assert_eq!(held, vec![true, true, false, true, true]);
    assert_eq!(
        store.finish(Vec::new(), make.now()).await.expect("finish"),
        Vec::<bool>::new()
    );
}

/// A retry that meets a waiting job merges into it.
pub async fn a_retry_that_meets_a_waiting_job_merges_into_it(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let waiting = enqueue(&store, &make, make.job("a1")).await;
    assert!(finish(&store, &make, &running, retry(&make, 60)).await);
    let merged = job(&store, running.job.id).await;
    assert_eq!(
        (merged.state, merged.ended_at),
        (JobState::Done, Some(make.now()))
    );
    assert_eq!(merged.note, Some(format!("merged into {waiting}")));
    assert_eq!(store.attempts(merged.id).await.expect("attempts").len(), 1);
    let next = claim_this(&store, &make, waiting).await;
    assert_eq!((next.job.merged, next.job.attempt), (1, 2));
}

/// A merged job keeps the larger attempt and the later hints.
pub async fn a_merged_job_keeps_the_larger_attempt_and_the_later_hints(store: Subject) {
    let make = Make::default();
    let hinted = |secs| NewJob {
        hints: Hints {
            edited_a: Some(Timestamp::from_secs(secs)),
            edited_b: None,
        },
        ..make.job("a1")
    };
    let id = enqueue(&store, &make, hinted(9)).await;
    for _ in 0..2 {
        let running = claim_this(&store, &make, id).await;
        assert!(finish(&store, &make, &running, retry(&make, 0)).await);
    }
    let running = claim_this(&store, &make, id).await;
    let waiting = enqueue(&store, &make, hinted(5)).await;
    assert!(finish(&store, &make, &running, snooze(&make, 0, None)).await);
    let stands = job(&store, waiting).await;
    assert_eq!(stands.attempt, 2);
    assert_eq!(stands.hints.edited_a, Some(Timestamp::from_secs(9)));
}

/// A finished lane is free again.
pub async fn a_finished_lane_is_free_again(store: Subject) {
    let make = Make::default();
    for _ in 0..3 {
        let running = claimed(&store, &make, "a1").await;
        assert!(finish(&store, &make, &running, done("echo")).await);
    }
    assert_eq!(
        store
            .job_counts(None, make.now())
            .await
            .expect("counts")
            .done,
        3
    );
}

/// A late and a present finisher in one call get their own answers.
pub async fn a_late_and_a_present_finisher_in_one_call_get_their_own_answers(store: Subject) {
    let make = Make::default();
    let late = claimed(&store, &make, "a1").await;
    store.release_all(make.now()).await.expect("release");
    let present = claim_this(&store, &make, late.job.id).await;
    let finished = vec![(late.lease, dead()), (present.lease, retry(&make, 5))];
    let held = store.finish(finished, make.now()).await.expect("finish");
    assert_eq!(held, vec![false, true]);
    assert_eq!(job(&store, late.job.id).await.state, JobState::Available);
}
