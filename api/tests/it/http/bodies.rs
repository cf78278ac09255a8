//! What the verbs take, and what they refuse instead of leaving it out in silence.

use serde_json::{Value as Json, json};
use tandem_testkit::Make;

use crate::support::client::{Reply, post};
use crate::support::site::{Site, start};

const PAUSE: &str = "/api/v1/syncs/customers/pause";
const RESUME: &str = "/api/v1/syncs/customers/resume";

async fn is_paused(site: &Site) -> bool {
    let sync = site.get("/api/v1/syncs/customers").await;
    sync["sync"]["paused"] == true
}

async fn send(site: &Site, path: &str, kind: Option<&str>, body: &str) -> Reply {
    let kind = kind.map(|kind| ("Content-Type".to_owned(), kind.to_owned()));
    let headers: Vec<(String, String)> = kind.into_iter().collect();
    let bytes = post(path, &headers, body.as_bytes());
    let bytes = String::from_utf8_lossy(&bytes).replace("Host: tandem", "Host: localhost");
    site.send(bytes.as_bytes()).await
}

#[tokio::test]
async fn a_verb_refuses_what_it_does_not_know_and_what_is_no_object() {
    let site = start().await;
    let event = site.make.event("k", "a1").id;
    let takes_nothing = [
        "/api/v1/connections/crm/reset".to_owned(),
        "/api/v1/schedules/customers/poll_a/pause".to_owned(),
        "/api/v1/schedules/customers/poll_a/resume".to_owned(),
        "/api/v1/schedules/customers/poll_a/trigger".to_owned(),
        format!("/api/v1/events/{event}/replay"),
    ];
    let others = [
        ("/api/v1/connections/crm/pause", json!({"why": "x"})),
        (PAUSE, json!({"why": "x"})),
        (RESUME, json!({"why": "x"})),
        (RESUME, json!({"because": "it is over"})),
        (
            "/api/v1/syncs/customers/start",
            json!({"what": "backfill", "side": "a"}),
        ),
        (
            "/api/v1/conflicts/resolve",
            json!({"ids": null, "answer": {"answer": "ignore"}}),
        ),
        (
            "/api/v1/conflicts/resolve",
            json!({"answer": {"answer": "ignore"}}),
        ),
        (
            "/api/v1/conflicts/resolve",
            json!({"ids": [], "answer": {"answer": "ignore", "side": "a"}}),
        ),
    ];
    let mut cases: Vec<(String, Json)> = Vec::new();
    for path in takes_nothing {
        cases.extend(
            [json!({"because": "x"}), json!(["x"]), json!("x")].map(|body| (path.clone(), body)),
        );
    }
    for (path, body) in others {
        cases.push((path.to_owned(), body));
        let lists = [json!([]), json!(["backfill"]), json!("backfill"), json!(5)];
        cases.extend(lists.map(|body| (path.to_owned(), body)));
    }
    for body in [json!({"why": "x"}), json!({"reason": "  "}), json!("x")] {
        cases.push((format!("/api/v1/events/{event}/discard"), body));
    }
    for (path, body) in cases {
        let reply = site.call("POST", &path, Some(body.clone())).await;
        assert_eq!(reply.status, 422, "{path} {body}: {}", reply.body);
    }
    let cut = send(&site, PAUSE, Some("application/json"), "[\"x\"").await;
    assert_eq!(cut.status, 400, "{}", cut.body);
    assert!(!is_paused(&site).await);
    let jobs = site.get("/api/v1/jobs").await;
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(0), "{jobs}");
}

#[tokio::test]
async fn a_reason_is_not_dropped_for_want_of_a_header() {
    let site = start().await;
    let because = r#"{"because":"their audit"}"#;
    for kind in [None, Some("text/plain")] {
        let reply = send(&site, PAUSE, kind, because).await;
        assert_eq!(reply.status, 415, "{}", reply.body);
        assert!(
            reply.body.contains("Content-Type: application/json"),
            "{}",
            reply.body
        );
    }
    assert!(!is_paused(&site).await);
    let reply = send(&site, PAUSE, Some("application/json"), because).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.body.contains("their audit"), "{}", reply.body);
}

#[tokio::test]
async fn an_empty_body_is_none_whatever_the_header_says() {
    let site = start().await;
    let reset = format!("/api/v1/connections/{}/reset", Make::crm());
    for path in [PAUSE, RESUME, &reset] {
        for (kind, body) in [
            (Some("application/json"), ""),
            (None, ""),
            (Some("application/json"), "{}"),
        ] {
            let reply = send(&site, path, kind, body).await;
            assert_eq!(reply.status, 200, "{path} {kind:?}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn an_export_of_no_rows_is_refused_like_a_list_of_none() {
    let site = start().await;
    let export = "/api/v1/dead-letters/export?limit=";
    for limit in ["0", "10001"] {
        let reply = site.call("GET", &format!("{export}{limit}"), None).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        let said = format!("`limit` is {limit}, and from 1 to 10000");
        assert!(reply.body.contains(&said), "{}", reply.body);
    }
    let one = site.call("GET", &format!("{export}1"), None).await;
    assert_eq!(one.status, 200, "{}", one.body);
}

#[tokio::test]
async fn a_nul_in_what_is_asked_for_is_refused_with_its_place_and_no_other_control_character_is_kept()
 {
    let site = start().await;
    for (path, body, place) in [
        (PAUSE, json!({"because": "a\0b"}), "`because`"),
        (
            "/api/v1/connections/crm/pause",
            json!({"because": "\0"}),
            "`because`",
        ),
        (
            "/api/v1/dead-letters/discard",
            json!({"all": true, "reason": "a\0"}),
            "`reason`",
        ),
        (
            "/api/v1/syncs/customers/links",
            json!({"a": "1", "b": "2\0"}),
            "`b`",
        ),
        (
            "/api/v1/dead-letters/replay",
            json!({"matching": {"cause": "\0"}}),
            "`matching.cause`",
        ),
    ] {
        let reply = site.call("POST", path, Some(body.clone())).await;
        assert_eq!(reply.status, 400, "{path} {body}: {}", reply.body);
        let told = format!("{place} holds a NUL character");
        assert!(reply.body.contains(&told), "{path}: {}", reply.body);
    }
    for path in [
        "/api/v1/events?record=a%00",
        "/api/v1/dead-letters?cause=%00",
        "/api/v1/syncs/customers/explain?record=%00",
    ] {
        let reply = site.call("GET", path, None).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.body);
        assert!(reply.body.contains("NUL"), "{path}: {}", reply.body);
    }
    let reply = site
        .call("POST", PAUSE, Some(json!({"because": "\u{1b}[2J"})))
        .await;
    assert_eq!(reply.status, 422, "{}", reply.body);
    assert!(reply.body.contains("control character"), "{}", reply.body);
    assert!(!is_paused(&site).await);
    let said = json!({"because": "a backslash: \\u0000"});
    let reply = site.call("POST", PAUSE, Some(said)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}
