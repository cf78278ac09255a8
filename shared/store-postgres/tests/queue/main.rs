//! Many processes at one queue and one inbox. SQLite has one writer; here the locks and the unique indexes
//! decide, and a storage of its own stands for each process.

mod at_once;
mod at_random;
mod deadlocks;

use std::sync::Arc;

use tandem_store::Store;
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::Make;
use tandem_testkit::servers::{TestDatabase, shared_database};

/// Few, because there are several processes, and each connection is authenticated.
const CONNECTIONS: PostgresOptions = PostgresOptions { connections_max: 4 };

/// Some processes on one database.
struct Fleet {
    stores: Vec<Arc<dyn Store>>,
    make: Arc<Make>,
    database: TestDatabase,
}

impl Fleet {
    async fn of(processes: usize) -> Self {
        let database = shared_database().await;
        PostgresStore::migrate(database.url())
            .await
            .expect("an empty database can be migrated");
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        for _ in 0..processes {
            let store = PostgresStore::open(database.url(), CONNECTIONS).await;
            stores.push(store.expect("the database can be opened"));
        }
        Self {
            stores,
            make: Arc::new(Make::default()),
            database,
        }
    }

    /// The process whose turn it is.
    fn store(&self, turn: usize) -> Arc<dyn Store> {
        Arc::clone(&self.stores[turn % self.stores.len()])
    }

    /// Does this `times` times at once, by turns in each process; the answers are in no order.
    async fn all_at_once<T, F>(
        &self,
        times: usize,
        task: impl Fn(usize, Arc<dyn Store>, Arc<Make>) -> F,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let tasks: Vec<_> = (0..times)
            .map(|turn| tokio::spawn(task(turn, self.store(turn), Arc::clone(&self.make))))
            .collect();
        let mut answers = Vec::with_capacity(times);
        for task in tasks {
            answers.push(task.await.expect("nothing panics"));
        }
        answers
    }
}
