//! Which storage, and opening it.

use std::path::PathBuf;
use std::sync::Arc;

use tandem_domain::Clock as _;
use tandem_store::{ConfigStore as _, Store, StoreError};
use tandem_store_postgres::{PostgresOptions, PostgresStore};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};

use crate::SystemClock;

/// Of whom the status tells what was wrong with the file at the start.
const DATABASE: &str = "tandem.db";

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A file of this machine.
    Sqlite {
        /// The file.
        file: PathBuf,
        /// Whether this process is the one that runs on it; see [`SqliteOptions::exclusive`].
        exclusive: bool,
    },
    /// A database that a fleet shares.
    Postgres {
        /// Its address.
        url: PostgresUrl,
        /// How many connections this process may open.
        connections_max: u32,
    },
}

/// The address of a PostgreSQL database. It may hold a password, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresUrl(…)")
    }
}

impl PostgresUrl {
    /// An address, with the password put in its place when there is one beside it.
    #[must_use]
    pub fn new(url: &str, password: Option<&str>) -> Self {
        let with_password = password.and_then(|password| {
            let mut parsed = url::Url::parse(url).ok()?;
            parsed.set_password(Some(password)).ok()?;
            Some(parsed.to_string())
        });
        // What is no address is refused, with the reason, by whoever opens it.
        Self(with_password.unwrap_or_else(|| url.to_owned()))
    }

    /// For the driver alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Storage {
    /// Opens it.
    ///
    /// # Errors
    /// [`StoreError`] as the storage gives it.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Sqlite { file, exclusive } => {
                let options = SqliteOptions {
                    exclusive: *exclusive,
                };
                let store = SqliteStore::open(file, options).await?;
                if *exclusive {
                    let cut = store.cut_log();
                    let cut = cut.map(|cut| format!("{}. {}", cut.what, cut.advice));
                    let now = SystemClock.now();
                    store.put_notice(DATABASE, cut.as_deref(), now).await?;
                }
                Ok(store)
            }
            Self::Postgres {
                url,
                connections_max,
            } => {
                let options = PostgresOptions {
                    connections_max: *connections_max,
                };
                Ok(PostgresStore::open(url.expose(), options).await?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_beside_the_address_takes_its_place_in_it_and_is_not_shown() {
        let url = PostgresUrl::new("postgres://tandem@db:5432/tandem", Some("p@ss/word"));
        assert_eq!(
            url.expose(),
            "postgres://tandem:p%40ss%2Fword@db:5432/tandem"
        );
        assert!(!format!("{url:?}").contains("ss"));
        assert_eq!(PostgresUrl::new("nonsense", Some("x")).expose(), "nonsense");
    }
}
