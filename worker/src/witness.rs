//! Tells a person how the connected systems are: one log line and one stored row each time that changes, so that
//! whoever looks at either knows what is wrong and what to do.
//!
//! Nothing is decided here. What waits and what is tried again is decided by the breakers and the retry policies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tandem_connectors::pulse::{Pulse, UNANSWERED_MIN};
use tandem_connectors::{CREDENTIALS_ADVICE, Connector};
use tandem_domain::{Clock, ConnectionName, Timestamp};
use tandem_runtime::Topology;
use tandem_runtime::reload::LiveTopology;
use tandem_store::{ConnectionState, Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::standing::Standing;

/// How often the pulses are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A state is told again after this: another process may have told of one that has passed, and what nobody tells again
/// is shown as that of a connection that nobody looks after.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// A system that does not answer, and of which nobody asks anything just now, is tried so often.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Looks at the systems of a process.
pub struct Witness {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    topology: Arc<LiveTopology>,
    standing: Arc<Standing>,
    /// The name of this process, for people.
    process: String,
    /// The topology whose systems were tried.
    tried: Option<Arc<Topology>>,
    told: BTreeMap<ConnectionName, (ConnectionState, Timestamp)>,
}

impl Witness {
    /// Looks at the systems that are configured, also after the configuration has changed.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        topology: Arc<LiveTopology>,
        standing: Arc<Standing>,
        process: String,
    ) -> Self {
        Self {
            store,
            clock,
            topology,
            standing,
            process,
            tried: None,
            told: BTreeMap::new(),
        }
    }

    /// Tries each system once, so that what is wrong shows at the start and not at the first poll; then tells of
    /// each change, until `shutdown`.
    pub async fn watch(mut self, shutdown: CancellationToken) {
        // What leads elsewhere than it should is not asked anything.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = self.standing.known() => {}
        }
        let mut trying = JoinSet::new();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = tokio::time::interval(TRY_AGAIN);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        retry.reset();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {
                    self.try_new(&mut trying);
                    self.look().await;
                }
                _ = retry.tick() => self.try_again().await,
            }
        }
    }

    /// Tries the systems of a configuration that was just taken over. What was being tried by the one before is
    /// dropped with its connectors.
    fn try_new(&mut self, trying: &mut JoinSet<()>) {
        let topology = self.topology.current();
        if self
            .tried
            .as_ref()
            .is_some_and(|tried| Arc::ptr_eq(tried, &topology))
        {
            return;
        }
        trying.abort_all();
        let mut connectors = topology.connectors.clone();
        connectors.retain(|name, _| !self.standing.is_astray(name));
        trying.spawn(async move {
            join_all(connectors.values().map(try_out)).await;
        });
        self.told
            .retain(|name, _| topology.connectors.contains_key(name));
        self.tried = Some(topology);
    }

    /// Tells of what has changed since the last look.
    async fn look(&mut self) {
        let now = self.clock.now();
        for (connection, pulse) in self.pulses() {
            let (state, reason) = words(pulse);
            let is_told = self
                .told
                .get(&connection)
                .is_some_and(|(told, at)| *told == state && now.since(*at) < TELL_AGAIN);
            if is_told {
                continue;
            }
            match self.tell(&connection, state, reason, now).await {
                Ok(()) => {
                    self.told.insert(connection, (state, now));
                }
                Err(error) => {
                    tracing::debug!(%connection, %error, "how the connection is was not stored; it is tried again");
                }
            }
        }
    }

    fn pulses(&self) -> Vec<(ConnectionName, Pulse)> {
        self.topology
            .current()
            .connectors
            .iter()
            .filter_map(|(name, connector)| Some((name.clone(), connector.pulse()?)))
            .collect()
    }

    async fn tell(
        &self,
        connection: &ConnectionName,
        state: ConnectionState,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        count(connection, state);
        let known = self.store.health().await?;
        let before = known
            .into_iter()
            .find(|health| health.connection == *connection);
        let is_new = self
            .store
            .note_health(connection, state, reason.clone(), &self.process, now)
            .await?;
        if is_new {
            let down_since = before
                .filter(|before| before.state != ConnectionState::Unknown)
                .map(|before| before.since);
            log(connection, state, reason.as_deref(), down_since);
        }
        Ok(())
    }

    /// A system that is down is noticed to be back even when nothing waits for it. Credentials that were refused are
    /// not tried by this: some systems lock accounts.
    async fn try_again(&self) {
        let topology = self.topology.current();
        let down = topology
            .connectors
            .iter()
            .filter(|(name, _)| !self.standing.is_astray(name))
            .filter(|(_, connector)| matches!(connector.pulse(), Some(Pulse::Unreachable(_))));
        // How it went is in the pulse.
        join_all(down.map(|(_, connector)| async move {
            let _report = connector.check().await;
        }))
        .await;
    }
}

/// Asks until there is an answer, or it is certain that there is none.
async fn try_out(connector: &Arc<dyn Connector>) {
    for _ in 0..UNANSWERED_MIN {
        // How it went is in the pulse.
        let _report = connector.check().await;
        if connector.pulse().is_some() {
            return;
        }
    }
}

fn words(pulse: Pulse) -> (ConnectionState, Option<String>) {
    match pulse {
        Pulse::Up => (ConnectionState::Up, None),
        Pulse::Unreachable(reason) => (ConnectionState::Unreachable, Some(reason)),
        Pulse::Unauthorized(reason) => (ConnectionState::Unauthorized, Some(reason)),
    }
}

fn log(
    connection: &ConnectionName,
    state: ConnectionState,
    reason: Option<&str>,
    down_since: Option<Timestamp>,
) {
    let reason = reason.unwrap_or("no reason was given");
    match (state, down_since) {
        (ConnectionState::Unreachable, _) => tracing::warn!(
            %connection,
            reason,
            "connection {connection} is unreachable: its jobs wait, and go on by themselves when it answers; check its address (`base_url`) and whether it runs; `tandem check` tries it"
        ),
        (ConnectionState::Unauthorized, _) => tracing::warn!(
            %connection,
            reason,
            "connection {connection} refuses the credentials: its jobs wait; {CREDENTIALS_ADVICE}"
        ),
        (ConnectionState::Up, Some(since)) => tracing::info!(
            %connection,
            %since,
            "connection {connection} has recovered: it answers and accepts the credentials"
        ),
        (ConnectionState::Up | ConnectionState::Unknown, _) => {
            tracing::info!(%connection, "connection {connection} answers and accepts the credentials");
        }
    }
}

/// For metrics: 1 for the state in which a connection is, 0 for the others.
fn count(connection: &ConnectionName, state: ConnectionState) {
    for one in [
        ConnectionState::Up,
        ConnectionState::Unreachable,
        ConnectionState::Unauthorized,
    ] {
        metrics::gauge!(
            "tandem_connection_state",
            "connection" => connection.as_str().to_owned(),
            "state" => one.as_str(),
        )
        .set(if one == state { 1.0 } else { 0.0 });
    }
}
