//! What failures mean: whether a write may have happened decides everything.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use serde_json::json;
use tandem_connectors::{Connector, ConnectorError, Listing, RestConnector, Write};
use tandem_domain::{ErrorCode, RecordId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{
    LIST, Server, TestClock, WRITES, connector, fields, html, items, json, manifest, with_header,
};

const RULES: &str = "success: =not body.error
errors:
  - { status: 422, class: refused, message: '=body.errors[0].text', field: '=body.errors[0].field' }
  - { status: 200, when: =body.error == 'Concurrency', class: version_conflict, message: =body.error }
  - { status: 200, when: =body.error is defined, class: refused, message: =body.error }";

async fn read_error(connector: &RestConnector) -> ConnectorError {
    connector
        .read(&items(), &[RecordId::new("1")])
        .await
        .expect_err("a failure")
}

async fn write_error(connector: &RestConnector) -> ConnectorError {
    let fields = fields(&[("name", "Ada")]);
    let write = Write {
        fields: &fields,
        transaction: "txn_1",
        expected_version: None,
        current: None,
    };
    connector
        .create(&items(), &write)
        .await
        .expect_err("a failure")
}

async fn codes(answer: fn() -> Response) -> (ErrorCode, ErrorCode) {
    let server = Server::start(move |_, _| answer()).await;
    let manifest = manifest(RULES, LIST, WRITES);
    // One connector each: a pause after a failure concerns all requests of a connector.
    (
        read_error(&server.connector(&manifest)).await.code(),
        write_error(&server.connector(&manifest)).await.code(),
    )
}

/// An answer, and what it means for a read and for a write.
type Case = (fn() -> Response, ErrorCode, ErrorCode);

#[tokio::test]
async fn statuses_mean_one_thing_for_reads_and_another_for_writes() {
    use ErrorCode::{Malformed, Misconfigured, RateLimited, Refused, ResponseLost, Unreachable};
    let cases: [Case; 9] = [
        (|| html(500), Malformed, ResponseLost),
        (|| html(502), Unreachable, ResponseLost),
        (|| json(504, json!({})), Unreachable, ResponseLost),
        (|| html(503), Unreachable, Unreachable),
        (|| json(429, json!({})), RateLimited, RateLimited),
        (|| html(200), Malformed, ResponseLost),
        (|| json(400, json!({"message": "no"})), Refused, Refused),
        (|| json(200, json!({"error": "Nope"})), Refused, Refused),
        (
            || with_header(html(301), "location", "/items/"),
            Misconfigured,
            Misconfigured,
        ),
    ];
    for (answer, read, write) in cases {
        assert_eq!(
            codes(answer).await,
            (read, write),
            "HTTP {}",
            answer().status()
        );
    }
}

#[tokio::test]
async fn a_created_record_without_an_id_in_the_answer_is_a_lost_response() {
    let server = Server::start(|_, _| json(201, json!({"status": "ok"}))).await;
    let error = write_error(&server.connector(&manifest("", LIST, WRITES))).await;
    assert_eq!(error.code(), ErrorCode::ResponseLost);
}

#[tokio::test]
async fn a_refusal_carries_the_systems_message_and_field() {
    let server = Server::start(|_, _| {
        json(
            422,
            json!({"errors": [{"text": "too long s3cret-key", "field": "name"}]}),
        )
    })
    .await;
    let error = write_error(&server.connector(&manifest(RULES, LIST, WRITES))).await;
    assert!(error.to_string().ends_with(": `name`: too long ***"));
    let ConnectorError::Refused { message, field, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (message.as_str(), field.as_deref()),
        ("too long ***", Some("name"))
    );
}

#[tokio::test]
async fn an_error_inside_200_can_be_a_version_conflict() {
    let server = Server::start(|_, _| json(200, json!({"error": "Concurrency"}))).await;
    let error = write_error(&server.connector(&manifest(RULES, LIST, WRITES))).await;
    assert_eq!(error.code(), ErrorCode::VersionConflict);
}

#[tokio::test]
async fn the_manifest_can_say_that_503_may_have_had_an_effect() {
    let server = Server::start(|_, _| html(503)).await;
    let connector = server.connector(&manifest(
        "limits: { unavailable_may_have_effect: true }",
        LIST,
        WRITES,
    ));
    assert_eq!(
        write_error(&connector).await.code(),
        ErrorCode::ResponseLost
    );
}

/// A server that takes the request and ends the connection, or says nothing more.
async fn silent(hang_up: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound port"));
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            _ = socket.read(&mut buffer).await;
            if hang_up {
                _ = socket.shutdown().await;
            } else {
                kept.push(socket);
            }
        }
    });
    url
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_loses_a_write_but_not_a_read() {
    for hang_up in [true, false] {
        let url = silent(hang_up).await;
        let connector = connector(
            &url,
            &manifest("", LIST, WRITES),
            Arc::new(TestClock::default()),
        );
        assert_eq!(read_error(&connector).await.code(), ErrorCode::Unreachable);
        assert_eq!(
            write_error(&connector).await.code(),
            ErrorCode::ResponseLost
        );
    }
}

#[tokio::test]
async fn a_write_that_finds_no_connection_had_no_effect() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound port"));
    drop(listener);
    let connector = connector(
        &url,
        &manifest("", LIST, WRITES),
        Arc::new(TestClock::default()),
    );
    assert_eq!(write_error(&connector).await.code(), ErrorCode::Unreachable);
}

#[tokio::test]
async fn after_429_every_request_waits_until_the_time_is_over() {
    let server = Server::start(|_, number| match number {
        0 => with_header(json(429, json!({})), "retry-after", "30"),
        _ => json(200, json!({"data": []})),
    })
    .await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    for left in [30, 20] {
        let error = connector
            .list(&items(), &Listing::All, None)
            .await
            .expect_err("slowed down");
        let ConnectorError::RateLimited { retry_after, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(retry_after, Duration::from_secs(left));
        server.clock.forward(10);
    }
    assert_eq!(server.seen().len(), 1);
    server.clock.forward(10);
    connector
        .list(&items(), &Listing::All, None)
        .await
        .expect("the time is over");
}

#[tokio::test]
async fn a_wait_of_nothing_or_of_the_past_is_a_wait_all_the_same_and_grows() {
    for said in ["0", "Fri, 20 Nov 2026 09:59:00 GMT", "-5"] {
        let server = Server::start(move |_, _| {
            let answer = with_header(json(429, json!({})), "retry-after", said);
            with_header(answer, "date", "Fri, 20 Nov 2026 10:00:00 GMT")
        })
        .await;
        let connector = server.connector(&manifest("", LIST, WRITES));
        let mut waits = Vec::new();
        for _ in 0..5 {
            let error = connector.list(&items(), &Listing::All, None).await;
            let Err(ConnectorError::RateLimited { retry_after, .. }) = error else {
                panic!("{error:?}")
            };
            waits.push(retry_after.as_secs());
            server.clock.forward(retry_after.as_secs() as i64);
        }
        assert!(waits[0] >= 1 && waits.is_sorted(), "{said}: {waits:?}");
        assert!(waits[4] >= 16, "{said}: {waits:?}");
        assert_eq!(server.seen().len(), 5);
    }
}

#[tokio::test]
async fn a_system_that_is_down_and_says_to_come_back_at_once_is_left_alone_for_longer_and_longer() {
    let server = Server::start(|_, _| with_header(html(503), "retry-after", "0")).await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    for wait in [1, 2, 4] {
        let error = connector.list(&items(), &Listing::All, None).await;
        let Err(ConnectorError::Unreachable { retry_after, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(wait)));
        server.clock.forward(wait as i64);
    }
}

#[tokio::test]
async fn a_date_in_retry_after_counts_by_the_systems_own_clock() {
    let server = Server::start(|_, _| {
        let answer = with_header(html(503), "date", "Fri, 20 Nov 2026 10:00:00 GMT");
        with_header(answer, "retry-after", "Fri, 20 Nov 2026 10:02:00 GMT")
    })
    .await;
    let error = read_error(&server.connector(&manifest("", LIST, WRITES))).await;
    let ConnectorError::Unreachable { retry_after, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(retry_after, Some(Duration::from_secs(120)));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read_to_the_end() {
    let server = Server::start(|_, _| json(200, json!({"data": ["x".repeat(5_000)]}))).await;
    let connector = server.connector(&manifest(
        "limits: { response_bytes_max: 1000 }",
        LIST,
        WRITES,
    ));
    let error = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect_err("too long");
    assert!(
        error.to_string().contains("longer than 1000 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_of_too_many_small_values_is_not_parsed() {
    let server = Server::start(|_, _| json(200, json!({"data": vec![0; 600]}))).await;
    let connector = server.connector(&manifest(
        "limits: { response_values_max: 500 }",
        LIST,
        WRITES,
    ));
    let error = connector
        .list(&items(), &Listing::All, None)
        .await
        .expect_err("too many");
    let said = error.to_string();
    for part in [
        "(list items)",
        "the answer holds 602 values, and 500 are the most",
        "smaller pages",
        "`limits.response_values_max`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_manifest_without_its_secret_is_refused_before_any_request() {
    let manifest =
        tandem_connectors::manifest::Manifest::parse("test.yaml", &manifest("", LIST, ""));
    let settings = tandem_connectors::ConnectionSettings {
        base_url: Some("http://127.0.0.1:1".to_owned()),
        ..Default::default()
    };
    let manifest = Arc::new(manifest.expect("a manifest"));
    let refused =
        RestConnector::new("acme", manifest, &settings, Arc::new(TestClock::default())).err();
    assert!(refused.is_some_and(|error| {
        error
            .to_string()
            .contains("the credential `key` (A key) is missing")
    }));
}

#[tokio::test]
async fn of_a_redirect_scheme_host_and_path_are_told_and_nothing_secret() {
    let cases = [
        (
            "http://s3cret-key:pw@elsewhere.test/s3cret-key/a?apikey=s3cret-key#x",
            "redirects to http://elsewhere.test/***/a (HTTP 302)",
        ),
        ("/login?t=s3cret%2Dkey", "redirects to /login (HTTP 302)"),
        ("http:///@@[", "redirects to an address that cannot be read"),
    ];
    for (location, told) in cases {
        let server = Server::start(move |_, _| with_header(html(302), "location", location)).await;
        let error = read_error(&server.connector(&manifest("", LIST, WRITES))).await;
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_secret_at_the_cut_of_a_message_or_with_a_tag_in_it_shows_no_part() {
    for length in [150, 180, 190, 195, 199, 4_080, 4_090] {
        let text = format!("{}s3cret-key tail", "y".repeat(length));
        let (page, cut) = (
            format!("<p>{text}</p>"),
            format!("<{}>s3cret-key", "y".repeat(length)),
        );
        for body in [json!({ "message": text }).to_string(), page, cut] {
            let server =
                Server::start(move |_, _| crate::server::verbatim(400, body.as_bytes())).await;
            let error = read_error(&server.connector(&manifest("", LIST, WRITES))).await;
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
    let server =
        Server::start(|_, _| crate::server::verbatim(400, b"key <b>tok<1>en2 hook-9")).await;
    let manifest = manifest("", LIST, WRITES);
    let manifest = tandem_connectors::manifest::Manifest::parse("test.yaml", &manifest);
    let secret = tandem_connectors::Secret::new;
    let settings = tandem_connectors::ConnectionSettings {
        base_url: Some(server.url.clone()),
        credentials: [("key".to_owned(), secret("tok<1>en2"))].into(),
        masked: vec![secret("hook-9")],
        ..Default::default()
    };
    let manifest = Arc::new(manifest.expect("a manifest"));
    let connector = RestConnector::new("acme", manifest, &settings, server.clock.clone());
    let error = read_error(&connector.expect("a connector")).await;
    assert!(
        error.to_string().contains("not JSON: key *** ***"),
        "{error}"
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_made_says_nothing_of_its_system() {
    let server = Server::start(|_, _| json(200, json!({}))).await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    // No address may be so long.
    let long = RecordId::new("x".repeat(70_000));
    let error = connector
        .read(&items(), &[long])
        .await
        .expect_err("no request");
    assert_eq!(error.code(), ErrorCode::Refused, "{error}");
    assert!(error.to_string().contains("cannot be made"), "{error}");
}
