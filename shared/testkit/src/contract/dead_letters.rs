//! What becomes of jobs that have ended: replaying, discarding, pruning.

use std::time::Duration;

use tandem_domain::{ErrorCode, JobId};
use tandem_store::{Edits, JobOutcome, JobState, Lane, Trigger};

use super::{Subject, claim_this, claimed, done, enqueue, finish, job};
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

/// A replayed job starts again with its attempts reset.
pub async fn a_replayed_job_starts_again_with_its_attempts_reset(store: Subject) {
    let make = Make::default();
    let id = dead_job(&store, &make, "a1", ErrorCode::Refused).await;
    make.clock.advance(Duration::from_secs(60));
    assert_eq!(
        store.replay_jobs(&[id], make.now()).await.expect("replay"),
        vec![id]
    );
    let replayed = job(&store, id).await;
    assert_eq!((replayed.state, replayed.attempt), (JobState::Available, 0));
    assert_eq!((replayed.run_at, replayed.ended_at), (make.now(), None));
    assert_eq!(replayed.trigger, Trigger::Manual, "a person wants it");
    let again = claim_this(&store, &make, id).await;
    assert_eq!(again.job.attempt, 1);
    assert_eq!(store.attempts(id).await.expect("attempts").len(), 1);
}

/// A replayed job merges into the waiting job of its lane.
pub async fn a_replayed_job_merges_into_the_waiting_job_of_its_lane(store: Subject) {
    let make = Make::default();
    let id = dead_job(&store, &make, "a1", ErrorCode::Refused).await;
    let waiting = enqueue(&store, &make, make.job("a1")).await;
    assert_eq!(
        store.replay_jobs(&[id], make.now()).await.expect("replay"),
        vec![waiting]
    );
    let merged = job(&store, id).await;
    assert_eq!(merged.state, JobState::Done);
    assert_eq!(merged.note, Some(format!("merged into {waiting}")));
    assert_eq!(job(&store, waiting).await.merged, 1);
}

/// A replayed job goes to the lane of the link made meanwhile.
pub async fn a_replayed_job_goes_to_the_lane_of_the_link_made_meanwhile(store: Subject) {
    let make = Make::default();
    let id = dead_job(&store, &make, "a1", ErrorCode::Refused).await;
    let link = make.link("a1", "b1");
    store
        .insert_links(vec![link.clone()], make.now())
        .await
        .expect("link");
    store.replay_jobs(&[id], make.now()).await.expect("replay");
    assert_eq!(job(&store, id).await.lane, Lane::of_link(link.id));
}

/// An edited replay gives its values to the job that does it, until that has ended.
pub async fn an_edited_replay_gives_its_values_to_the_job_that_does_it(store: Subject) {
    let make = Make::default();
    let edits = Edits::from([("city".to_owned(), "Ghent".to_owned())]);
    let id = dead_job(&store, &make, "a1", ErrorCode::Refused).await;
    let replayed = store.replay_edited(id, &edits, make.now()).await;
    assert_eq!(replayed.expect("replay"), Some(id));
    let replayed = job(&store, id).await;
    assert_eq!((replayed.state, replayed.attempt), (JobState::Available, 0));

    let again = claim_this(&store, &make, id).await;
    assert_eq!(again.job.edits, edits);
    let failure = Make::failure(ErrorCode::Unreachable, "later");
    let run_at = make.now();
    assert!(finish(&store, &make, &again, JobOutcome::Retry { run_at, failure }).await);
    let again = claim_this(&store, &make, id).await;
    assert_eq!(again.job.edits, edits);
    assert!(finish(&store, &make, &again, dead(ErrorCode::Refused)).await);
    store.replay_jobs(&[id], make.now()).await.expect("replay");
    assert_eq!(
        job(&store, id).await.edits,
        edits,
        "unless others are given"
    );
}

/// An edited replay that meets a waiting job hands its values over.
pub async fn an_edited_replay_that_meets_a_waiting_job_hands_its_values_over(store: Subject) {
    let make = Make::default();
    let edits = Edits::from([("city".to_owned(), "O'Hara \u{1F980}".to_owned())]);
    let id = dead_job(&store, &make, "a1", ErrorCode::Refused).await;
    let waiting = enqueue(&store, &make, make.job("a1")).await;
    let replayed = store.replay_edited(id, &edits, make.now()).await;
    assert_eq!(replayed.expect("replay"), Some(waiting));
    assert_eq!(job(&store, waiting).await.edits, edits);
    let twice = store.replay_edited(id, &edits, make.now()).await;
    assert_eq!(twice.expect("replay"), None, "it is not dead any more");
}

/// Only dead jobs are replayed and discarded.
pub async fn only_dead_jobs_are_replayed_and_discarded(store: Subject) {
    let make = Make::default();
    let dead = dead_job(&store, &make, "a1", ErrorCode::Refused).await;
    let running = claimed(&store, &make, "a2").await.job.id;
    let waiting = enqueue(&store, &make, make.job("a3")).await;
    let all = [dead, running, waiting];
    let discarded = store
        .discard_jobs(&all, "a test record", make.now())
        .await
        .expect("discard");
    assert_eq!(discarded, 1);
    let gone = job(&store, dead).await;
    assert_eq!(
        (gone.state, gone.note.as_deref()),
        (JobState::Discarded, Some("a test record"))
    );
    assert_eq!(
        store.replay_jobs(&all, make.now()).await.expect("replay"),
        Vec::new()
    );
    assert_eq!(job(&store, running).await.state, JobState::Running);
    assert_eq!(job(&store, waiting).await.state, JobState::Available);
}

/// Pruning removes old jobs that are done or discarded, and keeps the others.
pub async fn pruning_removes_old_jobs_that_are_done_or_discarded_and_keeps_the_others(
    store: Subject,
) {
    let make = Make::default();
    let ended = claimed(&store, &make, "a1").await;
    finish(&store, &make, &ended, done("echo")).await;
    let discarded = dead_job(&store, &make, "a2", ErrorCode::Refused).await;
    store
        .discard_jobs(&[discarded], "no", make.now())
        .await
        .expect("discard");
    let dead = dead_job(&store, &make, "a3", ErrorCode::Refused).await;
    let running = claimed(&store, &make, "a4").await.job.id;
    let waiting = enqueue(&store, &make, make.job("a5")).await;
    make.clock.advance(Duration::from_secs(60));
    let young = claimed(&store, &make, "a6").await;
    finish(&store, &make, &young, done("echo")).await;
    let kept = store
        .job_counts(None, make.now())
        .await
        .expect("counts")
        .done;
    assert_eq!(kept, 2);
    assert_eq!(store.prune_jobs(make.now(), 1).await.expect("prune"), 1);
    assert_eq!(store.prune_jobs(make.now(), 9).await.expect("prune"), 1);
    for gone in [ended.job.id, discarded] {
        assert!(store.job(gone).await.expect("job").is_none());
    }
    for kept in [dead, running, waiting, young.job.id] {
        assert!(store.job(kept).await.expect("job").is_some());
    }
    assert_eq!(
        store
            .job_counts(None, make.now())
            .await
            .expect("counts")
            .done,
        1
    );
}
