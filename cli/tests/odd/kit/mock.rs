//! A system as an HTTP server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use serde_json::Value as Json;

use super::books::{Answer, Asked, Books};

/// No request of Tandem's is longer.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How a system answers: as a well-behaved one, but where the test says otherwise.
type Behaviour = Box<dyn Fn(&mut Books, &Asked) -> Answer + Send + Sync>;

struct Inside {
    books: Mutex<Books>,
    behaves: Behaviour,
}

/// A running system; it ends with the test.
pub struct Mock {
    inside: Arc<Inside>,
    base_url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Mock {
    /// A system that behaves well, and keeps what it is told.
    pub async fn plain(first_id: u64) -> Self {
        Self::odd(first_id, Books::answer).await
    }

    /// A system that answers so.
    pub async fn odd(
        first_id: u64,
        behaves: impl Fn(&mut Books, &Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let inside = Arc::new(Inside {
            books: Mutex::new(Books::new(first_id)),
            behaves: Box::new(behaves),
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("some port is free");
        let address = listener.local_addr().expect("it listens");
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&inside));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            inside,
            base_url: format!("http://{address}"),
            server,
        }
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What it holds now.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.inside.books()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Inside {
    fn books(&self) -> MutexGuard<'_, Books> {
        // A test that failed while it held them says so itself.
        self.books
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn serve(State(inside): State<Arc<Inside>>, request: Request) -> Response<Body> {
    let asked = read(request).await;
    let way = inside.books().latency / 2;
    travel(way).await;
    let answer = {
        let mut books = inside.books();
        let answer = (inside.behaves)(&mut books, &asked);
        books.log.push((asked, answer.status));
        answer
    };
    travel(way).await;
    let mut response = Response::builder()
        .status(answer.status)
        .header("content-type", "application/json");
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response
        .body(Body::from(answer.body))
        .expect("what tests answer is HTTP")
}

async fn travel(way: Duration) {
    if !way.is_zero() {
        tokio::time::sleep(way).await;
    }
}

async fn read(request: Request) -> Asked {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let url = format!("http://system{}", head.uri);
    let url = reqwest::Url::parse(&url).expect("Tandem asks for addresses");
    let query: BTreeMap<String, String> = url
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query,
        body: serde_json::from_slice(&body).unwrap_or(Json::Null),
        key: key(&head.headers),
    }
}

fn key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get("idempotency-key")?.to_str().ok()?;
    Some(key.to_owned())
}
