//! A deadlock with a transaction of somebody else: the database ends one of the two, and a verb that was
//! ended so is run again.

use std::sync::Arc;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tandem_domain::{ErrorCode, JobId};
use tandem_store::JobOutcome;
use tandem_testkit::Make;

use super::Fleet;

/// The database ends whoever has waited for `deadlock_timeout` when it looks: on a slow machine that may be the stranger.
const ATTEMPTS_MAX: usize = 20;

/// Locks a job; says whether that was done, and not ended as one half of a deadlock.
async fn lock(conn: &mut PgConnection, job: JobId) -> bool {
    const DEADLOCK: &str = "40P01";
    let locking = sqlx::query("SELECT FROM jobs WHERE id = $1 FOR UPDATE").bind(job.to_string());
    match conn.execute(locking).await {
        Ok(_) => true,
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == DEADLOCK) => {
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// Returns when some transaction of this database waits for another one.
async fn until_one_waits(conn: &mut PgConnection) {
    const WAITING: &str = "SELECT FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut waiting = 0;
    while waiting == 0 {
        waiting = sqlx::query(WAITING)
            .fetch_all(&mut *conn)
            .await
            .expect("the activity")
            .len();
    }
}

/// Finishes two jobs while a stranger locks them in the other order. Says whether it was the verb that the database ended.
async fn finish_across_a_stranger(
    fleet: &Fleet,
    stranger: &mut PgConnection,
    attempt: usize,
) -> bool {
    let (store, make) = (fleet.store(0), &fleet.make);
    let jobs = ["a1", "a2"].map(|record| make.job(&format!("{record}-{attempt}")));
    store
        .enqueue(jobs.to_vec(), make.now())
        .await
        .expect("enqueue");
    let mut claimed = store.claim(make.claim(2)).await.expect("claim");
    claimed.sort_by_key(|one| one.job.id);
    let failure = Make::failure(ErrorCode::Refused, "no");
    let finished: Vec<_> = claimed
        .iter()
        .map(|one| {
            let failure = failure.clone();
            (one.lease, JobOutcome::Dead { failure })
        })
        .collect();
    let mut watcher = PgConnection::connect(fleet.database.url())
        .await
        .expect("a connection");
    stranger.execute("BEGIN").await.expect("begin");
    assert!(lock(stranger, claimed[1].job.id).await, "nobody has it");
    let finishing = {
        let (store, now) = (Arc::clone(&store), make.now());
        tokio::spawn(async move { store.finish(finished, now).await })
    };
    until_one_waits(&mut watcher).await;
    let is_ours = lock(stranger, claimed[0].job.id).await;
    stranger.execute("ROLLBACK").await.expect("rollback");
    let answers = finishing.await.expect("no panic").expect("finish");
    assert_eq!(answers, vec![true, true]);
    is_ours
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_a_deadlock_ended_is_run_again() {
    let fleet = Fleet::of(1).await;
    let mut stranger = PgConnection::connect(fleet.database.url())
        .await
        .expect("a connection");
    let mut attempts = 1;
    while !finish_across_a_stranger(&fleet, &mut stranger, attempts).await {
        attempts += 1;
        assert!(attempts <= ATTEMPTS_MAX, "the stranger is always ended");
    }
    let store = fleet.store(0);
    let counts = store
        .job_counts(None, fleet.make.now())
        .await
        .expect("counts");
    let finished = u64::try_from(2 * attempts).expect("few");
    assert_eq!((counts.dead, counts.running), (finished, 0));
}
