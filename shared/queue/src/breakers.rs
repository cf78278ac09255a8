//! The breakers of all connections, shared by the handlers that feed them and the claimer that asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_domain::{ConnectionName, Entropy, ErrorCode, SyncName, Timestamp};
use tandem_store::Job;
use tracing::{info, warn};

use crate::breaker::{Breaker, BreakerConfig, BreakerState, Passage};
use crate::gate::{Admission, Gate};
use crate::telemetry;

/// All breakers; a connection has one from the first time that it is named.
pub struct Breakers {
    config: BreakerConfig,
    entropy: Arc<dyn Entropy>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    breakers: HashMap<ConnectionName, Breaker>,
    connections: HashMap<SyncName, Vec<ConnectionName>>,
}

/// What a failure says about the system.
enum Health {
    Up,
    Down,
    /// Nothing, or not about the system.
    Unknown,
}

const fn health(code: ErrorCode) -> Health {
    match code {
        ErrorCode::Unreachable | ErrorCode::Unauthorized => Health::Down,
        ErrorCode::RateLimited | ErrorCode::Refused | ErrorCode::VersionConflict => Health::Up,
        ErrorCode::ResponseLost
        | ErrorCode::Malformed
        | ErrorCode::Misconfigured
        | ErrorCode::ParentMissing
        | ErrorCode::Storage
        | ErrorCode::Internal
        | ErrorCode::Unreadable
        | ErrorCode::Stuck => Health::Unknown,
    }
}

impl Breakers {
    /// No breaker yet. `entropy` gives the jitter.
    #[must_use]
    pub fn new(config: BreakerConfig, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            config,
            entropy,
            shared: Mutex::default(),
        }
    }

    /// Says which connections the jobs of a sync use; replaces what was said before.
    pub fn assign(&self, sync: SyncName, connections: Vec<ConnectionName>) {
        self.lock().connections.insert(sync, connections);
    }

    /// Says that a system answered a request. Returns whether that closed its breaker: what waits for the
    /// system may go on.
    pub fn succeeded(&self, connection: &ConnectionName, now: Timestamp) -> bool {
        let (before, after) = self.change(connection, now, |breaker| breaker.succeeded(now));
        before != after && after == BreakerState::Closed
    }

    /// Says how a request to a system failed. Returns as [`Breakers::succeeded`] does: a refusal is an answer.
    pub fn failed(&self, connection: &ConnectionName, code: ErrorCode, now: Timestamp) -> bool {
        match health(code) {
            Health::Up => self.succeeded(connection, now),
            Health::Down => {
                let chance = self.entropy.next_u64();
                let (before, after) =
                    self.change(connection, now, |breaker| breaker.failed(now, chance));
                if before != after
                    && let BreakerState::Open { until } = after
                {
                    // What to do about it is said where the state of the connection is told.
                    match code {
                        ErrorCode::Unauthorized => {
                            warn!(%connection, %until, "the system refuses the credentials; its jobs wait");
                        }
                        _ => {
                            warn!(%connection, %until, "the system does not answer; its jobs wait")
                        }
                    }
                }
                false
            }
            Health::Unknown => false,
        }
    }

    /// Until when a system is left alone, if its breaker is open: a job should wait so long, which costs it
    /// no attempt.
    #[must_use]
    pub fn open_until(&self, connection: &ConnectionName, now: Timestamp) -> Option<Timestamp> {
        let shared = self.lock();
        match shared.breakers.get(connection)?.state(now) {
            BreakerState::Open { until } => Some(until),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }

    /// Opens a breaker at once.
    pub fn trip(&self, connection: &ConnectionName, now: Timestamp) {
        let chance = self.entropy.next_u64();
        self.change(connection, now, |breaker| breaker.trip(now, chance));
    }

    /// Closes a breaker at once, as an operator says.
    pub fn reset(&self, connection: &ConnectionName, now: Timestamp) {
        self.change(connection, now, Breaker::reset);
    }

    /// How all breakers stand, by connection.
    #[must_use]
    pub fn states(&self, now: Timestamp) -> Vec<(ConnectionName, BreakerState)> {
        let shared = self.lock();
        let mut states: Vec<_> = shared
            .breakers
            .iter()
            .map(|(connection, breaker)| (connection.clone(), breaker.state(now)))
            .collect();
        states.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        states
    }

    /// Changes one breaker, and tells when its state became another. Returns both.
    fn change(
        &self,
        connection: &ConnectionName,
        now: Timestamp,
        change: impl FnOnce(&mut Breaker),
    ) -> (BreakerState, BreakerState) {
        let mut shared = self.lock();
        if !shared.breakers.contains_key(connection) {
            let breaker = Breaker::new(self.config);
            shared.breakers.insert(connection.clone(), breaker);
        }
        let Some(breaker) = shared.breakers.get_mut(connection) else {
            unreachable!("the breaker was inserted above, under the same lock");
        };
        let before = breaker.state(now);
        change(breaker);
        let after = breaker.state(now);
        drop(shared);
        if before != after {
            telemetry::breaker(connection, after);
            if after == BreakerState::Closed {
                info!(%connection, "the system is worked with again");
            }
        }
        (before, after)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No code panics between two changes that belong together.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn connections_of(&self, job: &Job) -> Vec<ConnectionName> {
        job.kind
            .sync()
            .and_then(|sync| self.connections.get(sync))
            .cloned()
            .unwrap_or_default()
    }

    fn passage(&self, connection: &ConnectionName, now: Timestamp) -> Passage {
        self.breakers
            .get(connection)
            .map_or(Passage::Free, |breaker| breaker.passage(now))
    }

    /// Until when the first of these connections that does not let pass has to be waited for.
    fn wait(&self, connections: &[ConnectionName], now: Timestamp) -> Option<Timestamp> {
        connections
            .iter()
            .filter_map(|connection| match self.passage(connection, now) {
                Passage::Free => None,
                Passage::Wait { until } => Some(until),
            })
            .max()
    }
}

impl Gate for Breakers {
    fn blocked_syncs(&self, now: Timestamp) -> Vec<SyncName> {
        let shared = self.lock();
        shared
            .connections
            .iter()
            .filter(|(_, connections)| shared.wait(connections, now).is_some())
            .map(|(sync, _)| sync.clone())
            .collect()
    }

    /// All of a job's connections must let it pass; only then does it become the probe of those that
    /// are half open.
    fn admit(&self, job: &Job, now: Timestamp) -> Admission {
        let mut shared = self.lock();
        let connections = shared.connections_of(job);
        if let Some(until) = shared.wait(&connections, now) {
            return Admission::Defer { until };
        }
        for connection in &connections {
            if let Some(breaker) = shared.breakers.get_mut(connection) {
                breaker.enter(job.id, now);
                telemetry::breaker(connection, breaker.state(now));
            }
        }
        Admission::Run
    }

    fn release(&self, job: &Job, _now: Timestamp) {
        let mut shared = self.lock();
        for connection in shared.connections_of(job) {
            if let Some(breaker) = shared.breakers.get_mut(&connection) {
                breaker.leave(job.id);
            }
        }
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let shared = self.lock();
        shared
            .breakers
            .values()
            .filter_map(|breaker| match breaker.state(now) {
                BreakerState::Open { until } => Some(until),
                BreakerState::Closed | BreakerState::HalfOpen => None,
            })
            .min()
    }
}
