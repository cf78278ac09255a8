//! Which of several schedulers leads.
//!
//! The leader holds a row in the store and renews it well before its time is over; the others look every
//! second whether it is free. The passes are safe to run twice, so two leaders for a moment (a process
//! that was stopped and goes on, clocks that differ) cost a little work, no more.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{Clock, Timestamp};
use tandem_store::Store;
use tokio_util::sync::CancellationToken;

use crate::Scheduler;

/// The name of the row.
const ROLE: &str = "scheduler";
/// Without renewal another scheduler leads after this.
const TERM: Duration = Duration::from_secs(8);
/// How often the leader renews, and the others look.
const BEAT: Duration = Duration::from_secs(1);
/// The leader stops this long before its term is over, so that whoever follows finds it gone.
const MARGIN: Duration = Duration::from_secs(2);

/// Runs a scheduler whenever this process leads.
pub struct Leader {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// The name of this process.
    holder: String,
}

impl Leader {
    /// A candidate of this name.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, holder: String) -> Self {
        Self {
            store,
            clock,
            holder,
        }
    }

    /// Leads whenever nobody else does, until `shutdown`; then gives the role up.
    pub async fn run(&self, make: impl Fn() -> Scheduler, shutdown: CancellationToken) {
        metrics::gauge!("tandem_leader").set(0.0);
        let mut beats = tokio::time::interval(BEAT);
        while shutdown.run_until_cancelled(beats.tick()).await.is_some() {
            if let Some(until) = self.hold().await {
                tracing::info!(holder = %self.holder, "this scheduler leads");
                metrics::gauge!("tandem_leader").set(1.0);
                self.lead(make(), until, &shutdown).await;
                metrics::gauge!("tandem_leader").set(0.0);
            }
        }
        if let Err(error) = self.store.give_up_role(ROLE, &self.holder).await {
            tracing::warn!(%error, "the role could not be given up; another scheduler leads in a few seconds");
        }
    }

    /// Takes or keeps the role. Returns until when, if this process has it.
    async fn hold(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let until = now.plus(TERM);
        match self.store.hold_role(ROLE, &self.holder, until, now).await {
            Ok(true) => Some(until),
            Ok(false) => None,
            Err(error) => {
                tracing::debug!(%error, "the store cannot say who leads");
                None
            }
        }
    }

    /// Runs the scheduler until the role is lost or the process is to end.
    async fn lead(&self, scheduler: Scheduler, until: Timestamp, shutdown: &CancellationToken) {
        let term = shutdown.child_token();
        let running = tokio::spawn(scheduler.run(term.clone()));
        let mut until = until;
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while term.run_until_cancelled(beats.tick()).await.is_some() && !running.is_finished() {
            // No term ends later than this: the clock was set back meanwhile.
            until = until.min(self.clock.now().plus(TERM));
            match self.hold().await {
                Some(later) => until = later,
                // The store may only be slow: what is held stays held until its time is nearly over.
                None if self.clock.now().plus(MARGIN) >= until => {
                    tracing::warn!("this scheduler leads no more");
                    break;
                }
                None => {}
            }
        }
        term.cancel();
        if let Err(panic) = running.await {
            tracing::error!(%panic, "the scheduler panicked and is started again; please report it");
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_testkit::TestClock;

    use super::*;
    use crate::SchedulerSettings;
    use crate::passes::support::Fixture;

    struct Two {
        fixture: Fixture,
        clock: Arc<TestClock>,
    }

    impl Two {
        async fn open() -> Self {
            let fixture = Fixture::open().await;
            let clock = Arc::new(TestClock::at(fixture.now()));
            Self { fixture, clock }
        }

        fn leader(&self, name: &str) -> Leader {
            Leader::new(
                self.fixture.store.shared(),
                self.clock.clone(),
                name.to_owned(),
            )
        }

        fn scheduler(&self) -> Scheduler {
            Scheduler::new(
                self.fixture.store.shared(),
                self.fixture.bell.clone(),
                self.clock.clone(),
                self.fixture.entropy.clone(),
                &SchedulerSettings::default(),
            )
        }
    }

    #[tokio::test]
    async fn one_leads_and_another_follows_when_its_term_is_over() {
        let two = Two::open().await;
        let (first, second) = (two.leader("first"), two.leader("second"));
        assert!(first.hold().await.is_some());
        assert!(second.hold().await.is_none());
        two.clock.advance(TERM);
        assert!(second.hold().await.is_some());
        assert!(first.hold().await.is_none());
    }

    #[tokio::test]
    async fn a_leader_that_ends_gives_the_role_up() {
        let two = Two::open().await;
        let (first, second) = (two.leader("first"), two.leader("second"));
        let shutdown = CancellationToken::new();
        let until = first.hold().await.expect("nobody else leads");
        shutdown.cancel();
        first.lead(two.scheduler(), until, &shutdown).await;
        first.run(|| two.scheduler(), shutdown).await;
        assert!(second.hold().await.is_some());
    }
}
