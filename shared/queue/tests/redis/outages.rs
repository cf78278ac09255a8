//! Redis is emptied, stopped, replaced and stalled.

use std::pin::pin;
use std::time::Duration;

use redis::streams::StreamReadReply;
use tandem_queue::{Doorbell, RedisDoorbell};
use tandem_testkit::servers::RedisServer;

use crate::support::{LONG, Observer, SHORT, hearer, jobs, ringer, soon};

/// Waits go on by time until the doorbell has noticed that Redis is there, or is not.
async fn until_connected(bell: &RedisDoorbell, connected: bool) {
    soon(async {
        while bell.is_connected() != connected {
            bell.wait(SHORT).await;
        }
    })
    .await;
}

/// The same for one who must not have asked for entries yet.
async fn until_connected_unheard(bell: &RedisDoorbell) {
    soon(async {
        while !bell.is_connected() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn rings_come_through_after_redis_was_emptied_while_somebody_waits() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let mut observer = Observer::of(&server).await;
    for _ in 0..3 {
        let mut wait = pin!(worker.wait(LONG));
        tokio::select! {
            () = &mut wait => panic!("nothing was rung"),
            () = observer.until_waiting(1) => {}
        }
        server.flush_all().await;
        api.ring(&jobs(1));
        soon(wait).await;
    }
}

#[tokio::test]
async fn rings_come_through_after_redis_was_emptied_while_nobody_waits() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    until_connected(&worker, true).await;
    server.flush_all().await;
    api.ring(&jobs(1));
    soon(worker.wait(LONG)).await;
}

#[tokio::test]
async fn a_deleted_group_is_made_again() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    let mut observer = Observer::of(&server).await;
    let mut wait = pin!(worker.wait(LONG));
    tokio::select! {
        () = &mut wait => panic!("nothing was rung"),
        () = observer.until_waiting(1) => {}
    }
    let deleted: u64 = observer.ask("XGROUP DESTROY tandem:jobs workers").await;
    assert_eq!(deleted, 1);
    api.ring(&jobs(1));
    soon(wait).await;
}

#[tokio::test]
async fn a_stopped_redis_is_found_again_with_what_was_rung_meanwhile() {
    let mut server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    for _ in 0..2 {
        until_connected(&api, true).await;
        until_connected(&worker, true).await;
        server.stop().await;
        until_connected(&api, false).await;
        until_connected(&worker, false).await;
        api.ring(&jobs(1));
        server.start_again().await;
        soon(worker.wait(LONG)).await;
    }
}

#[tokio::test]
async fn a_stalled_redis_holds_up_nobody_and_rings_come_through_when_it_goes_on() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    until_connected(&api, true).await;
    until_connected(&worker, true).await;
    server.pause();
    api.ring(&jobs(1));
    until_connected(&api, false).await;
    until_connected(&worker, false).await;
    server.resume();
    soon(worker.wait(LONG)).await;
    until_connected(&api, true).await;
    until_connected(&worker, true).await;
    // The ring may have come twice: what was sent to a Redis that stood still is carried out as it goes on,
    // and was sent again. It is read when the runner waits again.
    let mut observer = Observer::of(&server).await;
    let runner = async {
        loop {
            worker.wait(LONG).await;
        }
    };
    tokio::select! {
        () = observer.until_settled() => {}
        () = runner => {}
    }
}

/// Redis gives an entry to `worker` over a connection that its doorbell knows nothing of.
async fn send_into_the_void(observer: &mut Observer) {
    observer.add_entry(&jobs(1)[0].to_string()).await;
    let read = "XREADGROUP GROUP workers worker STREAMS tandem:jobs >";
    let unheard: StreamReadReply = observer.ask(read).await;
    assert_eq!(unheard.keys.len(), 1);
}

#[tokio::test]
async fn what_was_sent_over_a_connection_that_broke_is_heard_over_the_next() {
    let server = RedisServer::start().await;
    let mut observer = Observer::of(&server).await;
    let make = "XGROUP CREATE tandem:jobs workers 0 MKSTREAM";
    assert_eq!(observer.ask::<String>(make).await, "OK");
    send_into_the_void(&mut observer).await;
    let worker = hearer(&server, "worker").await;
    soon(worker.wait(LONG)).await;
    observer.until_settled().await;
}

#[tokio::test]
async fn what_is_sent_late_over_a_connection_that_broke_is_heard_when_it_gets_quiet() {
    let server = RedisServer::start().await;
    let mut observer = Observer::of(&server).await;
    let worker = hearer(&server, "worker").await;
    until_connected_unheard(&worker).await;
    send_into_the_void(&mut observer).await;
    soon(worker.wait(LONG)).await;
    observer.until_settled().await;
}

#[tokio::test]
async fn without_redis_a_ring_wakes_the_runner_of_the_own_process() {
    let mut server = RedisServer::start().await;
    let worker = hearer(&server, "worker").await;
    until_connected(&worker, true).await;
    server.stop().await;
    until_connected(&worker, false).await;
    worker.ring(&jobs(1));
    soon(worker.wait(LONG)).await;
}

#[tokio::test]
async fn rings_beyond_the_queue_are_dropped_and_nothing_blocks() {
    let mut server = RedisServer::start().await;
    let api = ringer(&server).await;
    until_connected(&api, true).await;
    server.stop().await;
    api.ring(&jobs(30_000));
    server.start_again().await;
    until_connected(&api, true).await;
    api.close().await;
    let entries: u64 = Observer::of(&server).await.ask("XLEN tandem:jobs").await;
    assert!(
        (1..=1_100).contains(&entries),
        "{entries} entries of up to 10 ids"
    );
}

#[tokio::test]
async fn closing_does_not_wait_for_a_stalled_redis() {
    let server = RedisServer::start().await;
    let (api, worker) = (ringer(&server).await, hearer(&server, "worker").await);
    worker.wait(SHORT).await;
    server.pause();
    api.ring(&jobs(10));
    let limit = Duration::from_secs(5);
    let closed = tokio::time::timeout(limit, async {
        api.close().await;
        worker.close().await;
    });
    closed.await.expect("both close in time");
    server.resume();
}
