//! The budget of a day outlives everything that happens to Redis.

use tandem_connectors::budget::{BudgetFactory, RateLimits, RefusalCause};
use tandem_testkit::servers::RedisServer;

use crate::crowd::{Starts, a_second, crowd, process};

const DAY: usize = 60;

fn limits() -> RateLimits {
    RateLimits {
        daily: Some(DAY as u64),
        ..a_second(20)
    }
}

async fn the_day_is_used_up(fleet: &[impl BudgetFactory]) {
    for process in fleet {
        let budget = process.budget("books", limits());
        let used_up = async {
            while !matches!(budget.acquire().await, Err(refusal) if refusal.cause == RefusalCause::Daily)
            {
                tokio::task::yield_now().await;
            }
        };
        let used_up = tokio::time::timeout(std::time::Duration::from_secs(20), used_up).await;
        used_up.expect("the day's budget ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_has_its_requests_and_no_more_however_often_redis_is_emptied() {
    let mut redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let starts = Starts::new();
    let crowds = fleet
        .each_ref()
        .map(|one| crowd(one, "books", &limits(), &starts));
    starts.more(12).await;
    redis.flush_all().await;
    starts.more(12).await;
    redis.stop().await;
    redis.start_again().await;
    starts.more(DAY - starts.count()).await;
    drop(crowds);
    the_day_is_used_up(&fleet).await;
    assert_eq!(starts.count(), DAY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_each_process_has_its_part_of_what_is_left_of_the_day() {
    let mut redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let starts = Starts::new();
    let crowds = fleet
        .each_ref()
        .map(|one| crowd(one, "books", &limits(), &starts));
    starts.more(20).await;
    redis.stop().await;
    the_day_is_used_up(&fleet).await;
    assert!(starts.count() <= DAY, "{}", starts.count());
    assert!(starts.count() > 30, "{}", starts.count());
    drop(crowds);
}
