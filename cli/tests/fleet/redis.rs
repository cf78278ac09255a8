//! What the fleet does without Redis, and that it comes back to it.

use std::time::Duration;

use crate::common::http::within;
use crate::edits::create;
use crate::fleet::{Fleet, Plan};

/// Both sides agree within this time, with Redis or without.
const AGREE_MAX: Duration = Duration::from_secs(60);
/// Redis is found again within this time.
const BACK_MAX: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_is_started_without_redis_works_and_uses_it_once_it_is_there() {
    let fleet = Fleet::start(Plan {
        redis_runs: false,
        workers: 2,
        ..Plan::small(10)
    })
    .await;
    fleet.must_agree(AGREE_MAX).await;

    fleet.redis.lock().await.start_again().await;
    is_used(&fleet, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_whose_redis_is_stopped_goes_on_and_comes_back_to_it() {
    let fleet = Fleet::start(Plan {
        workers: 2,
        ..Plan::small(10)
    })
    .await;
    is_used(&fleet, 1).await;

    fleet.redis.lock().await.stop().await;
    create(&fleet.pair.crm.base_url(), 2, "BE2").await;
    create(&fleet.pair.books.base_url(), 3, "BE3").await;
    fleet.must_agree(AGREE_MAX).await;

    fleet.redis.lock().await.start_again().await;
    is_used(&fleet, 4).await;

    fleet.redis.lock().await.flush_all().await;
    is_used(&fleet, 5).await;
}

/// All are connected, and workers hear of what happens in a system.
async fn is_used(fleet: &Fleet, number: u64) {
    let connected = within(BACK_MAX, async || {
        for member in fleet.schedulers.iter().chain(&fleet.workers) {
            if member.metric("tandem_doorbell_connected").await != Some(1.0) {
                return None;
            }
        }
        Some(())
    });
    assert!(
        connected.await.is_some(),
        "not everybody is connected to Redis"
    );

    let before = heard(fleet).await;
    create(&fleet.pair.crm.base_url(), number, "BE1").await;
    let more = within(BACK_MAX, async || {
        (heard(fleet).await > before).then_some(())
    });
    assert!(more.await.is_some(), "no worker hears of jobs");
    fleet.must_agree(AGREE_MAX).await;
}

/// So many jobs were heard of by all workers.
async fn heard(fleet: &Fleet) -> f64 {
    let mut sum = 0.0;
    for worker in &fleet.workers {
        sum += worker
            .metric("tandem_doorbell_heard_total")
            .await
            .unwrap_or(0.0);
    }
    sum
}
