//! Reconciled changes a second: every linked record is edited once in the CRM, and the time runs from
//! the first edit until Tandem has confirmed the last write in the finance system.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tandem_domain::{Clock, LinkId};
use tandem_runtime::SystemClock;
use tandem_simulator::{Field, SimState};
use tandem_store::{LinkState, PAGE_ROWS_MAX, RunFilter, RunKind, RunState};
use tokio::time::Instant;

use crate::exchange::{self, Linked, REQUESTS_PER_CHANGE, phone};
use crate::figure::{Figure, Measured, millis, rate, rounded};
use crate::pair::Pair;
use crate::servers::Servers;
use crate::systems::Plan;

/// How often it is looked whether it is done; looking costs too.
const LOOK: Duration = Duration::from_millis(20);
/// Something is wrong when it takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Workers of the fleet.
const WORKERS: usize = 2;
const AIM_PER_SECOND: f64 = 1_000.0;

/// Over SQLite, all of Tandem in one process.
pub async fn measure(folder: &Path, plan: Plan) -> anyhow::Result<Figure> {
    let pair = Pair::embedded(folder, plan).await?;
    reconciled(pair, plan, "reconciled", "reconciled changes, one process").await
}

/// Over PostgreSQL and Redis, by a fleet of processes.
pub async fn measure_fleet(servers: &Servers, folder: &Path, plan: Plan) -> anyhow::Result<Figure> {
    let database = servers.database("reconciled").await?;
    let pair = Pair::fleet(folder, &database, WORKERS, plan).await?;
    let figure = reconciled(
        pair,
        plan,
        "reconciled-fleet",
        "reconciled changes, fleet with 2 workers",
    )
    .await?;
    database.remove().await?;
    Ok(figure)
}

/// Links two systems, edits each linked record, and sends the same requests plainly.
async fn reconciled(
    pair: Pair,
    plan: Plan,
    figure: &'static str,
    unit: &'static str,
) -> anyhow::Result<Figure> {
    let first_sync = first_sync(&pair).await?;
    let linked = linked(&pair).await?;
    let before = pair.store().totals(Some(&pair.sync()?)).await?;
    let edited = edit(&pair, &linked, "+32470").await?;
    check(&pair.systems.finance.state(), &linked)?;
    let after = pair.store().totals(Some(&pair.sync()?)).await?;
    let systems = pair.stop_tandem().await?;
    let bare = exchange::plainly(&systems, &linked, plan.concurrency).await?;
    systems.stop().await;
    Ok(Figure {
        figure,
        measured: Measured::Rate {
            per_second: rate(linked.len(), edited.written),
            aim_per_second: AIM_PER_SECOND,
            baseline_per_second: rate(linked.len(), bare),
        },
        unit,
        baseline: format!(
            "the same {REQUESTS_PER_CHANGE} requests a change (read both, write one) sent plainly to the same systems, {} at once",
            plan.concurrency
        ),
        details: json!({
            "changes": linked.len(),
            "concurrency": plan.concurrency,
            "edits_made_after_ms": millis(edited.told),
            "echoes_done_after_ms": millis(edited.quiet),
            "jobs": after.jobs_done - before.jobs_done,
            "first_sync_records_per_second": rounded(rate(linked.len(), first_sync)),
            "plain_requests_per_second": rounded(rate(REQUESTS_PER_CHANGE * linked.len(), bare)),
        }),
    })
}

/// How long edits took, each from the first edit.
pub struct Edited {
    /// Until all edits were made.
    told: Duration,
    /// Until all were written to the other side.
    pub written: Duration,
    /// Until the echoes were dealt with too.
    quiet: Duration,
}

/// Edits the phone of each of these in the CRM, and waits until nothing is left to do.
pub async fn edit(pair: &Pair, linked: &[Linked], prefix: &str) -> anyhow::Result<Edited> {
    let sync = pair.sync()?;
    let before = pair.store().totals(Some(&sync)).await?;
    let wanted = before.writes_b + linked.len() as u64;
    let began = Instant::now();
    for (number, (crm, _)) in linked.iter().enumerate() {
        let value = phone(prefix, number);
        pair.systems.crm.edit(crm.as_str(), Field::Phone, &value)?;
    }
    let told = began.elapsed();
    wait(pair, "the edits are written", async || {
        Ok(pair.store().totals(Some(&sync)).await?.writes_b >= wanted)
    })
    .await?;
    let written = began.elapsed();
    settle(pair).await?;
    Ok(Edited {
        told,
        written,
        quiet: began.elapsed(),
    })
}

/// Matches and creates until nothing is left to do. Returns how long it took.
pub async fn first_sync(pair: &Pair) -> anyhow::Result<Duration> {
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

/// Waits until nothing is left to do.
pub async fn settle(pair: &Pair) -> anyhow::Result<()> {
    wait(pair, "nothing is left to do", async || idle(pair).await).await
}

async fn idle(pair: &Pair) -> anyhow::Result<bool> {
    let jobs = pair.store().job_counts(None, SystemClock.now()).await?;
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

/// The linked pairs.
pub async fn linked(pair: &Pair) -> anyhow::Result<Vec<Linked>> {
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
