//! Signed webhooks accepted a second: over loopback, verified, stored on the disk with the job that
//! each causes, and only then answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tandem_api::{Ingress, IngressLimits, IngressParts, ServerLimits, Surface, serve};
use tandem_connectors::webhook::{Outgoing, Secret, Verifier};
use tandem_connectors::{Catalog, webhook_events};
use tandem_domain::{Clock, ConnectionName, Side};
use tandem_operator::hooks::{Hook, HookState, HookTable, HookTarget, ReadEvent, Unreadable};
use tandem_queue::InProcessDoorbell;
use tandem_runtime::{SystemClock, SystemEntropy};
use tandem_store::EventKind;
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::baseline::{self, Database};
use crate::client::{self, Connection};
use crate::figure::{Figure, millis, quantile, rate, rounded};

const SECRET: &str = "bench-webhook-secret";
const CONNECTION: &str = "crm";
const PATH: &str = "/hooks/crm";
/// The tables that a webhook adds one row to each.
const TABLES: [&str; 3] = ["deliveries", "events", "jobs"];
/// Webhooks that each connection sends before the measurement.
const WARM_UP_EACH: usize = 4;
const AIM_PER_SECOND: f64 = 5_000.0;

/// Sends `count` webhooks over so many connections, then writes the same rows without Tandem.
pub async fn measure(folder: &Path, count: usize, connections: usize) -> anyhow::Result<Figure> {
    let path = folder.join("tandem.db");
    let server = Server::start(&path).await?;
    let warm_up = connections * WARM_UP_EACH;
    let requests: Arc<[Vec<u8>]> = requests(&server.hook, warm_up + count)?.into();
    send(server.address, &requests, 0..warm_up, connections).await?;
    let began = Instant::now();
    let mut latencies = send(
        server.address,
        &requests,
        warm_up..warm_up + count,
        connections,
    )
    .await?;
    let took = began.elapsed();
    server.stop().await?;

    latencies.sort_unstable();
    let mut stored = Database::open(&path).await?;
    let kept = stored.count("SELECT count(*) FROM events").await?;
    anyhow::ensure!(
        kept == warm_up + count,
        "{} webhooks were answered 200, {kept} are stored",
        warm_up + count
    );
    // The jobs of one transaction were all made at its instant.
    let commits = stored
        .count("SELECT count(DISTINCT created_at) FROM jobs")
        .await?;
    let batch = kept.div_ceil(commits);
    let copied =
        baseline::copy_rows(&path, &folder.join("baseline.db"), &TABLES, kept, batch).await?;
    let details = json!({
        "p50_ms": millis(quantile(&latencies, 0.50)),
        "p99_ms": millis(quantile(&latencies, 0.99)),
        "webhooks": count,
        "connections": connections,
        "webhooks_per_commit": rounded(kept as f64 / commits as f64),
        "ms_per_commit": millis(took.div_f64(commits as f64)),
    });
    Ok(Figure {
        figure: "webhooks",
        per_second: rate(count, took),
        unit: "signed webhooks, durable",
        aim_per_second: AIM_PER_SECOND,
        baseline_per_second: rate(kept, copied),
        baseline: format!(
            "the same rows, {} a webhook, put by plain SQL into an empty file of the same schema, {batch} webhooks a transaction",
            TABLES.len()
        ),
        details: details.as_object().cloned().unwrap_or_default(),
    })
}

/// The ingress on loopback, with nobody who does the jobs.
struct Server {
    address: SocketAddr,
    hook: Arc<Hook>,
    shutdown: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Server {
    async fn start(database: &Path) -> anyhow::Result<Self> {
        let store = SqliteStore::open(database, SqliteOptions { exclusive: true }).await?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listening on loopback")?;
        let address = listener.local_addr()?;
        let name: ConnectionName = CONNECTION.parse()?;
        let hook = Arc::new(hook(name.clone(), address)?);
        let parts = IngressParts {
            store,
            doorbell: Arc::new(InProcessDoorbell::default()),
            hooks: Arc::new(HookTable::new(BTreeMap::from([(
                name,
                HookState::Active(Arc::clone(&hook)),
            )]))),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        };
        let (ingress, committer) = Ingress::start(parts, IngressLimits::default());
        let surface = Arc::new(Surface {
            ingress: Some(ingress),
            router: axum::Router::new(),
        });
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            serve(listener, surface, ServerLimits::default(), stop).await;
            committer.await.context("the committer of webhooks")
        });
        Ok(Self {
            address,
            hook,
            shutdown,
            tasks,
        })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// HubSpot's webhooks, read by the shipped manifest; each wakes one sync.
fn hook(connection: ConnectionName, address: SocketAddr) -> anyhow::Result<Hook> {
    let manifest = Catalog::load("hubspot")?;
    let described = manifest
        .webhook
        .as_ref()
        .context("the manifest says nothing of webhooks")?;
    let verifier = Verifier::new(
        described.signature.scheme.value,
        &described.signature.options,
    )?;
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
        public_url: format!("http://{address}"),
        body_bytes_max: tandem_api::BODY_BYTES_MAX,
        read: Arc::new(read),
        targets: Arc::new(move |_| vec![target.clone()]),
        clock_offset_micros: Arc::new(|| 0),
    })
}

fn read_event(event: webhook_events::ParsedEvent) -> ReadEvent {
    ReadEvent {
        dedupe_key: event.dedupe_key,
        stream: event.stream,
        record: event.record,
        kind: EventKind::Updated,
        occurred_at: event.occurred_at,
        problem: event.problem,
    }
}

/// Signed requests, each of one event about a record of its own, so that no jobs coalesce.
fn requests(hook: &Hook, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let now = SystemClock.now();
    let url = format!("{}{PATH}", hook.public_url);
    let secret = Secret::new(SECRET);
    let request = |number: usize| {
        let body = serde_json::to_vec(&json!([{
            "eventId": 531_833_541 + number,
            "subscriptionId": 3_923_623,
            "portalId": 48_807_704,
            "appId": 16_111_050,
            "occurredAt": now.as_secs() * 1_000,
            "subscriptionType": "company.propertyChange",
            "attemptNumber": 0,
            "objectId": 10_000_000 + number,
            "changeSource": "CRM_UI",
            "propertyName": "phone",
            "propertyValue": format!("+32470{number:06}"),
        }]))?;
        let outgoing = Outgoing {
            method: "POST",
            url: &url,
            id: None,
            body: &body,
        };
        let mut headers = hook
            .verifier
            .sign(&outgoing, &secret, now.as_secs())?
            .headers;
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Ok(client::request("POST", PATH, &headers, &body))
    };
    (0..count).map(request).collect()
}

/// Sends these requests, each connection the next one as soon as its last is answered. Returns how
/// long each took.
async fn send(
    address: SocketAddr,
    requests: &Arc<[Vec<u8>]>,
    range: std::ops::Range<usize>,
    connections: usize,
) -> anyhow::Result<Vec<Duration>> {
    let next = Arc::new(AtomicUsize::new(range.start));
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (requests, next, end) = (Arc::clone(requests), Arc::clone(&next), range.end);
        senders.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut latencies = Vec::with_capacity(end / connections);
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= end {
                    return anyhow::Ok(latencies);
                }
                let began = Instant::now();
                connection.exchange(&requests[place]).await?;
                latencies.push(began.elapsed());
            }
        });
    }
    let mut latencies = Vec::with_capacity(range.len());
    while let Some(sent) = senders.join_next().await {
        latencies.extend(sent??);
    }
    Ok(latencies)
}
