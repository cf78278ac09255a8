//! The contract of storages, run on PostgreSQL.

use std::sync::Arc;

use tandem_store::Store;
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::servers::{TestDatabase, shared_database};

async fn empty_store() -> (Arc<dyn Store>, TestDatabase) {
    let database = shared_database().await;
    PostgresStore::migrate(database.url())
        .await
        .expect("an empty database can be migrated");
    let store = PostgresStore::open(database.url(), PostgresOptions::default())
        .await
        .expect("the database can be opened");
    (store, database)
}

tandem_testkit::contract_suite!(empty_store);
