//! What a configuration would remove by not naming it, and what hangs on that. Nothing is removed without having
//! been asked for: an empty or a wrong file would end every sync.

use std::fmt;

use anyhow::bail;
use serde::Serialize;
use tandem_domain::Timestamp;
use tandem_runtime::config::{Built, Documents};
use tandem_runtime::ends::{self, OTHER_END_ADVICE, other_ends};
use tandem_store::{Store, StoreError};

/// A connection or sync that is stored and that the configuration does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// `connection` or `sync`.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// Pairs of records that a sync holds equal.
    pub links: u64,
    /// Jobs of a sync that wait or run.
    pub jobs: u64,
    /// Dead letters of a sync.
    pub dead_letters: u64,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            name,
            links,
            jobs,
            dead_letters,
        } = self;
        match *what {
            "sync" => write!(
                f,
                "{what} {name}: {links} links, {jobs} jobs under way, {dead_letters} dead letters"
            ),
            _ => write!(f, "{what} {name}: its webhooks would be answered 410"),
        }
    }
}

/// What applying these documents would remove.
pub async fn removals(
    store: &dyn Store,
    documents: &Documents,
    now: Timestamp,
) -> Result<Vec<Removal>, StoreError> {
    let mut found = Vec::new();
    for row in store.connections().await? {
        let named = documents
            .connections
            .iter()
            .any(|(name, _)| *name == row.name);
        if row.deleted_at.is_none() && !named {
            found.push(Removal {
                what: "connection",
                name: row.name.into(),
                links: 0,
                jobs: 0,
                dead_letters: 0,
            });
        }
    }
    for row in store.syncs().await? {
        let named = documents.syncs.iter().any(|(name, _)| *name == row.name);
        if row.deleted_at.is_none() && !named {
            let jobs = store.job_counts(Some(&row.name), now).await?;
            found.push(Removal {
                what: "sync",
                links: store.link_count(&row.name).await?,
                jobs: jobs.available + jobs.running,
                dead_letters: jobs.dead,
                name: row.name.into(),
            });
        }
    }
    Ok(found)
}

/// One line each, indented.
pub fn listed(removals: &[Removal]) -> String {
    let lines: Vec<String> = removals.iter().map(|one| format!("  {one}")).collect();
    lines.join("\n")
}

/// Refuses a configuration that points a side of a linked sync elsewhere.
pub async fn require_same_ends(store: &dyn Store, built: &Built) -> anyhow::Result<()> {
    let found = other_ends(store, built).await?;
    if found.is_empty() {
        return Ok(());
    }
    bail!("{}\n{OTHER_END_ADVICE}", ends::listed(&found))
}
