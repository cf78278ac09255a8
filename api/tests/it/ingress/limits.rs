//! What is too long, too slow, too many.

use std::sync::Arc;
use std::time::Duration;

use tandem_api::{FailureLimit, IngressLimits, ServerLimits};
use tandem_connectors::webhook::Scheme;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use crate::support::client::{exchange, post, read_to_end};
use crate::support::hooks::{BODY_BYTES_MAX, sign};
use crate::support::server::{SHORT, one_event, start, start_with};

const CRM: &str = "/hooks/crm";

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_is_sent() {
    let server = start().await;
    let body = vec![b'x'; BODY_BYTES_MAX + 1];
    assert_eq!(server.send(&post(CRM, &[], &body)).await.status, 413);
    let mut chunked =
        b"POST /hooks/crm HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(1_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(server.send(&chunked).await.status, 413);
    assert_eq!(server.store.calls(), 0);
}

#[tokio::test]
async fn a_body_of_megabytes_hears_413_although_it_is_not_read_whole() {
    let server = start().await;
    let reply = exchange(
        server.address,
        &post(CRM, &[], &vec![b'x'; 8 * BODY_BYTES_MAX]),
    )
    .await;
    if let Some(reply) = reply {
        assert_eq!(reply.status, 413);
    }
    assert_eq!(server.store.calls(), 0);
}

#[tokio::test]
async fn a_chunked_body_within_the_limit_is_taken() {
    let server = start().await;
    let body = one_event("e1");
    let signature = &sign(Scheme::GenericHmacSha256, CRM, body.as_bytes())[0];
    let bytes = format!(
        "POST {CRM} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n{}: {}\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        signature.0,
        signature.1,
        body.len()
    );
    assert_eq!(server.send(bytes.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn half_a_head_is_cut() {
    let limits = ServerLimits {
        head_timeout: SHORT,
        ..ServerLimits::default()
    };
    let server = start_with(IngressLimits::default(), limits).await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    stream
        .write_all(b"POST /hooks/crm HTTP/1.1\r\nHost: t\r\nX-Slow")
        .await
        .expect("it is open");
    // Returns only because the server closes.
    assert!(read_to_end(&mut stream).await.is_none());
}

#[tokio::test]
async fn half_a_body_is_cut_with_408() {
    let limits = IngressLimits {
        body_timeout: SHORT,
        ..IngressLimits::default()
    };
    let server = start_with(limits, ServerLimits::default()).await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    stream
        .write_all(b"POST /hooks/crm HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .expect("it is open");
    let reply = read_to_end(&mut stream).await.expect("it is told");
    assert_eq!(reply.status, 408);
}

#[tokio::test]
async fn a_head_with_too_many_headers_or_bytes_is_431() {
    let server = start().await;
    let many = "X-A: b\r\n".repeat(101);
    let long = format!("X-A: {}\r\n", "b".repeat(70_000));
    for headers in [many, long] {
        let bytes = format!("POST {CRM} HTTP/1.1\r\nHost: t\r\n{headers}\r\n");
        if let Some(reply) = exchange(server.address, bytes.as_bytes()).await {
            assert_eq!(reply.status, 431);
        }
    }
}

#[tokio::test]
async fn an_address_with_too_many_bad_signatures_is_429_before_its_body() {
    let limits = IngressLimits {
        failures: FailureLimit {
            count: 3,
            window: Duration::from_secs(60),
        },
        trusted_proxies: 1,
        ..IngressLimits::default()
    };
    let server = start_with(limits, ServerLimits::default()).await;
    let sender = [("X-Forwarded-For".to_owned(), "192.0.2.7".to_owned())];
    for _ in 0..3 {
        let reply = server.send(&post(CRM, &sender, b"{}")).await;
        assert_eq!(reply.status, 401);
    }
    let head = "POST /hooks/crm HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.7\r\nContent-Length: 1000\r\n\r\n";
    let reply = server.send(head.as_bytes()).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), Some("60"));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_503() {
    let limits = ServerLimits {
        connections_max: 1,
        ..ServerLimits::default()
    };
    let server = start_with(IngressLimits::default(), limits).await;
    let _held = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    let reply = server.send(&post(CRM, &[], b"{}")).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn bodies_that_need_more_memory_than_there_is_are_503() {
    let limits = IngressLimits {
        body_memory_bytes: 10,
        ..IngressLimits::default()
    };
    let server = start_with(limits, ServerLimits::default()).await;
    let reply = server.post_crm(&one_event("e1")).await;
    assert_eq!(reply.status, 503);
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let server = start().await;
    let gate = Arc::new(Semaphore::new(0));
    server.store.hold(Arc::clone(&gate));
    let body = one_event("e1");
    let in_flight = server.post_crm(&body);
    let shutdown = async {
        while server.store.calls() == 0 {
            tokio::task::yield_now().await;
        }
        server.shutdown.cancel();
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
    };
    let (reply, ()) = tokio::join!(in_flight, shutdown);
    assert_eq!(reply.status, 200);
    server.task.await.expect("it ends by itself");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let limits = ServerLimits {
        drain_timeout: SHORT,
        ..ServerLimits::default()
    };
    let server = start_with(IngressLimits::default(), limits).await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    stream
        .write_all(b"POST /hooks/crm HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .expect("it is open");
    server.shutdown.cancel();
    server.task.await.expect("it ends by itself");
}

#[tokio::test]
async fn bodies_that_nobody_signed_take_no_memory_from_those_that_somebody_did() {
    let limits = IngressLimits {
        // A quarter is for the beginnings of bodies, one of which is as long as a hook takes it.
        body_memory_bytes: 4 * 16 * 1_024,
        ..IngressLimits::default()
    };
    let server = start_with(limits, ServerLimits::default()).await;
    let mut held = Vec::new();
    for hook in ["crm", "unknown"] {
        for _ in 0..10 {
            let head =
                format!("POST /hooks/{hook} HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n");
            let mut stream = TcpStream::connect(server.address)
                .await
                .expect("it listens");
            stream.write_all(head.as_bytes()).await.expect("it is open");
            stream.write_all(&[b'x'; 59_999]).await.expect("it is read");
            held.push(stream);
        }
    }
    assert_eq!(server.post_crm(&one_event("e1")).await.status, 200);
}

#[tokio::test]
async fn long_bodies_that_are_held_leave_room_for_short_webhooks() {
    let limits = IngressLimits {
        body_memory_bytes: 1_024 * 1_024,
        ..IngressLimits::default()
    };
    let server = start_with(limits, ServerLimits::default()).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        // Whether the signature is right shows at the end of the body.
        let head = format!(
            "POST {CRM} HTTP/1.1\r\nHost: t\r\nX-Webhook-Signature: sha256={}\r\nContent-Length: 60000\r\n\r\n",
            "0".repeat(64)
        );
        let mut stream = TcpStream::connect(server.address)
            .await
            .expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("it is open");
        // Those that find no memory are told, and closed.
        let _sent = stream.write_all(&[b'x'; 59_999]).await;
        held.push(stream);
    }
    assert_eq!(server.post_crm(&one_event("e1")).await.status, 200);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_another_is_served() {
    let limits = ServerLimits {
        // From a loopback address three times as many.
        connections_per_address_max: 1,
        ..ServerLimits::default()
    };
    let server = start_with(IngressLimits::default(), limits).await;
    let half_heads = async || {
        let mut stream = TcpStream::connect(server.address)
            .await
            .expect("it listens");
        stream
            .write_all(b"POST /hooks/crm")
            .await
            .expect("it is open");
        stream
    };
    let _held = (half_heads().await, half_heads().await, half_heads().await);
    for _ in 0..3 {
        let reply = server.send(&post(CRM, &[], b"{}")).await;
        assert_eq!(reply.status, 503);
    }
    let socket = TcpSocket::new_v4().expect("a socket");
    let elsewhere = "127.0.0.2:0".parse().expect("an address");
    socket.bind(elsewhere).expect("it is this machine too");
    let mut stream = socket.connect(server.address).await.expect("it listens");
    let body = one_event("e1");
    let headers = sign(Scheme::GenericHmacSha256, CRM, body.as_bytes());
    let bytes = post(CRM, &headers, body.as_bytes());
    stream.write_all(&bytes).await.expect("it is open");
    let reply = read_to_end(&mut stream).await.expect("it is answered");
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_body_with_many_events_is_stored_in_parts_so_that_others_come_between() {
    let server = start().await;
    let events: Vec<String> = (0..600)
        .map(|number| format!(r#"{{"key":"{number}","stream":"contacts","record":"{number}"}}"#))
        .collect();
    let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
    assert_eq!(server.post_crm(&body).await.status, 200);
    assert_eq!(server.store.events().len(), 600);
    assert_eq!(server.doorbell.rung().len(), 600);
    let parts = server.store.deliveries();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| part.id == parts[0].id));
    assert!(parts.iter().all(|part| part.events.len() <= 250));
}
