//! Redis is there: the processes of a fleet count together.

use std::time::Duration;

use tandem_connectors::budget::{Bucket, BudgetFactory, Observation, RateLimits, RefusalCause};
use tandem_testkit::servers::RedisServer;

use crate::crowd::{Starts, a_second, crowd, process};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_together_never_exceed_the_limit() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let starts = [Starts::new(), Starts::new()];
    let together = Starts::new();
    let limits = a_second(20);
    let alone = crowd(&fleet[0], "crm", &limits, &starts[0]);
    starts[0].more(30).await;
    drop(alone);
    let _crowds = fleet
        .each_ref()
        .map(|one| crowd(one, "crm", &limits, &together));
    together.more(60).await;
    assert!(starts[0].most_in(Duration::from_secs(1)) <= 20);
    assert!(together.most_in(Duration::from_secs(1)) <= 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_gets_its_turn() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two", "three"].map(|name| process(&redis.url(), name, 3));
    let starts = [Starts::new(), Starts::new(), Starts::new()];
    let limits = a_second(40);
    let pairs = fleet.iter().zip(&starts);
    let _crowds: Vec<_> = pairs
        .map(|(one, starts)| crowd(one, "crm", &limits, starts))
        .collect();
    for starts in &starts {
        starts.more(10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_told_by_one_holds_the_others() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    for (connection, limits) in [
        ("limited", a_second(20)),
        ("unlimited", RateLimits::default()),
    ] {
        let [one, two] = fleet
            .each_ref()
            .map(|process| process.budget(connection, limits.clone()));
        one.acquire().await.expect("a request");
        one.told_to_wait(Duration::from_secs(30)).await;
        one.told_to_wait(Duration::from_secs(3)).await;
        for budget in [one, two] {
            let refusal = budget.acquire().await.expect_err("a pause");
            assert_eq!(refusal.cause, RefusalCause::Paused, "{connection}");
            let left = refusal.retry_after.as_secs_f64();
            assert!((20.0..=30.0).contains(&left), "{connection}: {left} s");
        }
        let other = fleet[1].budget("another", a_second(20));
        other.acquire().await.expect("other connections go on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_each_process_lifts_holds_none_of_them() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let budgets = fleet
        .each_ref()
        .map(|process| process.budget("crm", a_second(20)));
    for budget in &budgets {
        // Who has not found Redis yet is told nothing by it.
        budget.acquire().await.expect("a request");
    }
    budgets[0].told_to_wait(Duration::from_secs(300)).await;
    for budget in &budgets {
        budget.acquire().await.expect_err("a pause");
        assert!(budget.paused_until().is_some());
    }
    for budget in &budgets {
        budget.lift_pause().await;
    }
    for budget in &budgets {
        assert_eq!(budget.paused_until(), None);
        budget.acquire().await.expect("the pause was lifted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_answer_to_one_says_is_left_counts_for_all() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 2));
    let [one, two] = fleet
        .each_ref()
        .map(|process| process.budget("books", a_second(20)));
    one.acquire().await.expect("a request");
    let nothing_left = Observation {
        limit: "second".to_owned(),
        remaining: 0,
        resets_in: Some(Duration::from_secs(25)),
    };
    one.observed(&nothing_left).await;
    let refusal = two.acquire().await.expect_err("nothing is left");
    assert!(refusal.retry_after > Duration::from_secs(15), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_high_rate_does_not_cost_a_round_trip_for_each_request() {
    let redis = RedisServer::start().await;
    let process = process(&redis.url(), "one", 1);
    let limits = RateLimits {
        buckets: vec![Bucket::pace("pace", 2_000.0)],
        daily: None,
    };
    let starts = Starts::new();
    let _crowd = crowd(&process, "crm", &limits, &starts);
    starts.more(3_000).await;
    let calls = scripts_run(&redis.url()).await;
    assert!(calls * 3 < starts.count(), "{calls} for {}", starts.count());
}

/// How many scripts Redis has run.
async fn scripts_run(url: &str) -> usize {
    let mut connection = connection(url).await;
    let mut command = redis::cmd("INFO");
    let info = command.arg("commandstats").query_async(&mut connection);
    let info: String = info.await.expect("Redis answers");
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = line.and_then(|line| line.split(',').next()?.parse().ok());
    calls.expect("scripts were run")
}

async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    let connection = client.get_multiplexed_async_connection().await;
    connection.expect("Redis answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_leaves_is_not_counted_any_more() {
    let redis = RedisServer::start().await;
    let fleet = ["one", "two"].map(|name| process(&redis.url(), name, 1));
    for process in &fleet {
        let budget = process.budget("crm", a_second(20));
        budget.acquire().await.expect("a request");
    }
    fleet[1].leave().await;
    let mut connection = connection(&redis.url()).await;
    let mut command = redis::cmd("ZRANGE");
    let command = command.arg("{test:rates}:members").arg(0).arg(-1);
    let members: Vec<String> = command
        .query_async(&mut connection)
        .await
        .expect("Redis answers");
    assert_eq!(members, ["one"]);
}
