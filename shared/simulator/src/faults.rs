//! Which requests go wrong, and how.
//!
//! Faults are drawn from a seeded stream at the configured rate, or scripted one by one by a test.
//! This module only decides; `server` carries the decision out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::chance::{Purpose, rng_for};

/// One way in which an API request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 500, and nothing was done.
    ServerError,
    /// 503, and nothing was done.
    Unavailable,
    /// 429 with `Retry-After: 1`, and nothing was done.
    RateLimited,
    /// Never answered, and nothing was done; the connection closes after `hang_secs`.
    Hang,
    /// The request was carried out, and its answer lost.
    LostResponse(Loss),
}

/// How the answer to a request that was carried out is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The connection closes without an answer.
    Dropped,
    /// 500, although it was done.
    ServerError,
    /// Never answered; the connection closes after `hang_secs`.
    Hang,
}

/// Requests per hundred faulted ones that meet each fault. Hangs are rare, as each holds a caller
/// for seconds, and so are 429s, as each keeps a client that heeds it away for a whole second.
const MIX: [(u32, Fault); 7] = [
    (35, Fault::ServerError),
    (20, Fault::Unavailable),
    (10, Fault::RateLimited),
    (5, Fault::Hang),
    (15, Fault::LostResponse(Loss::Dropped)),
    (10, Fault::LostResponse(Loss::ServerError)),
    (5, Fault::LostResponse(Loss::Hang)),
];

/// Token requests fail at this part of the rate.
const TOKEN_RATE_DIVISOR: f64 = 4.0;
/// Webhooks are lost for good at this part of the rate.
const WEBHOOK_LOSS_DIVISOR: f64 = 4.0;
/// Longest delay that reorders a webhook.
const WEBHOOK_DELAY_MAX_MS: u64 = 2_000;

/// What an API request is, as far as faults care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestClass {
    /// A request for an access token.
    Token,
    Read,
    Write,
}

/// How one webhook delivery goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WebhookFate {
    pub lost: bool,
    pub duplicated: bool,
    pub delay_ms: u64,
}

/// The source of all faults of one system.
#[derive(Debug)]
pub(crate) struct FaultBox {
    rate_bits: AtomicU64,
    scripted: Mutex<VecDeque<(Scope, Fault)>>,
    requests: Mutex<StdRng>,
    webhooks: Mutex<StdRng>,
}

/// Which request a scripted fault waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    AnyRequest,
    Write,
}

impl FaultBox {
    pub(crate) fn new(seed: u64, rate: f64) -> FaultBox {
        let faults = FaultBox {
            rate_bits: AtomicU64::new(0),
            scripted: Mutex::new(VecDeque::new()),
            requests: Mutex::new(rng_for(seed, Purpose::Faults, 0)),
            webhooks: Mutex::new(rng_for(seed, Purpose::WebhookFaults, 0)),
        };
        faults.set_rate(rate);
        faults
    }

    /// Sets the rate, cut to 0..=1.
    pub(crate) fn set_rate(&self, rate: f64) {
        let rate = if rate.is_finite() {
            rate.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.rate_bits.store(rate.to_bits(), Ordering::Relaxed);
    }

    fn rate(&self) -> f64 {
        f64::from_bits(self.rate_bits.load(Ordering::Relaxed))
    }

    /// No more faults, the scripted ones included.
    pub(crate) fn end(&self) {
        self.set_rate(0.0);
        locked(&self.scripted).clear();
    }

    pub(crate) fn script(&self, scope: Scope, fault: Fault) {
        locked(&self.scripted).push_back((scope, fault));
    }

    /// What happens to the next API request.
    pub(crate) fn draw(&self, class: RequestClass) -> Option<Fault> {
        if class == RequestClass::Token {
            return self.draw_for_token();
        }
        if let Some(fault) = self.take_scripted(class) {
            return Some(fault);
        }
        let rate = self.rate();
        if rate == 0.0 {
            return None;
        }
        let mut rng = locked(&self.requests);
        rng.random_bool(rate)
            .then(|| from_mix(rng.random_range(0..100)))
    }

    fn draw_for_token(&self) -> Option<Fault> {
        let rate = self.rate() / TOKEN_RATE_DIVISOR;
        if rate == 0.0 {
            return None;
        }
        let mut rng = locked(&self.requests);
        let fault = if rng.random_bool(0.5) {
            Fault::ServerError
        } else {
            Fault::Unavailable
        };
        rng.random_bool(rate).then_some(fault)
    }

    fn take_scripted(&self, class: RequestClass) -> Option<Fault> {
        let mut scripted = locked(&self.scripted);
        let (scope, fault) = *scripted.front()?;
        if scope == Scope::Write && class != RequestClass::Write {
            return None;
        }
        scripted.pop_front();
        Some(fault)
    }

    /// What happens to the next webhook delivery.
    pub(crate) fn draw_webhook(&self) -> WebhookFate {
        let rate = self.rate();
        if rate == 0.0 {
            return WebhookFate {
                lost: false,
                duplicated: false,
                delay_ms: 0,
            };
        }
        let mut rng = locked(&self.webhooks);
        let delayed = rng.random_bool(rate);
        WebhookFate {
            lost: rng.random_bool(rate / WEBHOOK_LOSS_DIVISOR),
            duplicated: rng.random_bool(rate),
            delay_ms: if delayed {
                rng.random_range(1..=WEBHOOK_DELAY_MAX_MS)
            } else {
                0
            },
        }
    }

    /// How many events the next webhook carries, of those waiting.
    pub(crate) fn draw_batch_size(&self, max: usize) -> usize {
        locked(&self.webhooks).random_range(1..=max)
    }
}

fn from_mix(mut percentile: u32) -> Fault {
    for (share, fault) in MIX {
        if percentile < share {
            return fault;
        }
        percentile -= share;
    }
    Fault::ServerError
}

/// Sorts a request by method and path. Searching and reading in batches are POSTs that write nothing.
pub(crate) fn classify(method: &Method, path: &str) -> RequestClass {
    if path == "/connect/token" {
        return RequestClass::Token;
    }
    let reads = method == Method::GET || path.ends_with("/search") || path.ends_with("/batch/read");
    if reads {
        RequestClass::Read
    } else {
        RequestClass::Write
    }
}

/// A lock whose holder panicked still guards consistent data: every change under it is a single
/// assignment or a whole verb of `World`.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_adds_up_to_a_hundred() {
        assert_eq!(MIX.iter().map(|(share, _)| share).sum::<u32>(), 100);
    }

    #[test]
    fn faults_come_at_the_configured_rate_and_in_every_kind() {
        let faults = FaultBox::new(9, 0.1);
        let drawn: Vec<_> = (0..10_000)
            .filter_map(|_| faults.draw(RequestClass::Write))
            .collect();
        assert!(
            (850..1_150).contains(&drawn.len()),
            "{} faults in 10,000",
            drawn.len()
        );
        for (_, fault) in MIX {
            assert!(drawn.contains(&fault), "{fault:?} never came");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let draw = |seed| {
            let faults = FaultBox::new(seed, 0.3);
            (0..100)
                .map(|_| faults.draw(RequestClass::Read))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(4), draw(4));
        assert_ne!(draw(4), draw(5));
    }

    #[test]
    fn a_scripted_fault_for_a_write_lets_reads_pass() {
        let faults = FaultBox::new(1, 0.0);
        faults.script(Scope::Write, Fault::Hang);
        assert_eq!(faults.draw(RequestClass::Read), None);
        assert_eq!(faults.draw(RequestClass::Write), Some(Fault::Hang));
        assert_eq!(faults.draw(RequestClass::Write), None);
    }

    #[test]
    fn webhooks_are_doubled_delayed_and_lost_at_their_rates() {
        let faults = FaultBox::new(2, 0.2);
        let fates: Vec<_> = (0..10_000).map(|_| faults.draw_webhook()).collect();
        let count = |test: fn(&&WebhookFate) -> bool| fates.iter().filter(test).count();
        assert!((1_850..2_150).contains(&count(|fate| fate.duplicated)));
        assert!((1_850..2_150).contains(&count(|fate| fate.delay_ms > 0)));
        assert!((400..600).contains(&count(|fate| fate.lost)));
        assert!(
            fates
                .iter()
                .all(|fate| fate.delay_ms <= WEBHOOK_DELAY_MAX_MS)
        );
        faults.end();
        let calm = WebhookFate {
            lost: false,
            duplicated: false,
            delay_ms: 0,
        };
        assert!((0..100).all(|_| faults.draw_webhook() == calm));
    }

    #[test]
    fn a_search_is_a_read() {
        assert_eq!(
            classify(&Method::POST, "/crm/v3/objects/companies/search"),
            RequestClass::Read
        );
        assert_eq!(
            classify(&Method::POST, "/crm/v3/objects/companies"),
            RequestClass::Write
        );
    }
}
