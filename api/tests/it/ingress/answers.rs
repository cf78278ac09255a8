//! The table of answers, row by row.

use tandem_connectors::webhook::Scheme;
use tandem_operator::hooks::HookRegistry;

use crate::support::NOW_SECS;
use crate::support::client::{post, request};
use crate::support::hooks::{AHEAD_SECS, BODY_BYTES_MAX, OLD_SECRET, SECRET, sign, sign_with};
use crate::support::server::{one_event, start};

const GENERIC: Scheme = Scheme::GenericHmacSha256;
const CRM: &str = "/hooks/crm";

#[tokio::test]
async fn a_signed_event_is_stored_with_its_job_rung_and_answered_200_with_nothing_else() {
    let server = start().await;
    let reply = server.post_crm(&one_event("e1")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));
    assert_eq!(reply.header("set-cookie"), None);
    assert_eq!(server.store.events().len(), 1);
    assert_eq!(server.doorbell.rung(), server.store.jobs());
    assert_eq!(server.doorbell.rung().len(), 1);
}

#[tokio::test]
async fn the_raw_body_is_kept_and_credentials_are_not() {
    let server = start().await;
    let body =
        "{ \"events\" : [ {\"key\":\"e1\",\"record\":\"7\"} ] }\u{0}\n".trim_end_matches('\n');
    let mut headers = sign(GENERIC, CRM, body.as_bytes());
    headers.push(("Cookie".to_owned(), "session=1".to_owned()));
    headers.push(("Content-Type".to_owned(), "text/plain".to_owned()));
    server.send(&post(CRM, &headers, body.as_bytes())).await;
    let delivery = &server.store.deliveries()[0];
    assert_eq!(&*delivery.body, body.as_bytes());
    let names: Vec<&str> = delivery
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(names.contains(&"content-type") && !names.contains(&"cookie"));
}

#[tokio::test]
async fn a_duplicate_is_a_success_and_causes_no_job() {
    let server = start().await;
    server.post_crm(&one_event("e1")).await;
    let again = server.post_crm(&one_event("e1")).await;
    assert_eq!(again.status, 200);
    assert_eq!(server.store.jobs().len(), 1);
    assert_eq!(server.doorbell.rung().len(), 1);
}

#[tokio::test]
async fn a_batch_is_taken_apart_and_its_duplicates_dropped() {
    let server = start().await;
    let event = |key: &str| format!(r#"{{"key":"{key}","stream":"contacts","record":"{key}"}}"#);
    let body = format!(
        r#"{{"events":[{},{},{}]}}"#,
        event("a"),
        event("b"),
        event("a")
    );
    assert_eq!(server.post_crm(&body).await.status, 200);
    assert_eq!(server.store.events().len(), 2);
    assert_eq!(server.store.jobs().len(), 2);
}

#[tokio::test]
async fn a_batch_that_is_partly_bad_keeps_the_good_and_quarantines_the_bad() {
    let server = start().await;
    let body = r#"{"events":[{"key":"good","stream":"contacts","record":"1"},{"key":"bad","stream":"contacts"}]}"#;
    assert_eq!(server.post_crm(body).await.status, 200);
    let events = server.store.events();
    let problem_of = |key: &str| {
        let event = events.iter().find(|event| event.dedupe_key == key);
        event.expect("it is stored").problem.clone()
    };
    assert_eq!(problem_of("good"), None);
    assert_eq!(
        problem_of("bad"),
        Some("the record id is missing".to_owned())
    );
    assert_eq!(server.store.jobs().len(), 1);
}

#[tokio::test]
async fn every_bad_signature_gets_the_same_401_and_nothing_is_parsed() {
    let server = start().await;
    let body = one_event("e1");
    let path = "/hooks/stripe";
    let stale = sign_with(
        Scheme::Stripe,
        path,
        body.as_bytes(),
        SECRET,
        NOW_SECS - 301,
    );
    let future = sign_with(
        Scheme::Stripe,
        path,
        body.as_bytes(),
        SECRET,
        NOW_SECS + 301,
    );
    let wrong = sign_with(Scheme::Stripe, path, body.as_bytes(), "another", NOW_SECS);
    let mut conflicting = sign(Scheme::Stripe, path, body.as_bytes());
    conflicting.extend(stale.clone());
    let mut answers = Vec::new();
    for headers in [Vec::new(), stale, future, wrong, conflicting] {
        let reply = server.send(&post(path, &headers, body.as_bytes())).await;
        answers.push((reply.status, reply.body.clone()));
    }
    assert_eq!(answers, vec![(401, String::new()); 5]);
    assert_eq!(server.parses.count(), 0);
    assert_eq!(server.store.calls(), 0);
}

#[tokio::test]
async fn bad_json_with_a_wrong_signature_is_401_and_with_a_right_one_quarantined() {
    let server = start().await;
    let body = b"{ not json \xff";
    let wrong = sign_with(GENERIC, CRM, body, "another", NOW_SECS);
    assert_eq!(server.send(&post(CRM, &wrong, body)).await.status, 401);
    assert_eq!(server.parses.count(), 0);
    for _ in 0..2 {
        assert_eq!(server.post_signed("crm", GENERIC, body).await.status, 200);
    }
    let events = server.store.events();
    assert_eq!(events.len(), 1, "the second is a duplicate of the first");
    assert!(events[0].dedupe_key.starts_with("body:"));
    assert!(events[0].problem.is_some());
    assert!(server.store.jobs().is_empty());
}

#[tokio::test]
async fn a_body_that_makes_the_reader_panic_is_quarantined() {
    let server = start().await;
    let reply = server.post_signed("crm", GENERIC, b"panic").await;
    assert_eq!(reply.status, 200);
    assert!(server.store.events()[0].problem.is_some());
}

#[tokio::test]
async fn an_older_secret_still_verifies_and_it_is_known_which_did() {
    let server = start().await;
    let body = one_event("e1");
    let headers = sign_with(GENERIC, CRM, body.as_bytes(), OLD_SECRET, NOW_SECS);
    assert_eq!(
        server
            .send(&post(CRM, &headers, body.as_bytes()))
            .await
            .status,
        200
    );
    assert_eq!(server.store.deliveries()[0].secret_index, 1);
}

#[tokio::test]
async fn an_event_that_nothing_maps_is_stored_without_a_job() {
    let server = start().await;
    let body = r#"{"events":[{"key":"e1","stream":"deals","record":"1"}]}"#;
    assert_eq!(server.post_crm(body).await.status, 200);
    assert_eq!(server.store.events().len(), 1);
    assert!(server.store.jobs().is_empty());
    assert!(server.doorbell.rung().is_empty());
}

#[tokio::test]
async fn the_time_of_an_event_is_corrected_by_the_senders_clock() {
    let server = start().await;
    let body = format!(
        r#"{{"events":[{{"key":"e1","stream":"contacts","record":"1","at":{}}}]}}"#,
        NOW_SECS + AHEAD_SECS
    );
    server.post_crm(&body).await;
    let occurred_at = server.store.events()[0].occurred_at.expect("it was given");
    assert_eq!(occurred_at.as_secs(), NOW_SECS);
}

#[tokio::test]
async fn an_unknown_connection_is_404() {
    let server = start().await;
    let body = one_event("e1");
    for path in ["/hooks/nobody", "/hooks/", "/hooks/crm/", "/hooks/%63rm"] {
        let headers = sign(GENERIC, path, body.as_bytes());
        let reply = server.send(&post(path, &headers, body.as_bytes())).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    assert_eq!(server.store.calls(), 0);
}

#[tokio::test]
async fn a_wrong_token_in_the_address_is_404_and_the_right_one_200() {
    let server = start().await;
    let body = one_event("e1");
    for (query, status) in [
        ("?token=crm%3Asecret", 200),
        ("?token=other", 404),
        ("", 404),
    ] {
        let path = format!("/hooks/token{query}");
        let reply = server.send(&post(&path, &[], body.as_bytes())).await;
        assert_eq!(reply.status, status, "{query}");
    }
}

#[tokio::test]
async fn a_capability_address_has_its_token_behind_the_name_and_no_other_address_goes_on_there() {
    let server = start().await;
    let body = one_event("e1");
    for (path, status) in [
        ("/hooks/capability/crm%3Asecret", 200),
        ("/hooks/capability/other", 404),
        ("/hooks/capability", 404),
        ("/hooks/capability/other/crm%3Asecret/", 404),
        ("/hooks/token/crm%3Asecret?token=crm%3Asecret", 404),
    ] {
        let reply = server.send(&post(path, &[], body.as_bytes())).await;
        assert_eq!(reply.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_401_and_says_which_scheme() {
    let server = start().await;
    let body = one_event("e1");
    let reply = server
        .send(&post("/hooks/basic", &[], body.as_bytes()))
        .await;
    assert_eq!((reply.status, reply.body.as_str()), (401, ""));
    assert!(reply.header("www-authenticate").is_some());
    let good = server
        .post_signed("basic", Scheme::BasicAuth, body.as_bytes())
        .await;
    assert_eq!(good.status, 200);
    let kept = &server.store.deliveries()[0].headers;
    assert!(kept.iter().all(|(name, _)| name != "authorization"));
}

#[tokio::test]
async fn the_events_of_a_paused_connection_are_not_lost_but_their_jobs_wait() {
    let server = start().await;
    let body = one_event("e1");
    let reply = server.post_signed("paused", GENERIC, body.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(server.store.events().len(), 1);
    let waiting = server.store.jobs();
    assert_eq!(waiting.len(), 1, "it is queued for the resume");
    server.hooks.set_paused("paused", false);
    let body = one_event("e2");
    let reply = server.post_signed("paused", GENERIC, body.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert!(server.store.jobs().starts_with(&waiting));
}

#[tokio::test]
async fn a_deleted_connection_is_410() {
    let server = start().await;
    let reply = server.post_signed("deleted", GENERIC, b"{}").await;
    assert_eq!(reply.status, 410);
}

#[tokio::test]
async fn our_own_misconfiguration_is_503_and_never_4xx() {
    let server = start().await;
    for name in ["secretless", "broken"] {
        let reply = server.post_signed(name, GENERIC, b"{}").await;
        assert_eq!(reply.status, 503, "{name}");
        assert!(reply.header("retry-after").is_some(), "{name}");
    }
}

#[tokio::test]
async fn only_post_is_taken() {
    let server = start().await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let reply = server.send(&request(method, CRM, &[], b"", "close")).await;
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
}

#[tokio::test]
async fn a_compressed_body_is_415_before_it_is_read_and_so_is_a_multipart_one() {
    let server = start().await;
    for (name, value) in [
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "zstd"),
        ("Content-Type", "multipart/form-data; boundary=x"),
    ] {
        // The body that the length announces is never sent.
        let bytes = format!(
            "POST {CRM} HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n{name}: {value}\r\n\r\n"
        );
        assert_eq!(server.send(bytes.as_bytes()).await.status, 415, "{value}");
    }
    let body = one_event("e1");
    let mut headers = sign(GENERIC, CRM, body.as_bytes());
    headers.push(("Content-Encoding".to_owned(), "identity".to_owned()));
    assert_eq!(
        server
            .send(&post(CRM, &headers, body.as_bytes()))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn xero_is_shown_that_signatures_are_checked_and_nothing_is_stored() {
    let server = start().await;
    let body = br#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3"}"#;
    let right = server.post_signed("xero", Scheme::Xero, body).await;
    assert_eq!((right.status, right.body.as_str()), (200, ""));
    let headers = sign_with(Scheme::Xero, "/hooks/xero", body, "another", NOW_SECS);
    let wrong = server.send(&post("/hooks/xero", &headers, body)).await;
    assert_eq!((wrong.status, wrong.body.as_str()), (401, ""));
    assert_eq!(server.store.calls(), 0);
}

#[tokio::test]
async fn slack_gets_its_challenge_back_once_the_signature_holds() {
    let server = start().await;
    let body = br#"{"type":"url_verification","challenge":"3eZbrw1a"}"#;
    let reply = server.post_signed("slack", Scheme::Slack, body).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "3eZbrw1a"));
    let unsigned = server.send(&post("/hooks/slack", &[], body)).await;
    assert_eq!((unsigned.status, unsigned.body.as_str()), (401, ""));
}

#[tokio::test]
async fn the_configured_address_is_signed_and_not_the_host_header() {
    let server = start().await;
    let body = one_event("e1");
    let path = "/hooks/hubspot?portal=1";
    let headers = sign(Scheme::HubspotV3, path, body.as_bytes());
    assert_eq!(
        server
            .send(&post(path, &headers, body.as_bytes()))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_wrong_token_in_the_address_looks_like_an_unknown_address_whatever_the_body() {
    let server = start().await;
    for bytes in [2, BODY_BYTES_MAX + 1, tandem_api::BODY_BYTES_MAX + 1] {
        let body = vec![b'x'; bytes];
        let mut answers = Vec::new();
        for path in ["/hooks/token?token=wrong", "/hooks/unknown?token=wrong"] {
            let reply = server.send(&post(path, &[], &body)).await;
            answers.push((reply.status, reply.body));
        }
        assert_eq!(answers[0], answers[1], "{bytes} bytes");
    }
    assert_eq!(server.parses.count(), 0);
}
