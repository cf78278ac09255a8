//! Leases: who may work on what.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{JobId, Side};
use tandem_store::{ClaimRequest, JobClass, JobKind, JobState, Lease, NewJob};

use super::{Subject, claim, claim_this, claimed, done, enqueue, enqueue_all, finish, job};
use crate::Make;

/// Longer than the leases that [`Make`] asks for.
const PAST_THE_LEASE: Duration = Duration::from_secs(61);

fn of_class(make: &Make, record: &str, class: JobClass) -> NewJob {
    NewJob {
        class,
        ..make.job(record)
    }
}

/// A claim leases due jobs and counts the attempt.
pub async fn a_claim_leases_due_jobs_and_counts_the_attempt(store: Subject) {
    let make = Make::default();
    let id = enqueue(&store, &make, make.job("a1")).await;
    let request = make.claim(3);
    let tokens = request.tokens.clone();
    let claimed = store.claim(request).await.expect("claim");
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].job.id, id);
    assert_eq!(
        (claimed[0].job.state, claimed[0].job.attempt),
        (JobState::Running, 1)
    );
    assert_eq!(
        claimed[0].lease,
        Lease {
            job: id,
            token: tokens[0]
        }
    );
    assert_eq!(job(&store, id).await, claimed[0].job);
}

/// A job is not claimed before its time.
pub async fn a_job_is_not_claimed_before_its_time(store: Subject) {
    let make = Make::default();
    let later = NewJob {
        run_at: make.after(10),
        ..make.job("a1")
    };
    enqueue(&store, &make, later).await;
    make.clock.advance(Duration::from_micros(9_999_999));
    assert_eq!(claim(&store, &make, 1).await.len(), 0);
    make.clock.advance(Duration::from_micros(1));
    assert_eq!(claim(&store, &make, 1).await.len(), 1);
}

/// A claim takes at most one job a token.
pub async fn a_claim_takes_at_most_one_job_a_token(store: Subject) {
    let make = Make::default();
    let jobs = (0..5)
        .map(|number| make.job(&format!("a{number}")))
        .collect();
    enqueue_all(&store, &make, jobs).await;
    assert_eq!(claim(&store, &make, 0).await.len(), 0);
    assert_eq!(claim(&store, &make, 2).await.len(), 2);
    assert_eq!(claim(&store, &make, 9).await.len(), 3);
}

/// A claimed job is not claimed again.
pub async fn a_claimed_job_is_not_claimed_again(store: Subject) {
    let make = Make::default();
    claimed(&store, &make, "a1").await;
    assert_eq!(claim(&store, &make, 1).await.len(), 0);
}

/// Urgent jobs come first, then older ones.
pub async fn urgent_jobs_come_first_then_older_ones(store: Subject) {
    let make = Make::default();
    let backfill = of_class(&make, "a1", JobClass::Backfill);
    let poll = of_class(&make, "a2", JobClass::Poll);
    let younger = of_class(&make, "a3", JobClass::Interactive);
    let older = NewJob {
        run_at: make.now().minus(Duration::from_secs(5)),
        ..make.job("a4")
    };
    let ids = [older.id, younger.id, poll.id, backfill.id];
    enqueue_all(&store, &make, vec![backfill, poll, younger, older]).await;
    let claimed = claim(&store, &make, 9).await;
    assert_eq!(
        claimed.iter().map(|one| one.job.id).collect::<Vec<_>>(),
        ids
    );
}

fn ten_of_each(make: &Make) -> Vec<NewJob> {
    JobClass::ALL
        .into_iter()
        .flat_map(|class| (0..10).map(move |number| (class, number)))
        .map(|(class, number)| of_class(make, &format!("{}{number}", class.as_str()), class))
        .collect()
}

async fn classes(store: &Subject, request: ClaimRequest) -> [usize; 3] {
    let claimed = store.claim(request).await.expect("claim");
    JobClass::ALL.map(|class| claimed.iter().filter(|one| one.job.class == class).count())
}

/// Shares leave room for every class.
pub async fn shares_leave_room_for_every_class(store: Subject) {
    let make = Make::default();
    enqueue_all(&store, &make, ten_of_each(&make)).await;
    let request = ClaimRequest {
        shares: [4, 2, 1],
        ..make.claim(8)
    };
    assert_eq!(classes(&store, request).await, [5, 2, 1]);
}

/// What a class does not use goes to the others.
pub async fn what_a_class_does_not_use_goes_to_the_others(store: Subject) {
    let make = Make::default();
    let jobs = ten_of_each(&make)
        .into_iter()
        .filter(|job| job.class != JobClass::Interactive)
        .collect();
    enqueue_all(&store, &make, jobs).await;
    let request = ClaimRequest {
        shares: [4, 2, 1],
        ..make.claim(8)
    };
    assert_eq!(classes(&store, request).await, [0, 7, 1]);
}

/// Jobs of blocked syncs are left alone.
pub async fn jobs_of_blocked_syncs_are_left_alone(store: Subject) {
    let make = Make::default();
    let of = |sync: &str| {
        make.job_of(JobKind::Backfill {
            sync: Make::sync(sync),
        })
    };
    let jobs = vec![
        of("one"),
        of("two"),
        make.job_of(JobKind::Noop { number: 1 }),
    ];
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    enqueue_all(&store, &make, jobs).await;
    let blocked = ClaimRequest {
        blocked_syncs: vec![Make::sync("one")],
        ..make.claim(9)
    };
    let claimed = store.claim(blocked).await.expect("claim");
    let claimed: HashSet<JobId> = claimed.iter().map(|one| one.job.id).collect();
    assert_eq!(claimed, HashSet::from([ids[1], ids[2]]));
    assert_eq!(claim(&store, &make, 9).await[0].job.id, ids[0]);
}

/// Jobs of paused syncs are left alone.
pub async fn jobs_of_paused_syncs_are_left_alone(store: Subject) {
    let make = Make::default();
    let syncs = vec![(Make::customers(), serde_json::json!({}))];
    store
        .apply_config(Vec::new(), syncs, Vec::new(), make.now())
        .await
        .expect("apply");
    enqueue(&store, &make, make.job("a1")).await;
    store
        .pause_sync(&Make::customers(), Some("by hand"), make.now())
        .await
        .expect("pause");
    assert_eq!(claim(&store, &make, 9).await.len(), 0);
    store
        .pause_sync(&Make::customers(), None, make.now())
        .await
        .expect("resume");
    assert_eq!(claim(&store, &make, 9).await.len(), 1);
}

/// A lane whose job runs gives no second job.
pub async fn a_lane_whose_job_runs_gives_no_second_job(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let next = enqueue(&store, &make, make.job("a1")).await;
    let other = enqueue(&store, &make, make.job("a2")).await;
    let claimed = claim(&store, &make, 1).await;
    assert_eq!(claimed[0].job.id, other);
    assert_eq!(claim(&store, &make, 9).await.len(), 0);
    finish(&store, &make, &running, done("echo")).await;
    assert_eq!(claim(&store, &make, 9).await[0].job.id, next);
}

/// Sixty-four claimers share the jobs without overlap.
pub async fn sixty_four_claimers_share_the_jobs_without_overlap(store: Subject) {
    const CLAIMERS: usize = 64;
    let make = Arc::new(Make::default());
    let jobs = (0..300)
        .map(|number| make.job(&format!("a{number}")))
        .collect();
    enqueue_all(&store, &make, jobs).await;
    let claimers: Vec<_> = (0..CLAIMERS)
        .map(|_| {
            let (store, make) = (Arc::clone(&store), Arc::clone(&make));
            tokio::spawn(async move { claim(&store, &make, 10).await })
        })
        .collect();
    let mut claimed = Vec::new();
    for claimer in claimers {
        claimed.extend(claimer.await.expect("a claimer does not panic"));
    }
    let ids: HashSet<JobId> = claimed.iter().map(|one| one.job.id).collect();
    assert_eq!((claimed.len(), ids.len()), (300, 300));
}

/// A lane never runs twice under many claimers.
pub async fn a_lane_never_runs_twice_under_many_claimers(store: Subject) {
    const CLAIMERS: usize = 64;
    const RECORDS: usize = 5;
    let make = Arc::new(Make::default());
    let claimers: Vec<_> = (0..CLAIMERS)
        .map(|number| {
            let (store, make) = (Arc::clone(&store), Arc::clone(&make));
            tokio::spawn(async move {
                enqueue(&store, &make, make.job(&format!("a{}", number % RECORDS))).await;
                claim(&store, &make, 3).await
            })
        })
        .collect();
    let mut lanes = Vec::new();
    for claimer in claimers {
        let claimed = claimer.await.expect("a claimer does not panic");
        lanes.extend(claimed.into_iter().map(|one| one.job.lane));
    }
    let distinct: HashSet<_> = lanes.iter().collect();
    assert_eq!((lanes.len(), distinct.len()), (RECORDS, RECORDS));
}

/// Each claim has its own token.
pub async fn each_claim_has_its_own_token(store: Subject) {
    let make = Make::default();
    let jobs = (0..3)
        .map(|number| make.job(&format!("a{number}")))
        .collect();
    enqueue_all(&store, &make, jobs).await;
    let claimed = claim(&store, &make, 3).await;
    let tokens: HashSet<_> = claimed.iter().map(|one| one.lease.token).collect();
    assert_eq!(tokens.len(), 3);
}

/// A renewed lease is not rescued.
pub async fn a_renewed_lease_is_not_rescued(store: Subject) {
    let make = Make::default();
    let kept = claimed(&store, &make, "a1").await;
    make.clock.advance(Duration::from_secs(50));
    let renewed = store
        .renew(&[kept.lease], make.after(60))
        .await
        .expect("renew");
    assert_eq!(renewed, vec![true]);
    make.clock.advance(Duration::from_secs(50));
    assert_eq!(
        store.rescue_expired(make.now(), 9).await.expect("rescue"),
        Vec::new()
    );
    assert!(finish(&store, &make, &kept, done("echo")).await);
}

/// A lost lease is not renewed.
pub async fn a_lost_lease_is_not_renewed(store: Subject) {
    let make = Make::default();
    let lost = claimed(&store, &make, "a1").await;
    let kept = claimed(&store, &make, "a2").await;
    let foreign = Lease {
        job: kept.job.id,
        token: lost.lease.token,
    };
    assert!(finish(&store, &make, &lost, done("echo")).await);
    let leases = [lost.lease, kept.lease, foreign];
    let renewed = store.renew(&leases, make.after(60)).await.expect("renew");
    assert_eq!(renewed, vec![false, true, false]);
}

/// An expired lease is claimed by another worker.
pub async fn an_expired_lease_is_claimed_by_another_worker(store: Subject) {
    let make = Make::default();
    let lost = claimed(&store, &make, "a1").await;
    assert_eq!(
        store.rescue_expired(make.now(), 9).await.expect("rescue"),
        Vec::new()
    );
    make.clock.advance(PAST_THE_LEASE);
    let rescued = store.rescue_expired(make.now(), 9).await.expect("rescue");
    assert_eq!(rescued, vec![lost.job.id]);
    assert_eq!(job(&store, lost.job.id).await.attempt, 1);
    let again = claim_this(&store, &make, lost.job.id).await;
    assert_eq!(again.job.attempt, 2);
    assert_ne!(again.lease.token, lost.lease.token);
    assert!(!finish(&store, &make, &lost, done("echo")).await);
    assert!(finish(&store, &make, &again, done("echo")).await);
}

/// A rescued job merges into the one that waits.
pub async fn a_rescued_job_merges_into_the_one_that_waits(store: Subject) {
    let make = Make::default();
    let lost = claimed(&store, &make, "a1").await;
    let waiting = enqueue(&store, &make, make.job("a1")).await;
    make.clock.advance(PAST_THE_LEASE);
    let rescued = store.rescue_expired(make.now(), 9).await.expect("rescue");
    assert_eq!(rescued, vec![waiting]);
    let merged = job(&store, lost.job.id).await;
    assert_eq!(merged.state, JobState::Done);
    assert_eq!(merged.note, Some(format!("merged into {waiting}")));
    assert_eq!(job(&store, waiting).await.attempt, 1);
}

/// At most the limit is rescued.
pub async fn at_most_the_limit_is_rescued(store: Subject) {
    let make = Make::default();
    let jobs = (0..5)
        .map(|number| make.job(&format!("a{number}")))
        .collect();
    enqueue_all(&store, &make, jobs).await;
    claim(&store, &make, 9).await;
    make.clock.advance(PAST_THE_LEASE);
    assert_eq!(
        store
            .rescue_expired(make.now(), 3)
            .await
            .expect("rescue")
            .len(),
        3
    );
    assert_eq!(
        store
            .rescue_expired(make.now(), 3)
            .await
            .expect("rescue")
            .len(),
        2
    );
}

/// All running jobs are released, and the attempt that was cut off does not count.
pub async fn all_running_jobs_are_released(store: Subject) {
    let make = Make::default();
    let one = claimed(&store, &make, "a1").await;
    let merged = claimed(&store, &make, "a2").await;
    let waiting = enqueue(&store, &make, make.job("a2")).await;
    let side_b = enqueue(&store, &make, make.job_of(Make::reconcile(Side::B, "b1"))).await;
    assert_eq!(store.release_all(make.now()).await.expect("release"), 2);
    let released = job(&store, one.job.id).await;
    assert_eq!(released.state, JobState::Available);
    assert_eq!(released.attempt, 0);
    assert_eq!(job(&store, merged.job.id).await.state, JobState::Done);
    let ids: HashSet<JobId> = claim(&store, &make, 9)
        .await
        .iter()
        .map(|one| one.job.id)
        .collect();
    assert_eq!(ids, HashSet::from([one.job.id, waiting, side_b]));
    assert!(!finish(&store, &make, &one, done("echo")).await);
}

/// Of all syncs and classes together.
pub async fn no_more_jobs_than_were_asked_for_are_brought_forward_at_once(store: Subject) {
    let make = Make::default();
    let classes = [JobClass::Interactive, JobClass::Poll, JobClass::Backfill];
    let put_off = ["a1", "a2", "a3", "a4", "a5", "a6"]
        .into_iter()
        .zip(classes.into_iter().cycle());
    let put_off = put_off.map(|(record, class)| NewJob {
        class,
        run_at: make.after(4_000 * 24 * 3_600),
        ..make.job(record)
    });
    let enqueued = store.enqueue(put_off.collect(), make.now()).await;
    enqueued.expect("enqueue");
    for brought in [4, 2, 0] {
        let due = store.rescue_expired(make.now(), 4).await;
        assert_eq!(due.expect("rescue").len(), brought);
    }
}

/// What waits for longer than anything can was put off by a clock that was ahead: who rescues makes it due.
pub async fn a_job_that_a_clock_ahead_has_put_off_is_brought_forward(store: Subject) {
    let make = Make::default();
    let days = |days: u64| make.after(days * 24 * 3_600);
    let put_off = NewJob {
        run_at: days(4_000),
        ..make.job("a1")
    };
    let waits = NewJob {
        run_at: days(7),
        ..make.job("a2")
    };
    let id = put_off.id;
    let enqueued = store.enqueue(vec![put_off, waits], make.now()).await;
    enqueued.expect("enqueue");
    let due = store.rescue_expired(make.now(), 10).await;
    assert_eq!(due.expect("rescue"), [id]);
    let due = store.rescue_expired(make.now(), 10).await;
    assert_eq!(due.expect("rescue"), []);
    let claimed = claim(&store, &make, 10).await;
    let claimed: Vec<_> = claimed.iter().map(|one| one.job.id).collect();
    assert_eq!(claimed, [id]);
}
