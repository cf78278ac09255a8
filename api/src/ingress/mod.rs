//! `POST /hooks/{connection}`: who sent this, is it whole, and is it kept for good? Only then `200`.
//!
//! The order is the point: limits before the body, the signature over the raw bytes before any parsing,
//! the commit before the answer. What an event means is for [`tandem_operator::hooks`]; what to do about
//! it is for a worker.

mod answer;
mod body;
mod committer;
mod decoy;
mod delivery;
mod distrust;
mod failures;
mod follow;
mod handshake;
mod memory;
mod tally;
mod traced;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header, request::Parts};
use hyper::body::Body;
use tandem_connectors::webhook::{Reason, Request as SignedRequest, Scheme, Verdict, Verifier};
use tandem_domain::{Clock, DeliveryId, Entropy, Timestamp};
use tandem_operator::hooks::{Arrival, Hook, HookRegistry, HookState, new_events};
use tandem_queue::Doorbell;
use tandem_store::{DeliveryOutcome, EventStore, NewDelivery, NewEvent};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::Instrument;

use answer::{Answer, Reply};
use body::{BodyLimits, ReceivedBody};
use committer::{CommitFault, CommitQueue, Committer};
use failures::{Failures, sender_address};
use memory::{BodyMemory, BodyShare};
use traced::Arriving;

pub use distrust::Distrust;
pub use failures::FailureLimit;
pub use follow::{follow_clocks, follow_connections};

/// Paths of webhooks start with this.
pub const HOOKS_PREFIX: &str = "/hooks/";
/// The body limit of addresses that do not exist, in bytes; the default of those that do.
pub const BODY_BYTES_MAX: usize = 1_024 * 1_024;

/// A longer body is read where it holds up nobody.
const LONG_BODY_BYTES: usize = 32 * 1_024;
/// So many of these at once.
const LONG_BODIES_AT_ONCE: usize = 2;
/// Events that are stored in one transaction.
const PART_EVENTS_MAX: usize = 250;

/// What the ingress allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngressLimits {
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How long a sender waits for the commit before it is asked to come back. Some give up after 1 s.
    pub commit_timeout: Duration,
    /// Verified deliveries that wait for the commit.
    pub queued_deliveries_max: usize,
    /// The memory of all bodies together, in bytes.
    pub body_memory_bytes: usize,
    /// See [`FailureLimit`].
    pub failures: FailureLimit,
    /// How many proxies in front of Tandem append to `X-Forwarded-For`.
    pub trusted_proxies: usize,
}

impl Default for IngressLimits {
    fn default() -> Self {
        Self {
            body_timeout: Duration::from_secs(10),
            commit_timeout: Duration::from_millis(800),
            queued_deliveries_max: 4_096,
            body_memory_bytes: 256 * 1_024 * 1_024,
            failures: FailureLimit::default(),
            trusted_proxies: 0,
        }
    }
}

/// What the ingress works with.
pub struct IngressParts {
    /// Where deliveries are kept.
    pub store: Arc<dyn EventStore>,
    /// Tells workers of new jobs.
    pub doorbell: Arc<dyn Doorbell>,
    /// The addresses.
    pub hooks: Arc<dyn HookRegistry>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For ids.
    pub entropy: Arc<dyn Entropy>,
}

/// The ingress.
pub struct Ingress {
    hooks: Arc<dyn HookRegistry>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: IngressLimits,
    memory: BodyMemory,
    long_bodies: Arc<Semaphore>,
    failures: Failures,
    distrust: Arc<Distrust>,
    queue: CommitQueue,
}

impl Ingress {
    /// Starts the ingress and its committer. The task ends, everything stored, once the ingress is
    /// dropped.
    #[must_use]
    pub fn start(parts: IngressParts, limits: IngressLimits) -> (Arc<Self>, JoinHandle<()>) {
        let committer = Committer {
            store: parts.store,
            doorbell: parts.doorbell,
            clock: Arc::clone(&parts.clock),
        };
        let (queue, task) = CommitQueue::start(
            committer,
            limits.queued_deliveries_max,
            limits.commit_timeout,
        );
        let ingress = Self {
            hooks: parts.hooks,
            clock: parts.clock,
            entropy: parts.entropy,
            limits,
            memory: BodyMemory::new(limits.body_memory_bytes),
            long_bodies: Arc::new(Semaphore::new(LONG_BODIES_AT_ONCE)),
            failures: Failures::new(limits.failures),
            distrust: Arc::default(),
            queue,
        };
        (Arc::new(ingress), task)
    }

    /// The webhooks whose signature was wrong, for whoever tells of them.
    #[must_use]
    pub fn distrust(&self) -> Arc<Distrust> {
        Arc::clone(&self.distrust)
    }

    /// Answers one request whose path starts with [`HOOKS_PREFIX`].
    pub async fn handle<B>(&self, request: Request<B>, peer: IpAddr) -> Response
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let began_at = self.clock.now();
        let (parts, body) = request.into_parts();
        let (name, more) = hook_name(parts.uri.path());
        // Behind the name there may be a token, and nothing else.
        let state = self.hooks.lookup(name).filter(|state| {
            let hook = state.hook();
            !more || hook.is_none_or(|hook| hook.verifier.reads_path())
        });
        let label = if state.is_some() { name } else { "unknown" };
        let sender = sender_address(peer, &parts.headers, self.limits.trusted_proxies);
        let arriving = Arriving::begin(state.is_some().then_some(name), &parts);
        let answering = async {
            match self.refuse_early(&parts, sender) {
                Some(refusal) => refusal,
                None => self.take(state, &parts, body, sender).await,
            }
        };
        let answer = arriving.watch(answering).await;
        tally::request(label, &answer, self.clock.now().since(began_at));
        let outcome = answer.outcome;
        let response = answer.reply.into_response();
        arriving.answered(outcome, response.status());
        response
    }

    /// What can be said without the body.
    fn refuse_early(&self, parts: &Parts, sender: IpAddr) -> Option<Answer> {
        if parts.method != Method::POST {
            return Some(Answer::new(Reply::NotPost, "not_post"));
        }
        if is_encoded(&parts.headers) {
            return Some(Answer::new(Reply::Encoded, "encoded"));
        }
        let wait = self.failures.blocked_for(sender, self.clock.now())?;
        let retry_secs = wait.as_secs().max(1);
        Some(Answer::new(Reply::TooMany { retry_secs }, "too_many"))
    }

    async fn take<B>(
        &self,
        state: Option<HookState>,
        parts: &Parts,
        body: B,
        sender: IpAddr,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match state {
            Some(HookState::Deleted) => Answer::new(Reply::Deleted, "deleted"),
            Some(HookState::Misconfigured(reason)) => {
                tracing::error!(%reason, "a webhook was turned away because its connection is misconfigured");
                Answer::misconfigured("configuration")
            }
            Some(state @ (HookState::Active(_) | HookState::Paused(_))) => {
                self.take_signed(&state, parts, body, sender).await
            }
            None => {
                self.failures.note(sender, self.clock.now());
                let answer = decoy::answer(parts, self.clock.now());
                self.pass_over(body, BODY_BYTES_MAX, answer).await
            }
        }
    }

    async fn take_signed<B>(
        &self,
        state: &HookState,
        parts: &Parts,
        body: B,
        sender: IpAddr,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(hook) = state.hook() else {
            return Answer::misconfigured("configuration");
        };
        if let Err(reason) = self.check_head(hook, parts) {
            let answer = self.reject(hook, reason, sender);
            // Nothing must tell a wrong token in the address from a wrong address.
            let bytes_max = match answer.reply {
                Reply::Unknown => BODY_BYTES_MAX,
                _ => hook.body_bytes_max,
            };
            return self.pass_over(body, bytes_max, answer).await;
        }
        let share = self.memory.share(sender);
        let received = body::receive(body, self.body_limits(hook.body_bytes_max), share);
        let body = match received.await {
            Ok(body) => body,
            Err(fault) => return fault.answer(),
        };
        match self.verify(hook, parts, &body.bytes) {
            Ok(secret_index) => {
                self.distrust.trust(&hook.connection, self.clock.now());
                self.keep(state, hook, parts, body, secret_index).await
            }
            Err(reason) => self.reject(hook, reason, sender),
        }
    }

    /// Reads the body of a request whose answer is known, unless it is too long or does not come.
    async fn pass_over<B>(&self, body: B, bytes_max: usize, answer: Answer) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match body::pass_over(body, self.body_limits(bytes_max)).await {
            Ok(()) => answer,
            Err(fault) => fault.answer(),
        }
    }

    fn body_limits(&self, bytes_max: usize) -> BodyLimits {
        BodyLimits {
            bytes_max,
            timeout: self.limits.body_timeout,
        }
    }

    /// What cannot be signed rightly whatever its body is gets no memory for it.
    fn check_head(&self, hook: &Hook, parts: &Parts) -> Result<(), Reason> {
        let (url, headers) = (
            signed_url(&hook.public_url, parts),
            header_pairs(&parts.headers),
        );
        let request = signed_request(parts, &url, &headers, &[]);
        let now_secs = self.clock.now().as_secs();
        hook.verifier.check_head(&request, &hook.secrets, now_secs)
    }

    fn verify(&self, hook: &Hook, parts: &Parts, body: &[u8]) -> Result<usize, Reason> {
        let (url, headers) = (
            signed_url(&hook.public_url, parts),
            header_pairs(&parts.headers),
        );
        let request = signed_request(parts, &url, &headers, body);
        let now_secs = self.clock.now().as_secs();
        match hook.verifier.verify(&request, &hook.secrets, now_secs) {
            Verdict::Accepted { secret_index, .. } => Ok(secret_index),
            Verdict::Rejected(reason) => Err(reason),
        }
    }

    fn reject(&self, hook: &Hook, reason: Reason, sender: IpAddr) -> Answer {
        if reason.is_misconfiguration() {
            tracing::error!(connection = %hook.connection, %reason, "a webhook cannot be verified; set the webhook secret of this connection");
            return Answer::misconfigured(reason.as_str());
        }
        let now = self.clock.now();
        self.failures.note(sender, now);
        self.distrust.note(&hook.connection, now);
        tracing::debug!(connection = %hook.connection, %reason, "a webhook was rejected");
        Answer::rejected(refusal_of(&hook.verifier), reason)
    }

    async fn keep(
        &self,
        state: &HookState,
        hook: &Hook,
        parts: &Parts,
        body: ReceivedBody,
        secret_index: usize,
    ) -> Answer {
        if let Some(challenge) = handshake::challenge(hook.verifier.scheme(), &body.bytes) {
            return Answer::new(Reply::Challenge(challenge), "handshake");
        }
        let received_at = self.clock.now();
        let (bytes, share) = (Arc::<[u8]>::from(body.bytes), Arc::new(body.share));
        let Some(mut events) = self.read(state, &bytes, received_at).await else {
            return Answer::busy("reading");
        };
        if events.is_empty() {
            return Answer::new(Reply::Taken, "handshake");
        }
        let rest = events.split_off(events.len().min(PART_EVENTS_MAX));
        let first = NewDelivery {
            id: DeliveryId::new(received_at, &*self.entropy),
            connection: hook.connection.clone(),
            headers: delivery::kept_headers(&parts.headers, &hook.verifier),
            body: bytes,
            received_at,
            secret_index,
            traceparent: Some(traced::context_to_store(&parts.headers, &*self.entropy).to_string()),
            events,
        };
        let stored = self.store(first, rest, share);
        match stored.instrument(traced::commit()).await {
            Ok(outcome) => tally::stored(hook, &outcome),
            Err(fault) => fault.answer(),
        }
    }

    /// Reads a verified body. A long one is read where it holds up nobody, a few at once; `None` when the process
    /// is ending.
    async fn read(
        &self,
        state: &HookState,
        body: &Arc<[u8]>,
        at: Timestamp,
    ) -> Option<Vec<NewEvent>> {
        if body.len() <= LONG_BODY_BYTES {
            let entropy = &*self.entropy;
            return Some(new_events(state, body, Arrival { at, entropy }));
        }
        let turn = Arc::clone(&self.long_bodies).acquire_owned().await.ok()?;
        let (state, body, entropy) = (state.clone(), Arc::clone(body), Arc::clone(&self.entropy));
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let entropy = &*entropy;
            new_events(&state, &body, Arrival { at, entropy })
        });
        reading.await.ok()
    }

    /// Stores a delivery, with many events in parts: between them others are stored, which wait for less than
    /// their senders' patience. A sender that is told 200 knows that all are on the disk; one that is not sends
    /// them again, and what is there already is dropped.
    async fn store(
        &self,
        first: NewDelivery,
        mut rest: Vec<NewEvent>,
        share: Arc<BodyShare>,
    ) -> Result<DeliveryOutcome, CommitFault> {
        let mut part = first;
        let mut total = DeliveryOutcome::default();
        loop {
            let later = rest.split_off(rest.len().min(PART_EVENTS_MAX));
            let next = (!rest.is_empty()).then(|| NewDelivery {
                events: rest,
                ..part.clone_without_events()
            });
            let outcome = self.queue.commit(part, Arc::clone(&share)).await?;
            total.new_events += outcome.new_events;
            total.duplicates += outcome.duplicates;
            total.quarantined += outcome.quarantined;
            total.coalesced += outcome.coalesced;
            let Some(next) = next else {
                return Ok(total);
            };
            (part, rest) = (next, later);
        }
    }
}

/// Compressed and multipart bodies are never opened before they are verified, so they are not taken.
fn is_encoded(headers: &HeaderMap) -> bool {
    let compressed = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let in_parts = headers.get_all(header::CONTENT_TYPE).iter().any(|value| {
        let start = value.as_bytes().get(..b"multipart/".len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
    });
    compressed || in_parts
}

/// The connection's name in a path, and whether the path goes on behind it.
fn hook_name(path: &str) -> (&str, bool) {
    let name = path.strip_prefix(HOOKS_PREFIX).unwrap_or("");
    name.split_once('/')
        .map_or((name, false), |(name, _)| (name, true))
}

/// The URL as the sender knows it. Never made from `Host`, which the sender chooses.
fn signed_url(public_url: &str, parts: &Parts) -> String {
    let path = parts
        .uri
        .path_and_query()
        .map_or("", http::uri::PathAndQuery::as_str);
    format!("{}{path}", public_url.trim_end_matches('/'))
}

fn signed_request<'a>(
    parts: &'a Parts,
    url: &'a str,
    headers: &'a [(&'a str, &'a [u8])],
    body: &'a [u8],
) -> SignedRequest<'a> {
    SignedRequest {
        method: parts.method.as_str(),
        url,
        headers,
        body,
    }
}

fn header_pairs(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// A wrong token in the address is a wrong address.
fn refusal_of(verifier: &Verifier) -> Reply {
    match verifier.scheme() {
        Scheme::UrlToken => Reply::Unknown,
        Scheme::BasicAuth => Reply::WantsPassword,
        Scheme::StandardWebhooksV1
        | Scheme::Svix
        | Scheme::HubspotV1
        | Scheme::HubspotV2
        | Scheme::HubspotV3
        | Scheme::Xero
        | Scheme::Intuit
        | Scheme::Stripe
        | Scheme::Shopify
        | Scheme::Github
        | Scheme::Slack
        | Scheme::Square
        | Scheme::Recurly
        | Scheme::ZohoPayments
        | Scheme::HeaderToken
        | Scheme::GenericHmacSha256 => Reply::Unsigned,
    }
}
