//! What becomes of rows that a newer version wrote.

use sqlx::{ConnectOptions as _, Connection as _};
use tandem_testkit::{TemporaryStore, contract};

#[tokio::test]
async fn words_of_a_newer_version_stop_nothing() {
    let temporary = TemporaryStore::open().await;
    let path = temporary.path();
    let run = async |statement: String| {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut conn = options.connect().await.expect("it opens");
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut conn);
        done.await.expect("it is done");
        conn.close().await.expect("it is closed");
    };
    contract::newer::words_of_a_newer_version_stop_nothing(temporary.shared(), run).await;
}
