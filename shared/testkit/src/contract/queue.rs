//! Jobs as rows: inserting, merging, listing, replaying, pruning.

use std::time::Duration;

use tandem_domain::{ErrorCode, JobId, RecordId, Side, Timestamp};
use tandem_store::{
    Hints, JobClass, JobCounts, JobFilter, JobKind, JobOutcome, JobState, Lane, NewJob, Trigger,
};

use super::{Subject, claim, claimed, done, enqueue, enqueue_all, finish, job};
use crate::Make;

fn dead(code: ErrorCode) -> JobOutcome {
    JobOutcome::Dead {
        failure: Make::failure(code, "no"),
    }
}

/// A job for this record that has died.
async fn dead_job(store: &Subject, make: &Make, record: &str, code: ErrorCode) -> JobId {
    let claimed = claimed(store, make, record).await;
    assert!(finish(store, make, &claimed, dead(code)).await);
    claimed.job.id
}

async fn list(store: &Subject, filter: JobFilter) -> Vec<JobId> {
    let jobs = store
        .jobs(&JobFilter {
            limit: 100,
            ..filter
        })
        .await
        .expect("jobs");
    jobs.into_iter().map(|job| job.id).collect()
}

/// A job comes back as it was enqueued.
pub async fn a_job_comes_back_as_it_was_enqueued(store: Subject) {
    let make = Make::default();
    let new = NewJob {
        class: JobClass::Poll,
        trigger: Trigger::Poll,
        run_at: make.after(5),
        hints: Hints {
            edited_a: Some(Timestamp::from_secs(1)),
            edited_b: Some(Timestamp::from_secs(2)),
        },
        traceparent: Some("00-trace".to_owned()),
        ..make.job("a1")
    };
    assert_eq!(enqueue(&store, &make, new.clone()).await, new.id);
    let stored = job(&store, new.id).await;
    assert_eq!(stored.kind, new.kind);
    assert_eq!(
        stored.lane,
        Lane::of_record(&Make::customers(), Side::A, &RecordId::new("a1"))
    );
    assert_eq!(
        (stored.class, stored.trigger),
        (JobClass::Poll, Trigger::Poll)
    );
    assert_eq!(
        (stored.state, stored.attempt, stored.merged),
        (JobState::Available, 0, 0)
    );
    assert_eq!(
        (stored.run_at, stored.created_at),
        (make.after(5), make.now())
    );
    assert_eq!(
        (stored.ended_at, stored.failure, stored.note),
        (None, None, None)
    );
    assert_eq!(
        (stored.hints, stored.traceparent),
        (new.hints, new.traceparent)
    );
    assert!(store.job(make.job_id()).await.expect("job").is_none());
}

/// Every kind of job survives the storage.
pub async fn every_kind_of_job_survives_the_storage(store: Subject) {
    let make = Make::default();
    let sync = Make::customers();
    let kinds = [
        Make::reconcile(Side::B, "b/1 \"ü\""),
        JobKind::Poll {
            sync: sync.clone(),
            side: Side::A,
        },
        JobKind::Sweep {
            sync: sync.clone(),
            side: Side::B,
        },
        JobKind::Backfill { sync },
        JobKind::Noop { number: u64::MAX },
    ];
    let jobs: Vec<NewJob> = kinds.iter().map(|kind| make.job_of(kind.clone())).collect();
    let ids = enqueue_all(&store, &make, jobs).await;
    for (id, kind) in ids.into_iter().zip(kinds) {
        let stored = job(&store, id).await;
        assert_eq!(stored.lane, Lane::of_job(&kind));
        assert_eq!(stored.kind, kind);
    }
    assert_eq!(claim(&store, &make, 9).await.len(), 5);
}

/// A second job of a lane merges into the waiting one.
pub async fn a_second_job_of_a_lane_merges_into_the_waiting_one(store: Subject) {
    let make = Make::default();
    let hints = |a, b| Hints {
        edited_a: Option::map(a, Timestamp::from_secs),
        edited_b: Option::map(b, Timestamp::from_secs),
    };
    let first = NewJob {
        class: JobClass::Backfill,
        trigger: Trigger::Backfill,
        run_at: make.after(60),
        hints: hints(Some(5), None),
        ..make.job("a1")
    };
    let second = NewJob {
        class: JobClass::Interactive,
        run_at: make.after(30),
        hints: hints(Some(3), Some(9)),
        ..make.job("a1")
    };
    let third = NewJob {
        class: JobClass::Poll,
        run_at: make.after(90),
        ..make.job("a1")
    };
    enqueue(&store, &make, first.clone()).await;
    assert_eq!(enqueue(&store, &make, second.clone()).await, first.id);
    assert_eq!(enqueue(&store, &make, third).await, first.id);
    let stored = job(&store, first.id).await;
    assert_eq!(
        (stored.class, stored.run_at),
        (JobClass::Interactive, make.after(30))
    );
    assert_eq!(stored.hints, hints(Some(5), Some(9)));
    assert_eq!((stored.merged, stored.trigger), (2, Trigger::Backfill));
    assert!(store.job(second.id).await.expect("job").is_none());
}

/// Jobs of one lane in one call are one.
pub async fn jobs_of_one_lane_in_one_call_are_one(store: Subject) {
    let make = Make::default();
    let jobs = vec![make.job("a1"), make.job("a2"), make.job("a1")];
    let (first, second) = (jobs[0].id, jobs[1].id);
    assert_eq!(
        enqueue_all(&store, &make, jobs).await,
        vec![first, second, first]
    );
    assert_eq!(job(&store, first).await.merged, 1);
    assert_eq!(job(&store, second).await.merged, 0);
    assert_eq!(enqueue_all(&store, &make, Vec::new()).await, Vec::new());
}

/// A job does not merge into a running one.
pub async fn a_job_does_not_merge_into_a_running_one(store: Subject) {
    let make = Make::default();
    let running = claimed(&store, &make, "a1").await;
    let next = make.job("a1");
    assert_eq!(enqueue(&store, &make, next.clone()).await, next.id);
    assert_eq!(job(&store, running.job.id).await.merged, 0);
    assert_eq!(job(&store, next.id).await.state, JobState::Available);
}

/// A job of a linked record waits in the lane of the link.
pub async fn a_job_of_a_linked_record_waits_in_the_lane_of_the_link(store: Subject) {
    let make = Make::default();
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    let linked = enqueue(&store, &make, make.job("a1")).await;
    let other = enqueue(&store, &make, make.job("a2")).await;
    assert_eq!(job(&store, linked).await.lane, Lane::of_link(link.id));
    let own = Lane::of_record(&Make::customers(), Side::A, &RecordId::new("a2"));
    assert_eq!(job(&store, other).await.lane, own);
}

/// Both records of a link share one waiting job.
pub async fn both_records_of_a_link_share_one_waiting_job(store: Subject) {
    let make = Make::default();
    store
        .insert_links(vec![make.link("a1", "b1")], make.now())
        .await
        .expect("link");
    let jobs = vec![make.job("a1"), make.job_of(Make::reconcile(Side::B, "b1"))];
    let first = jobs[0].id;
    assert_eq!(enqueue_all(&store, &make, jobs).await, vec![first; 2]);
}

/// Jobs are listed newest first by page.
pub async fn jobs_are_listed_newest_first_by_page(store: Subject) {
    let make = Make::default();
    let jobs = (0..5)
        .map(|number| make.job(&format!("a{number}")))
        .collect();
    let mut ids = enqueue_all(&store, &make, jobs).await;
    ids.reverse();
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let filter = JobFilter {
            before,
            limit: 2,
            ..JobFilter::default()
        };
        let page = store.jobs(&filter).await.expect("jobs");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        listed.extend(page.iter().map(|job| job.id));
    }
    assert_eq!(listed, ids);
}

/// Jobs are filtered by state, sync, code and record.
pub async fn jobs_are_filtered_by_state_sync_code_and_record(store: Subject) {
    let make = Make::default();
    let refused = dead_job(&store, &make, "a1", ErrorCode::Refused).await;
    let malformed = dead_job(&store, &make, "a2", ErrorCode::Malformed).await;
    let running = claimed(&store, &make, "a3").await.job.id;
    let waiting = enqueue(&store, &make, make.job("a1")).await;
    let state = |state| JobFilter {
        state: Some(state),
        ..JobFilter::default()
    };
    assert_eq!(
        list(&store, state(JobState::Dead)).await,
        vec![malformed, refused]
    );
    assert_eq!(list(&store, state(JobState::Running)).await, vec![running]);
    assert_eq!(
        list(&store, state(JobState::Available)).await,
        vec![waiting]
    );
    assert_eq!(list(&store, state(JobState::Done)).await, Vec::new());
    assert_eq!(list(&store, state(JobState::Discarded)).await, Vec::new());
    let code = JobFilter {
        code: Some(ErrorCode::Refused),
        ..JobFilter::default()
    };
    assert_eq!(list(&store, code).await, vec![refused]);
    let record = JobFilter {
        record: Some(RecordId::new("a1")),
        ..JobFilter::default()
    };
    assert_eq!(list(&store, record).await, vec![waiting, refused]);
    let sync = |name: &str| JobFilter {
        sync: Some(Make::sync(name)),
        ..JobFilter::default()
    };
    assert_eq!(list(&store, sync("customers")).await.len(), 4);
    assert_eq!(list(&store, sync("invoices")).await, Vec::new());
}

/// Jobs are counted by state and class.
pub async fn jobs_are_counted_by_state_and_class(store: Subject) {
    let make = Make::default();
    let ended = claimed(&store, &make, "a1").await;
    finish(&store, &make, &ended, done("written_b")).await;
    dead_job(&store, &make, "a2", ErrorCode::Refused).await;
    claimed(&store, &make, "a3").await;
    let due = NewJob {
        class: JobClass::Poll,
        ..make.job("a4")
    };
    let later = NewJob {
        class: JobClass::Backfill,
        run_at: make.after(9),
        ..make.job("a5")
    };
    enqueue_all(&store, &make, vec![due, later]).await;
    let expected = JobCounts {
        available: 2,
        running: 1,
        dead: 1,
        done: 1,
        oldest_due: Some(make.now()),
        available_by_class: [0, 1, 1],
    };
    let sync = Make::customers();
    assert_eq!(
        store.job_counts(None, make.now()).await.expect("counts"),
        expected
    );
    assert_eq!(
        store
            .job_counts(Some(&sync), make.now())
            .await
            .expect("counts"),
        expected
    );
    let other = store
        .job_counts(Some(&Make::sync("invoices")), make.now())
        .await;
    assert_eq!(other.expect("counts"), JobCounts::default());
}

/// The next due instant is the earliest of waiting jobs.
pub async fn the_next_due_instant_is_the_earliest_of_waiting_jobs(store: Subject) {
    let make = Make::default();
    assert_eq!(store.next_due().await.expect("next_due"), None);
    let job_at = |sync: &str, secs, class| NewJob {
        run_at: make.after(secs),
        class,
        ..make.job_of(JobKind::Backfill {
            sync: Make::sync(sync),
        })
    };
    let jobs = vec![
        job_at("one", 30, JobClass::Interactive),
        job_at("two", 20, JobClass::Backfill),
        job_at("three", 40, JobClass::Poll),
    ];
    enqueue_all(&store, &make, jobs).await;
    assert_eq!(
        store.next_due().await.expect("next_due"),
        Some(make.after(20))
    );
    make.clock.advance(Duration::from_secs(60));
    assert_eq!(claim(&store, &make, 9).await.len(), 3);
    assert_eq!(store.next_due().await.expect("next_due"), None);
}
