//! What a person is told at the start.

use tandem_queue::{Doorbell, DoorbellRole, RedisDoorbell, RedisDoorbellError};
use tandem_testkit::servers::RedisServer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::{LONG, entropy, jobs, options, soon};

async fn refusal(url: &str) -> RedisDoorbellError {
    let checked = soon(RedisDoorbell::check(url)).await;
    let error = checked.expect_err("this is refused");
    let started = RedisDoorbell::start(url, options("api", DoorbellRole::Rings), entropy()).await;
    assert_eq!(started.is_err(), error.is_configuration());
    error
}

/// The message with all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| format!("{error} {error:?} ")).collect()
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let server = RedisServer::start_with_password("the-right-one").await;
    RedisDoorbell::check(&server.url())
        .await
        .expect("the password is right");
    let error = refusal(&server.url().replace("the-right-one", "the-wrong-one")).await;
    assert!(matches!(error, RedisDoorbellError::Refused { .. }));
    let told = told(&error);
    assert!(
        told.contains("check user and password in the Redis URL"),
        "{told}"
    );
    assert!(told.contains("redis://:***@127.0.0.1:"), "{told}");
    assert!(!told.contains("the-wrong-one"), "{told}");
}

#[tokio::test]
async fn a_missing_password_is_told() {
    let server = RedisServer::start_with_password("the-right-one").await;
    let error = refusal(&server.url().replace(":the-right-one@", "")).await;
    assert!(
        matches!(error, RedisDoorbellError::Refused { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_url_that_is_none_is_told_how_to_write_one_and_not_repeated() {
    let error = refusal("redis//user:s3cret@host").await;
    assert!(matches!(error, RedisDoorbellError::Url));
    assert!(told(&error).contains("redis://user:password@host:6379/0"));
    assert!(!told(&error).contains("s3cret"));
}

/// The address of a server that answers everybody with the same.
async fn parrot(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _visitor_may_be_gone = stream.write_all(answer.as_bytes()).await;
            connections.push(stream);
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told() {
    let server = parrot("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = refusal(&format!("rediss://{server}")).await;
    assert!(matches!(error, RedisDoorbellError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn another_server_than_redis_is_told() {
    let server = parrot("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = refusal(&format!("redis://{server}")).await;
    assert!(
        matches!(error, RedisDoorbellError::Unusable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_answer() {
    let server = parrot("").await;
    let error = refusal(&format!("redis://{server}")).await;
    assert!(
        matches!(error, RedisDoorbellError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_redis_that_is_away_at_the_start_is_used_once_it_is_there() {
    let mut server = RedisServer::start().await;
    server.stop().await;
    let error = refusal(&server.url()).await;
    assert!(
        matches!(error, RedisDoorbellError::Unreachable { .. }),
        "{error:?}"
    );
    let url = server.url();
    let hears = options("worker", DoorbellRole::RingsAndHears);
    let connected = RedisDoorbell::connect(&url, hears.clone(), entropy()).await;
    assert!(connected.is_err());
    let worker = RedisDoorbell::start(&url, hears, entropy()).await;
    let worker = worker.expect("it starts without Redis");
    let api = RedisDoorbell::start(&url, options("api", DoorbellRole::Rings), entropy()).await;
    let api = api.expect("it starts without Redis");
    api.ring(&jobs(1));
    server.start_again().await;
    soon(worker.wait(LONG)).await;
}
