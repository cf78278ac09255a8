//! A small HTTP client and a webhook receiver, independent of the simulator's own code.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tandem_simulator::{SimConfig, SimKind, SimRecord, Simulator, WebhookTarget};
use tokio::sync::mpsc;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The texts at this place of each item of the list under `list`.
    pub fn texts(&self, list: &str, pointer: &str) -> Vec<String> {
        let items = self.body[list]
            .as_array()
            .expect("the answer has such a list");
        items
            .iter()
            .map(|item| {
                item.pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned()
            })
            .collect()
    }
}

/// A caller of one system with fixed headers.
pub struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    base_url: String,
    headers: Vec<(String, String)>,
}

impl Caller {
    pub fn anonymous(system: &Simulator) -> Caller {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .build_http();
        Caller {
            client,
            base_url: system.base_url(),
            headers: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Caller {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A caller with the CRM's token.
    pub fn of_crm(system: &Simulator) -> Caller {
        Caller::anonymous(system).with("authorization", &format!("Bearer {}", system.api_token()))
    }

    /// A caller with a fresh token of the finance system.
    pub async fn of_finance(system: &Simulator) -> Caller {
        let token = token_answer(system).await.body["access_token"]
            .as_str()
            .expect("a token")
            .to_owned();
        Caller::anonymous(system)
            .with("authorization", &format!("Bearer {token}"))
            .with("xero-tenant-id", &system.credentials().tenant_id)
    }

    /// The answer, or `None` when the connection ended without one.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .expect("a valid request");
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        let bytes = body.collect().await.ok()?.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Some(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    pub async fn call(&self, method: Method, path: &str, body: &str) -> Answer {
        self.try_call(method, path, body, &[])
            .await
            .expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, "").await
    }
}

pub async fn token_answer(system: &Simulator) -> Answer {
    // base64 of the default credentials "sim-finance-client:sim-finance-secret".
    let caller = Caller::anonymous(system)
        .with(
            "authorization",
            "Basic c2ltLWZpbmFuY2UtY2xpZW50OnNpbS1maW5hbmNlLXNlY3JldA==",
        )
        .with("content-type", "application/x-www-form-urlencoded");
    caller
        .call(
            Method::POST,
            "/connect/token",
            "grant_type=client_credentials",
        )
        .await
}

pub async fn start(config: SimConfig) -> Simulator {
    Simulator::start(config).await.expect("the system starts")
}

pub async fn crm(records: usize) -> Simulator {
    start(SimConfig {
        records,
        ..SimConfig::new(SimKind::Crm)
    })
    .await
}

pub async fn finance(records: usize) -> Simulator {
    start(SimConfig {
        records,
        ..SimConfig::new(SimKind::Finance)
    })
    .await
}

/// The system's record with this id.
pub fn record(system: &Simulator, id: &str) -> SimRecord {
    system
        .state()
        .records
        .into_iter()
        .find(|record| record.id == id)
        .expect("the system has this record")
}

/// One webhook as it arrived.
#[derive(Debug)]
pub struct Hook {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Hook {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a webhook's body is JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A receiver of webhooks on loopback, which answers 200 or the statuses it is told to give first.
pub struct Receiver {
    pub url: String,
    pub hooks: mpsc::UnboundedReceiver<Hook>,
}

#[derive(Clone)]
struct ReceiverState {
    arrived: mpsc::UnboundedSender<Hook>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    pub async fn start(first_answers: &[u16]) -> Receiver {
        let (arrived, hooks) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(first_answers.iter().copied().collect()));
        let router = Router::new()
            .route("/hooks", post(receive))
            .with_state(ReceiverState { arrived, answers });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!(
            "http://{}/hooks",
            listener.local_addr().expect("a bound address")
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Receiver { url, hooks }
    }

    pub fn target(&self) -> Option<WebhookTarget> {
        Some(WebhookTarget {
            url: self.url.clone(),
            secret: "a secret".to_owned(),
        })
    }

    pub async fn next(&mut self) -> Hook {
        self.hooks
            .recv()
            .await
            .expect("the receiver lives as long as the test")
    }
}

async fn receive(
    State(state): State<ReceiverState>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let status = state
        .answers
        .lock()
        .expect("no test panics while answering")
        .pop_front()
        .unwrap_or(200);
    // The test may have seen enough and gone.
    let _ = state.arrived.send(Hook { headers, body });
    StatusCode::from_u16(status).expect("a valid status")
}
