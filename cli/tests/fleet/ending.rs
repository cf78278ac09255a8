//! How the processes end when they are asked to, and what they say of their health.

use std::time::Duration;

use futures::future::join_all;

use crate::common::http::within;
use crate::common::pair::Pair;
use crate::fleet::{END_MAX, Fleet, Plan};
use crate::member::After;
use crate::operator::finish;
use crate::site::Role;

/// Work begins within this time.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_while_jobs_run_every_process_exits_with_0_in_time() {
    let mut pair = Pair::new(60, 1);
    // Slow enough that there is always a job under way.
    pair.crm.latency_ms = 100;
    pair.books.latency_ms = 100;
    let fleet = Fleet::start(Plan {
        pair,
        apis: 2,
        schedulers: 2,
        workers: 2,
        ..Plan::small(60)
    })
    .await;
    let at_work = within(PATIENCE, async || {
        let running = fleet.database.reconcile_jobs_running().await;
        (running > 0).then_some(())
    });
    assert!(at_work.await.is_some(), "no job ever ran");

    let ends = fleet
        .members()
        .map(|member| member.terminate(After::StayDown, END_MAX));
    assert_eq!(join_all(ends).await, [Some(0); 6]);
    assert_eq!(
        fleet.database.reconcile_jobs_running().await,
        0,
        "what ran was handed back"
    );

    for member in fleet.members() {
        member.start();
    }
    fleet.all_ready().await;
    fleet.must_agree(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_is_asked_for_its_health_by_its_own_program() {
    let fleet = Fleet::start(Plan::small(0)).await;
    for (role, members) in [
        (Role::Api, &fleet.apis),
        (Role::Scheduler, &fleet.schedulers),
        (Role::Worker, &fleet.workers),
    ] {
        let listen = members[0].base_url().trim_start_matches("http://");
        let health = async || {
            let mut command = fleet
                .site
                .process(role, listen.parse().expect("an address"));
            command.arg("health");
            finish(command).await
        };
        let well = health().await;
        assert_eq!((well.code, well.err.as_str()), (Some(0), ""), "{well:?}");

        members[0].kill(After::StayDown).await;
        let ill = health().await;
        assert_eq!(ill.code, Some(1), "{ill:?}");
        assert!(ill.err.contains("does not answer"), "{ill:?}");
        assert_eq!(ill.err.lines().count(), 1, "{ill:?}");
    }
}
