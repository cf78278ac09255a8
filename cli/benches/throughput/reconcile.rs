//! Reconciled changes a second: every linked record is edited once in the CRM, and the time runs from
//! the first edit until Tandem has confirmed the last write in the finance system.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use tandem_domain::{LinkId, RecordId};
use tandem_simulator::{Field, SimState, Simulator};
use tandem_store::{LinkState, PAGE_ROWS_MAX, RunFilter, RunKind, RunState};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{self, Connection};
use crate::figure::{Figure, millis, rate, rounded};
use crate::pair::Pair;

/// How often it is looked whether it is done; looking costs too.
const LOOK: Duration = Duration::from_millis(20);
/// Something is wrong when it takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// What one change takes: reading both sides and writing one.
const REQUESTS_PER_CHANGE: usize = 3;
const AIM_PER_SECOND: f64 = 1_000.0;

/// The ids of a linked pair.
type Linked = (RecordId, RecordId);

/// Links two systems with so many companies, and edits each linked one.
pub async fn measure(folder: &Path, records: usize, concurrency: usize) -> anyhow::Result<Figure> {
    let pair = Pair::start(folder, records, concurrency).await?;
    let first_sync = first_sync(&pair).await?;
    let linked = linked(&pair).await?;
    let before = pair.store().totals(Some(&pair.sync()?)).await?;
    let wanted = before.writes_b + linked.len() as u64;
    let began = Instant::now();
    for (number, (crm, _)) in linked.iter().enumerate() {
        pair.crm
            .edit(crm.as_str(), Field::Phone, &phone("+32470", number))?;
    }
    let told = began.elapsed();
    wait(&pair, "the edits are written", async || {
        Ok(pair.store().totals(Some(&pair.sync()?)).await?.writes_b >= wanted)
    })
    .await?;
    let took = began.elapsed();
    wait(&pair, "the echoes are dealt with", async || {
        idle(&pair).await
    })
    .await?;
    let quiet = began.elapsed();
    check(&pair.finance.state(), &linked)?;

    let after = pair.store().totals(Some(&pair.sync()?)).await?;
    let (crm, finance) = pair.stop_tandem().await?;
    let bare = without_tandem(&crm, &finance, &linked, concurrency).await?;
    crm.shutdown().await;
    finance.shutdown().await;
    let details = json!({
        "changes": linked.len(),
        "concurrency": concurrency,
        "edits_made_after_ms": millis(told),
        "echoes_done_after_ms": millis(quiet),
        "jobs": after.jobs_done - before.jobs_done,
        "first_sync_records_per_second": rounded(rate(linked.len(), first_sync)),
        "plain_requests_per_second": rounded(rate(REQUESTS_PER_CHANGE * linked.len(), bare)),
    });
    Ok(Figure {
        figure: "reconciled",
        per_second: rate(linked.len(), took),
        unit: "reconciled changes",
        aim_per_second: AIM_PER_SECOND,
        baseline_per_second: rate(linked.len(), bare),
        baseline: format!(
            "the same {REQUESTS_PER_CHANGE} requests a change (read both, write one) sent plainly to the same systems, {concurrency} at once"
        ),
        details: details.as_object().cloned().unwrap_or_default(),
    })
}

/// Matches and creates until nothing is left to do. Returns how long it took.
async fn first_sync(pair: &Pair) -> anyhow::Result<Duration> {
    let began = Instant::now();
    pair.start_first_sync().await?;
    wait(pair, "the first sync has ended", async || {
        let filter = RunFilter {
            kind: Some(RunKind::Backfill),
            limit: 1,
            ..RunFilter::default()
        };
        let runs = pair.store().runs(&filter).await?;
        let ended = runs
            .iter()
            .any(|run| matches!(run.state, RunState::Succeeded | RunState::Partial));
        Ok(ended && idle(pair).await?)
    })
    .await?;
    Ok(began.elapsed())
}

async fn idle(pair: &Pair) -> anyhow::Result<bool> {
    let jobs = pair
        .store()
        .job_counts(
            None,
            tandem_domain::Clock::now(&tandem_runtime::SystemClock),
        )
        .await?;
    anyhow::ensure!(
        jobs.dead == 0,
        "{} jobs are dead: the figure would mean nothing",
        jobs.dead
    );
    Ok(jobs.available + jobs.running == 0)
}

/// Waits until `done`, however often that has to be asked, but not for ever.
async fn wait(
    pair: &Pair,
    what: &str,
    done: impl AsyncFn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while !done().await? {
        if began.elapsed() > PATIENCE {
            let totals = pair.store().totals(None).await?;
            anyhow::bail!(
                "after {} s still not: {what}; {totals:?}",
                PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn linked(pair: &Pair) -> anyhow::Result<Vec<Linked>> {
    let mut linked = Vec::new();
    let mut after: Option<LinkId> = None;
    loop {
        let page = pair
            .store()
            .links(&pair.sync()?, after, PAGE_ROWS_MAX)
            .await?;
        let Some(last) = page.last() else {
            return Ok(linked);
        };
        after = Some(last.id);
        let active = page
            .into_iter()
            .filter(|link| link.state == LinkState::Active);
        linked.extend(active.filter_map(|link| link.a.id.zip(link.b.id)));
    }
}

fn phone(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:06}")
}

/// The finance system itself must hold what was edited in the CRM.
fn check(finance: &SimState, linked: &[Linked]) -> anyhow::Result<()> {
    let phones: std::collections::HashMap<&str, &str> = finance
        .records
        .iter()
        .map(|record| (record.id.as_str(), record.fields.get(Field::Phone)))
        .collect();
    for (number, (_, id)) in linked.iter().enumerate() {
        let (found, wanted) = (phones.get(id.as_str()).copied(), phone("+32470", number));
        anyhow::ensure!(
            found == Some(wanted.as_str()),
            "{id} holds the phone {found:?}, not {wanted}"
        );
    }
    Ok(())
}

/// The requests of one change.
struct Exchange {
    read_crm: Vec<u8>,
    read_finance: Vec<u8>,
    write_finance: Vec<u8>,
}

/// Sends the requests that the changes take, without anything between. Returns how long it took.
async fn without_tandem(
    crm: &Simulator,
    finance: &Simulator,
    linked: &[Linked],
    concurrency: usize,
) -> anyhow::Result<Duration> {
    let (crm_address, finance_address) = (address(crm)?, address(finance)?);
    let token = access_token(finance, finance_address).await?;
    let exchanges: Arc<[Exchange]> = linked
        .iter()
        .enumerate()
        .map(|(number, ids)| exchange(crm, finance, &token, ids, number))
        .collect::<anyhow::Result<_>>()?;
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..concurrency {
        let (exchanges, next) = (Arc::clone(&exchanges), Arc::clone(&next));
        senders.spawn(async move {
            let mut crm = Connection::open(crm_address).await?;
            let mut finance = Connection::open(finance_address).await?;
            while let Some(one) = exchanges.get(next.fetch_add(1, Ordering::Relaxed)) {
                futures::try_join!(
                    crm.exchange(&one.read_crm),
                    finance.exchange(&one.read_finance)
                )?;
                finance.exchange(&one.write_finance).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(began.elapsed())
}

fn exchange(
    crm: &Simulator,
    finance: &Simulator,
    token: &str,
    (crm_id, finance_id): &Linked,
    number: usize,
) -> anyhow::Result<Exchange> {
    let header = |name: &str, value: String| (name.to_owned(), value);
    let to_crm = [
        header("authorization", format!("Bearer {}", crm.api_token())),
        header("content-type", "application/json".to_owned()),
    ];
    let mut to_finance = vec![
        header("authorization", format!("Bearer {token}")),
        header("xero-tenant-id", finance.credentials().tenant_id.clone()),
        header("content-type", "application/json".to_owned()),
    ];
    let properties =
        "name email phone city country website tax_number credit_limit active tandem_key";
    let batch = json!({
        "inputs": [{ "id": crm_id }],
        "properties": properties.split(' ').collect::<Vec<_>>(),
    });
    let write = json!({
        "Contacts": [{ "Phones": [{ "PhoneType": "DEFAULT", "PhoneNumber": phone("+32471", number) }] }],
    });
    let list =
        format!("/api.xro/2.0/Contacts?IDs={finance_id}&page=1&pageSize=100&includeArchived=true");
    let read_crm = client::request(
        "POST",
        "/crm/v3/objects/companies/batch/read",
        &to_crm,
        &serde_json::to_vec(&batch)?,
    );
    let read_finance = client::request("GET", &list, &to_finance, b"");
    to_finance.push(header("idempotency-key", format!("bench-{number}")));
    let target = format!("/api.xro/2.0/Contacts/{finance_id}");
    let write_finance = client::request("POST", &target, &to_finance, &serde_json::to_vec(&write)?);
    Ok(Exchange {
        read_crm,
        read_finance,
        write_finance,
    })
}

fn address(simulator: &Simulator) -> anyhow::Result<SocketAddr> {
    let url = simulator.base_url();
    url.trim_start_matches("http://")
        .parse()
        .with_context(|| format!("the address {url}"))
}

async fn access_token(finance: &Simulator, address: SocketAddr) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: String,
    }
    let credentials = finance.credentials();
    let basic = BASE64.encode(format!(
        "{}:{}",
        credentials.client_id, credentials.client_secret
    ));
    let headers = [("authorization".to_owned(), format!("Basic {basic}"))];
    let request = client::request(
        "POST",
        "/connect/token",
        &headers,
        b"grant_type=client_credentials",
    );
    let mut connection = Connection::open(address).await?;
    let issued: Issued = serde_json::from_slice(connection.exchange(&request).await?)?;
    Ok(issued.access_token)
}
