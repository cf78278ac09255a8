//! Who is let in, and how errors look.

use serde_json::{Value as Json, json};
use tandem_api::{MetricsAccess, ServerLimits};

use crate::support::client::request;
use crate::support::server::SHORT;
use crate::support::site::{Site, start, start_limited, start_with};

const TOKEN: &str = "correct horse battery staple";

#[tokio::test]
async fn with_a_token_the_api_is_for_those_who_show_it() {
    let site = start_with(Some(TOKEN), MetricsAccess::Operators).await;
    let without = site.call("GET", "/api/v1/status", None).await;
    assert_eq!(without.status, 401);
    assert_eq!(without.header("www-authenticate"), Some("Bearer"));
    assert_eq!(
        without.header("content-type"),
        Some("application/problem+json")
    );
    let shown = format!("Bearer {TOKEN}");
    let with = site
        .send(&Site::with_header(
            "/api/v1/status",
            "Authorization",
            &shown,
        ))
        .await;
    assert_eq!(with.status, 200);
    assert_eq!(site.call("GET", "/api/v1/nothing", None).await.status, 401);
    assert_eq!(site.call("GET", "/metrics", None).await.status, 401);
    assert_eq!(site.call("GET", "/health/live", None).await.status, 200);
}

#[tokio::test]
async fn without_a_token_a_request_that_was_forwarded_or_names_another_host_is_403() {
    let site = start().await;
    assert_eq!(site.call("GET", "/api/v1/status", None).await.status, 200);
    // The helper names a host that is not this machine.
    let foreign = site
        .send(&request("GET", "/api/v1/status", &[], b"", "close"))
        .await;
    assert_eq!(foreign.status, 403);
    assert!(
        foreign.body.contains("set TANDEM_API_TOKEN"),
        "{}",
        foreign.body
    );
}

#[tokio::test]
async fn health_and_metrics_are_answered() {
    let site = start_with(None, MetricsAccess::Everybody).await;
    assert_eq!(site.call("GET", "/health/live", None).await.status, 200);
    assert_eq!(site.call("GET", "/health/ready", None).await.status, 200);
    let metrics = site
        .send(&request("GET", "/metrics", &[], b"", "close"))
        .await;
    assert_eq!(
        (metrics.status, metrics.body.as_str()),
        (200, "tandem_up 1\n")
    );
}

#[tokio::test]
async fn errors_are_problems_and_every_answer_has_the_security_headers() {
    let site = start().await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/status", 405),
        ("GET", "/api/v1/jobs/nonsense", 400),
        ("GET", "/api/v1/jobs?colour=red", 400),
        ("GET", "/api/v1/jobs/job_01kc0000000000000000000000", 404),
        ("POST", "/api/v1/syncs/customers/start", 415),
        ("POST", "/api/v1/syncs/nobody/pause", 404),
    ] {
        let reply = site.call(method, path, None).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        let body: serde_json::Value = serde_json::from_str(&reply.body).expect("it is JSON");
        assert_eq!(body["status"], status, "{path}");
        assert!(
            body["detail"].as_str().is_some_and(|text| !text.is_empty()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn errors_speak_of_the_request_and_not_of_rust() {
    let site = start().await;
    for (method, path, body, status, said) in [
        (
            "GET",
            "/api/v1/",
            None,
            404,
            "there is nothing at /api/v1/;",
        ),
        (
            "GET",
            "/api/v1/nothing",
            None,
            404,
            "there is nothing at /api/v1/nothing;",
        ),
        (
            "GET",
            "/nothing",
            None,
            404,
            "there is nothing at /nothing;",
        ),
        (
            "DELETE",
            "/api/v1/status",
            None,
            405,
            "/api/v1/status does not take DELETE",
        ),
        (
            "GET",
            "/api/v1/jobs?colour=red",
            None,
            400,
            "`colour` is not known here; there is `state`",
        ),
        (
            "GET",
            "/api/v1/jobs?limit=many",
            None,
            400,
            "`limit`: a whole number is expected",
        ),
        (
            "GET",
            "/api/v1/jobs?limit=0",
            None,
            400,
            "`limit` is 0, and a page has from 1 to 1000 rows",
        ),
        (
            "GET",
            "/api/v1/jobs?limit=1001",
            None,
            400,
            "`limit` is 1001, and",
        ),
        (
            "POST",
            "/api/v1/syncs/customers/start",
            Some(json!({"what": "everything"})),
            422,
            "`everything` is not known; there is `backfill`, `poll`, `sweep`",
        ),
        (
            "POST",
            "/api/v1/dead-letters/replay",
            Some(json!({"ids": 5})),
            422,
            "`ids`: a list is expected, not the number `5`",
        ),
    ] {
        let reply = site.call(method, path, body).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        let problem: Json = serde_json::from_str(&reply.body).expect("it is JSON");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(said), "{path}: {detail}");
        for word in ["deserialize", "struct", "usize", "rejection"] {
            assert!(!detail.contains(word), "{path}: {detail}");
        }
    }
}

#[tokio::test]
async fn replaying_and_discarding_say_of_which_dead_letters_and_nothing_else() {
    let site = start().await;
    let letter = site.dead_job("1").await;
    for (body, said) in [
        (
            json!({"ids": [], "matching": {}}),
            "`ids` and `matching` are given at once",
        ),
        (json!({}), "it is not said of which dead letters"),
        (
            json!({"all": false}),
            "it is not said of which dead letters",
        ),
        (
            json!({"ids": null, "matching": {"sync": null}}),
            "`ids`: a list is expected, not null",
        ),
        (json!({"ids": null, "all": true}), "a list is expected"),
        (json!({"matching": null}), "an object is expected"),
        (json!({"matching": {}}), "`matching` has no condition"),
        (
            json!({"matching": {"sync": null, "cause": null}}),
            "`matching` has no condition",
        ),
        (json!({"matching": {"cause": ""}}), "`cause` is empty"),
        (
            json!({"matching": {"sync": "customers"}, "all": true}),
            "`matching` and `all` are given at once",
        ),
        (
            json!({"ids": [], "force": true}),
            "`force` is not known here",
        ),
        (
            json!({"matching": {"colour": "red"}}),
            "`colour` is not known here",
        ),
    ] {
        for (verb, reason) in [("replay", None), ("discard", Some("a test"))] {
            let mut body = body.clone();
            if let Some(reason) = reason {
                body["reason"] = json!(reason);
            }
            let path = format!("/api/v1/dead-letters/{verb}");
            let reply = site.call("POST", &path, Some(body.clone())).await;
            assert_eq!(reply.status, 422, "{body}: {}", reply.body);
            assert!(reply.body.contains(said), "{body}: {}", reply.body);
        }
    }
    let job = site.get(&format!("/api/v1/jobs/{letter}")).await;
    assert_eq!(job["state"], "dead", "nothing was done");
    let all = json!({"all": true, "reason": "a test"});
    let all = site.post("/api/v1/dead-letters/discard", Some(all)).await;
    assert_eq!(all["discarded"], 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_cut_with_408() {
    let limits = ServerLimits {
        body_timeout: SHORT,
        ..ServerLimits::default()
    };
    let site = start_limited(None, MetricsAccess::Operators, limits).await;
    let head = "POST /api/v1/dead-letters/replay HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    // Returns only because the server closes.
    let reply = site.send(head.as_bytes()).await;
    assert_eq!(reply.status, 408, "{}", reply.body);
    assert_eq!(reply.header("connection"), Some("close"));
}
