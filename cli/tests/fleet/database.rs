//! The fleet's database, as it is asked by the tests.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row};
use tandem_testkit::servers::PostgresServer;

/// A restarting server is waited for so long.
const ACQUIRE_MAX: Duration = Duration::from_secs(30);

/// The rows of each table that name a record, as JSON.
const ABOUT: [&str; 6] = [
    "SELECT 'event ' || to_json(t) FROM events t WHERE record = $1 ORDER BY id",
    "SELECT 'job ' || to_json(t) FROM jobs t WHERE record = $1 ORDER BY id",
    "SELECT 'seen ' || to_json(t) FROM records t WHERE id = $1",
    "SELECT 'link ' || to_json(t) FROM links t WHERE $1 IN (a_id, b_id) ORDER BY id",
    "SELECT 'intent ' || to_json(t) FROM intents t WHERE $1 IN (source, target) ORDER BY id",
    "SELECT 'change ' || to_json(t) FROM changes t WHERE $1 IN (a, b) ORDER BY id",
];

/// A PostgreSQL of its own, and the database in it.
pub struct Database {
    pub server: PostgresServer,
    pub url: String,
    pool: PgPool,
}

impl Database {
    /// Starts the server and makes an empty database.
    pub async fn start() -> Self {
        let server = PostgresServer::start().await;
        let url = server.create_database("fleet").await;
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(ACQUIRE_MAX)
            .connect_lazy(&url)
            .expect("the test server's address is one");
        Self { server, url, pool }
    }

    /// Jobs about single records, however they stand.
    pub async fn reconcile_jobs(&self) -> i64 {
        self.count("SELECT count(*) FROM jobs WHERE kind = 'reconcile'")
            .await
    }

    /// Jobs about single records that a worker has.
    pub async fn reconcile_jobs_running(&self) -> i64 {
        self.count("SELECT count(*) FROM jobs WHERE kind = 'reconcile' AND state = 'running'")
            .await
    }

    /// Jobs about single records that wait or that a worker has.
    pub async fn reconcile_jobs_open(&self) -> i64 {
        self.count(
            "SELECT count(*) FROM jobs WHERE kind = 'reconcile' AND state IN ('available', 'running')",
        )
        .await
    }

    /// Polls that came to an end.
    pub async fn polls_done(&self) -> i64 {
        self.count("SELECT count(*) FROM runs WHERE kind = 'poll' AND state = 'succeeded'")
            .await
    }

    /// Jobs whose worker has let their lease run out, and that nobody has taken over yet.
    pub async fn leases_run_out(&self) -> i64 {
        self.count(
            "SELECT count(*) FROM jobs WHERE state = 'running'
             AND lease_until < extract(epoch FROM clock_timestamp()) * 1000000",
        )
        .await
    }

    /// Writes in the journal that were sent, or may have been.
    pub async fn intents_sent(&self) -> i64 {
        self.count("SELECT count(*) FROM intents WHERE state IN ('sent', 'unknown')")
            .await
    }

    /// All events.
    pub async fn events(&self) -> i64 {
        self.count("SELECT count(*) FROM events").await
    }

    /// Events that caused nothing though they should have, or whose jobs have not come to an end.
    pub async fn events_without_outcome(&self) -> i64 {
        self.count(
            "SELECT count(*) FROM events e WHERE e.state = 'accepted' AND (e.jobs = '[]' OR EXISTS (
                 SELECT 1 FROM json_array_elements_text(e.jobs::json) named (id)
                 LEFT JOIN jobs j ON j.id = named.id
                 WHERE j.id IS NULL OR j.state NOT IN ('done', 'dead', 'discarded')))",
        )
        .await
    }

    /// The keys by which the events of a connection are told apart.
    pub async fn event_keys(&self, connection: &str) -> BTreeSet<String> {
        let query = sqlx::query("SELECT dedupe_key FROM events WHERE connection = $1");
        let rows = query.bind(connection).fetch_all(&self.pool).await;
        let rows = rows.expect("the database answers");
        rows.iter().map(|row| row.get("dedupe_key")).collect()
    }

    /// How long before it arrived the newest event of a connection happened, by our clock, in seconds.
    pub async fn newest_event_late_by(&self, connection: &str) -> Option<f64> {
        let query = sqlx::query_scalar(
            "SELECT (received_at - occurred_at)::float8 / 1000000 FROM events
             WHERE connection = $1 AND occurred_at IS NOT NULL ORDER BY received_at DESC LIMIT 1",
        );
        let late = query.bind(connection).fetch_optional(&self.pool).await;
        late.expect("the database answers")
    }

    /// Everything that is known of a record, for a person to find out what went wrong with it.
    pub async fn about(&self, record: &str) -> String {
        let mut text = String::new();
        for query in ABOUT {
            let rows = sqlx::query_scalar(query).bind(record).fetch_all(&self.pool);
            let rows: Vec<String> = rows.await.expect("the database answers");
            text.extend(rows.into_iter().map(|row| row + "\n"));
        }
        text
    }

    async fn count(&self, query: &'static str) -> i64 {
        let count = sqlx::query_scalar(query).fetch_one(&self.pool).await;
        count.expect("the database answers")
    }
}
