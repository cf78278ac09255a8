//! The port that holds requests back so that a system's rate limits are kept.
//!
//! A [`RequestBudget`] is asked before every request of a connection, sign-ins and further pages included,
//! and told what the answers say about limits. [`LocalBudget`] keeps the limits for one process; a fleet
//! gives connections budgets of its own through a [`BudgetFactory`]. What a system allows stands in its
//! manifest ([`RateLimit`]) and becomes [`RateLimits`] together with the connection's own settings.
//!
//! Limits on requests that are under way at once are no budget: they are kept where requests are sent.

mod bucket;
mod headers;
mod hours;
mod ledger;
mod limits;
mod local;
mod spec;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::Timestamp;

pub use bucket::{Bucket, Place};
pub use headers::observations;
pub use hours::Hours;
pub use ledger::Ledger;
pub use limits::RateLimits;
pub use local::{LocalBudget, LocalBudgets};
pub use spec::{BucketSpec, DAILY, DailySpec, RateHeader, RateLimit};
pub(crate) use telemetry::note_limited;
pub use telemetry::note_remaining;

/// A request waits this long for its turn; beyond that the job goes back and its worker does something else.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// Why a request may not start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// The system asked to wait, in this or another process.
    Paused,
    /// A bucket has no request left for longer than a request may wait.
    Bucket,
    /// The requests of a day are used up.
    Daily,
    /// The fleet's common count cannot be reached, and this process has no share of its own.
    Alone,
}

impl RefusalCause {
    /// The word for it in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Bucket => "bucket",
            Self::Daily => "daily",
            Self::Alone => "alone",
        }
    }
}

/// A request that may not start now. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit allows no request for {} ms", retry_after.as_millis())]
pub struct BudgetRefusal {
    /// When it is worth asking again.
    pub retry_after: Duration,
    /// Which limit it is.
    pub cause: RefusalCause,
}

/// What an answer says is left of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The bucket's name, or [`DAILY`].
    pub limit: String,
    /// How many more requests the system takes before the limit is reached.
    pub remaining: u64,
    /// When there will be more, if the answer says so.
    pub resets_in: Option<Duration>,
}

/// What every request of a connection is taken from.
#[async_trait]
pub trait RequestBudget: Send + Sync {
    /// Takes one request out of the budget, waiting for it no longer than about [`WAIT_MAX`].
    ///
    /// # Errors
    /// [`BudgetRefusal`] when the wait would be longer; nothing is taken then.
    async fn acquire(&self) -> Result<(), BudgetRefusal>;

    /// The system asked to wait: no request starts before that, in any process that shares the budget.
    /// A shorter wait never ends a longer one.
    async fn told_to_wait(&self, retry_after: Duration);

    /// Until when no request starts because the system asked to wait, if that is not over.
    fn paused_until(&self) -> Option<Timestamp>;

    /// An operator says that the system is not to be waited for: requests start again, in every process that shares
    /// the budget. What was counted stays.
    async fn lift_pause(&self);

    /// An answer said what is left. It can only lower what the budget holds.
    async fn observed(&self, seen: &Observation);
}

/// Makes the budgets of connections.
pub trait BudgetFactory: Send + Sync {
    /// The budget of a connection.
    fn budget(&self, connection: &str, limits: RateLimits) -> Arc<dyn RequestBudget>;
}
