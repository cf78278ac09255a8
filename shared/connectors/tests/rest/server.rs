//! A server whose answers each test decides, and a connector for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value as Json;
use tandem_connectors::manifest::Manifest;
use tandem_connectors::{ConnectionSettings, Delete, RestConnector, Secret};
use tandem_domain::{Clock, Fields, StreamName, Timestamp, Value};

const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Json,
    pub text: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    pub fn number(&self, name: &str) -> usize {
        self.query
            .get(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }
}

/// What the server answers.
pub fn json(status: u16, body: Json) -> Response {
    let headers = [("content-type", "application/json")];
    (status_of(status), headers, body.to_string()).into_response()
}

/// An answer as it stands.
pub fn verbatim(status: u16, body: &[u8]) -> Response {
    let headers = [("content-type", "application/json")];
    (status_of(status), headers, body.to_vec()).into_response()
}

pub fn html(status: u16) -> Response {
    let page = "<html><body><h1>Gateway</h1>trouble</body></html>";
    (status_of(status), [("content-type", "text/html")], page).into_response()
}

pub fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    response
        .headers_mut()
        .insert(name, value.parse().expect("a header value"));
    response
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("an HTTP status")
}

/// A clock that a test moves.
#[derive(Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn forward(&self, secs: i64) {
        self.0.fetch_add(secs * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).shifted(self.0.load(Ordering::Relaxed))
    }
}

pub struct Server {
    pub url: String,
    pub clock: Arc<TestClock>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Starts a server; `answer` is given each request and its number, from 0.
    pub async fn start(answer: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let book = Arc::clone(&seen);
        let answer = Arc::new(answer);
        let app = axum::Router::new().fallback(move |request: Request| {
            let (book, answer) = (Arc::clone(&book), Arc::clone(&answer));
            async move {
                let request = look(request).await;
                let number = {
                    let mut book = book.lock().expect("no test panics with the lock");
                    book.push(request.clone());
                    book.len() - 1
                };
                answer(&request, number)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url,
            clock: Arc::default(),
            seen,
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .expect("no test panics with the lock")
            .clone()
    }

    pub fn connector(&self, manifest: &str) -> RestConnector {
        connector(
            &self.url,
            manifest,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
        )
    }
}

async fn look(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let bytes: Bytes = to_bytes(body, BODY_BYTES_MAX).await.expect("a short body");
    let query = parts.uri.query().unwrap_or("");
    Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Json::Null),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

pub fn connector(url: &str, manifest: &str, clock: Arc<dyn Clock>) -> RestConnector {
    let manifest = Manifest::parse("test.yaml", manifest).unwrap_or_else(|error| panic!("{error}"));
    let settings = ConnectionSettings {
        base_url: Some(url.to_owned()),
        credentials: [("key".to_owned(), Secret::new("s3cret-key"))].into(),
        timeout_secs: Some(1),
        ..ConnectionSettings::default()
    };
    RestConnector::new("acme", Arc::new(manifest), &settings, clock)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A manifest with one stream, `items`; `list` is its list, `more` anything else of it.
pub fn manifest(top: &str, list: &str, more: &str) -> String {
    let auth = if top.contains("auth:") {
        ""
    } else {
        "auth: { headers: { X-Key: '{{ credentials.key }}' } }"
    };
    format!(
        "manifest: 1\nname: test\ntitle: Test\ncredentials: {{ key: A key }}\n{auth}\n{top}\nstreams:\n  items:\n\
         \x20   id: {{ path: /id }}\n\
         \x20   updated_at: {{ path: /updated }}\n\
         \x20   created_at: {{ path: /created }}\n\
         \x20   version: /version\n\
         \x20   reference: /reference\n\
         \x20   fields:\n\
         \x20     name: {{ path: /name }}\n\
         \x20     price: {{ path: /price, type: decimal }}\n\
         {}\n{}\n",
        indent(list),
        indent(more)
    )
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// The usual list and read.
pub const LIST: &str = "list: { request: { method: GET, path: /items }, records: /data }
read:
  request: { method: GET, path: '/items/{{ id }}' }
  records: ''
  missing: =status == 404 and body.code == 'gone'";

/// The usual writes.
pub const WRITES: &str = "create:
  request:
    method: POST
    path: /items
    headers: { Idempotency-Key: '{{ transaction }}' }
    body: =record
  id: /id
  idempotent: true
update:
  request:
    method: PATCH
    path: /items/{{ id }}
    headers: { If-Match: '=expected_version if expected_version else omit' }
    body: =record
delete:
  request:
    method: DELETE
    path: /items/{{ id }}
    headers: { If-Match: '=expected_version if expected_version else omit' }";

/// A deletion of whatever version there is.
pub const fn deletion(transaction: &str) -> Delete<'_> {
    Delete {
        transaction,
        expected_version: None,
        current: None,
    }
}

pub fn items() -> StreamName {
    "items".parse().expect("a name")
}

pub fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Value::Text((*text).to_owned())))
        .collect()
}
