//! The upgrade of a database that is in use.

use std::sync::Arc;

use tandem_store::Store;
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::servers::shared_database;
use tandem_testkit::upgrade;

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
