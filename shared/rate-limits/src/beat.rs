//! Says in Redis that this process is there, and finds Redis again when it was away.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::budget::FleetBudget;
use crate::fleet::{Fleet, Registry, lock};
use crate::link::Link;
use crate::scripts::micros;

/// Beats until it is told to stop.
pub(crate) async fn keep_beating(
    fleet: Arc<Fleet>,
    registry: Arc<Registry>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = beat(&fleet, &registry) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = fleet.nudged() => {}
            () = tokio::time::sleep(fleet.timings().beat) => {}
        }
    }
}

async fn beat(fleet: &Fleet, registry: &Registry) {
    if !fleet.connect().await {
        return;
    }
    let timings = fleet.timings();
    let mut script = fleet.scripts.beat.prepare_invoke();
    script
        .key(&fleet.keys.span)
        .key(&fleet.keys.members)
        .arg(&fleet.settings.process)
        .arg(micros(timings.away_after))
        .arg(micros(timings.remembered));
    let Some(answer) = fleet.call(&script).await else {
        return;
    };
    let [span, size, rank] = answer[..] else {
        tracing::warn!("a process of another version of Tandem shares the rate limits in Redis");
        return;
    };
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    fleet.counted(number(size), number(rank));
    let budgets: Vec<Arc<FleetBudget>> = lock(registry).values().cloned().collect();
    if *fleet.link().borrow() == (Link::Joined { span }) {
        for budget in budgets {
            budget.refresh(span).await;
        }
    } else {
        join(fleet, &budgets, span).await;
    }
}

/// Reports what this process knows and used; when all of it has arrived, requests are taken in Redis.
async fn join(fleet: &Fleet, budgets: &[Arc<FleetBudget>], span: i64) {
    fleet.set(Link::Joining);
    for budget in budgets {
        if !budget.report(span).await {
            return;
        }
    }
    if fleet.set(Link::Joined { span }) {
        tracing::info!("the rate limits are shared with the fleet through Redis");
    }
}
