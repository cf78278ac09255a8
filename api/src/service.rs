//! The parts of a process that speak HTTP: the ingress for webhooks, the API, and what follows the
//! connections that others pause or delete.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_connectors::{manifest, webhook_events};
use tandem_domain::{Clock, ConnectionName, StreamName};
use tandem_operator::hooks::{
    ClockOffset, Hook, HookState, HookTable, HookTarget, KeptClocks, ReadEvent, Unreadable,
};
use tandem_operator::{Operator, OperatorParts};
use tandem_runtime::Configuration;
use tandem_runtime::config::{Built, ConnectionSetup, ServerConfig, WebhookSetup};
use tandem_runtime::process::{Platform, Readiness, StartError, Tasks};
use tandem_runtime::reload::Reloads;
use tandem_runtime::telemetry::MetricsHandle;
use tandem_store::{ConnectionRow, EventKind};
use tokio::net::TcpListener;

use crate::{
    ApiAccess, ApiToken, ConfiguredSystems, HttpParts, Ingress, IngressLimits, IngressParts,
    MetricsAccess, ServerLimits, Surface, follow_clocks, follow_connections, router, serve,
};

/// How often it is looked whether another process paused or deleted a connection.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How often it is read how far the clocks of the systems are off.
const FOLLOW_CLOCKS_EVERY: Duration = Duration::from_secs(5);

/// What the HTTP parts are told beside the configuration.
pub struct ServiceOptions {
    /// Where to listen, instead of where the configuration says.
    pub listen: Option<SocketAddr>,
    /// The token that an operator has set.
    pub token: Option<ApiToken>,
    /// The token that lies in the data folder, where there is one.
    pub file_token: Option<ApiToken>,
    /// What the process has counted.
    pub metrics: MetricsHandle,
}

/// Listens, and starts the parts. Returns the address.
///
/// # Errors
/// [`StartError`] when the address is taken, the database does not answer, or the API would be open to
/// others.
pub async fn start(
    platform: &Platform,
    configuration: &Configuration,
    built: &Built,
    options: ServiceOptions,
    tasks: &mut Tasks,
) -> Result<SocketAddr, StartError> {
    let wanted = options.listen.unwrap_or(configuration.server.listen);
    let listen = |reason| StartError::Listen {
        address: wanted,
        reason,
    };
    let access = access(&configuration.server, wanted, &options)?;
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let clocks = Clocks::read(platform).await?;
    let hooks = Arc::new(HookTable::new(hooks(
        built,
        &format!("http://{address}"),
        &clocks,
    )));
    hooks.follow(&platform.store.connections().await?);
    let ingress_parts = IngressParts {
        store: Arc::clone(&platform.store) as Arc<dyn tandem_store::EventStore>,
        doorbell: Arc::clone(&platform.doorbell),
        hooks: Arc::clone(&hooks) as _,
        clock: Arc::clone(&platform.clock),
        entropy: Arc::clone(&platform.entropy),
    };
    let systems = Arc::new(ConfiguredSystems::new(Arc::clone(&built.topology)));
    platform.reloading.add(Arc::new(Changing {
        hooks: Arc::clone(&hooks),
        systems: Arc::clone(&systems),
        clocks: clocks.clone(),
        address: format!("http://{address}"),
    }));
    let following = follow_clocks(
        clocks.kept,
        Arc::clone(&platform.store),
        FOLLOW_CLOCKS_EVERY,
        platform.shutdown.clone(),
    );
    tasks.spawn_endless("following the clocks", following);
    let (ingress, committer) = Ingress::start(ingress_parts, ingress_limits(configuration));
    let distrust = ingress.distrust().watch(
        Arc::clone(&platform.store),
        Arc::clone(&platform.clock),
        platform.shutdown.clone(),
    );
    tasks.spawn_endless("watching signatures", distrust);
    let surface = Arc::new(Surface {
        ingress: Some(ingress),
        router: routes(platform, &hooks, systems, access, options.metrics),
    });
    let (shutdown, limits) = (platform.shutdown.clone(), server_limits(configuration));
    tasks.spawn("the HTTP server", async move {
        serve(listener, surface, limits, shutdown).await;
        committer.await
    });
    let following = follow_connections(
        hooks,
        Arc::clone(&platform.store),
        FOLLOW_EVERY,
        platform.shutdown.clone(),
    );
    tasks.spawn_endless("following the connections", following);
    Ok(address)
}

/// Who may use the API. That a request comes from this machine can only be told where no proxy is and
/// nobody else reaches the listener; elsewhere an operator sets a token.
fn access(
    server: &ServerConfig,
    listen: SocketAddr,
    options: &ServiceOptions,
) -> Result<ApiAccess, StartError> {
    if options.token.is_none()
        && let Some(reason) = why_token(server, listen, options)
    {
        return Err(StartError::TokenNeeded { reason });
    }
    let known = [&options.token, &options.file_token];
    Ok(ApiAccess {
        tokens: known.into_iter().flatten().cloned().collect(),
        local_without_token: options.token.is_none() && server.local_without_token,
    })
}

fn why_token(
    server: &ServerConfig,
    listen: SocketAddr,
    options: &ServiceOptions,
) -> Option<String> {
    if !listen.ip().to_canonical().is_loopback() {
        return Some(format!(
            "it listens on {listen}, which other machines can reach"
        ));
    }
    if server.trusted_proxies > 0 {
        return Some(format!(
            "`server.trusted_proxies` is {}: what comes through a proxy looks as if it came from this machine",
            server.trusted_proxies
        ));
    }
    (!server.local_without_token && options.file_token.is_none()).then(|| {
        "`server.local_without_token` is false, so that nobody could use it without one".to_owned()
    })
}

fn routes(
    platform: &Platform,
    hooks: &Arc<HookTable>,
    systems: Arc<ConfiguredSystems>,
    access: ApiAccess,
    metrics: MetricsHandle,
) -> axum::Router {
    router(HttpParts {
        operator: Operator::new(OperatorParts {
            store: Arc::clone(&platform.store),
            hooks: Arc::clone(hooks) as _,
            systems,
            doorbell: Arc::clone(&platform.doorbell),
            clock: Arc::clone(&platform.clock),
            entropy: Arc::clone(&platform.entropy),
        }),
        readiness: Readiness::new(Arc::clone(&platform.store)),
        render_metrics: Arc::new(move || metrics.render()),
        access,
        metrics: MetricsAccess::Operators,
    })
}

/// What works by the configuration here. Which connections are paused or removed is followed every second.
struct Changing {
    hooks: Arc<HookTable>,
    systems: Arc<ConfiguredSystems>,
    clocks: Clocks,
    address: String,
}

/// The clocks of the systems, and ours.
#[derive(Clone)]
pub struct Clocks {
    /// How far those are off.
    pub kept: Arc<KeptClocks>,
    /// Ours.
    pub own: Arc<dyn Clock>,
}

impl Clocks {
    async fn read(platform: &Platform) -> Result<Self, StartError> {
        let kept = Arc::new(KeptClocks::default());
        kept.read(&*platform.store).await?;
        Ok(Self {
            kept,
            own: Arc::clone(&platform.clock),
        })
    }

    /// Looked up for each event, so that it is as new as can be.
    fn offset_of(&self, built: &Built, connection: &ConnectionName) -> ClockOffset {
        let (clocks, connection) = (self.clone(), connection.clone());
        let connector = built.topology.connectors.get(&connection).cloned();
        Arc::new(move || {
            let own = connector.as_ref().and_then(|one| one.clock_measured());
            let now = clocks.own.now();
            clocks.kept.offset_micros(&connection, own, now)
        })
    }
}

impl Reloads for Changing {
    fn reload(&self, built: &Built, connections: &[ConnectionRow]) {
        self.hooks
            .replace(hooks(built, &self.address, &self.clocks));
        self.hooks.follow(connections);
        self.systems.replace(Arc::clone(&built.topology));
    }
}

fn ingress_limits(configuration: &Configuration) -> IngressLimits {
    let server = &configuration.server;
    IngressLimits {
        body_timeout: Duration::from_secs(u64::from(server.body_secs)),
        queued_deliveries_max: server.deliveries_max,
        body_memory_bytes: server.body_bytes_total_max,
        trusted_proxies: server.trusted_proxies,
        ..IngressLimits::default()
    }
}

fn server_limits(configuration: &Configuration) -> ServerLimits {
    let server = &configuration.server;
    ServerLimits {
        connections_max: server.connections_max,
        // Behind a proxy all connections are the proxy's, which has limits of its own.
        connections_per_address_max: match server.trusted_proxies {
            0 => server.connections_per_address_max,
            _ => 0,
        },
        head_timeout: Duration::from_secs(u64::from(server.header_secs)),
        body_timeout: Duration::from_secs(u64::from(server.body_secs)),
        drain_timeout: Duration::from_secs(u64::from(server.shutdown_secs)),
        ..ServerLimits::default()
    }
}

/// The webhook address of each connection that has one; `address` is Tandem as its senders know it, where
/// the configuration does not say.
pub fn hooks(built: &Built, address: &str, clocks: &Clocks) -> BTreeMap<ConnectionName, HookState> {
    let with_webhook = built.connections.iter().filter_map(|(name, setup)| {
        let webhook = setup.webhook.as_ref()?;
        Some((
            name.clone(),
            HookState::Active(Arc::new(hook(
                built,
                address,
                clocks,
                (name, setup, webhook),
            ))),
        ))
    });
    with_webhook.collect()
}

fn hook(
    built: &Built,
    address: &str,
    clocks: &Clocks,
    (name, setup, webhook): (&ConnectionName, &ConnectionSetup, &WebhookSetup),
) -> Hook {
    let manifest = Arc::clone(&setup.manifest);
    let connector = built.topology.connectors.get(name).cloned();
    // What is said of a body may quote it, and a system may repeat in it what lets us in.
    let masked = move |text: &str| match &connector {
        Some(connector) => connector.masked(text),
        None => text.to_owned(),
    };
    let read = move |body: &[u8]| match &manifest.webhook {
        Some(webhook) => webhook_events::split(webhook, body)
            .map(|events| {
                let events = events.into_iter();
                events.map(|event| read_event(event, &masked)).collect()
            })
            .map_err(|error| Unreadable(masked(&error.reason))),
        None => Err(Unreadable(
            "the manifest does not say what its webhooks mean".to_owned(),
        )),
    };
    let (topology, connection) = (Arc::clone(&built.topology), name.clone());
    let targets = move |stream: &StreamName| {
        let ends = topology.ends_of(&connection, stream);
        ends.map(|(sync, side)| HookTarget {
            sync: sync.name.clone(),
            side,
            quiet: sync.quiet,
        })
        .collect()
    };
    Hook {
        connection: name.clone(),
        verifier: webhook.verifier.clone(),
        secrets: webhook.secrets.clone(),
        public_url: webhook
            .public_url
            .clone()
            .unwrap_or_else(|| address.to_owned()),
        body_bytes_max: webhook.body_bytes_max,
        read: Arc::new(read),
        targets: Arc::new(targets),
        clock_offset_micros: clocks.offset_of(built, name),
    }
}

fn read_event(event: webhook_events::ParsedEvent, masked: &impl Fn(&str) -> String) -> ReadEvent {
    ReadEvent {
        dedupe_key: event.dedupe_key,
        stream: event.stream,
        record: event.record,
        kind: match event.kind {
            Some(manifest::EventKind::Created) => EventKind::Created,
            Some(manifest::EventKind::Updated) => EventKind::Updated,
            Some(manifest::EventKind::Deleted) => EventKind::Deleted,
            None => EventKind::Other,
        },
        occurred_at: event.occurred_at,
        occurred_again: event.occurred_again,
        problem: event.problem.as_deref().map(masked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_others_could_reach_needs_a_token() {
        let metrics =
            tandem_runtime::telemetry::init_metrics().expect("the only one of this process");
        let options = |token: Option<&str>, file: Option<&str>| ServiceOptions {
            listen: None,
            token: token.map(|text| ApiToken::new(text).expect("long enough")),
            file_token: file.map(|text| ApiToken::new(text).expect("long enough")),
            metrics: metrics.clone(),
        };
        let server = |trusted_proxies, local_without_token| ServerConfig {
            trusted_proxies,
            local_without_token,
            ..ServerConfig::default()
        };
        let (set, lying) = (Some("0123456789abcdef"), Some("fedcba9876543210"));
        for (listen, server, options, tokens_and_local) in [
            (
                "127.0.0.1:1",
                server(0, true),
                options(None, None),
                Some((0, true)),
            ),
            (
                "[::1]:1",
                server(0, true),
                options(None, lying),
                Some((1, true)),
            ),
            (
                "127.0.0.1:1",
                server(0, true),
                options(set, lying),
                Some((2, false)),
            ),
            (
                "127.0.0.1:1",
                server(0, false),
                options(None, lying),
                Some((1, false)),
            ),
            ("127.0.0.1:1", server(0, false), options(None, None), None),
            ("127.0.0.1:1", server(1, true), options(None, lying), None),
            (
                "127.0.0.1:1",
                server(1, true),
                options(set, None),
                Some((1, false)),
            ),
            ("0.0.0.0:1", server(0, true), options(None, lying), None),
            (
                "[::]:1",
                server(0, true),
                options(set, None),
                Some((1, false)),
            ),
        ] {
            let listen = listen.parse().expect("an address");
            let access = access(&server, listen, &options);
            let found = access
                .as_ref()
                .ok()
                .map(|access| (access.tokens.len(), access.local_without_token));
            assert_eq!(found, tokens_and_local, "{listen} {server:?}");
            if let Err(error) = access {
                assert!(
                    error.to_string().contains("Set TANDEM_API_TOKEN"),
                    "{error}"
                );
            }
        }
    }
}
