//! The whole surface over a throw-away SQLite storage.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tandem_api::{
    ApiAccess, ApiToken, HttpParts, Ingress, IngressLimits, IngressParts, MetricsAccess,
    ServerLimits, Surface, router, serve,
};
use tandem_connectors::webhook::Scheme;
use tandem_domain::{ErrorCode, JobId};
use tandem_operator::{Operator, OperatorParts};
use tandem_runtime::process::Readiness;
use tandem_store::{EventStore, JobOutcome, ScheduleKey, SchedulePurpose, ScheduleRow};
use tandem_testkit::{Make, TemporaryStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::client::{Reply, exchange, post, request};
use super::hooks::{Parses, sign, table};
use super::systems::Shelves;
use super::{Counter, RecordingDoorbell, StoppedClock};

pub struct Site {
    pub address: SocketAddr,
    pub store: TemporaryStore,
    pub doorbell: Arc<RecordingDoorbell>,
    pub make: Make,
    shutdown: CancellationToken,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub async fn start() -> Site {
    start_with(None, MetricsAccess::Operators).await
}

pub async fn start_with(token: Option<&str>, metrics: MetricsAccess) -> Site {
    start_limited(token, metrics, ServerLimits::default()).await
}

pub async fn start_limited(
    token: Option<&str>,
    metrics: MetricsAccess,
    limits: ServerLimits,
) -> Site {
    let store = TemporaryStore::open().await;
    let make = Make::default();
    configure(&store, &make).await;
    let doorbell = Arc::new(RecordingDoorbell::default());
    let hooks = Arc::new(table(&Arc::new(Parses::default())));
    let (ingress, _committer) = Ingress::start(
        IngressParts {
            store: store.shared() as Arc<dyn EventStore>,
            doorbell: doorbell.clone(),
            hooks: hooks.clone(),
            clock: Arc::new(StoppedClock),
            entropy: Arc::new(Counter::default()),
        },
        IngressLimits::default(),
    );
    let operator = Operator::new(OperatorParts {
        store: store.shared(),
        hooks,
        systems: Arc::new(Shelves),
        doorbell: doorbell.clone(),
        clock: Arc::new(StoppedClock),
        entropy: Arc::new(Counter::default()),
    });
    let router = router(HttpParts {
        operator,
        readiness: Readiness::new(store.shared()),
        render_metrics: Arc::new(|| "tandem_up 1\n".to_owned()),
        access: ApiAccess {
            tokens: token
                .map(|text| ApiToken::new(text).expect("long enough"))
                .into_iter()
                .collect(),
            local_without_token: token.is_none(),
        },
        metrics,
    });
    let surface = Arc::new(Surface {
        ingress: Some(ingress),
        router,
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(listener, surface, limits, shutdown.clone()));
    Site {
        address,
        store,
        doorbell,
        make,
        shutdown,
    }
}

async fn configure(store: &TemporaryStore, make: &Make) {
    let document = json!({
        "a": {"connection": "crm", "stream": "contacts"},
        "b": {"connection": "books", "stream": "customers"},
        "fields": {"name": {}, "email": {}},
    });
    let schedule = ScheduleRow {
        key: ScheduleKey {
            sync: Make::customers(),
            purpose: SchedulePurpose::PollA,
        },
        spec: "every 5 minutes".to_owned(),
        next_at: None,
    };
    let connections = ["crm", "books"].map(|name| (name.parse().expect("a name"), json!({})));
    store
        .apply_config(
            connections.to_vec(),
            vec![(Make::customers(), document)],
            vec![schedule],
            make.now(),
        )
        .await
        .expect("the configuration is stored");
}

impl Site {
    /// Sends a request to this machine's API.
    pub async fn call(&self, method: &str, path: &str, body: Option<Json>) -> Reply {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !body.is_empty() {
            bytes.push_str("Content-Type: application/json\r\n");
        }
        bytes.push_str("\r\n");
        bytes.push_str(&body);
        self.send(bytes.as_bytes()).await
    }

    pub async fn send(&self, bytes: &[u8]) -> Reply {
        exchange(self.address, bytes)
            .await
            .expect("the server answers")
    }

    pub async fn get(&self, path: &str) -> Json {
        let reply = self.call("GET", path, None).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        serde_json::from_str(&reply.body).expect("it is JSON")
    }

    pub async fn post(&self, path: &str, body: Option<Json>) -> Json {
        let reply = self.call("POST", path, body).await;
        assert!(matches!(reply.status, 200 | 202), "{path}: {}", reply.body);
        serde_json::from_str(&reply.body).expect("it is JSON")
    }

    /// Sends a signed webhook to `crm`.
    pub async fn webhook(&self, body: &str) -> Reply {
        let path = "/hooks/crm";
        let headers = sign(Scheme::GenericHmacSha256, path, body.as_bytes());
        self.send(&post(path, &headers, body.as_bytes())).await
    }

    /// A request with a header, as bytes.
    pub fn with_header(path: &str, name: &str, value: &str) -> Vec<u8> {
        request(
            "GET",
            path,
            &[(name.to_owned(), value.to_owned())],
            b"",
            "close",
        )
    }

    /// A job that gave up.
    pub async fn dead_job(&self, record: &str) -> JobId {
        let job = self.make.job(record);
        let id = job.id;
        let (store, now) = (&self.store, self.make.now());
        store.enqueue(vec![job], now).await.expect("it is stored");
        let claimed = store
            .claim(self.make.claim(1))
            .await
            .expect("it is claimed");
        let failure = Make::failure(ErrorCode::Refused, "the name is missing");
        let finished = vec![(claimed[0].lease, JobOutcome::Dead { failure })];
        store.finish(finished, now).await.expect("it is ended");
        id
    }
}
