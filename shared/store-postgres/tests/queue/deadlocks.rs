//! A deadlock with a transaction of somebody else: the database ends one of the two, and a verb that was
//! ended so is run again.

use std::sync::Arc;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tandem_domain::{ErrorCode, JobId};
use tandem_store::JobOutcome;
use tandem_testkit::Make;

use super::Fleet;

async fn lock(conn: &mut PgConnection, job: JobId) {
    let locking = sqlx::query("SELECT FROM jobs WHERE id = $1 FOR UPDATE").bind(job.to_string());
    conn.execute(locking)
        .await
        .expect("it is not the one that is ended");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_a_deadlock_ended_is_run_again() {
    let fleet = Fleet::of(1).await;
    let (store, make) = (fleet.store(0), &fleet.make);
    let jobs = vec![make.job("a1"), make.job("a2")];
    store.enqueue(jobs, make.now()).await.expect("enqueue");
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
    let connect = || PgConnection::connect(fleet.database.url());
    let mut stranger = connect().await.expect("a connection");
    let mut watcher = connect().await.expect("a connection");
    stranger.execute("BEGIN").await.expect("begin");
    lock(&mut stranger, claimed[1].job.id).await;
    let finishing = {
        let (store, now) = (Arc::clone(&store), make.now());
        tokio::spawn(async move { store.finish(finished, now).await })
    };
    until_one_waits(&mut watcher).await;
    lock(&mut stranger, claimed[0].job.id).await;
    stranger.execute("COMMIT").await.expect("commit");
    let answers = finishing.await.expect("no panic").expect("finish");
    assert_eq!(answers, vec![true, true]);
    let counts = store.job_counts(None, make.now()).await.expect("counts");
    assert_eq!((counts.dead, counts.running), (2, 0));
}
