//! Redis goes away, comes back, forgets: together the processes stay under the limit, and go on.

use std::time::Duration;

use tandem_connectors::budget::{BudgetFactory, RefusalCause};
use tandem_testkit::servers::RedisServer;

use crate::crowd::{Starts, a_second, crowd, process};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_stopped_the_fleet_goes_on_under_the_limit() {
    let mut redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 1));
    let starts = Starts::new();
    let limits = a_second(20);
    let _crowds = fleet
        .each_ref()
        .map(|one| crowd(one, "crm", &limits, &starts));
    starts.more(25).await;
    for _ in 0..2 {
        redis.stop().await;
        starts.more(30).await;
        redis.start_again().await;
        starts.more(30).await;
    }
    let most = starts.most_in(SECOND);
    assert!(most <= 20, "{most} in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_as_one_that_is_away() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 1));
    let starts = Starts::new();
    let limits = a_second(20);
    let _crowds = fleet
        .each_ref()
        .map(|one| crowd(one, "crm", &limits, &starts));
    starts.more(25).await;
    redis.pause();
    starts.more(30).await;
    redis.resume();
    starts.more(40).await;
    let most = starts.most_in(SECOND);
    assert!(most <= 20, "{most} in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_causes_no_burst() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let starts = Starts::new();
    let limits = a_second(20);
    let _crowds = fleet
        .each_ref()
        .map(|one| crowd(one, "crm", &limits, &starts));
    for _ in 0..4 {
        starts.more(15).await;
        redis.flush_all().await;
    }
    starts.more(25).await;
    let most = starts.most_in(SECOND);
    assert!(most <= 20, "{most} in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_ever_having_seen_redis_a_process_keeps_to_the_hint() {
    let mut redis = RedisServer::start().await;
    redis.stop().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let starts = Starts::new();
    let limits = a_second(20);
    let _crowds = fleet
        .each_ref()
        .map(|one| crowd(one, "crm", &limits, &starts));
    starts.more(40).await;
    let most = starts.most_in(SECOND);
    assert!(most <= 20, "{most} in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_told_while_redis_is_away_is_told_when_it_is_back() {
    let mut redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let [one, two] = fleet
        .each_ref()
        .map(|process| process.budget("crm", a_second(20)));
    one.acquire().await.expect("a request");
    two.acquire().await.expect("a request");
    redis.stop().await;
    one.told_to_wait(Duration::from_secs(60)).await;
    redis.start_again().await;
    let told = async {
        loop {
            match two.acquire().await {
                Err(refusal) if refusal.cause == RefusalCause::Paused => return,
                Ok(()) | Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await;
    told.expect("the other process hears of the pause");
}
