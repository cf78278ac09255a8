//! Who is let in, and how errors look.

use tandem_api::MetricsAccess;

use crate::support::client::request;
use crate::support::site::{Site, start, start_with};

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
