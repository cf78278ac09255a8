//! Runs the passes: each at its own pace, earlier when it asked for that or when somebody woke it.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{Clock, ClockWatch, Entropy, Timestamp};
use tandem_queue::Doorbell;
use tandem_store::{Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::passes::{
    DueSchedules, MootQuestions, OrphanedRuns, Pass, PassReport, Prune, QueueGauges, RescueExpired,
    RingDueJobs, StaleIntents,
};
use crate::settings::SchedulerSettings;
use crate::trace;

/// The longest sleep between looks at the clock: it may be set, or the machine may have slept.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The shortest sleep, so that a pass that always has more to do leaves room for the others.
const SLEEP_MIN: Duration = Duration::from_millis(10);

/// Runs the passes until it is told to end.
pub struct Scheduler {
    passes: Vec<Paced>,
    clock: Arc<dyn Clock>,
    watch: ClockWatch,
    woken: Arc<Notify>,
}

/// Wakes a scheduler: the passes that react to what others do run at once.
#[derive(Clone)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Wakes it. Several calls before it reacts count as one.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// A pass and its pace.
struct Paced {
    pass: Box<dyn Pass>,
    every: Duration,
    /// Whether it runs at once when the scheduler is woken.
    reacts: bool,
    due: Timestamp,
    failing: bool,
}

impl Paced {
    fn new(pass: impl Pass + 'static, every: Duration) -> Self {
        Self {
            pass: Box::new(pass),
            every,
            reacts: false,
            due: Timestamp::default(),
            failing: false,
        }
    }

    const fn reacting(mut self) -> Self {
        self.reacts = true;
        self
    }

    /// No pass is due later than its pace allows: a clock that was ahead has noted what is.
    fn bring_forward(&mut self, now: Timestamp) {
        self.due = self.due.min(now.plus(self.every));
    }

    /// Runs it, and notes when it runs next.
    async fn run(&mut self, now: Timestamp) {
        let span = trace::pass(self.pass.name());
        let result = self.pass.run(now).instrument(span.clone()).await;
        trace::passed(&span, &result);
        let soonest = now.plus(SLEEP_MIN);
        let regular = now.plus(self.every);
        self.due = match &result {
            Ok(report) => report.next.unwrap_or(regular).max(soonest).min(regular),
            Err(_) => regular,
        };
        self.tell(result);
    }

    /// Logs the first of several failures and the recovery, not every one.
    fn tell(&mut self, result: Result<PassReport, StoreError>) {
        let pass = self.pass.name();
        match result {
            Ok(report) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(pass, "the pass works again");
                }
                if report.handled > 0 {
                    tracing::debug!(pass, handled = report.handled, "done");
                }
                metrics::counter!("tandem_scheduler_handled_total", "pass" => pass)
                    .increment(u64::try_from(report.handled).unwrap_or(u64::MAX));
            }
            Err(error) => {
                metrics::counter!("tandem_scheduler_failures_total", "pass" => pass).increment(1);
                if !std::mem::replace(&mut self.failing, true) {
                    let again_secs = self.every.as_secs();
                    tracing::warn!(pass, %error, again_secs, "the pass failed and is tried again");
                }
            }
        }
    }
}

impl Scheduler {
    /// A scheduler with all passes.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        doorbell: Arc<dyn Doorbell>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: &SchedulerSettings,
    ) -> Self {
        let secs = Duration::from_secs;
        let rescue = RescueExpired::new(store.clone(), doorbell.clone());
        let due = DueSchedules::new(store.clone(), doorbell.clone(), entropy.clone(), settings);
        let ring = RingDueJobs::new(store.clone(), doorbell.clone());
        let stale = StaleIntents::new(store.clone(), doorbell, entropy);
        Self {
            passes: vec![
                Paced::new(rescue, secs(5)),
                Paced::new(OrphanedRuns::new(store.clone()), secs(15)),
                Paced::new(due, secs(1)).reacting(),
                Paced::new(ring, secs(1)).reacting(),
                Paced::new(QueueGauges::new(store.clone()), secs(5)),
                Paced::new(MootQuestions::new(store.clone()), secs(10)),
                Paced::new(stale, secs(60)),
                Paced::new(Prune::new(store, settings.retention), secs(3_600)),
            ],
            clock,
            watch: ClockWatch::default(),
            woken: Arc::new(Notify::new()),
        }
    }

    /// A handle that wakes it, for whoever changes what is due.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.woken))
    }

    /// Runs until `shutdown`; a pass under way is finished first.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            self.look_at_clock();
            for paced in &mut self.passes {
                let now = self.clock.now();
                if paced.due <= now && !shutdown.is_cancelled() {
                    paced.run(now).await;
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.pause()) => {}
                () = self.woken.notified() => self.react(),
            }
        }
    }

    /// What a clock that was ahead has noted is brought forward, and once it is said.
    fn look_at_clock(&mut self) {
        let now = self.clock.now();
        for paced in &mut self.passes {
            paced.bring_forward(now);
        }
        if let Some(back) = self.watch.set_back(now) {
            tracing::warn!(
                back_secs = back.as_secs(), %now,
                "the clock of this machine was set back: what was due by the clock as it was before is brought forward, and \
                 times that were noted since it was ahead lie in the future"
            );
        }
    }

    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let next = self.passes.iter().map(|paced| paced.due.since(now)).min();
        next.unwrap_or(SLEEP_MAX).clamp(SLEEP_MIN, SLEEP_MAX)
    }

    fn react(&mut self) {
        for paced in self.passes.iter_mut().filter(|paced| paced.reacts) {
            paced.due = Timestamp::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tandem_store::SchedulePurpose;
    use tandem_testkit::TestClock;

    use super::*;
    use crate::passes::support::{Fixture, key};

    /// Long enough for any machine; the tests end as soon as the bell rings.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Fails the first two times.
    struct Shaky(AtomicUsize);

    #[async_trait]
    impl Pass for Shaky {
        fn name(&self) -> &'static str {
            "shaky"
        }

        async fn run(&self, _now: Timestamp) -> Result<PassReport, StoreError> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err(StoreError::Unavailable("the disk is full".to_owned())),
                _ => Ok(PassReport::default()),
            }
        }
    }

    #[tokio::test]
    async fn a_pass_that_fails_is_tried_again_at_its_pace() {
        let every = Duration::from_secs(5);
        let mut paced = Paced::new(Shaky(AtomicUsize::new(0)), every);
        let mut now = Timestamp::from_secs(1_000);
        for failing in [true, true, false] {
            paced.run(now).await;
            assert_eq!(paced.failing, failing);
            assert_eq!(paced.due, now.plus(every));
            now = paced.due;
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_stops_no_pass_for_longer_than_its_pace() {
        let fixture = Fixture::open().await;
        let schedules = [(SchedulePurpose::Full, "every 4 hours", 3_600)];
        fixture.apply(&["customers"], &schedules).await;
        let ahead = fixture.now().plus(Duration::from_secs(1_800));
        let clock = Arc::new(TestClock::at(ahead));
        let scheduler = Scheduler::new(
            fixture.store.shared(),
            fixture.bell.clone(),
            clock.clone(),
            fixture.entropy.clone(),
            &SchedulerSettings::default(),
        );
        // The pass has run by the clock that is ahead once the bell rings for this.
        let full = key("customers", SchedulePurpose::Full);
        let due = |at| fixture.store.edit_schedule(&full, None, Some(at), at);
        assert!(due(ahead).await.expect("made due"));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(scheduler.run(shutdown.clone()));
        fixture.bell.wait(PATIENCE).await;
        clock.set(fixture.now());
        // Nobody wakes it.
        assert!(due(fixture.now()).await.expect("made due"));
        let poll = fixture.store.shared();
        let next = async {
            loop {
                let schedules = poll.schedules().await.expect("schedules");
                if schedules[0].next_at > Some(fixture.now()) {
                    break;
                }
                clock.advance(Duration::from_millis(100));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(20), next).await;
        assert!(
            seen.is_ok(),
            "the pass waits for the time that the clock had shown"
        );
        shutdown.cancel();
        running.await.expect("it ends without a panic");
    }

    #[tokio::test]
    async fn a_woken_scheduler_starts_what_became_due_and_ends_when_told() {
        let fixture = Fixture::open().await;
        let schedules = [(SchedulePurpose::Full, "every 4 hours", 3_600)];
        fixture.apply(&["customers"], &schedules).await;
        let scheduler = Scheduler::new(
            fixture.store.shared(),
            fixture.bell.clone(),
            Arc::new(TestClock::at(fixture.now())),
            fixture.entropy.clone(),
            &SchedulerSettings::default(),
        );
        let (waker, shutdown) = (scheduler.waker(), CancellationToken::new());
        let running = tokio::spawn(scheduler.run(shutdown.clone()));
        let full = key("customers", SchedulePurpose::Full);
        let edited = fixture
            .store
            .edit_schedule(&full, None, Some(fixture.now()), fixture.now())
            .await;
        assert!(edited.expect("made due"));
        waker.wake();
        fixture.bell.wait(PATIENCE).await;
        assert_eq!(fixture.bell.rung().len(), 1);
        shutdown.cancel();
        running.await.expect("it ends without a panic");
    }
}
