//! Processes, and crowds that want as many requests as they can get.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_connectors::budget::{Bucket, BudgetFactory, RateLimits, RequestBudget};
use tandem_domain::{Clock, Timestamp};
use tandem_rate_limits::{FleetBudgets, FleetSettings, Timings};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Tasks of one process that want requests.
const CROWD: usize = 4;
/// A refused task asks again after this, or earlier if it is told so.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Nothing in these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// As the defaults, but quicker.
pub const QUICK: Timings = Timings {
    beat: Duration::from_millis(50),
    answer: Duration::from_millis(150),
    connect: Duration::from_millis(100),
    away_after: Duration::from_millis(400),
    share_after: Duration::from_millis(500),
    remembered: Duration::from_secs(60),
    settle: Duration::from_millis(700),
    share_wait: Duration::from_millis(300),
    lease: Duration::from_millis(250),
};

pub struct MachineClock;

impl Clock for MachineClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the limits are kept in real time, by the clock of a real Redis"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.expect("it is after 1970").as_micros();
        Timestamp::from_micros(i64::try_from(micros).expect("it is before the year 200000"))
    }
}

/// A process of a fleet of `size`.
pub fn process(url: &str, name: &str, size: u32) -> FleetBudgets {
    let settings = FleetSettings {
        redis_url: url.to_owned(),
        namespace: "test".to_owned(),
        process: name.to_owned(),
        fleet_size_hint: size,
        timings: QUICK,
    };
    FleetBudgets::start(settings, Arc::new(MachineClock)).expect("an address")
}

/// So many requests in any second.
pub fn a_second(requests: u32) -> RateLimits {
    RateLimits {
        buckets: vec![Bucket::window(
            "second",
            requests,
            Duration::from_secs(1),
            None,
        )],
        daily: None,
    }
}

/// What started when, in all processes.
#[derive(Clone)]
pub struct Starts {
    all: Arc<Mutex<Vec<Instant>>>,
    count: watch::Sender<usize>,
}

impl Starts {
    pub fn new() -> Self {
        Self {
            all: Arc::default(),
            count: watch::Sender::new(0),
        }
    }

    fn note(&self) {
        let mut all = self.all.lock().expect("no test panics with the lock");
        all.push(Instant::now());
        self.count.send_replace(all.len());
    }

    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until so many more have started.
    pub async fn more(&self, requests: usize) {
        let enough = self.count() + requests;
        let mut count = self.count.subscribe();
        let reached = count.wait_for(|count| *count >= enough);
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(
            matches!(reached, Ok(Ok(_))),
            "only {} of {enough} have started",
            self.count()
        );
    }

    /// The most that started in any span of that length.
    pub fn most_in(&self, span: Duration) -> usize {
        let mut all = self.all.lock().expect("no test panics with the lock");
        all.sort();
        let until = |from: Instant| all.partition_point(|at| *at < from + span);
        let within = |(index, from): (usize, &Instant)| until(*from) - index;
        all.iter().enumerate().map(within).max().unwrap_or(0)
    }
}

/// Lets a process start requests as fast as its budget allows, until the crowd is dropped.
pub fn crowd(
    process: &FleetBudgets,
    connection: &str,
    limits: &RateLimits,
    starts: &Starts,
) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let budget = process.budget(connection, limits.clone());
        crowd.spawn(want_more(budget, starts.clone()));
    }
    crowd
}

async fn want_more(budget: Arc<dyn RequestBudget>, starts: Starts) {
    loop {
        match budget.acquire().await {
            Ok(()) => starts.note(),
            Err(refusal) => tokio::time::sleep(refusal.retry_after.min(ASK_AGAIN)).await,
        }
    }
}
