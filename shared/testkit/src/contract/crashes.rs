//! Jobs whose process went away while they ran.

use std::time::Duration;

use tandem_domain::{ErrorCode, Side};
use tandem_store::{
    JobKind, JobOutcome, JobState, ListingPlace, Progress, Run, RunKind, SUSPECTS_APART,
    StoredPage, Waiting,
};

use super::{Subject, claim, claim_this, claimed, enqueue, enqueue_all, finish, job};
use crate::Make;
use crate::make::LEASE_SECS;

/// The third process that dies with a job makes it a dead letter, and no attempt was counted for the others.
pub async fn the_third_process_that_dies_with_a_job_makes_it_a_dead_letter(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    for crashes in 1..3 {
        claim_this(&store, &make, id).await;
        assert_eq!(store.release_all(make.now()).await.expect("release"), 1);
        let waiting = job(&store, id).await;
        assert_eq!(
            (waiting.state, waiting.crashes),
            (JobState::Available, crashes)
        );
        assert_eq!((waiting.attempt, waiting.run_at), (0, make.now()));
    }
    claim_this(&store, &make, id).await;
    assert_eq!(store.release_all(make.now()).await.expect("release"), 1);
    let dead = job(&store, id).await;
    assert_eq!(dead.state, JobState::Dead);
    let failure = dead.failure.expect("it says why");
    assert_eq!(failure.code, ErrorCode::Internal);
    assert!(failure.chain[0].contains("3 times"), "{failure:?}");
    assert_eq!(store.attempts(id).await.expect("attempts").len(), 1);
    let replayed = store.replay_jobs(&[id], make.now()).await;
    assert_eq!(replayed.expect("replay"), [id]);
    assert_eq!(job(&store, id).await.crashes, 0);
}

/// A lease that ended counts as a process that died.
pub async fn a_lease_that_ended_counts_as_a_process_that_died(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    for _ in 0..2 {
        claim_this(&store, &make, id).await;
        make.clock.advance(Duration::from_secs(LEASE_SECS + 1));
        let rescued = store.rescue_expired(make.now(), 9).await;
        assert_eq!(rescued.expect("rescue"), [id]);
    }
    claim_this(&store, &make, id).await;
    make.clock.advance(Duration::from_secs(LEASE_SECS + 1));
    let rescued = store.rescue_expired(make.now(), 9).await;
    assert_eq!(rescued.expect("rescue"), []);
    assert_eq!(job(&store, id).await.state, JobState::Dead);
}

/// Any end of its own forgets the processes that died: it was not the job.
pub async fn any_end_of_its_own_forgets_the_processes_that_died(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    let ends = [
        JobOutcome::Retry {
            run_at: make.now(),
            failure: Make::failure(ErrorCode::Unreachable, "no route"),
        },
        JobOutcome::Snooze {
            run_at: make.now(),
            failure: None,
            reason: Waiting::Stopping,
        },
    ];
    for outcome in ends {
        for _ in 0..2 {
            claim_this(&store, &make, id).await;
            assert_eq!(store.release_all(make.now()).await.expect("release"), 1);
        }
        let running = claim_this(&store, &make, id).await;
        assert!(finish(&store, &make, &running, outcome).await);
        assert_eq!(job(&store, id).await.crashes, 0);
    }
}

/// Jobs that ran beside each other when their process died twice are run apart, so that only the one that kills
/// it is there the third time.
pub async fn jobs_that_ran_beside_each_other_are_told_apart(store: Subject) {
    let make = Make::default();
    let jobs = (0..3)
        .map(|number| make.job(&format!("a{number}")))
        .collect();
    let ids = enqueue_all(&store, &make, jobs).await;
    for _ in 0..2 {
        assert_eq!(claim(&store, &make, 9).await.len(), 3);
        assert_eq!(store.release_all(make.now()).await.expect("release"), 3);
    }
    let mut apart = Vec::new();
    for id in &ids {
        apart.push(job(&store, *id).await.run_at.since(make.now()));
    }
    apart.sort();
    assert_eq!(apart, [Duration::ZERO, SUSPECTS_APART, SUSPECTS_APART * 2]);
    assert_eq!(claim(&store, &make, 9).await.len(), 1);
    // Others are not held up by that.
    claimed(&store, &make, "a9").await;
}

/// A page after which so many rows of a side are stored.
async fn keep_rows(store: &Subject, run: &Run, side: Side, rows: u64) {
    let progress = Progress {
        listed: rows - 1,
        unreadable: 1,
        ..Progress::default()
    };
    let page = StoredPage {
        side,
        records: Vec::new(),
        unreadable: Vec::new(),
        place: ListingPlace {
            progress,
            ..ListingPlace::default()
        },
    };
    store.keep_page(run, page).await.expect("keep_page");
}

/// A job whose run comes further each time is not what kills its processes. One that begins again and again does
/// not come further.
pub async fn a_job_whose_run_comes_further_each_time_is_not_what_kills_its_processes(
    store: Subject,
) {
    let make = Make::default();
    let sync = Make::customers();
    let mut new = make.job("any");
    new.kind = JobKind::Backfill { sync };
    let id = enqueue(&store, &make, new).await;
    let run = make.run(RunKind::Backfill, None);
    let run = store.begin_run(run, make.now()).await.expect("begin_run");
    let dies = async |pages: &[(Side, u64)]| {
        claim_this(&store, &make, id).await;
        for (side, rows) in pages {
            keep_rows(&store, &run, *side, *rows).await;
        }
        store.release_all(make.now()).await.expect("release");
        let job = job(&store, id).await;
        (job.state, job.crashes)
    };
    let waits = |crashes| (JobState::Available, crashes);
    for round in 1..5 {
        let pages = [(Side::A, round * 10), (Side::B, 7)];
        assert_eq!(dies(&pages).await, waits(1), "round {round}");
    }
    assert_eq!(dies(&[]).await, waits(2), "it came no further");
    assert_eq!(dies(&[(Side::B, 8)]).await, waits(1));
    let again = [(Side::A, 10), (Side::A, 20), (Side::A, 40)];
    assert_eq!(dies(&again).await, waits(2), "it began again");
    assert_eq!(dies(&again).await.0, JobState::Dead);
}
