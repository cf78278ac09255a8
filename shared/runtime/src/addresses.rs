//! Whether the connections still lead to the accounts in which their records were linked.
//!
//! A connection that is pointed at another account would take that account's records for the linked ones: most would
//! count as gone. So a process that does jobs keeps the address of each connection before any job of it can run; one
//! with linked records whose address has changed is paused by that, until a person says that it is the same account.

use std::fmt;

use serde::Serialize;
use tandem_domain::{ConnectionName, SyncName, Timestamp};
use tandem_store::{Addressed, ConnectionRow, Store, StoreError, SyncRow};

use crate::config::Built;

/// Keeps the addresses of a configuration that is about to be worked by, and gives the connections as stored after that.
///
/// # Errors
/// When the storage fails.
pub async fn note_addresses(
    store: &dyn Store,
    built: &Built,
    now: Timestamp,
) -> Result<Vec<ConnectionRow>, StoreError> {
    let syncs = store.syncs().await?;
    let addresses = built.connections.iter().map(|(name, setup)| Addressed {
        connection: name.clone(),
        address: setup.address.clone(),
        syncs: users(&syncs, name),
    });
    store.note_addresses(addresses.collect(), now).await?;
    let rows = store.connections().await?;
    for row in &rows {
        let Some(moved) = row.pause.as_ref().and_then(|pause| pause.moved.as_ref()) else {
            continue;
        };
        let name = &row.name;
        tracing::error!(
            connection = %name,
            linked_to = moved.linked_to,
            address = moved.address,
            "the address of the connection {name} was changed, and its records were linked under the old one: it is paused, and \
             nothing is read from it or written to it. Is it the same account, run `tandem connections resume {name}`; otherwise put \
             the old address back"
        );
    }
    Ok(rows)
}

/// A connection with linked records that a configuration points elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Which.
    pub connection: ConnectionName,
    /// The address under which its records were linked.
    pub linked_to: String,
    /// The one of the configuration.
    pub address: String,
    /// How many pairs of records are linked.
    pub links: u64,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connection,
            linked_to,
            address,
            links,
        } = self;
        write!(
            f,
            "connection {connection}: its address is another than the one under which its records were linked ({links} pairs)\n  \
             linked under  {linked_to}\n  \
             now           {address}\n  \
             What works by this configuration pauses it: nothing is read from it or written to it. Is it the same account under a new \
             address, run `tandem connections resume {connection}` then; is it another account, put the old address back, which ends \
             the pause."
        )
    }
}

/// What [`note_addresses`] would pause. Changes nothing.
///
/// # Errors
/// When the storage fails.
pub async fn moves(store: &dyn Store, built: &Built) -> Result<Vec<Move>, StoreError> {
    let (rows, syncs) = (store.connections().await?, store.syncs().await?);
    let mut found = Vec::new();
    for row in rows {
        let (Some(linked_to), Some(setup)) = (row.linked_to, built.connections.get(&row.name))
        else {
            continue;
        };
        if linked_to == setup.address {
            continue;
        }
        let mut links = 0;
        for sync in users(&syncs, &row.name) {
            links += store.link_count(&sync).await?;
        }
        if links > 0 {
            found.push(Move {
                connection: row.name,
                linked_to,
                address: setup.address.clone(),
                links,
            });
        }
    }
    Ok(found)
}

/// The syncs that use a connection, removed ones too: they come back with their links.
fn users(syncs: &[SyncRow], connection: &ConnectionName) -> Vec<SyncName> {
    let uses = |row: &&SyncRow| {
        ["a", "b"]
            .iter()
            .any(|side| row.document[side]["connection"].as_str() == Some(connection.as_str()))
    };
    syncs
        .iter()
        .filter(uses)
        .map(|row| row.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tandem_testkit::{Make, TemporaryStore, TestClock};

    use super::*;
    use crate::Configuration;

    /// A configuration whose CRM leads to this address.
    fn built(crm: &str, syncs: bool) -> Built {
        let sync = "
syncs:
  customers:
    a: { connection: crm, stream: companies }
    b: { connection: books, stream: contacts }
    match: [email]
    fields: { name: {}, email: {} }
";
        let text = format!(
            "connections:
  crm: {{ connector: hubspot, base_url: \"{crm}\", credentials: {{ token: {{ env: A }} }} }}
  books:
    connector: xero
    credentials: {{ client_id: {{ env: A }}, client_secret: {{ env: A }} }}
    variables: {{ tenant_id: acme }}{}",
            if syncs { sync } else { "\n" }
        );
        let configuration = Configuration::parse(Path::new("tandem.yaml"), &text).expect("fine");
        let environment = |_: &str| Some("value".to_owned());
        let built = configuration.build(&environment, Arc::new(TestClock::default()));
        built.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Applies it and begins to work by it. Gives what was foretold, and the connections that are paused.
    async fn work_by(
        store: &TemporaryStore,
        built: &Built,
        now: Timestamp,
    ) -> (Vec<Move>, Vec<String>) {
        let foretold = moves(&**store, built).await.expect("asked");
        let documents = built.documents.clone();
        let applied = store
            .apply_config(documents.connections, documents.syncs, Vec::new(), now)
            .await;
        applied.expect("it is applied");
        let rows = note_addresses(&**store, built, now).await.expect("noted");
        let paused = rows.into_iter().filter(|row| row.pause.is_some());
        (foretold, paused.map(|row| row.name.to_string()).collect())
    }

    #[tokio::test]
    async fn what_is_paused_for_its_address_was_foretold_also_by_the_links_of_a_removed_sync() {
        let (store, make) = (TemporaryStore::open().await, Make::default());
        let now = make.now();
        let (old, new) = ("http://old.example", "http://new.example");
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(work_by(&store, &built(new, true), now).await, nothing);
        assert_eq!(
            work_by(&store, &built(old, true), now).await,
            nothing,
            "there are no links"
        );
        let linked = store.insert_links(vec![make.link("a1", "b1")], now).await;
        linked.expect("it is linked");
        let moved = Move {
            connection: Make::crm(),
            linked_to: format!("hubspot at {old}"),
            address: format!("hubspot at {new}"),
            links: 1,
        };
        let paused = (vec![moved], vec!["crm".to_owned()]);
        assert_eq!(work_by(&store, &built(new, true), now).await, paused);
        assert_eq!(work_by(&store, &built(old, true), now).await, nothing);
        assert_eq!(work_by(&store, &built(old, false), now).await, nothing);
        assert_eq!(work_by(&store, &built(new, false), now).await, paused);
    }
}
