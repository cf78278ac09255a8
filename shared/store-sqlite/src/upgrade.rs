//! The upgrade of a file that is in use.

use std::path::Path;
use std::sync::Arc;

use sqlx::Connection as _;
use tandem_store::Store;
use tandem_testkit::upgrade;

use crate::{SqliteOptions, SqliteStore, open};

const RUNNING: SqliteOptions = SqliteOptions { exclusive: true };

async fn opened(path: &Path) -> Arc<dyn Store> {
    SqliteStore::open(path, RUNNING).await.expect("it opens")
}

/// Takes the schema back to this version, rows and all.
async fn take_back(path: &Path, version: i64) {
    let mut conn = open::connect(path).await;
    open::migrator()
        .undo(&mut conn, version)
        .await
        .expect("it goes back");
    conn.close().await.expect("it closes");
}

#[tokio::test]
async fn a_database_of_an_earlier_schema_is_brought_up_to_date_and_works() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let store = opened(&path).await;
    let filled = upgrade::fill(&store).await;
    drop(store);
    take_back(&path, 2).await;
    upgrade::works_on(&opened(&path).await, &filled).await;
}
