//! How webhook bodies are read, for commands that read events again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tandem_connectors::{manifest, webhook_events};
use tandem_domain::{ConnectionName, StreamName};
use tandem_operator::hooks::{Hook, HookState, HookTable, HookTarget, ReadEvent, Unreadable};
use tandem_runtime::Configuration;
use tandem_runtime::config::{Built, ConnectionSetup, WebhookSetup};
use tandem_store::{EventKind, Store};

use super::storage::build_of;

/// The configuration by which events are read again.
#[derive(Args, Clone)]
pub struct HookOptions {
    /// The configuration file by which events are read again; what was applied when left out.
    #[arg(long, env = "TANDEM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl HookOptions {
    /// The webhook addresses of the configuration, with what is paused or removed.
    pub async fn load(&self, store: &dyn Store) -> anyhow::Result<Arc<HookTable>> {
        let rows = store.connections().await?;
        let configuration = match &self.config {
            Some(file) => Configuration::load(file)?,
            None => Configuration::from_store(&rows, &store.syncs().await?)?,
        };
        let built = build_of(&configuration).context(
            "events are read again by the configuration, which needs the same file and environment as `tandem up`",
        )?;
        let hooks = HookTable::new(hook_states(&built));
        hooks.follow(&rows);
        Ok(Arc::new(hooks))
    }
}

/// The webhook address of each connection that has one.
fn hook_states(built: &Built) -> BTreeMap<ConnectionName, HookState> {
    let with_webhook = built.connections.iter().filter_map(|(name, setup)| {
        let webhook = setup.webhook.as_ref()?;
        Some((
            name.clone(),
            HookState::Active(Arc::new(hook(built, name, setup, webhook))),
        ))
    });
    with_webhook.collect()
}

fn hook(
    built: &Built,
    name: &ConnectionName,
    setup: &ConnectionSetup,
    webhook: &WebhookSetup,
) -> Hook {
    let manifest = Arc::clone(&setup.manifest);
    let read = move |body: &[u8]| match &manifest.webhook {
        Some(webhook) => webhook_events::split(webhook, body)
            .map(|events| events.into_iter().map(read_event).collect())
            .map_err(|error| Unreadable(error.reason)),
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
        public_url: webhook.public_url.clone().unwrap_or_default(),
        body_bytes_max: webhook.body_bytes_max,
        read: Arc::new(read),
        targets: Arc::new(targets),
        // This process has not spoken with the system, so it does not know the offset of its clock. The
        // time of an event only breaks ties.
        clock_offset_micros: Arc::new(|| 0),
    }
}

fn read_event(event: webhook_events::ParsedEvent) -> ReadEvent {
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
        problem: event.problem,
    }
}
