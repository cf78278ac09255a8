//! The servers of a fleet: a PostgreSQL as durable as in production, with its data on the disk that is
//! measured, and a Redis. Each figure has a database of its own in it, which is dropped afterwards.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_testkit::servers::{self, PostgresServer, RedisServer};

/// As `docker-compose.yml` has it; everything else is as PostgreSQL comes.
const SETTINGS: [(&str, &str); 1] = [("shared_buffers", "256MB")];
/// How the product has its statements planned: by index, however small a table was at first.
const PLANNING: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// Both servers; they end with the process.
pub struct Servers {
    postgres: PostgresServer,
    redis: RedisServer,
}

impl Servers {
    /// Starts them.
    pub async fn start(folder: &Path) -> Self {
        let options = servers::PostgresOptions {
            settings: SETTINGS
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            // Not below our own folder, which is closed to PostgreSQL's account.
            folder: Some(folder.to_owned()),
            ..servers::PostgresOptions::default()
        };
        let (postgres, redis) =
            tokio::join!(PostgresServer::start_with(options), RedisServer::start());
        Self { postgres, redis }
    }

    /// An empty database of the product's schema; Redis is emptied too.
    pub async fn database(&self, name: &'static str) -> anyhow::Result<Database> {
        self.redis.flush_all().await;
        let database = Database {
            name,
            url: self.postgres.create_database(name).await,
            maintenance_url: self.postgres.url("postgres"),
            redis_url: self.redis.url(),
        };
        PostgresStore::migrate(&database.url).await?;
        Ok(database)
    }
}

/// A database.
pub struct Database {
    name: &'static str,
    pub url: String,
    maintenance_url: String,
    /// The Redis beside it.
    pub redis_url: String,
}

impl Database {
    /// The product's storage in it, with as many connections as a process has unless told otherwise.
    pub async fn store(&self) -> anyhow::Result<Arc<PostgresStore>> {
        Ok(PostgresStore::open(&self.url, PostgresOptions::default()).await?)
    }

    /// A connection without the product.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options: PgConnectOptions = self.url.parse()?;
        let mut connection = options.disable_statement_logging().connect().await?;
        connection.execute(PLANNING).await?;
        Ok(connection)
    }

    /// The one number that a query gives.
    pub async fn count(&self, query: &'static str) -> anyhow::Result<usize> {
        let mut connection = self.connect().await?;
        let count: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
        Ok(usize::try_from(count)?)
    }

    /// Drops it. What it has not yet written to its place on the disk does not burden the next figure.
    pub async fn remove(self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.maintenance_url).await?;
        let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        connection
            .execute(AssertSqlSafe(drop))
            .await
            .with_context(|| format!("dropping the database {}", self.name))?;
        Ok(())
    }
}
