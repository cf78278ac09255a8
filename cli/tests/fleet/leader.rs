//! Two schedulers, of which one leads.

use std::time::Duration;

use tokio::time::Instant;

use crate::common::http::within;
use crate::fleet::{END_MAX, Fleet, LEADER_MAX, Plan};
use crate::member::After;

/// A lease of 8 s, looked at every second, and some for a busy machine.
const WITHOUT_LEADER_MAX: Duration = Duration::from_secs(12);
/// A schedule of every 2 s is carried out within this time.
const POLL_MAX: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_the_other_scheduler_leads_and_polls_go_on() {
    let fleet = two_schedulers().await;
    let first = fleet.leader().await;
    polls_go_on(&fleet).await;

    let killed = Instant::now();
    fleet.schedulers[first].kill(After::StayDown).await;
    let second = fleet.leader().await;
    assert_ne!(second, first);
    let without = killed.elapsed();
    assert!(without < WITHOUT_LEADER_MAX, "nobody led for {without:?}");
    polls_go_on(&fleet).await;

    fleet.schedulers[first].start();
    fleet.schedulers[first].ready().await;
    polls_go_on(&fleet).await;
    let leads = fleet.schedulers[first].metric("tandem_leader").await;
    assert_eq!(leads, Some(0.0), "whoever comes back stands by");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_end_gives_its_role_up_at_once() {
    let fleet = two_schedulers().await;
    let first = fleet.leader().await;
    let code = fleet.schedulers[first]
        .terminate(After::StayDown, END_MAX)
        .await;
    assert_eq!(code, Some(0));
    // Long before the lease would have run out.
    let other = &fleet.schedulers[1 - first];
    let leads = within(LEADER_MAX / 4, async || {
        (other.metric("tandem_leader").await == Some(1.0)).then_some(())
    });
    assert!(leads.await.is_some(), "{}", other.log());
}

async fn two_schedulers() -> Fleet {
    let plan = Plan {
        schedulers: 2,
        ..Plan::small(5)
    };
    Fleet::start(plan).await
}

async fn polls_go_on(fleet: &Fleet) {
    let before = fleet.database.polls_done().await;
    let more = within(POLL_MAX, async || {
        (fleet.database.polls_done().await > before).then_some(())
    });
    assert!(more.await.is_some(), "nothing is polled any more");
}
