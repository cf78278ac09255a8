//! What becomes of rows that a newer version wrote.

use sqlx::{Connection as _, PgConnection};
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::contract;
use tandem_testkit::servers::shared_database;

#[tokio::test]
async fn words_of_a_newer_version_stop_nothing() {
    let database = shared_database().await;
    let url = database.url();
    let migrated = PostgresStore::migrate(url).await;
    migrated.expect("an empty database can be migrated");
    let store = PostgresStore::open(url, PostgresOptions::default()).await;
    let store = store.expect("the database can be opened");
    let run = async |statement: String| {
        let mut conn = PgConnection::connect(url).await.expect("it opens");
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut conn);
        done.await.expect("it is done");
        conn.close().await.expect("it is closed");
    };
    contract::newer::words_of_a_newer_version_stop_nothing(store, run).await;
}
