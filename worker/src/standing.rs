//! Which connections are left alone by this process: the paused ones, and those that lead elsewhere here than their
//! records were linked.
//!
//! The storage knows who paused what, but not with which addresses this process works: another may have another file.
//! So each compares its own with those that are stored. That has to hold at every moment, also while a changed
//! configuration is taken over: see [`Standing::take_over`] and [`crate::Worker`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_domain::ConnectionName;
use tandem_queue::SyncLimits;
use tandem_runtime::config::Built;
use tandem_runtime::reload::LiveTopology;
use tandem_store::ConnectionRow;
use tokio::sync::watch;

/// See the module.
pub struct Standing {
    limits: Arc<SyncLimits>,
    topology: Arc<LiveTopology>,
    own: Mutex<Own>,
    known: watch::Sender<bool>,
}

/// What this process works by.
struct Own {
    /// Where each connection leads.
    addresses: BTreeMap<ConnectionName, String>,
    /// Those that lead elsewhere.
    astray: Vec<ConnectionName>,
    /// How many configurations were taken over.
    takes: u64,
}

/// Which configuration held when the storage was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

impl Standing {
    /// For a process that begins with this configuration. What is paused is not known before the first
    /// [`Standing::follow`].
    #[must_use]
    pub fn new(limits: Arc<SyncLimits>, topology: Arc<LiveTopology>, built: &Built) -> Self {
        Self {
            limits,
            topology,
            own: Mutex::new(Own {
                addresses: addresses(built),
                astray: Vec::new(),
                takes: 0,
            }),
            known: watch::Sender::new(false),
        }
    }

    /// Before the storage is asked, for [`Standing::follow`].
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen(self.lock().takes)
    }

    /// Takes over what is stored: while a connection is left alone, the jobs of its syncs wait. What was read before
    /// another configuration was taken over says nothing of that one, and is dropped.
    pub fn follow(&self, seen: Seen, rows: &[ConnectionRow]) {
        let mut own = self.lock();
        if seen.0 != own.takes {
            return;
        }
        own.find_astray(rows);
        self.switch(&own, rows, true);
        self.switch(&own, rows, false);
        drop(own);
        self.known.send_replace(true);
    }

    /// Takes over a configuration; `replace` has the worker work by it. What must wait by it does so before, and what
    /// may go on by it does so after: nothing runs by the one with the leave of the other.
    pub fn take_over(&self, built: &Built, rows: &[ConnectionRow], replace: impl FnOnce()) {
        let mut own = self.lock();
        own.takes += 1;
        own.addresses = addresses(built);
        own.find_astray(rows);
        self.topology.replace(Arc::clone(&built.topology));
        self.switch(&own, rows, true);
        replace();
        self.switch(&own, rows, false);
    }

    /// Resolves when it is known what is to be left alone.
    pub async fn known(&self) {
        // The sender is in `self`.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }

    /// Whether a connection leads elsewhere, so that not even its health is asked for.
    #[must_use]
    pub fn is_astray(&self, connection: &ConnectionName) -> bool {
        self.lock().astray.contains(connection)
    }

    /// Pauses, or lets go on, the syncs that are to.
    fn switch(&self, own: &Own, rows: &[ConnectionRow], pauses: bool) {
        let topology = self.topology.current();
        for sync in topology.syncs.keys() {
            let mut needed = topology.connections_of(sync).into_iter();
            let is_paused = needed.any(|name| own.leaves_alone(&name, rows));
            match (is_paused, pauses) {
                (true, true) => self.limits.pause(sync),
                (false, false) => self.limits.resume(sync),
                _ => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Own> {
        // Nothing that may panic stands between two changes that belong together.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn find_astray(&mut self, rows: &[ConnectionRow]) {
        let astray = rows.iter().filter(|row| {
            let own = self.addresses.get(&row.name);
            own.is_some() && row.linked_to.is_some() && own != row.linked_to.as_ref()
        });
        let astray: Vec<ConnectionName> = astray.map(|row| row.name.clone()).collect();
        for name in astray.iter().filter(|name| !self.astray.contains(name)) {
            tracing::warn!(
                connection = %name,
                address = self.addresses.get(name),
                "this process has another address of the connection {name} than the one under which its records are linked: \
                 it does no jobs of it"
            );
        }
        self.astray = astray;
    }

    fn leaves_alone(&self, name: &ConnectionName, rows: &[ConnectionRow]) -> bool {
        let mut row = rows.iter().filter(|row| row.name == *name);
        self.astray.contains(name) || row.any(|row| row.pause.is_some())
    }
}

fn addresses(built: &Built) -> BTreeMap<ConnectionName, String> {
    let each = built.connections.iter();
    each.map(|(name, setup)| (name.clone(), setup.address.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
