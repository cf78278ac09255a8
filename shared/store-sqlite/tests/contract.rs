//! The contract of storages, run on SQLite.

use std::sync::Arc;

use tandem_store::Store;
use tandem_testkit::TemporaryStore;

async fn empty_store() -> (Arc<dyn Store>, TemporaryStore) {
    let temporary = TemporaryStore::open().await;
    (temporary.shared(), temporary)
}

tandem_testkit::contract_suite!(empty_store);
