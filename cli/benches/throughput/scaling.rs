//! What more workers bring: changes a second by 1, 2 and 4 worker processes of equal concurrency, between
//! systems that take their time, so that waiting and not the machine is the limit.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::figure::{Figure, Measured, rate, rounded};
use crate::pair::Pair;
use crate::reconcile::{edit, first_sync, linked};
use crate::servers::Servers;
use crate::systems::Plan;

/// How many workers there are, one after the other.
const WORKERS: [usize; 3] = [1, 2, 4];
/// Edits for each slot before the measurement, so that a new worker has its connections.
const WARM_UP_EACH: usize = 4;
const AIM_TIMES: f64 = 3.6;

/// How much is done.
#[derive(Clone, Copy)]
pub struct Load {
    /// Changes for each worker.
    pub changes_each: usize,
    /// Jobs at once in a worker.
    pub concurrency: usize,
    /// How long the systems take for each request.
    pub latency_ms: u64,
}

/// Edits as many records for each worker, whatever their number.
pub async fn measure(servers: &Servers, folder: &Path, load: Load) -> anyhow::Result<Figure> {
    let database = servers.database("scaling").await?;
    let most = WORKERS[WORKERS.len() - 1];
    let plan = Plan {
        // Some four in five are in each system at first, and a few never match.
        records: most * load.changes_each * 5 / 4,
        concurrency: load.concurrency,
        latency_ms: load.latency_ms,
        webhooks: true,
    };
    let mut pair = Pair::fleet(folder, &database, most, plan).await?;
    first_sync(&pair).await?;
    let linked = linked(&pair).await?;
    let mut rates = Vec::with_capacity(WORKERS.len());
    for workers in WORKERS {
        pair.set_workers(workers).await?;
        let warm_up = (workers * load.concurrency * WARM_UP_EACH).min(linked.len());
        edit(&pair, &linked[..warm_up], &format!("+3247{workers}9")).await?;
        let changes = workers * load.changes_each;
        anyhow::ensure!(
            changes <= linked.len(),
            "{} records are linked, {changes} are to be edited",
            linked.len()
        );
        let edited = edit(&pair, &linked[..changes], &format!("+3247{workers}")).await?;
        rates.push(rate(changes, edited.written));
    }
    pair.stop_tandem().await?.stop().await;
    database.remove().await?;
    let mut details = Map::from_iter([
        (
            "concurrency_of_a_worker".to_owned(),
            json!(load.concurrency),
        ),
        ("latency_ms".to_owned(), json!(load.latency_ms)),
        ("changes_of_a_worker".to_owned(), json!(load.changes_each)),
    ]);
    for (workers, rate) in WORKERS.iter().zip(&rates) {
        details.insert(format!("per_second_by_{workers}"), rounded(*rate));
    }
    Ok(Figure {
        figure: "scaling-fleet",
        measured: Measured::Speedup {
            times: rates[rates.len() - 1] / rates[0],
            aim_times: AIM_TIMES,
            baseline_per_second: rates[0],
        },
        unit: "times the changes a second, 4 workers for 1",
        baseline: "one worker of the same concurrency".to_owned(),
        details: Value::Object(details),
    })
}
