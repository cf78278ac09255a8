//! The upgrade of a database that is in use.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tandem_domain::{ErrorCode, RecordId, Side};
use tandem_store::{
    JobFilter, JobOutcome, Progress, Resolution, RunKind, RunState, Store, Unlinked,
};
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::servers::shared_database;
use tandem_testkit::{Make, upgrade};

async fn opened(url: &str) -> Arc<dyn Store> {
    let opened = PostgresStore::open(url, PostgresOptions::default()).await;
    opened.expect("the database can be opened")
}

#[tokio::test]
async fn a_database_of_an_earlier_schema_is_brought_up_to_date_and_works() {
    let database = shared_database().await;
    let url = database.url();
    let (_, newest) = PostgresStore::migrate(url)
        .await
        .expect("an empty database");
    let store = opened(url).await;
    let filled = upgrade::fill(&store).await;
    drop(store);
    PostgresStore::roll_back(url, 2)
        .await
        .expect("it goes back");
    let refused = PostgresStore::open(url, PostgresOptions::default()).await;
    assert!(refused.is_err(), "a program needs its schema");
    let moved = PostgresStore::migrate(url).await.expect("it goes up");
    assert_eq!(moved, (2, newest));
    upgrade::works_on(&opened(url).await, &filled).await;
}

/// Adds a column to every table, as a migration does that comes while others work.
async fn add_a_column_to_every_table(url: &str) {
    const TABLES: &str = "SELECT tablename::text FROM pg_tables
                          WHERE schemaname = 'public' AND tablename NOT LIKE '%sqlx%'";
    let mut conn = PgConnection::connect(url).await.expect("a connection");
    let tables: Vec<String> = sqlx::query_scalar(TABLES)
        .fetch_all(&mut conn)
        .await
        .expect("the tables");
    for table in ["jobs", "links", "syncs", "connections"] {
        assert!(tables.iter().any(|one| one == table), "{tables:?}");
    }
    for table in tables {
        let add = format!("ALTER TABLE {table} ADD COLUMN later BIGINT NOT NULL DEFAULT 0");
        let added = sqlx::raw_sql(AssertSqlSafe(add)).execute(&mut conn).await;
        added.expect("the column is added");
    }
}

/// Asks so many things at once that each connection of the pool answers some of them.
async fn ask_at_once(store: &Arc<dyn Store>) {
    let asked = (0..64).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            store.connections().await.expect("connections");
            store.syncs().await.expect("syncs");
            store.schedules().await.expect("schedules");
            let jobs = store.jobs(&JobFilter::default()).await;
            jobs.expect("jobs");
            let links = store.links(&Make::customers(), None, 9).await;
            links.expect("links");
            let (sync, record) = (Make::customers(), RecordId::new("a1"));
            let pair = store.pair(&sync, Side::A, &record).await;
            pair.expect("pair");
        })
    });
    for answered in asked.collect::<Vec<_>>() {
        answered.await.expect("it is answered");
    }
}

/// One of each verb that is a transaction of several statements and reads whole rows.
async fn work(store: &Arc<dyn Store>, make: &Make, number: usize) {
    let now = make.now();
    let run = make.run(RunKind::Poll, Some(Side::A));
    let run = store.begin_run(run, now).await.expect("begun");
    let (good, none) = (RunState::Succeeded, Progress::default());
    let ended = store.end_run(run.id, good, &none, None, None, now).await;
    ended.expect("ended");

    let question = make.conflict(None, &format!("q{number}"), Make::ambiguous());
    let id = question.id;
    let opened = store.open_conflicts(vec![question], now).await;
    assert_eq!(opened.expect("asked"), 1);
    let answered = store.resolve_conflict(id, Resolution::CreateNew, make.job_id(), now);
    answered.await.expect("answered").expect("it was open");

    let link = make.link(&format!("u{number}"), &format!("v{number}"));
    let linked = store.insert_links(vec![link.clone()], now).await;
    assert_eq!(linked.expect("linked"), 1);
    let change = make.change(&format!("u{number}"), &format!("v{number}"));
    let apart = store.unlink_by_hand(link.id, change, now).await;
    assert_eq!(apart.expect("unlinked"), Unlinked::Done);

    let jobs = vec![make.job(&format!("w{number}"))];
    store.enqueue(jobs, now).await.expect("enqueued");
    assert!(
        !store
            .claim(make.claim(64))
            .await
            .expect("claimed")
            .is_empty()
    );
    assert!(store.release_all(now).await.expect("released") > 0);
    let failure = Make::failure(ErrorCode::Refused, "no such city");
    for outcome in [
        JobOutcome::Retry {
            run_at: now,
            failure: failure.clone(),
        },
        JobOutcome::Dead { failure },
    ] {
        let claimed = store.claim(make.claim(64)).await.expect("claimed");
        assert!(!claimed.is_empty());
        let ends = claimed.into_iter().map(|one| (one.lease, outcome.clone()));
        let finished = store.finish(ends.collect(), now).await.expect("finish");
        assert!(finished.into_iter().all(|held| held));
    }
}

/// More often than there are connections, which take turns.
const OFTEN: usize = 12;

#[tokio::test]
async fn every_verb_goes_on_when_a_migration_adds_columns() {
    for connections_max in [1, 8] {
        let database = shared_database().await;
        let url = database.url();
        PostgresStore::migrate(url).await.expect("the schema");
        let options = PostgresOptions { connections_max };
        let store: Arc<dyn Store> = PostgresStore::open(url, options).await.expect("it opens");
        let make = Make::default();
        ask_at_once(&store).await;
        for number in 0..OFTEN {
            work(&store, &make, number).await;
        }
        add_a_column_to_every_table(url).await;
        for number in OFTEN..2 * OFTEN {
            work(&store, &make, number).await;
        }
    }
}

#[tokio::test]
async fn a_store_at_work_goes_on_when_a_migration_adds_columns() {
    for connections_max in [1, 8] {
        let database = shared_database().await;
        let url = database.url();
        PostgresStore::migrate(url).await.expect("the schema");
        let options = PostgresOptions { connections_max };
        let store: Arc<dyn Store> = PostgresStore::open(url, options).await.expect("it opens");
        let filled = upgrade::fill(&store).await;
        ask_at_once(&store).await;
        add_a_column_to_every_table(url).await;
        ask_at_once(&store).await;
        upgrade::works_on(&store, &filled).await;
    }
}

/// A process at work: it writes to the table, in a transaction that stays open.
async fn writer(url: &str) -> PgConnection {
    const WRITES: &str =
        "BEGIN; LOCK TABLE intents IN ROW EXCLUSIVE MODE NOWAIT; SELECT txid_current()";
    let mut conn = PgConnection::connect(url).await.expect("a connection");
    let done = sqlx::raw_sql(WRITES).execute(&mut conn).await;
    done.expect("nothing keeps it from writing");
    conn
}

/// Waits until an index is being made: until that waits for the transactions that began before it.
async fn is_being_made(url: &str) {
    const WAITS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                         AND wait_event_type = 'Lock' AND query LIKE '%CREATE INDEX%intents_made%'";
    let mut conn = PgConnection::connect(url).await.expect("a connection");
    loop {
        let waiting = sqlx::query_scalar(WAITS).fetch_one(&mut conn).await;
        let waiting: i64 = waiting.expect("an answer");
        if waiting > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Whether the index is of use; `None` where there is none.
async fn is_valid(url: &str) -> Option<bool> {
    const VALID: &str =
        "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                         WHERE c.relname = 'intents_made'";
    let mut conn = PgConnection::connect(url).await.expect("a connection");
    let valid = sqlx::query_scalar(VALID).fetch_optional(&mut conn).await;
    valid.expect("an answer")
}

/// A database as it was before the index.
async fn without_the_index(url: &str) -> i64 {
    let (_, newest) = PostgresStore::migrate(url).await.expect("the schema");
    let back = PostgresStore::roll_back(url, 9).await;
    back.expect("it goes back");
    assert_eq!(is_valid(url).await, None);
    newest
}

#[tokio::test]
async fn an_index_is_made_beside_those_who_write_and_those_who_wait_to_migrate() {
    let database = shared_database().await;
    let url = database.url();
    let newest = without_the_index(url).await;
    let earlier = writer(url).await;
    let meanwhile = async {
        is_being_made(url).await;
        // Nobody who comes now is kept from writing.
        drop(writer(url).await);
        earlier.close().await.expect("it ends");
    };
    let (one, other, ()) = tokio::join!(
        PostgresStore::migrate(url),
        PostgresStore::migrate(url),
        meanwhile
    );
    let mut moved = [one.expect("it goes up"), other.expect("it waits")];
    moved.sort_unstable();
    assert_eq!(moved, [(9, newest), (newest, newest)]);
    assert_eq!(is_valid(url).await, Some(true));
}

#[tokio::test]
async fn an_index_whose_making_was_broken_off_is_made_anew() {
    let database = shared_database().await;
    let url = database.url();
    let newest = without_the_index(url).await;
    let earlier = writer(url).await;
    let broken_off = async {
        is_being_made(url).await;
        const BREAK_OFF: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%intents_made%'";
        let mut conn = PgConnection::connect(url).await.expect("a connection");
        let ended = sqlx::raw_sql(BREAK_OFF).execute(&mut conn).await;
        ended.expect("the process is ended");
    };
    let (moved, ()) = tokio::join!(PostgresStore::migrate(url), broken_off);
    assert!(moved.is_err(), "{moved:?}");
    assert_eq!(is_valid(url).await, Some(false));
    earlier.close().await.expect("it ends");

    let again = PostgresStore::migrate(url).await;
    assert_eq!(again.expect("it goes up"), (9, newest));
    assert_eq!(is_valid(url).await, Some(true));
}
