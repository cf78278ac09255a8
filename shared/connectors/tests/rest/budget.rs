//! Requests are taken out of the connection's budget before they are sent, and answers are told to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tandem_connectors::budget::{
    BudgetFactory, BudgetRefusal, Observation, RateLimits, RefusalCause, RequestBudget,
};
use tandem_connectors::manifest::Manifest;
use tandem_connectors::{
    ConnectionSettings, Connector, ConnectorError, Listing, RestConnector, Secret, Write,
};
use tandem_domain::{Disposition, RecordId, Timestamp};

use crate::server::{LIST, Server, WRITES, deletion, fields, items, json, manifest, with_header};

const SIGN_IN: &str = "auth:
  login:
    request: { method: POST, path: /login }
    session: { token: =body.token }
    headers: { X-Session: '{{ session.token }}' }
";

/// A budget with so many requests, which writes down what it is told.
#[derive(Default)]
struct Purse {
    left: Mutex<u32>,
    told: Mutex<Vec<Duration>>,
    seen: Mutex<Vec<Observation>>,
}

#[async_trait]
impl RequestBudget for Purse {
    async fn acquire(&self) -> Result<(), BudgetRefusal> {
        let mut left = self.left.lock().expect("no test panics with the lock");
        if *left == 0 {
            return Err(BudgetRefusal {
                retry_after: Duration::from_secs(40),
                cause: RefusalCause::Bucket,
            });
        }
        *left -= 1;
        Ok(())
    }

    async fn told_to_wait(&self, retry_after: Duration) {
        let mut told = self.told.lock().expect("no test panics with the lock");
        told.push(retry_after);
    }

    fn paused_until(&self) -> Option<Timestamp> {
        None
    }

    async fn lift_pause(&self) {}

    async fn observed(&self, seen: &Observation) {
        let mut all = self.seen.lock().expect("no test panics with the lock");
        all.push(seen.clone());
    }
}

struct Lender(Arc<Purse>);

impl BudgetFactory for Lender {
    fn budget(&self, _connection: &str, _limits: RateLimits) -> Arc<dyn RequestBudget> {
        self.0.clone()
    }
}

fn purse(left: u32) -> Arc<Purse> {
    Arc::new(Purse {
        left: Mutex::new(left),
        ..Purse::default()
    })
}

fn connector(server: &Server, manifest: &str, purse: &Arc<Purse>) -> RestConnector {
    let manifest = Manifest::parse("test.yaml", manifest).unwrap_or_else(|error| panic!("{error}"));
    let settings = ConnectionSettings {
        base_url: Some(server.url.clone()),
        credentials: [("key".to_owned(), Secret::new("s3cret-key"))].into(),
        ..ConnectionSettings::default()
    };
    let lender = Lender(Arc::clone(purse));
    RestConnector::with_budgets(
        "acme",
        Arc::new(manifest),
        &settings,
        server.clock.clone(),
        &lender,
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn held_back<T: std::fmt::Debug>(outcome: Result<T, ConnectorError>) {
    let error = outcome.expect_err("there is no budget");
    assert!(
        matches!(error, ConnectorError::RateLimited { .. }),
        "{error}"
    );
    let later = Disposition::RetryAfter(Duration::from_secs(40));
    assert_eq!(error.disposition(), later, "no attempt is counted");
}

#[tokio::test]
async fn nothing_is_sent_when_the_budget_refuses() {
    let server = Server::start(|_, _| json(200, json!({"data": []}))).await;
    for top in ["", SIGN_IN] {
        let connector = connector(&server, &manifest(top, LIST, WRITES), &purse(0));
        let fields = fields(&[("name", "Ada")]);
        let write = Write {
            fields: &fields,
            transaction: "txn_1",
            expected_version: None,
            current: None,
        };
        let id = RecordId::new("1");
        held_back(connector.list(&items(), &Listing::All, None).await);
        held_back(connector.read(&items(), std::slice::from_ref(&id)).await);
        held_back(connector.create(&items(), &write).await);
        held_back(connector.update(&items(), &id, &write).await);
        held_back(connector.delete(&items(), &id, &deletion("txn_2")).await);
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn signing_in_and_every_page_are_taken_out_of_the_budget() {
    let list = LIST.replace(
        "records: /data",
        "records: /data, paging: { cursor: { next: /next, size: 1 } }",
    );
    let list = list.replace(
        "path: /items }",
        "path: /items, query: { at: =cursor|default(omit) } }",
    );
    let server = Server::start(|request, number| match request.path.as_str() {
        "/login" => json(200, json!({"token": "t0k3n-t0k3n"})),
        _ => json(
            200,
            json!({"data": [{"id": number}], "next": number.to_string()}),
        ),
    })
    .await;
    let connector = connector(&server, &manifest(SIGN_IN, &list, ""), &purse(3));
    let first = connector.list(&items(), &Listing::All, None).await;
    let token = first.expect("a page").next.expect("a second page");
    let second = connector.list(&items(), &Listing::All, Some(&token)).await;
    let token = second.expect("a page").next.expect("a third page");
    held_back(connector.list(&items(), &Listing::All, Some(&token)).await);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_refusal_of_our_own_is_not_passed_on_as_one_of_the_systems() {
    let server = Server::start(|_, number| match number {
        0 => with_header(json(429, json!({})), "retry-after", "30"),
        _ => with_header(json(503, json!({})), "retry-after", "7"),
    })
    .await;
    let purse = purse(2);
    let connector = connector(&server, &manifest("", LIST, WRITES), &purse);
    for _ in 0..4 {
        let answer = connector.list(&items(), &Listing::All, None).await;
        assert!(answer.is_err());
    }
    let told = purse.told.lock().expect("no test panics with the lock");
    assert_eq!(*told, [Duration::from_secs(30), Duration::from_secs(7)]);
}

#[tokio::test]
async fn a_login_that_is_told_to_wait_holds_the_connection_back() {
    let server = Server::start(|_, _| with_header(json(429, json!({})), "retry-after", "30")).await;
    let purse = purse(9);
    let connector = connector(&server, &manifest(SIGN_IN, LIST, ""), &purse);
    let answer = connector.list(&items(), &Listing::All, None).await;
    assert!(matches!(answer, Err(ConnectorError::RateLimited { .. })));
    let told = purse.told.lock().expect("no test panics with the lock");
    assert_eq!(*told, [Duration::from_secs(30)]);
}

#[tokio::test]
async fn answers_tell_the_budget_what_is_left() {
    let top = "rate_limit:
  buckets: [ { name: minute, requests: 60, per_secs: 60 } ]
  headers: [ { limit: minute, remaining: X-MinLimit-Remaining } ]
";
    let server = Server::start(|_, _| {
        let answer = json(200, json!({"data": []}));
        with_header(answer, "x-minlimit-remaining", "17")
    })
    .await;
    let purse = purse(1);
    let connector = connector(&server, &manifest(top, LIST, ""), &purse);
    let listed = connector.list(&items(), &Listing::All, None).await;
    listed.expect("a page");
    let seen = purse.seen.lock().expect("no test panics with the lock");
    let expected = Observation {
        limit: "minute".to_owned(),
        remaining: 17,
        resets_in: None,
    };
    assert_eq!(*seen, [expected]);
}

#[tokio::test]
async fn a_connections_own_rate_replaces_the_limits_of_its_manifest() {
    let top = "limits: { requests_per_second: 5 }
rate_limit:
  buckets: [ { name: minute, requests: 60, per_secs: 60 } ]
  daily: { requests: 5000 }
";
    let manifest = Manifest::parse("test.yaml", &manifest(top, LIST, "")).expect("a manifest");
    let of = |settings: &ConnectionSettings| {
        let limits = RateLimits::of(&manifest, settings);
        let names: Vec<String> = limits.buckets.iter().map(|b| b.name().to_owned()).collect();
        (names.join(" "), limits.daily)
    };
    let mut settings = ConnectionSettings::default();
    assert_eq!(of(&settings), ("minute pace".to_owned(), Some(5_000)));
    settings.requests_per_second = Some(0.0);
    assert_eq!(of(&settings), (String::new(), None));
    settings.rate_limit = Some(Default::default());
    settings.requests_per_second = None;
    assert_eq!(of(&settings), ("pace".to_owned(), None));
}
