//! HubSpot's webhooks: as its sender signs them, and as the ingress reads them by the shipped manifest.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tandem_connectors::manifest::Manifest;
use tandem_connectors::webhook::{Outgoing, Secret, Verifier};
use tandem_connectors::{Catalog, webhook_events};
use tandem_domain::{Clock, ConnectionName, Side};
use tandem_operator::hooks::{Hook, HookTarget, ReadEvent, Unreadable};
use tandem_runtime::SystemClock;
use tandem_store::EventKind;

use crate::client;

/// The name of the connection whose webhooks these are.
pub const CONNECTION: &str = "crm";
/// What they are signed with.
pub const SECRET: &str = "bench-crm-secret";
/// Where they go, below the address of the ingress.
const PATH: &str = "/hooks/crm";

/// Sends events as HubSpot does.
pub struct Sender {
    verifier: Verifier,
    url: String,
}

impl Sender {
    /// One that knows the ingress under this address.
    pub fn new(base_url: &str) -> anyhow::Result<Self> {
        let manifest = Catalog::load("hubspot")?;
        Ok(Self {
            verifier: verifier(&manifest)?,
            url: format!("{base_url}{PATH}"),
        })
    }

    /// A signed request of one event, the one with this number, about a record.
    pub fn request(&self, number: usize, record: &str, phone: &str) -> anyhow::Result<Vec<u8>> {
        let now_secs = SystemClock.now().as_secs();
        let record: u64 = record.parse().context("the CRM's ids are numbers")?;
        let body = serde_json::to_vec(&json!([{
            "eventId": 531_833_541 + number,
            "subscriptionId": 3_923_623,
            "portalId": 48_807_704,
            "appId": 16_111_050,
            "occurredAt": now_secs * 1_000,
            "subscriptionType": "company.propertyChange",
            "attemptNumber": 0,
            "objectId": record,
            "changeSource": "CRM_UI",
            "propertyName": "phone",
            "propertyValue": phone,
        }]))?;
        let outgoing = Outgoing {
            method: "POST",
            url: &self.url,
            id: None,
            body: &body,
        };
        let signed = self
            .verifier
            .sign(&outgoing, &Secret::new(SECRET), now_secs)?;
        let mut headers = signed.headers;
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Ok(client::request("POST", PATH, &headers, &body))
    }
}

/// How the ingress reads them; each event wakes one sync.
pub fn hook(connection: ConnectionName, base_url: String) -> anyhow::Result<Hook> {
    let manifest = Catalog::load("hubspot")?;
    let verifier = verifier(&manifest)?;
    let read = move |body: &[u8]| match &manifest.webhook {
        Some(webhook) => webhook_events::split(webhook, body)
            .map(|events| events.into_iter().map(read_event).collect())
            .map_err(|error| Unreadable(error.reason)),
        None => Ok(Vec::new()),
    };
    let target = HookTarget {
        sync: "customers".parse()?,
        side: Side::A,
        quiet: Duration::ZERO,
    };
    Ok(Hook {
        connection,
        verifier,
        secrets: vec![Secret::new(SECRET)],
        public_url: base_url,
        body_bytes_max: tandem_api::BODY_BYTES_MAX,
        read: Arc::new(read),
        targets: Arc::new(move |_| vec![target.clone()]),
        clock_offset_micros: Arc::new(|| 0),
    })
}

fn verifier(manifest: &Manifest) -> anyhow::Result<Verifier> {
    let described = manifest.webhook.as_ref();
    let signature = &described
        .context("the manifest says nothing of webhooks")?
        .signature;
    Ok(Verifier::new(signature.scheme.value, &signature.options)?)
}

fn read_event(event: webhook_events::ParsedEvent) -> ReadEvent {
    ReadEvent {
        dedupe_key: event.dedupe_key,
        stream: event.stream,
        record: event.record,
        kind: EventKind::Updated,
        occurred_at: event.occurred_at,
        occurred_again: event.occurred_again,
        problem: event.problem,
    }
}
