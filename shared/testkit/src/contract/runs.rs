//! Runs and cursors.

use std::time::Duration;

use tandem_domain::{RunId, Side, Timestamp};
use tandem_store::{
    GIVEN_UP, JobOutcome, NewRun, Progress, Run, RunFilter, RunKind, RunState, StoreError, Trigger,
    Waiting,
};

use super::{Subject, claim_this, claimed, finish};
use crate::Make;

const POLL_A: (RunKind, Option<Side>) = (RunKind::Poll, Some(Side::A));

async fn begin(store: &Subject, make: &Make, of: (RunKind, Option<Side>)) -> Run {
    store
        .begin_run(make.run(of.0, of.1), make.now())
        .await
        .expect("begin_run")
}

async fn end(store: &Subject, make: &Make, id: RunId, state: RunState, cursor: Option<Timestamp>) {
    store
        .end_run(id, state, &Progress::default(), None, cursor, make.now())
        .await
        .expect("end_run");
}

async fn stored(store: &Subject, id: RunId) -> Run {
    store.run(id).await.expect("run").expect("the run is there")
}

async fn cursor(store: &Subject, side: Side) -> Option<Timestamp> {
    store
        .cursor(&Make::customers(), side)
        .await
        .expect("cursor")
}

/// A run begins and ends.
pub async fn a_run_begins_and_ends(store: Subject) {
    let make = Make::default();
    let new = make.run(RunKind::Sweep, Some(Side::B));
    let id = new.id;
    let run = store.begin_run(new, make.now()).await.expect("begin_run");
    let expected = Run {
        id,
        number: run.number,
        sync: Make::customers(),
        kind: RunKind::Sweep,
        side: Some(Side::B),
        trigger: Trigger::Schedule,
        state: RunState::Running,
        started_at: make.now(),
        ended_at: None,
        progress: Progress::default(),
        error: None,
    };
    assert_eq!(run, expected);
    assert_eq!(stored(&store, id).await, expected);
    make.clock.advance(Duration::from_secs(3));
    let progress = Progress {
        listed: 7,
        problems: vec!["row 3".to_owned()],
        ..Progress::default()
    };
    store
        .end_run(
            id,
            RunState::Partial,
            &progress,
            Some("one row"),
            None,
            make.now(),
        )
        .await
        .expect("end_run");
    let ended = stored(&store, id).await;
    assert_eq!(
        (ended.state, ended.ended_at),
        (RunState::Partial, Some(make.now()))
    );
    assert_eq!(
        (ended.progress, ended.error.as_deref()),
        (progress, Some("one row"))
    );
}

/// A run is skipped while another of its kind runs.
pub async fn a_run_is_skipped_while_another_of_its_kind_runs(store: Subject) {
    let make = Make::default();
    let first = begin(&store, &make, POLL_A).await;
    let second = begin(&store, &make, POLL_A).await;
    assert_eq!(
        (second.state, second.ended_at),
        (RunState::Skipped, Some(make.now()))
    );
    let reason = second.error.clone().expect("a reason");
    assert!(reason.contains(&first.id.to_string()), "{reason}");
    assert_eq!(stored(&store, second.id).await, second);
    end(&store, &make, first.id, RunState::Succeeded, None).await;
    assert_eq!(begin(&store, &make, POLL_A).await.state, RunState::Running);
}

/// Runs of other sides, kinds and syncs do not wait.
pub async fn runs_of_other_sides_kinds_and_syncs_do_not_wait(store: Subject) {
    let make = Make::default();
    let all = [
        POLL_A,
        (RunKind::Poll, Some(Side::B)),
        (RunKind::Sweep, Some(Side::A)),
        (RunKind::Backfill, None),
    ];
    for of in all {
        assert_eq!(begin(&store, &make, of).await.state, RunState::Running);
    }
    let other = NewRun {
        sync: Make::sync("invoices"),
        ..make.run(RunKind::Backfill, None)
    };
    let other = store.begin_run(other, make.now()).await.expect("begin_run");
    assert_eq!(other.state, RunState::Running);
    assert_eq!(
        begin(&store, &make, (RunKind::Backfill, None)).await.state,
        RunState::Skipped
    );
}

/// A run takes the place of those that nobody carries: they fail as it begins.
pub async fn a_run_that_begins_fails_those_that_nobody_carries(store: Subject) {
    let make = Make::default();
    let of = (RunKind::Backfill, None);
    let left = begin(&store, &make, of).await;
    let lease = claimed(&store, &make, "1").await.lease;
    let new = NewRun {
        under: Some(lease),
        instead_of: vec![left.id],
        ..make.run(of.0, of.1)
    };
    let new = store.begin_run(new, make.now()).await.expect("begin_run");
    assert_eq!(new.state, RunState::Running);
    let left = stored(&store, left.id).await;
    assert_eq!(
        (left.state, left.error.as_deref(), left.ended_at),
        (RunState::Failed, Some(GIVEN_UP), Some(make.now()))
    );
}

/// A process stood still past its lease: the run of the one that has the job now goes on.
pub async fn who_has_lost_the_job_begins_no_run_and_ends_none(store: Subject) {
    let make = Make::default();
    let of = (RunKind::Backfill, None);
    let lost = claimed(&store, &make, "1").await;
    let handed_back = JobOutcome::Snooze {
        run_at: make.now(),
        failure: None,
        reason: Waiting::Stopping,
    };
    assert!(finish(&store, &make, &lost, handed_back).await);
    let under = |lease, instead_of| NewRun {
        under: Some(lease),
        instead_of,
        ..make.run(of.0, of.1)
    };
    let held = claim_this(&store, &make, lost.job.id).await.lease;
    let run = store.begin_run(under(held, Vec::new()), make.now()).await;
    let run = run.expect("its job is held");
    let refused = store
        .begin_run(under(lost.lease, vec![run.id]), make.now())
        .await;
    assert!(matches!(refused, Err(StoreError::LeaseLost)), "{refused:?}");
    assert_eq!(stored(&store, run.id).await.state, RunState::Running);
    let filter = RunFilter {
        limit: 10,
        ..RunFilter::default()
    };
    assert_eq!(store.runs(&filter).await.expect("runs").len(), 1);
}

/// Numbers rise by one and are never given twice.
pub async fn numbers_rise_by_one_and_are_never_given_twice(store: Subject) {
    let make = Make::default();
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let run = begin(&store, &make, POLL_A).await;
        end(&store, &make, run.id, RunState::Failed, None).await;
        numbers.push(run.number);
    }
    assert_eq!(numbers, vec![1, 2, 3]);
    assert_eq!(store.prune_runs(make.after(1), 9).await.expect("prune"), 3);
    assert_eq!(begin(&store, &make, POLL_A).await.number, 4);
}

/// Progress is stored.
pub async fn progress_is_stored(store: Subject) {
    let make = Make::default();
    let run = begin(&store, &make, POLL_A).await;
    let progress = Progress {
        listed: 10,
        queued: 2,
        unchanged: 8,
        ..Progress::default()
    };
    store
        .progress_run(run.id, &progress)
        .await
        .expect("progress");
    let stored = stored(&store, run.id).await;
    assert_eq!(
        (stored.progress, stored.state),
        (progress, RunState::Running)
    );
}

/// A good end moves the cursor.
pub async fn a_good_end_moves_the_cursor(store: Subject) {
    let make = Make::default();
    assert_eq!(cursor(&store, Side::A).await, None);
    for (state, secs) in [(RunState::Succeeded, 10), (RunState::Partial, 20)] {
        let run = begin(&store, &make, POLL_A).await;
        end(
            &store,
            &make,
            run.id,
            state,
            Some(Timestamp::from_secs(secs)),
        )
        .await;
        assert_eq!(
            cursor(&store, Side::A).await,
            Some(Timestamp::from_secs(secs))
        );
    }
    let run = begin(&store, &make, POLL_A).await;
    end(&store, &make, run.id, RunState::Succeeded, None).await;
    assert_eq!(
        cursor(&store, Side::A).await,
        Some(Timestamp::from_secs(20))
    );
    assert_eq!(cursor(&store, Side::B).await, None);
}

/// A failed end leaves the cursor.
pub async fn a_failed_end_leaves_the_cursor(store: Subject) {
    let make = Make::default();
    let run = begin(&store, &make, POLL_A).await;
    end(
        &store,
        &make,
        run.id,
        RunState::Failed,
        Some(Timestamp::from_secs(10)),
    )
    .await;
    assert_eq!(cursor(&store, Side::A).await, None);
}

/// Orphaned runs are failed.
pub async fn orphaned_runs_are_failed(store: Subject) {
    let make = Make::default();
    let old = begin(&store, &make, POLL_A).await;
    make.clock.advance(Duration::from_secs(60));
    let young = begin(&store, &make, (RunKind::Sweep, Some(Side::A))).await;
    let failed = store
        .fail_orphaned_runs(make.now(), "the process died", make.now())
        .await;
    assert_eq!(failed.expect("fail"), 1);
    let orphan = stored(&store, old.id).await;
    assert_eq!(
        (orphan.state, orphan.ended_at),
        (RunState::Failed, Some(make.now()))
    );
    assert_eq!(orphan.error.as_deref(), Some("the process died"));
    assert_eq!(stored(&store, young.id).await.state, RunState::Running);
    assert_eq!(begin(&store, &make, POLL_A).await.state, RunState::Running);
}

/// An orphaned run moves no cursor.
pub async fn an_orphaned_run_moves_no_cursor(store: Subject) {
    let make = Make::default();
    let run = begin(&store, &make, POLL_A).await;
    store
        .fail_orphaned_runs(make.after(1), "the process died", make.now())
        .await
        .expect("fail");
    end(
        &store,
        &make,
        run.id,
        RunState::Succeeded,
        Some(Timestamp::from_secs(10)),
    )
    .await;
    assert_eq!(stored(&store, run.id).await.state, RunState::Failed);
    assert_eq!(cursor(&store, Side::A).await, None);
}

/// Runs are listed newest first and filtered.
pub async fn runs_are_listed_newest_first_and_filtered(store: Subject) {
    let make = Make::default();
    let poll = begin(&store, &make, POLL_A).await.id;
    let skipped = begin(&store, &make, POLL_A).await.id;
    let sweep = begin(&store, &make, (RunKind::Sweep, Some(Side::A)))
        .await
        .id;
    let list = async |filter: RunFilter| -> Vec<RunId> {
        let runs = store.runs(&filter).await.expect("runs");
        runs.into_iter().map(|run| run.id).collect()
    };
    let all = RunFilter {
        limit: 9,
        ..RunFilter::default()
    };
    assert_eq!(list(all.clone()).await, vec![sweep, skipped, poll]);
    let page = RunFilter {
        before: Some(sweep),
        limit: 1,
        ..all.clone()
    };
    assert_eq!(list(page).await, vec![skipped]);
    let polls = RunFilter {
        kind: Some(RunKind::Poll),
        ..all.clone()
    };
    assert_eq!(list(polls).await, vec![skipped, poll]);
    let running = RunFilter {
        state: Some(RunState::Running),
        ..all.clone()
    };
    assert_eq!(list(running).await, vec![sweep, poll]);
    let other = RunFilter {
        sync: Some(Make::sync("invoices")),
        ..all
    };
    assert_eq!(list(other).await, Vec::new());
    assert!(
        store
            .run(make.run(RunKind::Poll, None).id)
            .await
            .expect("run")
            .is_none()
    );
}

/// Pruning keeps the newest success and running runs.
pub async fn pruning_keeps_the_newest_success_and_running_runs(store: Subject) {
    let make = Make::default();
    let mut ids = Vec::new();
    for state in [RunState::Succeeded, RunState::Partial, RunState::Failed] {
        let run = begin(&store, &make, POLL_A).await;
        end(&store, &make, run.id, state, None).await;
        ids.push(run.id);
    }
    let other_side = begin(&store, &make, (RunKind::Poll, Some(Side::B)))
        .await
        .id;
    end(&store, &make, other_side, RunState::Succeeded, None).await;
    let running = begin(&store, &make, POLL_A).await.id;
    make.clock.advance(Duration::from_secs(60));
    assert_eq!(store.prune_runs(make.now(), 9).await.expect("prune"), 2);
    let left = RunFilter {
        limit: 9,
        ..RunFilter::default()
    };
    let left: Vec<RunId> = store
        .runs(&left)
        .await
        .expect("runs")
        .iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(left, vec![running, other_side, ids[1]]);
}
