//! A database that is set read-only for a while, as one does when its disk is full.

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use tandem_store::{RunKind, Store, StoreError};
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::Make;
use tandem_testkit::servers::shared_database;

async fn run(url: &str, statement: &str) {
    let mut conn = PgConnection::connect(url).await.expect("it opens");
    let begun = sqlx::raw_sql("SET default_transaction_read_only = off");
    begun
        .execute(&mut conn)
        .await
        .expect("it may change things");
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut conn);
    done.await.expect("it is done");
    conn.close().await.expect("it is closed");
}

/// Writes something. Runs are made by everyone.
async fn change(store: &Arc<dyn Store>, make: &Make) -> Result<(), StoreError> {
    let begun = store.begin_run(make.run(RunKind::Backfill, None), make.now());
    begun.await.map(|_run| ())
}

#[tokio::test]
async fn once_the_database_takes_changes_again_so_does_every_connection() {
    let database = shared_database().await;
    let url = database.url();
    let migrated = PostgresStore::migrate(url).await;
    migrated.expect("an empty database can be migrated");
    let store = PostgresStore::open(url, PostgresOptions::default()).await;
    let store: Arc<dyn Store> = store.expect("the database can be opened");
    let make = Make::default();
    change(&store, &make).await.expect("it takes changes");
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let set = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); \
               END $$";
    run(url, set).await;
    run(url, ended).await;
    for _ in 0..2 {
        let refused = change(&store, &make).await.expect_err("it is read-only");
        let told = refused.to_string();
        assert!(told.contains("takes no changes"), "{told}");
        assert!(told.contains("default_transaction_read_only"), "{told}");
    }
    run(
        url,
        &set.replace(
            "SET default_transaction_read_only = on",
            "RESET default_transaction_read_only",
        ),
    )
    .await;
    for _ in 0..20 {
        change(&store, &make).await.expect("it takes changes again");
    }
}
