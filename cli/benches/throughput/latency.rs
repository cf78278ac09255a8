//! How long a single edit takes through an idle fleet: from the answer to its webhook, which says that it
//! is on the disk, until the write arrives at the finance system.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};
use tandem_simulator::Field;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Connection;
use crate::exchange::{self, Both, Linked, phone};
use crate::figure::{Figure, Measured, millis, quantile};
use crate::hubspot::Sender;
use crate::pair::Pair;
use crate::reconcile::{first_sync, linked, settle};
use crate::servers::{Database, Servers};
use crate::systems::{Plan, Systems, address};
use crate::tap::Tap;

const WORKERS: usize = 2;
/// Edits before the measurement: connections are opened, and statements prepared on each.
const WARM_UP: usize = 30;
/// A write that takes longer will not come.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);
/// The fleet rests so long between edits, and up to as much again, so that edits meet all phases of
/// whatever beats in it.
const REST: Duration = Duration::from_millis(40);
const REST_STEP_MS: usize = 7;
const AIM_P50_MS: f64 = 15.0;
const AIM_P99_MS: f64 = 50.0;

/// Sends so many single edits, one after the other; then does what each takes at least.
pub async fn measure(
    servers: &Servers,
    folder: &Path,
    edits: usize,
    plan: Plan,
) -> anyhow::Result<Figure> {
    let database = servers.database("latency").await?;
    let (pair, mut tap) = Pair::tapped_fleet(folder, &database, WORKERS, plan).await?;
    first_sync(&pair).await?;
    let linked = linked(&pair).await?;
    anyhow::ensure!(!linked.is_empty(), "the systems have no record in common");
    let edit = Edits::start(&pair, &linked).await?.send(edits, &mut tap);
    let (mut accepted, mut written) = edit.await?;
    let systems = pair.stop_tandem().await?;
    let mut bare = at_least(&database, &systems, &linked, edits, &mut tap).await?;
    systems.stop().await;
    database.remove().await?;
    for times in [&mut accepted, &mut written, &mut bare] {
        times.sort_unstable();
    }
    Ok(Figure {
        figure: "latency-fleet",
        measured: Measured::Latency {
            p50_ms: millis(quantile(&written, 0.50)),
            p99_ms: millis(quantile(&written, 0.99)),
            aim_p50_ms: AIM_P50_MS,
            aim_p99_ms: AIM_P99_MS,
            baseline_p50_ms: millis(quantile(&bare, 0.50)),
            baseline_p99_ms: millis(quantile(&bare, 0.99)),
        },
        unit: "from an accepted webhook to the write, idle fleet",
        baseline: "one durable row, both sides read at once, and the write sent plainly".to_owned(),
        details: json!({
            "edits": edits,
            "workers": WORKERS,
            "max_ms": millis(quantile(&written, 1.0)),
            "accepted_p50_ms": millis(quantile(&accepted, 0.50)),
            "accepted_p99_ms": millis(quantile(&accepted, 0.99)),
        }),
    })
}

/// Edits one record after the other, and tells of each as the CRM would.
struct Edits<'a> {
    pair: &'a Pair,
    linked: &'a [Linked],
    sender: Sender,
    ingress: Connection,
}

impl<'a> Edits<'a> {
    async fn start(pair: &'a Pair, linked: &'a [Linked]) -> anyhow::Result<Self> {
        Ok(Self {
            pair,
            linked,
            sender: Sender::new(&format!("http://{}", pair.tandem_address))?,
            ingress: Connection::open(pair.tandem_address).await?,
        })
    }

    /// Returns how long each took to be accepted, and from then to be written.
    async fn send(
        mut self,
        edits: usize,
        tap: &mut Tap,
    ) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
        let mut accepted = Vec::with_capacity(edits);
        let mut written = Vec::with_capacity(edits);
        for number in 0..WARM_UP + edits {
            let (to_accept, to_write) = self.one(number, tap).await?;
            if number >= WARM_UP {
                accepted.push(to_accept);
                written.push(to_write);
            }
            settle(self.pair).await?;
            let more = number * REST_STEP_MS % REST.as_millis() as usize;
            sleep(REST + Duration::from_millis(more as u64)).await;
        }
        Ok((accepted, written))
    }

    async fn one(&mut self, number: usize, tap: &mut Tap) -> anyhow::Result<(Duration, Duration)> {
        let (record, _) = &self.linked[number % self.linked.len()];
        let value = phone("+32473", number);
        let crm = &self.pair.systems.crm;
        crm.edit(record.as_str(), Field::Phone, &value)?;
        let request = self.sender.request(number, record.as_str(), &value)?;
        tap.forget();
        let began = Instant::now();
        self.ingress.exchange(&request).await?;
        let answered = Instant::now();
        let arrived = timeout(ARRIVAL_MAX, tap.arrival())
            .await
            .with_context(|| format!("the edit of {record} was not written"))??;
        Ok((
            answered.duration_since(began),
            arrived.saturating_duration_since(answered),
        ))
    }
}

/// What an edit takes at least: the journal has the write on the disk before it is sent, and both sides
/// are read before that.
async fn at_least(
    database: &Database,
    systems: &Systems,
    linked: &[Linked],
    edits: usize,
    tap: &mut Tap,
) -> anyhow::Result<Vec<Duration>> {
    let mut journal = database.connect().await?;
    journal
        .execute("CREATE TABLE journal (number bigint PRIMARY KEY)")
        .await?;
    let exchanges = exchange::exchanges(systems, linked).await?;
    let mut both = Both::open(address(&systems.crm)?, tap.address()).await?;
    let mut times = Vec::with_capacity(edits);
    for number in 0..WARM_UP + edits {
        let insert = format!("INSERT INTO journal VALUES ({number})");
        tap.forget();
        let began = Instant::now();
        journal.execute(AssertSqlSafe(insert)).await?;
        both.change(&exchanges[number % exchanges.len()]).await?;
        let took = tap.arrival().await?.duration_since(began);
        if number >= WARM_UP {
            times.push(took);
        }
        sleep(REST).await;
    }
    Ok(times)
}
