//! The meeting place: the connection to Redis, and what is known of the other processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ScriptInvocation};
use tandem_connectors::budget::{BudgetFactory, Place, RateLimits, RequestBudget};
use tandem_domain::Clock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::beat;
use crate::budget::FleetBudget;
use crate::link::Link;
use crate::scripts::{Keys, Scripts};
use crate::settings::{FleetError, FleetSettings, Timings};

/// The greatest size of the fleet counts for this long: a process that ended may only be cut off.
const SIZE_REMEMBERED: Duration = Duration::from_secs(600);

/// The budgets of this process, by connection.
pub(crate) type Registry = Mutex<BTreeMap<String, Arc<FleetBudget>>>;

/// Gives connections the budgets that the fleet shares.
///
/// Dropping it ends the beats of this process; its budgets then go by their share.
pub struct FleetBudgets {
    fleet: Arc<Fleet>,
    registry: Arc<Registry>,
    stop: CancellationToken,
}

/// What the budgets of a process have in common.
pub(crate) struct Fleet {
    pub(crate) settings: FleetSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scripts: Scripts,
    pub(crate) keys: Keys,
    client: redis::Client,
    line: Mutex<Line>,
    link: watch::Sender<Link>,
    standing: Mutex<Standing>,
    nudge: Notify,
}

/// The connection. The number tells it from earlier ones, whose failures no longer matter.
#[derive(Default)]
struct Line {
    number: u64,
    connection: Option<MultiplexedConnection>,
}

/// What the last beats said.
struct Standing {
    /// When the last question was asked that Redis answered.
    contact: Instant,
    rank: u64,
    greatest: (u64, Instant),
}

impl FleetBudgets {
    /// Begins to take part. Redis need not be there yet.
    ///
    /// # Errors
    /// When the address of Redis is none.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(settings: FleetSettings, clock: Arc<dyn Clock>) -> Result<Self, FleetError> {
        let client =
            redis::Client::open(settings.redis_url.as_str()).map_err(FleetError::Address)?;
        let now = Instant::now();
        let fleet = Arc::new(Fleet {
            keys: Keys::new(&settings.namespace),
            scripts: Scripts::new(),
            settings,
            clock,
            client,
            line: Mutex::default(),
            link: watch::Sender::new(Link::Lost),
            standing: Mutex::new(Standing {
                contact: now,
                rank: 0,
                greatest: (1, now),
            }),
            nudge: Notify::new(),
        });
        let registry = Arc::new(Registry::default());
        let stop = CancellationToken::new();
        tokio::spawn(beat::keep_beating(
            fleet.clone(),
            registry.clone(),
            stop.clone(),
        ));
        Ok(Self {
            fleet,
            registry,
            stop,
        })
    }

    /// Leaves the fleet at once, so that the others need not leave this process a share. To be called
    /// when no more requests are sent.
    pub async fn leave(&self) {
        self.stop.cancel();
        self.fleet.leave().await;
    }
}

impl Drop for FleetBudgets {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl BudgetFactory for FleetBudgets {
    /// The same connection with the same limits keeps its budget, also under a new configuration.
    fn budget(&self, connection: &str, limits: RateLimits) -> Arc<dyn RequestBudget> {
        let mut registry = lock(&self.registry);
        if let Some(budget) = registry.get(connection).filter(|b| b.keeps(&limits)) {
            return budget.clone();
        }
        let budget = Arc::new(FleetBudget::new(connection, limits, self.fleet.clone()));
        registry.insert(connection.to_owned(), budget.clone());
        budget
    }
}

impl Fleet {
    pub(crate) const fn timings(&self) -> &Timings {
        &self.settings.timings
    }

    /// The state of the link, and its changes.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Waits until somebody needs Redis to be asked at once.
    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Runs a script. `None`: Redis did not answer in time, and counts as away.
    pub(crate) async fn call(&self, script: &ScriptInvocation<'_>) -> Option<Vec<i64>> {
        let (number, mut connection) = {
            let line = lock(&self.line);
            (line.number, line.connection.clone()?)
        };
        let asked = Instant::now();
        let answer = script.invoke_async(&mut connection);
        match tokio::time::timeout(self.timings().answer, answer).await {
            Ok(Ok(numbers)) => {
                let mut standing = lock(&self.standing);
                standing.contact = standing.contact.max(asked);
                Some(numbers)
            }
            Ok(Err(error)) => self.lost(number, &error.to_string()),
            Err(_) => self.lost(number, "no answer in time"),
        }
    }

    /// Makes a connection where there is none. Whether there is one now.
    pub(crate) async fn connect(&self) -> bool {
        if lock(&self.line).connection.is_some() {
            return true;
        }
        let timings = self.timings();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timings.connect))
            .set_response_timeout(Some(timings.answer));
        let client = &self.client;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(timings.connect, connecting).await {
            Ok(Ok(connection)) => {
                let mut line = lock(&self.line);
                line.number += 1;
                line.connection = Some(connection);
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "Redis is still away");
                false
            }
            Err(_) => false,
        }
    }

    fn lost<T>(&self, number: u64, reason: &str) -> Option<T> {
        {
            let mut line = lock(&self.line);
            if line.number != number {
                return None;
            }
            line.connection = None;
        }
        let news = self.set(Link::Lost);
        if news {
            tracing::warn!(
                reason,
                "Redis does not answer; requests keep to this process's share of the rate limits"
            );
            self.nudge.notify_one();
        }
        None
    }

    /// Another span has begun than the one that was gone by.
    pub(crate) fn moved(&self, span: i64) {
        let moved = self.link.send_if_modified(|link| {
            let here = *link == Link::Joined { span };
            if here {
                *link = Link::Joining;
            }
            here
        });
        if moved {
            self.nudge.notify_one();
        }
    }

    /// Goes by this from now on. Whether it is news.
    pub(crate) fn set(&self, state: Link) -> bool {
        self.link.send_if_modified(|link| {
            let news = *link != state;
            *link = state;
            news
        })
    }

    /// What a beat said of the fleet.
    pub(crate) fn counted(&self, size: u64, rank: u64) {
        let now = Instant::now();
        let mut standing = lock(&self.standing);
        standing.rank = rank;
        let (greatest, since) = standing.greatest;
        if size >= greatest || now - since > SIZE_REMEMBERED {
            standing.greatest = (size, now);
        }
    }

    /// What part of the limits is this process's own.
    pub(crate) fn place(&self) -> Place {
        let standing = lock(&self.standing);
        let hint = u64::from(self.settings.fleet_size_hint.max(1));
        Place {
            rank: standing.rank,
            of: standing.greatest.0.max(hint),
        }
    }

    /// When the others leave this process its share, if Redis stays away.
    pub(crate) fn share_from(&self) -> Instant {
        lock(&self.standing).contact + self.timings().share_after
    }

    async fn leave(&self) {
        let connection = lock(&self.line).connection.clone();
        let Some(mut connection) = connection else {
            return;
        };
        let mut command = redis::cmd("ZREM");
        command.arg(&self.keys.members).arg(&self.settings.process);
        let left = command.query_async::<()>(&mut connection).await;
        if let Err(error) = left {
            tracing::debug!(%error, "the others find out by themselves that this process has left");
        }
    }
}

/// A panic cannot leave what these locks hold half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
