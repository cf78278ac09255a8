//! Signed webhooks accepted a second: over loopback, verified, stored on the disk with the job that
//! each causes, and only then answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tandem_api::{Ingress, IngressLimits, IngressParts, ServerLimits, Surface, serve};
use tandem_domain::ConnectionName;
use tandem_operator::hooks::{HookState, HookTable};
use tandem_queue::{
    Doorbell, DoorbellRole, InProcessDoorbell, RedisDoorbell, RedisDoorbellOptions,
};
use tandem_runtime::{SystemClock, SystemEntropy};
use tandem_store::EventStore;
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::baseline;
use crate::client::Connection;
use crate::figure::{Figure, Measured, millis, quantile, rate, rounded};
use crate::hubspot::{self, CONNECTION};
use crate::rows::{self, Table};
use crate::servers::Servers;

/// The tables that a webhook adds one row to each, and what their rows are sorted by.
const TABLES: [Table; 3] = [("deliveries", "id"), ("events", "delivery"), ("jobs", "id")];
/// Webhooks that each connection sends before the measurement.
const WARM_UP_EACH: usize = 4;
const AIM_PER_SECOND: f64 = 5_000.0;
/// A sender that was told that the ingress is busy waits so long, as it was told.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How many transactions an ingress has under way; see `api/src/ingress/committer.rs`.
const COMMITS_AT_ONCE: usize = 2;

/// How much is sent.
#[derive(Clone, Copy)]
pub struct Load {
    /// Webhooks that are measured.
    pub webhooks: usize,
    /// Connections that send them.
    pub connections: usize,
}

/// Into SQLite, then the same rows without Tandem.
pub async fn measure(folder: &Path, load: Load) -> anyhow::Result<Figure> {
    let path = folder.join("tandem.db");
    let store = SqliteStore::open(&path, SqliteOptions { exclusive: true }).await?;
    let accepted = accept(store, Arc::new(InProcessDoorbell::default()), load).await?;
    let mut stored = baseline::Database::open(&path).await?;
    let kept = stored.count("SELECT count(*) FROM events").await?;
    // The jobs of one transaction were all made at its instant.
    let commits = stored
        .count("SELECT count(DISTINCT created_at) FROM jobs")
        .await?;
    accepted.must_be_kept(kept)?;
    let batch = kept.div_ceil(commits);
    let tables = TABLES.map(|(table, _)| table);
    let copied =
        baseline::copy_rows(&path, &folder.join("baseline.db"), &tables, kept, batch).await?;
    Ok(Figure {
        figure: "webhooks",
        measured: accepted.measured(rate(kept, copied)),
        unit: "signed webhooks, durable in SQLite",
        baseline: format!(
            "the same rows, {} a webhook, put by plain SQL into an empty file of the same schema, {batch} webhooks a transaction",
            TABLES.len()
        ),
        details: accepted.details(commits),
    })
}

/// Into PostgreSQL, ringing in Redis; then the same rows without Tandem.
pub async fn measure_postgres(servers: &Servers, load: Load) -> anyhow::Result<Figure> {
    let database = servers.database("webhooks").await?;
    let doorbell = RedisDoorbell::connect(
        &database.redis_url,
        RedisDoorbellOptions::new("bench-ingress", DoorbellRole::Rings),
        Arc::new(SystemEntropy),
    )
    .await?;
    let accepted = accept(database.store().await?, Arc::clone(&doorbell) as _, load).await?;
    doorbell.close().await;
    let kept = database.count("SELECT count(*) FROM events").await?;
    let commits = database
        .count("SELECT count(DISTINCT created_at) FROM jobs")
        .await?;
    accepted.must_be_kept(kept)?;
    let batch = kept.div_ceil(commits);
    let empty = servers.database("webhooks_plain").await?;
    let copied = rows::copy(&database, &empty, &TABLES, batch, 1).await?;
    empty.remove().await?;
    // The machine's limit rather than a program's: as many transactions at once as the ingress has.
    let empty = servers.database("webhooks_plain_at_once").await?;
    let at_once = rows::copy(&database, &empty, &TABLES, batch, COMMITS_AT_ONCE).await?;
    empty.remove().await?;
    database.remove().await?;
    let mut details = accepted.details(commits);
    details["plain_per_second_over_2_connections"] = json!(rounded(rate(kept, at_once)));
    Ok(Figure {
        figure: "webhooks-postgres",
        measured: accepted.measured(rate(kept, copied)),
        unit: "signed webhooks, durable in PostgreSQL",
        baseline: format!(
            "the same rows, {} a webhook, put by plain SQL from arrays into an empty database of the same schema, {batch} webhooks a transaction, one after the other",
            TABLES.len()
        ),
        details,
    })
}

/// What became of a load.
struct Accepted {
    load: Load,
    took: Duration,
    /// How long each took, sorted.
    latencies: Vec<Duration>,
    /// How often the ingress said that it was busy; those were sent again.
    refused: usize,
}

impl Accepted {
    fn sent(&self) -> usize {
        self.load.webhooks + warm_up(self.load)
    }

    fn must_be_kept(&self, kept: usize) -> anyhow::Result<()> {
        anyhow::ensure!(
            kept == self.sent(),
            "{} webhooks were answered 200, {kept} are stored",
            self.sent()
        );
        Ok(())
    }

    fn measured(&self, baseline_per_second: f64) -> Measured {
        Measured::Rate {
            per_second: rate(self.load.webhooks, self.took),
            aim_per_second: AIM_PER_SECOND,
            baseline_per_second,
        }
    }

    fn details(&self, commits: usize) -> Value {
        let per_commit = self.sent() as f64 / commits as f64;
        json!({
            "p50_ms": millis(quantile(&self.latencies, 0.50)),
            "p99_ms": millis(quantile(&self.latencies, 0.99)),
            "p99.9_ms": millis(quantile(&self.latencies, 0.999)),
            "webhooks": self.load.webhooks,
            "refused": self.refused,
            "connections": self.load.connections,
            "webhooks_per_commit": rounded(per_commit),
            "ms_per_commit": millis(self.took.mul_f64(per_commit / self.load.webhooks as f64)),
        })
    }
}

fn warm_up(load: Load) -> usize {
    load.connections * WARM_UP_EACH
}

/// Sends webhooks to an ingress over this storage.
async fn accept(
    store: Arc<dyn EventStore>,
    doorbell: Arc<dyn Doorbell>,
    load: Load,
) -> anyhow::Result<Accepted> {
    let server = Server::start(store, doorbell).await?;
    let (warm_up, connections) = (warm_up(load), load.connections);
    let all = warm_up + load.webhooks;
    let requests: Arc<[Vec<u8>]> = requests(&server.base_url(), all)?.into();
    send(server.address, &requests, 0..warm_up, connections).await?;
    let began = Instant::now();
    let sent = send(server.address, &requests, warm_up..all, connections).await?;
    let took = began.elapsed();
    server.stop().await?;
    let mut latencies = sent.latencies;
    latencies.sort_unstable();
    Ok(Accepted {
        load,
        took,
        latencies,
        refused: sent.refused,
    })
}

/// The ingress on loopback, with nobody who does the jobs.
struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Server {
    async fn start(
        store: Arc<dyn EventStore>,
        doorbell: Arc<dyn Doorbell>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listening on loopback")?;
        let address = listener.local_addr()?;
        let name: ConnectionName = CONNECTION.parse()?;
        let hook = hubspot::hook(name.clone(), format!("http://{address}"))?;
        let parts = IngressParts {
            store,
            doorbell,
            hooks: Arc::new(HookTable::new(BTreeMap::from([(
                name,
                HookState::Active(Arc::new(hook)),
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
            shutdown,
            tasks,
        })
    }

    fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Signed requests, each of one event about a record of its own, so that no jobs coalesce.
fn requests(base_url: &str, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let sender = hubspot::Sender::new(base_url)?;
    let request = |number: usize| {
        let record = (10_000_000 + number).to_string();
        sender.request(number, &record, &format!("+32470{number:06}"))
    };
    (0..count).map(request).collect()
}

/// What senders saw.
#[derive(Default)]
struct Sent {
    /// How long each request took until it was taken.
    latencies: Vec<Duration>,
    /// How often one was to be sent again.
    refused: usize,
}

/// Sends these requests, each connection the next one as soon as its last is taken.
async fn send(
    address: SocketAddr,
    requests: &Arc<[Vec<u8>]>,
    range: std::ops::Range<usize>,
    connections: usize,
) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicUsize::new(range.start));
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (requests, next, end) = (Arc::clone(requests), Arc::clone(&next), range.end);
        senders.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut sent = Sent::default();
            while let Some(request) = requests[..end].get(next.fetch_add(1, Ordering::Relaxed)) {
                let began = Instant::now();
                while !connection.offer(request).await? {
                    sent.refused += 1;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                sent.latencies.push(began.elapsed());
            }
            anyhow::Ok(sent)
        });
    }
    let mut all = Sent::default();
    while let Some(sent) = senders.join_next().await {
        let sent = sent??;
        all.latencies.extend(sent.latencies);
        all.refused += sent.refused;
    }
    Ok(all)
}
