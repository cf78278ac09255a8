//! Everything that production does to a fleet, in random order, while people edit both systems and
//! requests go wrong. See `make chaos`.

use std::sync::Arc;
use std::time::Duration;

use tandem_simulator::Comparison;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::common::agreement::{States, states};
use crate::common::http::within;
use crate::common::pair::{Pair, Settings};
use crate::common::questions::answer_what_is_asked;
use crate::common::scale::told;
use crate::edits::{Editor, Known, astray};
use crate::events::all_have_an_outcome;
use crate::fleet::{END_MAX, Fleet, Plan};
use crate::member::After;
use crate::schedule::{Disturbance, schedule};
use crate::site::Role;

/// Both sides agree this long after the last edit and disturbance.
const AGREE_MAX: Duration = Duration::from_secs(120);
/// A job whose lease has run out is taken over within this time.
const RESCUE_MAX: Duration = Duration::from_secs(30);
/// After how long a dead worker's job is taken over.
const LEASE_SECS: u32 = 10;
/// How hard the fleet is tried. `make chaos` asks for more than these.
#[derive(Debug)]
struct Scale {
    records: usize,
    /// By the simulated users of each side, and by the stream of known edits.
    edits_per_second: f64,
    rounds: usize,
    faults: f64,
    retries: u32,
    redis_outage_secs: u64,
    /// Without webhooks everything is left to polling.
    webhooks: bool,
    seed: u64,
}

impl Scale {
    fn from_environment() -> Self {
        Self {
            records: told("TANDEM_TEST_RECORDS", 60),
            edits_per_second: told("TANDEM_TEST_EDITS", 2.0),
            rounds: told("TANDEM_TEST_ROUNDS", 1),
            faults: told("TANDEM_TEST_FAULTS", 0.05),
            retries: told("TANDEM_TEST_RETRIES", 12),
            redis_outage_secs: told("TANDEM_TEST_REDIS_OUTAGE_SECS", 5),
            webhooks: told("TANDEM_TEST_WEBHOOKS", true),
            seed: told("TANDEM_TEST_SEED", 1),
        }
    }

    fn plan(&self) -> Plan {
        let mut pair = Pair::new(self.records, self.seed);
        pair.unsettle(self.edits_per_second, self.faults);
        Plan {
            pair,
            settings: Settings {
                retries: self.retries,
                ..Settings::default()
            },
            lease_secs: LEASE_SECS,
            webhooks: self.webhooks,
            apis: 2,
            schedulers: 2,
            workers: 3,
            ..Plan::small(self.records)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_whatever_happens_to_the_fleet() {
    let scale = Scale::from_environment();
    println!(
        "repeat the schedule with TANDEM_TEST_SEED={}: {scale:?}",
        scale.seed
    );
    let mut fleet = Fleet::start(scale.plan()).await;
    let editor = Editor::start(&fleet.pair, scale.seed, scale.edits_per_second);

    disturb(&mut fleet, &scale).await;
    let known = editor.finish().await;
    fleet.crm.quiet().await;
    fleet.books.quiet().await;
    fleet.all_ready().await;
    let quiet_since = Instant::now();
    let (mut verdict, mut settled) = fleet.agreement(AGREE_MAX).await;
    if !settled {
        let asked = answer_what_is_asked(|| fleet.site.operator()).await;
        println!("a person was asked, and answered: {asked:?}");
        if !asked.is_empty() {
            (verdict, settled) = fleet.agreement(AGREE_MAX).await;
        }
    }

    let end = states(&fleet.crm, &fleet.books).await;
    tell(&fleet, &end, &known, &verdict).await;
    println!(
        "settled {:.1} s after the last edit: {settled}",
        quiet_since.elapsed().as_secs_f64()
    );
    if !settled {
        tell_of_differences(&fleet, &end, &verdict).await;
    }
    assert!(settled, "{verdict:#?}");
    assert_eq!(astray(&known, &end), Vec::<String>::new());
    all_have_an_outcome(&fleet.database, &fleet.balancer.accepted()).await;
    for member in fleet.members() {
        assert!(
            !member.has_said("please report it"),
            "{} met a defect",
            member.name
        );
        assert!(!member.has_said("panicked at"), "{} panicked", member.name);
    }
}

/// Carries out the whole schedule.
async fn disturb(fleet: &mut Fleet, scale: &Scale) {
    let outage = Duration::from_secs(scale.redis_outage_secs);
    let mut of_redis = Vec::new();
    let begin = Instant::now();
    for step in schedule(scale.seed, scale.rounds) {
        sleep(step.pause()).await;
        println!("{:6.1} s: {:?}", begin.elapsed().as_secs_f64(), step.what);
        match step.what {
            Disturbance::Kill { role, which } => kill(fleet, role, which).await,
            Disturbance::KillLeader => {
                let leader = fleet.leader().await;
                fleet.schedulers[leader].kill(After::Restart).await;
            }
            Disturbance::FlushRedis => of_redis.push(flush_redis(fleet)),
            Disturbance::StopRedis => of_redis.push(stop_redis(fleet, outage)),
            Disturbance::RestartPostgres { mode, down_ms } => {
                fleet.database.server.stop(mode).await;
                sleep(Duration::from_millis(down_ms)).await;
                fleet.database.server.start_again().await;
            }
            Disturbance::FreezeWorker { which } => freeze(fleet, which).await,
            Disturbance::RollingRestart => restart_one_by_one(fleet).await,
        }
    }
    for task in of_redis {
        task.await.expect("Redis does as it is told");
    }
}

async fn kill(fleet: &Fleet, role: Role, which: usize) {
    let members = match role {
        Role::Api => &fleet.apis,
        Role::Scheduler => &fleet.schedulers,
        Role::Worker => &fleet.workers,
    };
    members[which % members.len()].kill(After::Restart).await;
}

/// Empties Redis, once it runs, while other things happen.
fn flush_redis(fleet: &Fleet) -> JoinHandle<()> {
    let redis = Arc::clone(&fleet.redis);
    tokio::spawn(async move { redis.lock().await.flush_all().await })
}

/// Stops Redis, and starts it again later, while other things happen.
fn stop_redis(fleet: &Fleet, outage: Duration) -> JoinHandle<()> {
    let redis = Arc::clone(&fleet.redis);
    tokio::spawn(async move {
        let mut redis = redis.lock().await;
        redis.stop().await;
        sleep(outage).await;
        redis.start_again().await;
    })
}

/// Stops a worker until its leases have run out and others have its jobs.
async fn freeze(fleet: &Fleet, which: usize) {
    let worker = &fleet.workers[which % fleet.workers.len()];
    worker.stop();
    sleep(Duration::from_secs(u64::from(LEASE_SECS))).await;
    let rescued = within(RESCUE_MAX, async || {
        (fleet.database.leases_run_out().await == 0).then_some(())
    });
    let rescued = rescued.await;
    worker.cont();
    assert!(
        rescued.is_some(),
        "jobs whose lease has run out are not taken over"
    );
}

async fn restart_one_by_one(fleet: &Fleet) {
    for member in fleet.members() {
        member.ready().await;
        let code = member.terminate(After::Restart, END_MAX).await;
        assert_eq!(code, Some(0), "{}:\n{}", member.name, member.log());
        member.ready().await;
    }
}

/// What there was to do, for a person.
async fn tell(fleet: &Fleet, end: &States, known: &[Known], verdict: &Comparison) {
    let status = fleet.status().await.unwrap_or_default();
    println!(
        "crm: {:?}\nbooks: {:?}",
        end.crm.counters, end.books.counters
    );
    println!("queue: {}\ntotals: {}", status["queue"], status["totals"]);
    let accepted = fleet.balancer.accepted();
    println!(
        "{} webhooks answered with 200, {} events, {} known companies, lost {}, doubled {}, differences {}",
        accepted.len(),
        fleet.database.events().await,
        known.len(),
        verdict.lost,
        verdict.doubled,
        verdict.differences.len()
    );
    for member in fleet.members() {
        println!("{} ended so: {}", member.name, member.ends_told());
    }
}

/// What the database knows of each record about which the two sides do not agree, for a person.
async fn tell_of_differences(fleet: &Fleet, end: &States, verdict: &Comparison) {
    let described = format!("{verdict:?}");
    for record in end.crm.records.iter().chain(&end.books.records) {
        if described.contains(&record.id) {
            println!("{record:?}\n{}", fleet.database.about(&record.id).await);
        }
    }
}
