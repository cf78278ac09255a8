//! The budget of a process that has a connection to itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use metrics::SharedString;
use tandem_domain::{Clock, Timestamp};

use super::{
    BudgetFactory, BudgetRefusal, Ledger, Observation, RateLimits, RefusalCause, RequestBudget,
    WAIT_MAX, note_remaining,
};

/// A budget kept in memory: it starts full, and a restart forgets it.
pub struct LocalBudget {
    connection: SharedString,
    ledger: Mutex<Ledger>,
    clock: Arc<dyn Clock>,
}

/// Gives each connection a [`LocalBudget`].
pub struct LocalBudgets {
    clock: Arc<dyn Clock>,
}

impl LocalBudget {
    /// The budget of a connection.
    #[must_use]
    pub fn new(connection: &str, limits: RateLimits, clock: Arc<dyn Clock>) -> Self {
        Self {
            connection: SharedString::from_shared(connection.into()),
            ledger: Mutex::new(Ledger::full(limits)),
            clock,
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic cannot leave it half changed: its methods call nothing that panics.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of a pause, and how long to wait for a turn.
    fn turn(&self) -> Result<(Timestamp, Duration), BudgetRefusal> {
        let now = self.clock.now();
        let mut ledger = self.ledger();
        let wait = ledger.take(now, WAIT_MAX);
        note_remaining(&self.connection, ledger.remaining(now));
        Ok((ledger.paused_until(), wait?))
    }
}

#[async_trait]
impl RequestBudget for LocalBudget {
    async fn acquire(&self) -> Result<(), BudgetRefusal> {
        let (paused_until, wait) = self.turn()?;
        if wait.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(wait).await;
        let ledger = self.ledger();
        if ledger.paused_until() > paused_until {
            return Err(BudgetRefusal {
                retry_after: ledger.pause_left(self.clock.now()),
                cause: RefusalCause::Paused,
            });
        }
        Ok(())
    }

    async fn told_to_wait(&self, retry_after: Duration) {
        self.ledger().pause(self.clock.now(), retry_after);
    }

    fn paused_until(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let mut ledger = self.ledger();
        ledger.follow(now);
        Some(ledger.paused_until()).filter(|until| *until > now)
    }

    async fn lift_pause(&self) {
        self.ledger().lift_pause();
    }

    async fn observed(&self, seen: &Observation) {
        self.ledger().observe(self.clock.now(), seen);
    }
}

impl LocalBudgets {
    /// Budgets that go by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl BudgetFactory for LocalBudgets {
    fn budget(&self, connection: &str, limits: RateLimits) -> Arc<dyn RequestBudget> {
        Arc::new(LocalBudget::new(connection, limits, self.clock.clone()))
    }
}
