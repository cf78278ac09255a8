//! What stands before the api processes in production: a balancer that takes turns, and tries the next
//! process when one refuses the connection. It remembers the webhooks that were answered with `200`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::common::http::{ANSWER_MAX, client};

/// Headers that belong to a connection, not to what is passed on.
const OWN_TO_A_CONNECTION: [HeaderName; 4] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// A webhook that was answered with `200`.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub path: String,
    pub body: Bytes,
}

/// A running balancer. It ends when it is dropped.
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behind: Mutex<Vec<String>>,
    turn: AtomicUsize,
    accepted: Mutex<Vec<Accepted>>,
}

struct Passed {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Balancer {
    /// Listens on a free port; nothing stands behind it yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            behind: Mutex::default(),
            turn: AtomicUsize::new(0),
            accepted: Mutex::default(),
        });
        let router = Router::new()
            .fallback(pass_on)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("serving goes on until the task is ended");
        });
        Self {
            address,
            shared,
            task,
        }
    }

    /// The address that senders know.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says what stands behind it.
    pub fn set_behind(&self, base_urls: Vec<String>) {
        *locked(&self.shared.behind) = base_urls;
    }

    /// The webhooks that were answered with `200` so far.
    pub fn accepted(&self) -> Vec<Accepted> {
        locked(&self.shared.accepted).clone()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let passed = Passed {
        method,
        uri,
        headers,
        body,
    };
    shared.pass_on(&passed).await
}

impl Shared {
    async fn pass_on(&self, passed: &Passed) -> Response {
        let behind = locked(&self.behind).clone();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..behind.len() {
            let base_url = &behind[(first + step) % behind.len()];
            match passed.send_to(base_url).await {
                Ok(answer) => return self.answered(passed, answer).await,
                // Nothing was sent, so the next may have it.
                Err(error) if error.is_connect() => {}
                // Whether it was carried out nobody knows: the sender will try again.
                Err(_lost) => return StatusCode::BAD_GATEWAY.into_response(),
            }
        }
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    /// Remembers first, then tells the sender.
    async fn answered(&self, passed: &Passed, answer: reqwest::Response) -> Response {
        let status = answer.status();
        let Ok(text) = answer.bytes().await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        if status == StatusCode::OK && passed.method == Method::POST {
            locked(&self.accepted).push(Accepted {
                path: passed.uri.path().to_owned(),
                body: passed.body.clone(),
            });
        }
        (status, text).into_response()
    }
}

impl Passed {
    /// Each time over a connection of its own: a kept one may lead to a process that was killed.
    async fn send_to(&self, base_url: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("{base_url}{}", self.uri);
        let mut headers = self.headers.clone();
        for name in OWN_TO_A_CONNECTION {
            headers.remove(name);
        }
        let request = client().request(self.method.clone(), url).headers(headers);
        request
            .timeout(ANSWER_MAX)
            .body(self.body.clone())
            .send()
            .await
    }
}

/// What is guarded is whole, whoever panicked.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
