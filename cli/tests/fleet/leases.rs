//! Workers that are killed or stand still while they have a job.
//!
//! The finance system is slow here, so that a job is long under way, and nothing is polled, so that there
//! is no other.

use std::time::Duration;

use tandem_simulator::WriteOp;

use crate::common::http::within;
use crate::common::pair::Pair;
use crate::edits::create;
use crate::fleet::{END_MAX, Fleet, Plan};
use crate::member::{After, Member};

/// Everything here is done within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long each request to the finance system takes.
const LATENCY_MS: u64 = 1_500;
/// Short, as each test waits for its end.
const LEASE_SECS: u32 = 4;
const TAX_NUMBER: &str = "BE0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_before_it_wrote_does_not_write_when_it_goes_on() {
    let fleet = slow_fleet().await;
    create(&fleet.pair.crm.base_url(), 1, TAX_NUMBER).await;
    let late = holder(&fleet).await;
    assert_eq!(
        fleet.database.intents_sent().await,
        0,
        "it has not written yet"
    );
    late.stop();
    other_goes_on(&fleet, late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_while_it_wrote_does_not_write_again_when_it_goes_on() {
    let fleet = slow_fleet().await;
    create(&fleet.pair.crm.base_url(), 1, TAX_NUMBER).await;
    let late = holder(&fleet).await;
    let sent = within(PATIENCE, async || {
        (fleet.database.intents_sent().await > 0).then_some(())
    });
    assert!(sent.await.is_some(), "it never wrote");
    late.stop();
    other_goes_on(&fleet, late).await;
}

/// The other worker does the job, once; then the late one goes on, and ends.
async fn other_goes_on(fleet: &Fleet, late: &Member) {
    written_and_idle(fleet).await;
    late.cont();
    late.ready().await;
    // Asked to end, it first comes to an end with what it still believes to have.
    let code = late.terminate(After::StayDown, END_MAX).await;
    assert_eq!(code, Some(0), "{}", late.log());
    written_once(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_killed_worker_is_done_by_another_after_the_lease() {
    let fleet = slow_fleet().await;
    create(&fleet.pair.crm.base_url(), 1, TAX_NUMBER).await;
    let killed = holder(&fleet).await;
    killed.kill(After::StayDown).await;
    assert_eq!(killed.ends_told(), "signal: 9 (SIGKILL)");
    written_and_idle(&fleet).await;
    written_once(&fleet).await;
}

async fn slow_fleet() -> Fleet {
    let mut pair = Pair::new(0, 1);
    pair.books.latency_ms = LATENCY_MS;
    let fleet = Fleet::start(Plan {
        pair,
        lease_secs: LEASE_SECS,
        workers: 2,
        ..Plan::without_polls(0)
    })
    .await;
    fleet.first_sync().await;
    fleet
}

/// The worker that has the one job.
async fn holder(fleet: &Fleet) -> &Member {
    let holder = within(PATIENCE, async || {
        for worker in &fleet.workers {
            if worker.metric("tandem_jobs_in_flight").await == Some(1.0) {
                return Some(worker);
            }
        }
        None
    });
    holder.await.expect("a worker has the job")
}

async fn written_and_idle(fleet: &Fleet) {
    let written = within(PATIENCE, async || {
        let written = fleet.books.state().await.counters.api_creates > 0;
        (written && fleet.database.reconcile_jobs_open().await == 0).then_some(())
    });
    assert!(written.await.is_some(), "nobody did the job");
}

async fn written_once(fleet: &Fleet) {
    let writes = fleet.books.state().await.writes;
    let ops: Vec<WriteOp> = writes.iter().map(|write| write.op).collect();
    assert_eq!(ops, [WriteOp::Create], "{writes:#?}");
}
