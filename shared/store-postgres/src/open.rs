//! Connecting: one clear message when it cannot be done, and never a password in it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, Executor as _, PgConnection};
use tandem_store::StoreError;

use crate::{PostgresStore, schema, sql};

/// How long a verb waits for a free connection, a restarting database included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A process that stands still in the midst of a transaction (stopped, swapped out, cut off) holds rows
/// that the others wait for: after this the server undoes the transaction.
const IDLE_IN_TRANSACTION_MAX: &str = "3s";
/// More than there are statements, so that each is prepared once a connection.
const STATEMENTS_MAX: usize = 256;
/// How statements are run. None waits for a lock longer than five seconds (a transaction of a process that stands still is
/// undone before that): somebody's migration or maintenance may hold a
/// table for hours, and whoever asks for the status is to be told that. And how they are planned. Each looks up rows by an index, a few at a time, whatever the size of a
/// table. The planner may not think otherwise of a table that was empty when a statement was first planned,
/// or whose statistics are old: the plan is kept, and the table grows. Compiling takes longer than any of
/// them.
const PLANNING: &str = "-- planning
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off;
SET lock_timeout = '5s';
SET plan_cache_mode = force_generic_plan";
/// SQLSTATE `invalid_password`, `invalid_authorization_specification`.
const REFUSED_CODES: [&str; 2] = ["28P01", "28000"];
/// SQLSTATE `invalid_catalog_name`: there is no such database.
const NO_DATABASE_CODE: &str = "3D000";

/// How to use the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Connections that this process opens at most. All processes together must stay below the
    /// server's `max_connections`.
    pub connections_max: u32,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 16,
        }
    }
}

impl PostgresStore {
    /// Connects to `postgres://user:password@host:port/database`, whose schema must be there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the address is none, nobody answers, or the user is refused;
    /// [`StoreError::Schema`] when migrations are missing.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Arc<Self>, StoreError> {
        let connect = connect_options(url)?;
        let mut first = connect_once(&connect).await?;
        schema::check(&mut first).await?;
        // It was only to find out; a failure to say good-bye changes nothing.
        let _closed = first.close().await;
        sql::replaces(options.connections_max);
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // What is dead is found, at no cost, when its transaction begins.
            .test_before_acquire(false)
            .idle_timeout(None)
            .before_acquire(|_conn, _meta| Box::pin(async { Ok(sql::may_be_used()) }))
            .after_connect(|conn, _meta| {
                Box::pin(async move { conn.execute(PLANNING).await.map(|_set| ()) })
            })
            .connect_lazy_with(connect);
        Ok(Arc::new(Self::new(pool)))
    }

    /// Brings the schema up to date. Several processes may do so at once: one does, the others wait.
    /// Returns the version before and after.
    ///
    /// # Errors
    /// As [`PostgresStore::open`], and [`StoreError::Schema`] when the schema is newer than this
    /// program or a migration fails.
    pub async fn migrate(url: &str) -> Result<(i64, i64), StoreError> {
        let mut conn = connect_once(&connect_options(url)?).await?;
        schema::migrate(&mut conn).await
    }

    /// The version of the schema, and the one that this program needs; nothing is changed.
    ///
    /// # Errors
    /// As [`PostgresStore::open`], but for a schema that is older.
    pub async fn examine(url: &str) -> Result<(i64, i64), StoreError> {
        let mut conn = connect_once(&connect_options(url)?).await?;
        schema::versions(&mut conn).await
    }

    /// Undoes the migrations after `version`; what only the later schema can hold is lost.
    ///
    /// # Errors
    /// As [`PostgresStore::migrate`].
    pub async fn roll_back(url: &str, version: i64) -> Result<(), StoreError> {
        let mut conn = connect_once(&connect_options(url)?).await?;
        schema::roll_back(&mut conn, version).await
    }
}

fn connect_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(not_a_url("it does not begin with postgres://"));
    }
    if let Some(unknown) = unknown_parameter(url) {
        return Err(not_a_url(&unknown));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| match error {
        // These speak of the part that is wrong, and of no secret.
        sqlx::Error::Configuration(reason) => not_a_url(&reason.to_string()),
        _ => not_a_url("it cannot be read"),
    })?;
    Ok(options
        .application_name("tandem")
        .options([(
            "idle_in_transaction_session_timeout",
            IDLE_IN_TRANSACTION_MAX,
        )])
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging())
}

/// What the driver knows. Of others it writes the value to the log, and a mistyped one may be a password's.
const PARAMETERS: [&str; 17] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
];

/// What is wrong with the name of a parameter, which is said only where it looks like a name.
fn unknown_parameter(url: &str) -> Option<String> {
    let query = url.split_once('?')?.1;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let names = query.split('&').filter(|pair| !pair.is_empty());
    let mut names = names.map(|pair| {
        pair.split_once('=')
            .map_or((pair, false), |(name, _)| (name, true))
    });
    let is_known =
        |name: &str| PARAMETERS.contains(&name) || name == "user" || name.starts_with("options[");
    let (unknown, has_value) = names.find(|(name, _)| !is_known(name))?;
    let letters = |c: char| c.is_ascii_alphabetic() || "_-".contains(c);
    Some(if has_value && unknown.chars().all(letters) {
        format!("it has the parameter `{unknown}`, which is none")
    } else {
        "it has a parameter that is none".to_owned()
    })
}

fn not_a_url(reason: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "the database address is not one: {reason}; write postgres://user:password@host:5432/database"
    ))
}

async fn connect_once(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, options.connect());
    match connecting.await {
        Ok(connected) => connected.map_err(|error| cannot_connect(options, &error)),
        Err(_elapsed) => Err(StoreError::Unavailable(format!(
            "{} did not answer within {} s; is the address right, and does a firewall let it through?",
            place(options),
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
}

fn cannot_connect(options: &PgConnectOptions, error: &sqlx::Error) -> StoreError {
    let reason = match error {
        sqlx::Error::Database(error) => match error.code().unwrap_or_default() {
            code if REFUSED_CODES.contains(&&*code) => format!(
                "{} refuses user `{}`: {}; check user and password",
                place(options),
                options.get_username(),
                error.message()
            ),
            code if code == NO_DATABASE_CODE => format!(
                "{} says: {}; create it, or name the right one",
                place(options),
                error.message()
            ),
            _ => format!("{} says: {}", place(options), error.message()),
        },
        error => format!(
            "no PostgreSQL could be reached at {}: {error}",
            place(options)
        ),
    };
    StoreError::Unavailable(reason)
}

fn place(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for wrong in [
            "mysql://u:secret@h/d",
            "secret",
            "postgres://u:secret@h:99999999/d",
            "postgres://u@h/d?pasword=secret",
            "postgres://u@h/d?sslmode=disable&secret",
        ] {
            let error = connect_options(wrong).expect_err("it is none").to_string();
            assert!(error.contains("write postgres://"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
