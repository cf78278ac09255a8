//! A listener on a free port over the fake storage.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tandem_api::{Ingress, IngressLimits, IngressParts, ServerLimits, Surface, serve};
use tandem_connectors::webhook::Scheme;
use tandem_operator::hooks::HookTable;
use tandem_store::EventStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::{Reply, exchange, post};
use super::fake_store::FakeStore;
use super::hooks::{Parses, sign, table};
use super::{Counter, RecordingDoorbell, StoppedClock};

pub struct TestServer {
    pub address: SocketAddr,
    pub store: Arc<FakeStore>,
    pub doorbell: Arc<RecordingDoorbell>,
    pub hooks: Arc<HookTable>,
    pub parses: Arc<Parses>,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

/// Limits short enough for a test that waits for them to be over.
pub const SHORT: Duration = Duration::from_millis(100);

pub async fn start() -> TestServer {
    start_with(IngressLimits::default(), ServerLimits::default()).await
}

pub async fn start_with(ingress: IngressLimits, limits: ServerLimits) -> TestServer {
    let store = Arc::new(FakeStore::default());
    let doorbell = Arc::new(RecordingDoorbell::default());
    let parses = Arc::new(Parses::default());
    let hooks = Arc::new(table(&parses));
    let (ingress, _committer) = Ingress::start(
        IngressParts {
            store: Arc::clone(&store) as Arc<dyn EventStore>,
            doorbell: doorbell.clone(),
            hooks: hooks.clone(),
            clock: Arc::new(StoppedClock),
            entropy: Arc::new(Counter::default()),
        },
        ingress,
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let shutdown = CancellationToken::new();
    let surface = Arc::new(Surface {
        ingress: Some(ingress),
        router: axum::Router::new(),
    });
    let task = tokio::spawn(serve(listener, surface, limits, shutdown.clone()));
    TestServer {
        address,
        store,
        doorbell,
        hooks,
        parses,
        shutdown,
        task,
    }
}

impl TestServer {
    /// Sends bytes on a connection of their own.
    pub async fn send(&self, bytes: &[u8]) -> Reply {
        exchange(self.address, bytes)
            .await
            .expect("the server answers")
    }

    /// Posts a rightly signed body to the hook of that name.
    pub async fn post_signed(&self, name: &str, scheme: Scheme, body: &[u8]) -> Reply {
        let path = format!("/hooks/{name}");
        let headers = sign(scheme, &path, body);
        self.send(&post(&path, &headers, body)).await
    }

    /// Posts a rightly signed body to `crm`.
    pub async fn post_crm(&self, body: &str) -> Reply {
        self.post_signed("crm", Scheme::GenericHmacSha256, body.as_bytes())
            .await
    }
}

/// A body with one event.
pub fn one_event(key: &str) -> String {
    format!(r#"{{"events":[{{"key":"{key}","stream":"contacts","record":"7"}}]}}"#)
}
