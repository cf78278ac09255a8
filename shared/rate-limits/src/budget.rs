//! The budget of one connection that the fleet shares.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use metrics::SharedString;
use tandem_connectors::budget::{
    Bucket, BudgetRefusal, DAILY, Hours, Observation, RateLimits, RefusalCause, RequestBudget,
    WAIT_MAX, note_remaining,
};
use tandem_domain::{ClockWatch, Timestamp};
use tokio::time::Instant;

use crate::alone::Alone;
use crate::fleet::{Fleet, lock};
use crate::link::Link;
use crate::reply::{self, Taken};
use crate::scripts::micros;
use crate::stock::{Stock, Token};

/// Requests that are taken in one go for those that wait.
const TAKEN_AT_ONCE_MAX: usize = 256;
/// Where the limit is high, requests of this much time are taken ahead …
const AHEAD_SECS: f64 = 0.02;
/// … and no more than these. They are lost if nobody needs them soon.
const AHEAD_MAX: f64 = 50.0;
/// What an answer said is left is told to Redis within this, or not at all.
const LEFT_FRESH: Duration = Duration::from_secs(5);

pub(crate) struct FleetBudget {
    connection: String,
    label: SharedString,
    fleet: Arc<Fleet>,
    limits: RateLimits,
    /// The buckets of `limits`, for requests that start up to a lease after they were counted.
    buckets: Vec<Bucket>,
    ahead: usize,
    waiting: AtomicUsize,
    stock: tokio::sync::Mutex<Stock>,
    seen: Mutex<Seen>,
}

/// What this process knows.
struct Seen {
    paused_until: Timestamp,
    watch: ClockWatch,
    /// How often a pause was lifted: what was asked before says nothing of what holds after.
    lifts: u64,
    /// Whether Redis has yet to hear of the pause.
    untold: bool,
    /// What answers said is left, by limit, since Redis was last told.
    left: BTreeMap<String, (u64, Instant)>,
    /// The requests of a day as the fleet counted them in this span.
    known: (i64, Hours),
    alone: Option<Alone>,
}

/// One that waits; those are taken together.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(others: &'a AtomicUsize) -> Self {
        others.fetch_add(1, Ordering::Relaxed);
        Self(others)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl RequestBudget for FleetBudget {
    async fn acquire(&self) -> Result<(), BudgetRefusal> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let pause = self.seen().paused_until.since(self.fleet.clock.now());
            if pause > WAIT_MAX {
                return Err(refusal(pause, RefusalCause::Paused));
            }
            let token = {
                let _waiting = Waiting::among(&self.waiting);
                self.token(deadline).await?
            };
            let paused_until = self.seen().paused_until;
            tokio::time::sleep_until(token.start).await;
            let now_paused_until = self.seen().paused_until;
            if now_paused_until > paused_until {
                let left = now_paused_until.since(self.fleet.clock.now());
                return Err(refusal(left, RefusalCause::Paused));
            }
            let now = Instant::now();
            if now <= token.best_before {
                return Ok(());
            }
            if now >= deadline {
                return Err(refusal(self.fleet.timings().lease, RefusalCause::Bucket));
            }
        }
    }

    async fn told_to_wait(&self, retry_after: Duration) {
        {
            let until = self.fleet.clock.now().plus(retry_after);
            let mut seen = self.seen();
            seen.untold |= until > seen.paused_until;
            seen.paused_until = seen.paused_until.max(until);
        }
        self.stock.lock().await.clear();
        let link = *self.fleet.link().borrow();
        if let Link::Joined { span } = link {
            // When it cannot be told now, it is when Redis is found again.
            _ = self.ask(span, 0).await;
        }
    }

    fn paused_until(&self) -> Option<Timestamp> {
        let (until, now) = (self.seen().paused_until, self.fleet.clock.now());
        (until > now).then_some(until)
    }

    async fn lift_pause(&self) {
        {
            let mut seen = self.seen();
            seen.paused_until = self.fleet.clock.now();
            seen.lifts += 1;
            seen.untold = false;
            if let Some(alone) = &mut seen.alone {
                alone.lift_pause();
            }
        }
        self.stock.lock().await.clear();
        let mut script = self.fleet.scripts.lift.prepare_invoke();
        script.key(self.fleet.keys.state(&self.connection));
        // Where Redis is away it is lifted here alone, and there the pause ends by itself.
        _ = self.fleet.call(&script).await;
    }

    async fn observed(&self, observation: &Observation) {
        {
            let mut seen = self.seen();
            let left = (observation.remaining, Instant::now());
            seen.left.insert(observation.limit.clone(), left);
            if let Some(alone) = &mut seen.alone {
                alone.observe(self.fleet.clock.now(), observation);
            }
        }
        if let (0, Some(resets_in)) = (observation.remaining, observation.resets_in) {
            self.told_to_wait(resets_in).await;
        }
    }
}

impl FleetBudget {
    pub(crate) fn new(connection: &str, limits: RateLimits, fleet: Arc<Fleet>) -> Self {
        let late = fleet.timings().lease;
        Self {
            connection: connection.to_owned(),
            label: SharedString::from_shared(connection.into()),
            buckets: limits
                .buckets
                .iter()
                .map(|bucket| bucket.counted_early(late))
                .collect(),
            ahead: ahead(&limits),
            limits,
            waiting: AtomicUsize::new(0),
            stock: tokio::sync::Mutex::default(),
            seen: Mutex::new(Seen {
                paused_until: fleet.clock.now(),
                watch: ClockWatch::default(),
                lifts: 0,
                untold: false,
                left: BTreeMap::new(),
                known: (0, Hours::default()),
                alone: None,
            }),
            fleet,
        }
    }

    /// What is known, by the clock as it is: one that was ahead has set the end of a pause as far ahead.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        let now = self.fleet.clock.now();
        let mut seen = lock(&self.seen);
        if let Some(back) = seen.watch.set_back(now) {
            seen.paused_until = seen.paused_until.minus(back);
        }
        seen
    }

    pub(crate) fn keeps(&self, limits: &RateLimits) -> bool {
        self.limits == *limits
    }

    /// A token from wherever they are to be had now.
    async fn token(&self, deadline: Instant) -> Result<Token, BudgetRefusal> {
        let mut link = self.fleet.link();
        loop {
            let state = *link.borrow_and_update();
            let until = match state {
                Link::Joined { span } => match self.take_together(span).await {
                    Some(answer) => return answer,
                    None => deadline,
                },
                Link::Joining => deadline,
                Link::Lost => {
                    let share_from = self.fleet.share_from();
                    if self.limits.is_empty() || Instant::now() >= share_from {
                        return self.take_of_share();
                    }
                    share_from
                }
            };
            if tokio::time::timeout_at(until.min(deadline), link.changed())
                .await
                .is_err()
                && Instant::now() >= deadline
            {
                let left = until.saturating_duration_since(Instant::now());
                let retry_after = left.max(self.fleet.timings().beat);
                return Err(refusal(retry_after, RefusalCause::Alone));
            }
        }
    }

    /// `None`: Redis is away, or begins anew; the link says so.
    async fn take_together(&self, span: i64) -> Option<Result<Token, BudgetRefusal>> {
        let mut stock = self.stock.lock().await;
        if let Some(found) = stock.pop(Instant::now()) {
            return Some(found);
        }
        let want = self.waiting.load(Ordering::Relaxed);
        let asked = Instant::now();
        let lease = self.fleet.timings().lease;
        let taken = self.ask(span, want.clamp(1, TAKEN_AT_ONCE_MAX)).await?;
        let came = Instant::now();
        stock.put(&taken, asked, came, lease);
        if self.limits.is_empty() && taken.pause.is_zero() {
            stock.open(asked + lease);
        }
        let refused = taken
            .refused
            .unwrap_or(refusal(lease, RefusalCause::Bucket));
        Some(stock.pop(came).unwrap_or(Err(refused)))
    }

    fn take_of_share(&self) -> Result<Token, BudgetRefusal> {
        let (now, timings) = (self.fleet.clock.now(), self.fleet.timings());
        let place = self.fleet.place();
        let mut seen = self.seen();
        let paused_until = seen.paused_until;
        let daily = self.limits.daily.map(|most| {
            let used = seen.known.1.total(now) + self.unseen();
            most.saturating_sub(used) / place.of
        });
        let alone = seen
            .alone
            .get_or_insert_with(|| Alone::new(&self.limits, place, timings.lease, now));
        let wait = alone.take(now, timings.share_wait, daily, paused_until);
        note_remaining(&self.label, alone.remaining(now));
        let start = Instant::now() + wait?;
        Ok(Token {
            start,
            best_before: start + timings.lease,
        })
    }

    /// The most requests that others can have made since this process last looked.
    fn unseen(&self) -> u64 {
        let since = 2 * micros(self.fleet.timings().beat);
        let most = |bucket: &Bucket| bucket.burst() + since / bucket.interval_micros() + 1;
        self.limits.buckets.iter().map(most).min().unwrap_or(0)
    }

    /// Looks at the day's count as the others move it on, to know it should Redis go away.
    pub(crate) async fn refresh(&self, span: i64) {
        if self.limits.daily.is_some() {
            _ = self.ask(span, 0).await;
        }
    }

    /// Takes so many requests in Redis, and tells it what it has not heard yet.
    async fn ask(&self, span: i64, want: usize) -> Option<Taken> {
        let (pause, left, lifts) = {
            let mut seen = self.seen();
            let now = self.fleet.clock.now();
            let pause = seen.untold.then(|| seen.paused_until.since(now));
            let left = std::mem::take(&mut seen.left);
            (pause.unwrap_or_default(), left, seen.lifts)
        };
        let timings = self.fleet.timings();
        let left_of = |limit: &str| match left.get(limit) {
            Some((left, at)) if at.elapsed() < LEFT_FRESH => whole(*left),
            Some(_) | None => -1,
        };
        let mut script = self.fleet.scripts.take.prepare_invoke();
        self.keys(&mut script);
        script
            .arg(span)
            .arg(micros(timings.away_after))
            .arg(micros(timings.settle))
            .arg(want)
            .arg(if want > 0 { self.ahead } else { 0 })
            .arg(micros(WAIT_MAX))
            .arg(micros(pause))
            .arg(self.limits.daily.unwrap_or(0))
            .arg(left_of(DAILY))
            .arg(self.buckets.len());
        for bucket in &self.buckets {
            script
                .arg(bucket.name())
                .arg(bucket.interval_micros())
                .arg(bucket.burst())
                .arg(left_of(bucket.name()));
        }
        let answer = self.fleet.call(&script).await?;
        let Some(taken) = reply::read(&answer) else {
            self.fleet.moved(span);
            return None;
        };
        self.learn(span, &taken, (pause, lifts));
        Some(taken)
    }

    fn learn(&self, span: i64, taken: &Taken, (told, lifts): (Duration, u64)) {
        let now = self.fleet.clock.now();
        let mut seen = self.seen();
        if !told.is_zero() && seen.paused_until <= now.plus(told) {
            seen.untold = false;
        }
        if !taken.pause.is_zero() && seen.lifts == lifts {
            seen.paused_until = seen.paused_until.max(now.plus(taken.pause));
        }
        let mut known = Hours::default();
        for (hour, requests) in &taken.hours {
            known.set(*hour, *requests);
        }
        seen.known = (span, known);
        note_remaining(&self.label, taken.remaining);
    }

    /// Tells Redis what was known when it was last there, and what was used since. Whether it arrived.
    pub(crate) async fn report(&self, span: i64) -> bool {
        let now = self.fleet.clock.now();
        let (alone, known, untold) = {
            let mut seen = self.seen();
            let (of, hours) = &seen.known;
            // In the same span Redis still knows it, and would count it twice.
            let known: Vec<_> = if *of == span {
                Vec::new()
            } else {
                hours.counted(now).collect()
            };
            (seen.alone.take(), known, seen.untold)
        };
        let arrived = self.send_report(span, alone.as_ref(), &known).await;
        if !arrived {
            self.seen().alone = alone;
            return false;
        }
        !untold || self.ask(span, 0).await.is_some()
    }

    async fn send_report(&self, span: i64, alone: Option<&Alone>, known: &[(i64, u64)]) -> bool {
        let now = self.fleet.clock.now();
        let mut script = self.fleet.scripts.report.prepare_invoke();
        self.keys(&mut script);
        script
            .arg(span)
            .arg(micros(self.fleet.timings().settle))
            .arg(alone.map_or(0, Alone::spent))
            .arg(self.buckets.len());
        for bucket in &self.buckets {
            script
                .arg(bucket.name())
                .arg(bucket.interval_micros())
                .arg(bucket.burst());
        }
        let used = alone.map(|alone| alone.hours(now)).unwrap_or_default();
        for hours in [known, &used] {
            script.arg(hours.len());
            for (hour, requests) in hours {
                script.arg(*hour).arg(*requests);
            }
        }
        self.fleet.call(&script).await.as_deref() == Some(&[1])
    }

    fn keys(&self, script: &mut redis::ScriptInvocation<'_>) {
        let keys = &self.fleet.keys;
        script
            .key(&keys.span)
            .key(&keys.members)
            .key(keys.state(&self.connection))
            .key(keys.day(&self.connection));
    }
}

/// How many requests are taken ahead. None where a day's budget is: what is not needed would be lost.
fn ahead(limits: &RateLimits) -> usize {
    let per_second = |bucket: &Bucket| 1e6 / bucket.interval_micros() as f64;
    let slowest = limits.buckets.iter().map(per_second);
    match (limits.daily, slowest.reduce(f64::min)) {
        (None, Some(rate)) => (rate * AHEAD_SECS).min(AHEAD_MAX) as usize,
        (Some(_), _) | (None, None) => 0,
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const fn refusal(retry_after: Duration, cause: RefusalCause) -> BudgetRefusal {
    BudgetRefusal { retry_after, cause }
}
