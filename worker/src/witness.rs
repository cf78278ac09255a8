//! Tells a person how the connected systems are: one log line and one stored row each time that changes, so that
//! whoever looks at either knows what is wrong and what to do.
//!
//! Nothing is decided here. What waits and what is tried again is decided by the breakers and the retry policies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tandem_connectors::pulse::{HoldUp, Pulse, UNANSWERED_MIN};
use tandem_connectors::{CREDENTIALS_ADVICE, ClockDoubt, Connector};
use tandem_domain::{Clock, ConnectionName, MeasuredOffset, Timestamp};
use tandem_runtime::Topology;
use tandem_runtime::reload::LiveTopology;
use tandem_store::{ConnectionState, HeldUp, Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::standing::Standing;

mod clocks;

/// How often the pulses are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A state is told again after this: another process may have told of one that has passed, and what nobody tells again
/// is shown as that of a connection that nobody looks after.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// A system that does not answer, and of which nobody asks anything just now, is tried so often.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// What holds requests up for less than this passes without a word.
const HELD_UP_MIN: Duration = Duration::from_secs(10);

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
    /// What was told of clocks, and when.
    clocks: BTreeMap<ConnectionName, (Option<ClockDoubt>, Timestamp)>,
    /// How far clocks are off, as it was kept.
    offsets: BTreeMap<ConnectionName, MeasuredOffset>,
    /// What was told of holding requests up, and when; nothing where nothing does.
    held_up: BTreeMap<ConnectionName, (HoldUp, Timestamp)>,
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
            clocks: BTreeMap::new(),
            offsets: BTreeMap::new(),
            held_up: BTreeMap::new(),
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
                    self.look_what_holds_up().await;
                    self.look_at_clocks().await;
                    self.keep_offsets().await;
                }
                _ = retry.tick() => self.try_again(&mut trying),
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
        self.clocks
            .retain(|name, _| topology.connectors.contains_key(name));
        self.offsets
            .retain(|name, _| topology.connectors.contains_key(name));
        self.held_up
            .retain(|name, _| topology.connectors.contains_key(name));
        self.tried = Some(topology);
    }

    /// Tells of what holds requests up, of each change and again and again while it does.
    async fn look_what_holds_up(&mut self) {
        let now = self.clock.now();
        let topology = self.topology.current();
        for (connection, connector) in &topology.connectors {
            let before = self.held_up.get(connection).copied();
            let told = before.map(|(held_up, _)| held_up).unwrap_or_default();
            let held_up = worth_telling(connector.hold_up(), told, now);
            let is_told = before.is_none_or(|(_, at)| at.is_within(TELL_AGAIN, now));
            if held_up == told && is_told {
                continue;
            }
            let noted = self.store.note_held_up(
                connection,
                HeldUp {
                    asked_until: held_up.asked_until,
                    unanswered_since: held_up.unanswered_since,
                    told_by: self.process.clone(),
                    told_at: now,
                },
            );
            if let Err(error) = noted.await {
                tracing::debug!(%connection, %error, "what holds the connection up was not stored; it is tried again");
                continue;
            }
            log_held_up(connection, told, held_up);
            if held_up == HoldUp::default() {
                self.held_up.remove(connection);
            } else {
                self.held_up.insert(connection.clone(), (held_up, now));
            }
        }
    }

    /// Tells of what has changed since the last look.
    async fn look(&mut self) {
        let now = self.clock.now();
        for (connection, pulse) in self.pulses() {
            let (state, reason) = words(pulse);
            let is_told = self
                .told
                .get(&connection)
                .is_some_and(|(told, at)| *told == state && at.is_within(TELL_AGAIN, now));
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
    /// not tried by this: some systems lock accounts. One that hangs must not keep the others from being looked at.
    fn try_again(&self, trying: &mut JoinSet<()>) {
        while trying.try_join_next().is_some() {}
        if !trying.is_empty() {
            return;
        }
        let topology = self.topology.current();
        let mut down = topology.connectors.clone();
        down.retain(|name, connector| {
            let is_down = matches!(connector.pulse(), Some(Pulse::Unreachable(_)));
            is_down && !self.standing.is_astray(name)
        });
        trying.spawn(async move {
            // How it went is in the pulse.
            join_all(down.values().map(|connector| connector.check())).await;
        });
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

/// What of it is told: not what passes in a moment, but what was told of until it is over.
fn worth_telling(held_up: HoldUp, told: HoldUp, now: Timestamp) -> HoldUp {
    let asked = held_up
        .asked_until
        .filter(|until| told.asked_until == Some(*until) || until.since(now) >= HELD_UP_MIN);
    let unanswered = held_up
        .unanswered_since
        .filter(|since| now.since(*since) >= HELD_UP_MIN);
    HoldUp {
        asked_until: asked,
        unanswered_since: unanswered,
    }
}

fn log_held_up(connection: &ConnectionName, before: HoldUp, held_up: HoldUp) {
    if let Some(until) = held_up.asked_until
        && before.asked_until != Some(until)
    {
        tracing::warn!(
            %connection,
            %until,
            "connection {connection} asked us to wait: no request goes out before; `tandem connections reset {connection}` has it asked at once"
        );
    }
    if let Some(since) = held_up.unanswered_since
        && before.unanswered_since.is_none()
    {
        tracing::warn!(
            %connection,
            %since,
            "connection {connection} has not answered a request for {} s; it is waited for as long as `limits.timeout_secs` says",
            HELD_UP_MIN.as_secs()
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_requests_up_is_told_of_after_ten_seconds_and_until_it_is_over() {
        let now = Timestamp::from_secs(1_800_000_000);
        let asked = |secs| HoldUp {
            asked_until: Some(now.plus(Duration::from_secs(secs))),
            ..HoldUp::default()
        };
        let nothing = HoldUp::default();
        assert_eq!(worth_telling(asked(5), nothing, now), nothing);
        assert_eq!(worth_telling(asked(300), nothing, now), asked(300));
        assert_eq!(worth_telling(asked(5), asked(5), now), asked(5));
        let out = |secs| HoldUp {
            unanswered_since: Some(now.minus(Duration::from_secs(secs))),
            ..HoldUp::default()
        };
        assert_eq!(worth_telling(out(9), nothing, now), nothing);
        assert_eq!(worth_telling(out(10), nothing, now), out(10));
    }
}
