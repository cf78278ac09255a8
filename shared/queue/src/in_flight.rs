//! The jobs that this process has leased: from the claim until their end is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_domain::{LeaseToken, Timestamp};
use tandem_store::{ClaimedJob, Lease};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::handler::LeaseEnd;
use crate::telemetry;

/// One leased job on its way through the worker.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) claimed: ClaimedJob,
    /// See [`crate::JobContext::cancelled`].
    pub(crate) cancelled: CancellationToken,
    pub(crate) claimed_at: Timestamp,
    /// See [`crate::JobContext::until`].
    pub(crate) until: LeaseEnd,
    slot: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Running {
    /// Makes room for another job. Its end may still have to be written down.
    pub(crate) fn free_slot(&self) {
        // One assignment cannot be left half done.
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
    }
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    until: LeaseEnd,
    cancelled: CancellationToken,
}

/// The leases to renew.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    held: Mutex<HashMap<LeaseToken, Held>>,
}

impl InFlight {
    /// Takes up a job that was claimed at `claimed_at` under a lease until `until`.
    pub(crate) fn add(
        &self,
        claimed: ClaimedJob,
        claimed_at: Timestamp,
        until: Timestamp,
        slot: OwnedSemaphorePermit,
    ) -> Arc<Running> {
        let running = Running {
            cancelled: CancellationToken::new(),
            claimed_at,
            until: LeaseEnd::at(until),
            slot: Mutex::new(Some(slot)),
            claimed,
        };
        let lease = running.claimed.lease;
        let held = Held {
            lease,
            until: running.until.clone(),
            cancelled: running.cancelled.clone(),
        };
        let mut all = self.lock();
        all.insert(lease.token, held);
        telemetry::in_flight(all.len());
        Arc::new(running)
    }

    /// Forgets jobs whose end is written down.
    pub(crate) fn remove(&self, leases: impl IntoIterator<Item = Lease>) {
        let mut all = self.lock();
        for lease in leases {
            all.remove(&lease.token);
        }
        telemetry::in_flight(all.len());
    }

    /// All leases held.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.lock().values().map(|held| held.lease).collect()
    }

    /// Notes that a lease now ends at `until`.
    pub(crate) fn renewed(&self, lease: Lease, until: Timestamp) {
        if let Some(held) = self.lock().get(&lease.token) {
            held.until.set(until);
        }
    }

    /// Tells the handler of a job that its lease is lost.
    pub(crate) fn lost(&self, lease: Lease) {
        if let Some(held) = self.lock().get(&lease.token) {
            held.cancelled.cancel();
        }
    }

    /// Tells the handlers whose leases end by `before` to stop.
    pub(crate) fn expire(&self, before: Timestamp) {
        for held in self.lock().values() {
            if held.until.get() <= before {
                held.cancelled.cancel();
            }
        }
    }

    /// How many jobs are held.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeaseToken, Held>> {
        // No code panics between two changes that belong together, so a poisoned map is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
