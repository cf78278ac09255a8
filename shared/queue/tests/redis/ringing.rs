//! Who hears what while Redis is well.

use std::pin::pin;

use futures::FutureExt;
use futures::future::{join_all, select_all};
use redis::streams::StreamInfoConsumersReply;
use tandem_queue::{Doorbell, DoorbellRole, RedisDoorbell};
use tandem_testkit::servers::RedisServer;

use crate::support::{LONG, Observer, entropy, hearer, jobs, options, ringer, soon};

#[tokio::test]
async fn a_ring_in_one_process_wakes_a_waiter_in_another_and_is_taken_off_the_stream() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let mut observer = Observer::of(&server).await;
    let mut wait = pin!(worker.wait(LONG));
    tokio::select! {
        () = &mut wait => panic!("nothing was rung"),
        () = observer.until_waiting(1) => {}
    }
    api.ring(&jobs(1));
    soon(wait).await;
    observer.until_settled().await;
}

#[tokio::test]
async fn a_ring_before_the_wait_is_not_lost() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    api.ring(&jobs(1));
    soon(worker.wait(LONG)).await;
}

#[tokio::test]
async fn each_id_wakes_one_worker_and_not_all() {
    let server = RedisServer::start().await;
    let api = ringer(&server).await;
    let mut workers = Vec::new();
    for name in ["one", "two", "three"] {
        workers.push(hearer(&server, name).await);
    }
    let mut waits: Vec<_> = workers.iter().map(|worker| worker.wait(LONG)).collect();
    let mut observer = Observer::of(&server).await;
    for still_waiting in [3, 2] {
        let mut woken = select_all(waits);
        tokio::select! {
            _ = &mut woken => panic!("nothing was rung"),
            () = observer.until_waiting(still_waiting) => {}
        }
        api.ring(&jobs(1));
        ((), _, waits) = soon(woken).await;
    }
    assert_eq!(waits.len(), 1);
    assert_eq!(waits.remove(0).now_or_never(), None);
}

#[tokio::test]
async fn a_burst_wakes_all_workers_that_wait() {
    let server = RedisServer::start().await;
    let api = ringer(&server).await;
    let mut workers = Vec::new();
    for number in 0..6 {
        workers.push(hearer(&server, &format!("worker-{number}")).await);
    }
    let mut waits = pin!(join_all(workers.iter().map(|worker| worker.wait(LONG))));
    let mut observer = Observer::of(&server).await;
    tokio::select! {
        _ = &mut waits => panic!("nothing was rung"),
        () = observer.until_waiting(6) => {}
    }
    api.ring(&jobs(1_000));
    soon(waits).await;
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_no_ring() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let mut observer = Observer::of(&server).await;
    for _ in 0..10 {
        tokio::select! {
            () = worker.wait(LONG) => panic!("nothing was rung"),
            () = observer.until_waiting(1) => {}
        }
        // Redis now answers to somebody who has left.
        api.ring(&jobs(1));
        soon(worker.wait(LONG)).await;
    }
}

#[tokio::test]
async fn what_reaches_a_worker_that_stopped_waiting_goes_to_another() {
    let server = RedisServer::start().await;
    let api = ringer(&server).await;
    let (busy, idle) = (hearer(&server, "busy").await, hearer(&server, "idle").await);
    let mut observer = Observer::of(&server).await;
    tokio::select! {
        () = busy.wait(LONG) => panic!("nothing was rung"),
        () = observer.until_waiting(1) => {}
    }
    api.ring(&jobs(1));
    soon(idle.wait(LONG)).await;
    observer.until_settled().await;
    busy.close().await;
}

#[tokio::test]
async fn a_worker_without_free_slots_rings_again_what_it_heard() {
    let server = RedisServer::start().await;
    let api = ringer(&server).await;
    let (full, idle) = (hearer(&server, "full").await, hearer(&server, "idle").await);
    let jobs = jobs(30);
    api.ring(&jobs);
    api.close().await;
    soon(full.wait(LONG)).await;
    Observer::of(&server).await.until_settled().await;
    full.pass_on(&jobs[..1]);
    soon(idle.wait(LONG)).await;
}

#[tokio::test]
async fn a_worker_hears_its_own_rings_and_shares_them() {
    let server = RedisServer::start().await;
    let (one, other) = (hearer(&server, "one").await, hearer(&server, "other").await);
    let mut waits = pin!(join_all([one.wait(LONG), other.wait(LONG)]));
    let mut observer = Observer::of(&server).await;
    tokio::select! {
        _ = &mut waits => panic!("nothing was rung"),
        () = observer.until_waiting(2) => {}
    }
    one.ring(&jobs(2));
    soon(waits).await;
}

#[tokio::test]
async fn installations_with_namespaces_of_their_own_do_not_hear_each_other() {
    let server = RedisServer::start().await;
    let mut options = options("worker", DoorbellRole::RingsAndHears);
    options.namespace = "another".to_owned();
    let stranger = RedisDoorbell::connect(&server.url(), options, entropy()).await;
    let stranger = stranger.expect("Redis runs");
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let mut strange = pin!(stranger.wait(LONG));
    let mut observer = Observer::of(&server).await;
    tokio::select! {
        () = &mut strange => panic!("nothing was rung"),
        () = observer.until_waiting(1) => {}
    }
    api.ring(&jobs(1));
    soon(worker.wait(LONG)).await;
    assert_eq!(strange.now_or_never(), None);
}

#[tokio::test]
async fn closing_sends_what_was_rung_and_leaves_the_group() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let mut observer = Observer::of(&server).await;
    tokio::select! {
        () = worker.wait(LONG) => panic!("nothing was rung"),
        () = observer.until_waiting(1) => {}
    }
    let list = "XINFO CONSUMERS tandem:jobs workers";
    let group: StreamInfoConsumersReply = observer.ask(list).await;
    assert_eq!(group.consumers.len(), 1);
    worker.close().await;
    let group: StreamInfoConsumersReply = observer.ask(list).await;
    assert_eq!(group.consumers.len(), 0);

    api.ring(&jobs(20));
    api.close().await;
    assert_eq!(observer.ask::<u64>("XLEN tandem:jobs").await, 20);
}
