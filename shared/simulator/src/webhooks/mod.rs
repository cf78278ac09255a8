//! Tells the outside what happened: batches notices, signs them, delivers and repeats.
//!
//! Delivery is at least once and in no order, as with the real vendors: an unanswered or refused
//! webhook is repeated up to twenty times with growing pauses, others overtake it meanwhile, and
//! faults duplicate, delay or lose some. While no target is set, notices are thrown away: nobody
//! is subscribed.

mod payload;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::config::{SimKind, WebhookTarget};
use crate::sim::{Sim, count};
use payload::{Batch, crm_body, finance_body};

/// Events in one webhook.
const EVENTS_MAX: usize = 10;
/// Webhooks on their way at once.
const CONCURRENT_MAX: usize = 16;
/// Webhooks on their way or waiting to be repeated; past this, new ones wait in the world's queue.
const UNDELIVERED_MAX: usize = 10_000;
/// Attempts before a webhook is given up.
const ATTEMPTS_MAX: u32 = 20;
/// Pauses after each failed attempt, the last one for all later attempts.
const BACKOFF_MS: [u64; 5] = [200, 500, 1_000, 2_000, 5_000];
/// Longest such pause once the system is quiet, so that what is pending arrives promptly.
const QUIET_BACKOFF_MAX_MS: u64 = 1_000;
/// The receiver's time to answer, as HubSpot and Xero give it.
const ANSWER_TIMEOUT_SECS: u64 = 5;

type HttpClient = Client<HttpConnector, Full<Bytes>>;

struct Courier {
    sim: Arc<Sim>,
    base_url: String,
    client: HttpClient,
    sending: Semaphore,
}

/// Sends webhooks until the system stops.
pub(crate) async fn run(sim: Arc<Sim>, base_url: String, tasks: TaskTracker) {
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(CONCURRENT_MAX)
        .build_http();
    let stop = sim.stop.clone();
    let courier = Arc::new(Courier {
        sim,
        base_url,
        client,
        sending: Semaphore::new(CONCURRENT_MAX),
    });
    let undelivered = Arc::new(Semaphore::new(UNDELIVERED_MAX));
    tokio::select! {
        () = stop.cancelled() => {}
        () = pump(courier, undelivered, tasks) => {}
    }
}

async fn pump(courier: Arc<Courier>, undelivered: Arc<Semaphore>, tasks: TaskTracker) {
    let mut sequence = 1;
    loop {
        let size = courier.sim.faults.draw_batch_size(EVENTS_MAX);
        let notices = courier.sim.world().take_notices(size);
        if notices.is_empty() {
            courier.sim.notices.notified().await;
            continue;
        }
        let batch = Batch {
            first_sequence: sequence,
            notices,
        };
        sequence += batch.notices.len() as u64;
        if courier.sim.webhook().is_none() {
            continue;
        }
        let Ok(place) = Arc::clone(&undelivered).acquire_owned().await else {
            return;
        };
        dispatch(&courier, batch, place, &tasks);
    }
}

/// Decides how a webhook fares and starts it on its way.
fn dispatch(
    courier: &Arc<Courier>,
    batch: Batch,
    place: OwnedSemaphorePermit,
    tasks: &TaskTracker,
) {
    let fate = courier.sim.faults.draw_webhook();
    if fate.lost {
        return;
    }
    let (batch, place) = (Arc::new(batch), Arc::new(place));
    let copies: &[u64] = if fate.duplicated {
        &[fate.delay_ms, 0]
    } else {
        &[fate.delay_ms]
    };
    for delay_ms in copies {
        let delivery = deliver(
            Arc::clone(courier),
            Arc::clone(&batch),
            *delay_ms,
            Arc::clone(&place),
        );
        let stop = courier.sim.stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = delivery => {}
            }
        });
    }
}

/// Delivers one webhook or gives up; `_place` is held until then.
async fn deliver(
    courier: Arc<Courier>,
    batch: Arc<Batch>,
    delay_ms: u64,
    _place: Arc<OwnedSemaphorePermit>,
) {
    courier.pause(delay_ms).await;
    for attempt in 0..ATTEMPTS_MAX {
        let Some(target) = courier.sim.webhook() else {
            return;
        };
        if courier.attempt(&target, &batch, attempt).await {
            count(&courier.sim.tally.webhooks_delivered);
            return;
        }
        let backoff_ms = BACKOFF_MS
            .get(attempt as usize)
            .or(BACKOFF_MS.last())
            .copied()
            .unwrap_or_default();
        courier.pause(backoff_ms).await;
    }
}

impl Courier {
    /// Waits, but not for long once the system is quiet.
    async fn pause(&self, ms: u64) {
        let short = Duration::from_millis(ms.min(QUIET_BACKOFF_MAX_MS));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            () = async { self.sim.quiet.cancelled().await; tokio::time::sleep(short).await } => {}
        }
    }

    /// Whether the receiver took it.
    async fn attempt(&self, target: &WebhookTarget, batch: &Batch, attempt: u32) -> bool {
        let Ok(_turn) = self.sending.acquire().await else {
            return false;
        };
        let Ok(request) = self.request(target, batch, attempt) else {
            tracing::warn!(
                url = target.url,
                "the webhook address cannot be used in a request"
            );
            return false;
        };
        count(&self.sim.tally.webhooks_sent);
        let exchange = async {
            let response = self.client.request(request).await.ok()?;
            let success = response.status().is_success();
            // Reading the body to its end is what lets the connection be used again.
            response.into_body().collect().await.ok()?;
            Some(success)
        };
        let answered =
            tokio::time::timeout(Duration::from_secs(ANSWER_TIMEOUT_SECS), exchange).await;
        answered.ok().flatten().unwrap_or(false)
    }

    fn request(
        &self,
        target: &WebhookTarget,
        batch: &Batch,
        attempt: u32,
    ) -> http::Result<Request<Full<Bytes>>> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&target.url)
            .header(CONTENT_TYPE, "application/json");
        match self.sim.config.kind {
            SimKind::Crm => {
                let body = crm_body(batch, attempt);
                let timestamp_ms = self.sim.clock.real_ms().to_string();
                let signature =
                    sign::hubspot_v3(&target.secret, "POST", &target.url, &body, &timestamp_ms);
                let request = request.header("X-HubSpot-Signature-v3", signature);
                request
                    .header("X-HubSpot-Request-Timestamp", timestamp_ms)
                    .body(Full::new(body.into()))
            }
            SimKind::Finance => {
                let body = finance_body(batch, &self.sim.config, &self.base_url);
                let signature = sign::xero(&target.secret, &body);
                request
                    .header("x-xero-signature", signature)
                    .body(Full::new(body.into()))
            }
        }
    }
}
