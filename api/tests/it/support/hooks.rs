//! Hooks for tests: a body is `{"events":[{"key","stream","record"}, …]}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tandem_connectors::webhook::{Outgoing, Scheme, SchemeOptions, Secret, TokenPlace, Verifier};
use tandem_domain::{RecordId, Side, Timestamp};
use tandem_operator::hooks::{Hook, HookState, HookTable, HookTarget, ReadEvent, Unreadable};
use tandem_store::EventKind;

use super::NOW_SECS;

pub const SECRET: &str = "crm:secret";
pub const OLD_SECRET: &str = "crm:old secret";
pub const PUBLIC_URL: &str = "https://sync.example.com";
pub const BODY_BYTES_MAX: usize = 65_536;
/// The system's clock is this much ahead of ours.
pub const AHEAD_SECS: i64 = 90;

#[derive(Deserialize)]
struct TestBody {
    events: Vec<TestEvent>,
}

#[derive(Deserialize)]
struct TestEvent {
    key: String,
    stream: Option<String>,
    record: Option<String>,
    at: Option<i64>,
}

/// How often bodies were parsed.
#[derive(Default)]
pub struct Parses(AtomicUsize);

impl Parses {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn read(body: &[u8]) -> Result<Vec<ReadEvent>, Unreadable> {
    assert_ne!(body, b"panic", "a reader with a defect");
    let body: TestBody =
        serde_json::from_slice(body).map_err(|error| Unreadable(error.to_string()))?;
    Ok(body.events.into_iter().map(read_event).collect())
}

fn read_event(event: TestEvent) -> ReadEvent {
    let problem = event
        .record
        .is_none()
        .then(|| "the record id is missing".to_owned());
    ReadEvent {
        dedupe_key: event.key,
        stream: event.stream.and_then(|name| name.parse().ok()),
        record: event.record.map(RecordId::new),
        kind: EventKind::Updated,
        occurred_at: event.at.map(Timestamp::from_secs),
        occurred_again: None,
        problem,
    }
}

pub fn verifier(scheme: Scheme) -> Verifier {
    Verifier::new(scheme, &SchemeOptions::default()).expect("the scheme needs no options")
}

pub fn hook(name: &str, scheme: Scheme, parses: &Arc<Parses>) -> Hook {
    let parses = Arc::clone(parses);
    Hook {
        connection: name.parse().expect("a name"),
        verifier: verifier(scheme),
        secrets: vec![Secret::new(SECRET), Secret::new(OLD_SECRET)],
        public_url: PUBLIC_URL.to_owned(),
        body_bytes_max: BODY_BYTES_MAX,
        read: Arc::new(move |body| {
            parses.0.fetch_add(1, Ordering::SeqCst);
            read(body)
        }),
        targets: Arc::new(|stream| {
            if stream.as_str() != "contacts" {
                return Vec::new();
            }
            vec![HookTarget {
                sync: "customers".parse().expect("a name"),
                side: Side::A,
                quiet: Duration::ZERO,
            }]
        }),
        clock_offset_micros: Arc::new(|| AHEAD_SECS * 1_000_000),
    }
}

/// One hook of each kind that the tests speak to, by name.
pub fn table(parses: &Arc<Parses>) -> HookTable {
    let mut hooks = BTreeMap::new();
    for (name, scheme) in [
        ("crm", Scheme::GenericHmacSha256),
        ("slack", Scheme::Slack),
        ("xero", Scheme::Xero),
        ("basic", Scheme::BasicAuth),
        ("token", Scheme::UrlToken),
        ("stripe", Scheme::Stripe),
        ("hubspot", Scheme::HubspotV3),
    ] {
        let hook = hook(name, scheme, parses);
        hooks.insert(hook.connection.clone(), HookState::Active(Arc::new(hook)));
    }
    let mut capability = hook("capability", Scheme::UrlToken, parses);
    let in_path = SchemeOptions {
        place: Some(TokenPlace::Path),
        ..SchemeOptions::default()
    };
    capability.verifier =
        Verifier::new(Scheme::UrlToken, &in_path).expect("an option of the scheme");
    let paused = hook("paused", Scheme::GenericHmacSha256, parses);
    let mut secretless = hook("secretless", Scheme::GenericHmacSha256, parses);
    secretless.secrets.clear();
    let states = [
        ("capability", HookState::Active(Arc::new(capability))),
        ("paused", HookState::Paused(Arc::new(paused))),
        ("secretless", HookState::Active(Arc::new(secretless))),
        ("deleted", HookState::Deleted),
        ("broken", HookState::Misconfigured("no scheme".into())),
    ];
    for (name, state) in states {
        hooks.insert(name.parse().expect("a name"), state);
    }
    HookTable::new(hooks)
}

/// The headers with which a vendor would send this body to this hook.
pub fn sign(scheme: Scheme, path: &str, body: &[u8]) -> Vec<(String, String)> {
    sign_with(scheme, path, body, SECRET, NOW_SECS)
}

pub fn sign_with(
    scheme: Scheme,
    path: &str,
    body: &[u8],
    secret: &str,
    at_secs: i64,
) -> Vec<(String, String)> {
    let outgoing = Outgoing {
        method: "POST",
        url: &format!("{PUBLIC_URL}{path}"),
        id: None,
        body,
    };
    verifier(scheme)
        .sign(&outgoing, &Secret::new(secret), at_secs)
        .expect("it can be signed")
        .headers
}
