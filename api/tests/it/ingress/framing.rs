//! Requests that two programs could understand differently, and connections used more than once.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{post_keeping, read_one, read_to_end};
use crate::support::hooks::sign;
use crate::support::server::{one_event, start};
use tandem_connectors::webhook::Scheme;

#[tokio::test]
async fn an_ambiguous_request_is_400_and_the_connection_is_closed() {
    let server = start().await;
    for head in [
        "POST /hooks/crm HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /hooks/crm HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /hooks/crm HTTP/1.1\r\nHost: t\nContent-Length: 2\r\n\r\n{}",
        "POST /hooks/crm HTTP/1.1\nHost: t\nContent-Length: 2\n\n{}",
        "POST /hooks/crm HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
        "POST /hooks/crm HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "POST /hooks/crm HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /hooks/crm HTTP/1.1\r\nHost: t\r\nContent-Length: +2\r\n\r\n{}",
        "POST /hooks/crm HTTP/1.1\r\nHost: t\r\nContent-Length : 2\r\n\r\n{}",
    ] {
        // Reading to the end returns only because the server closes.
        assert_eq!(server.send(head.as_bytes()).await.status, 400, "{head:?}");
    }
}

#[tokio::test]
async fn a_body_is_sent_as_it_is_or_once_in_pieces_with_sizes_of_a_sane_length() {
    let server = start().await;
    let head = "POST /hooks/crm HTTP/1.1\r\nHost: t\r\n";
    let zeros = "0".repeat(10_000);
    for (rest, status) in [
        (
            "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
            501,
        ),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            501,
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        (
            format!("Transfer-Encoding: chunked\r\n\r\n{zeros}2\r\n{{}}\r\n0\r\n\r\n"),
            400,
        ),
        (
            format!("Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n{zeros}\r\n\r\n"),
            400,
        ),
        (
            "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\nContent-Length: 2\r\n\r\n{}"
                .to_owned(),
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned(),
            401,
        ),
    ] {
        let reply = server.send(format!("{head}{rest}").as_bytes()).await;
        assert_eq!(reply.status, status, "{:.80}", rest);
    }
}

#[tokio::test]
async fn a_size_without_end_that_comes_after_the_head_is_400_too() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    // Signed in form, so that the body is waited for and read.
    let head = "POST /hooks/crm HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nX-Webhook-Signature: sha256=";
    let head = format!("{head}{}\r\n\r\n2\r\n{{}}\r\n", "0".repeat(64));
    stream.write_all(head.as_bytes()).await.expect("it is open");
    tokio::task::yield_now().await;
    let zeros = "0".repeat(10_000);
    // The server may close before all is sent.
    let _sent = stream.write_all(zeros.as_bytes()).await;
    let reply = read_to_end(&mut stream).await.expect("it is told");
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn one_connection_carries_many_webhooks() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    for number in 0..3 {
        let body = one_event(&number.to_string());
        let headers = sign(Scheme::GenericHmacSha256, "/hooks/crm", body.as_bytes());
        let bytes = post_keeping("/hooks/crm", &headers, body.as_bytes());
        stream.write_all(&bytes).await.expect("it is open");
        assert_eq!(read_one(&mut stream).await.status, 200);
    }
    assert_eq!(server.store.events().len(), 3);
}

#[tokio::test]
async fn a_request_hidden_behind_another_is_not_answered() {
    let server = start().await;
    let body = one_event("e1");
    let headers = sign(Scheme::GenericHmacSha256, "/hooks/crm", body.as_bytes());
    let mut bytes = post_keeping("/hooks/crm", &headers, body.as_bytes());
    bytes.extend_from_slice(b"GET /hooks/crm HTTP/1.1\nHost: t\n\n");
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    stream.write_all(&bytes).await.expect("it is open");
    let reply = read_to_end(&mut stream)
        .await
        .expect("the first is answered");
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("connection"), Some("close"));
}
