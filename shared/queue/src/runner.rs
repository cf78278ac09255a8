//! Puts the parts together, and ends them in order.

use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::WorkerError;
use apalis_core::task::Task;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::event::Event;
use futures::future::ready;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use tandem_domain::{Clock, Entropy};
use tandem_store::JobStore;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::backend::Claims;
use crate::claimer::Claimer;
use crate::completer::Completer;
use crate::heartbeat::Heartbeat;
use crate::in_flight::Running;
use crate::layers::{Around, Surroundings};
use crate::runner_core::Core;
use crate::{Doorbell, Gate, JobHandler};

/// How a runner works.
#[derive(Clone, Copy, Debug)]
pub struct RunnerConfig {
    /// So many jobs run at once; at least 1. As many more may be leased while their ends are
    /// written down.
    pub concurrency: usize,
    /// A job whose worker died is taken over after this.
    pub lease: Duration,
    /// The store is asked for jobs at least this often, rung or not.
    pub poll_interval: Duration,
    /// The longest time for a job that looks at one record or one page.
    pub handler_timeout: Duration,
    /// The longest time for a job that lists a whole side.
    pub listing_timeout: Duration,
    /// At the end of the process, jobs have this long to finish before they are handed back.
    pub shutdown_grace: Duration,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            concurrency: 64,
            lease: Duration::from_secs(30),
            poll_interval: Duration::from_secs(1),
            handler_timeout: Duration::from_secs(5 * 60),
            listing_timeout: Duration::from_secs(6 * 60 * 60),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

/// After the grace, so long is left for writing down what is handed back.
const HAND_BACK_WAIT: Duration = Duration::from_secs(5);

/// What a runner works with.
#[derive(Clone)]
pub struct RunnerParts {
    /// Where the jobs are.
    pub store: Arc<dyn JobStore>,
    /// Says that there are some.
    pub doorbell: Arc<dyn Doorbell>,
    /// Keeps back what cannot run now.
    pub gate: Arc<dyn Gate>,
    /// Does them.
    pub handler: Arc<dyn JobHandler>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes lease tokens and jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// Claims and runs jobs until told to stop.
pub struct Runner {
    config: RunnerConfig,
    parts: RunnerParts,
}

/// How a runner ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Jobs whose end could not be written down in time. They come back when their leases end.
    pub abandoned: usize,
}

/// Why a runner ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A part of it panicked; what it had leased comes back when the leases end.
    #[error("a part of the job runner panicked; start the process again, and report the panic")]
    Panicked(#[source] JoinError),
    /// apalis' worker gave up.
    #[error("the job worker failed; start the process again")]
    Worker(#[source] WorkerError),
}

/// The tasks that a runner consists of.
enum Part {
    Claimer,
    Worker(Result<(), WorkerError>),
    Completer,
    Heartbeat,
}

impl Runner {
    /// Prepares a runner; nothing happens before [`Runner::run`].
    #[must_use]
    pub fn new(config: RunnerConfig, parts: RunnerParts) -> Self {
        let concurrency = config.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            config: RunnerConfig {
                concurrency,
                ..config
            },
            parts,
        }
    }

    /// Runs jobs until `shutdown`; then claims no more, lets those in flight finish within the grace,
    /// hands back the rest without counting their attempt, and returns: at the latest 5 s after the
    /// grace.
    pub async fn run(self, shutdown: CancellationToken) -> Result<Drained, RunnerError> {
        let core = Arc::new(Core::new(self.config, self.parts, &shutdown));
        let ended = CancellationToken::new();
        let mut tasks = start(&core, ended.clone());
        let too_late = async {
            core.stopping.cancelled().await;
            tokio::time::sleep(core.config.shutdown_grace).await;
            core.hand_back.cancel();
            tokio::time::sleep(HAND_BACK_WAIT).await;
        };
        let result = tokio::select! {
            result = join(&mut tasks, &core.stopping, &ended) => result,
            () = too_late => Ok(()),
        };
        let abandoned = core.in_flight.len();
        if abandoned > 0 {
            warn!(
                abandoned,
                "some jobs were neither finished nor handed back in time; they come back when their leases end"
            );
        }
        result.map(|()| Drained { abandoned })
    }
}

/// Starts the parts of a runner. `ended` ends the heartbeat, which has to be the last.
fn start(core: &Arc<Core>, ended: CancellationToken) -> JoinSet<Part> {
    let slots = core.config.concurrency;
    let (claimed_tx, claimed) = mpsc::channel(slots);
    let (finished_tx, finished) = mpsc::channel(slots);
    let claimer = Claimer {
        core: Arc::clone(core),
        slots: Arc::new(Semaphore::new(slots)),
        claimed: claimed_tx,
        finished: finished_tx.clone(),
    };
    let surroundings = Surroundings {
        core: Arc::clone(core),
        finished: finished_tx,
    };
    let completer = Completer {
        core: Arc::clone(core),
    };
    let heartbeat = Heartbeat {
        core: Arc::clone(core),
    };
    let events = work(Claims { claimed }, Arc::new(surroundings));
    let worked = events.try_for_each(|_event| ready(Ok(())));
    let mut tasks = JoinSet::new();
    tasks.spawn(claimer.run().map(|()| Part::Claimer));
    tasks.spawn(worked.map(Part::Worker));
    tasks.spawn(completer.run(finished).map(|()| Part::Completer));
    tasks.spawn(heartbeat.run(ended).map(|()| Part::Heartbeat));
    tasks
}

/// Runs what is claimed in apalis' worker, each job in a task of its own, until the claims end and
/// nothing runs any more. Its events say nothing that the layers have not said.
fn work(
    claims: Claims,
    surroundings: Arc<Surroundings>,
) -> BoxStream<'static, Result<Event, WorkerError>> {
    let around = |wrap| Around::new(&surroundings, wrap);
    let inner = Arc::clone(&surroundings);
    // The first layer is the outermost.
    let worker = WorkerBuilder::new("tandem")
        .backend(claims)
        .layer(around(Surroundings::spawn))
        .layer(around(Surroundings::complete))
        .layer(around(Surroundings::span))
        .layer(around(Surroundings::hand_back))
        .layer(around(Surroundings::time_out))
        .layer(around(Surroundings::catch_panic))
        .build(tower::service_fn(move |task: Task<Arc<Running>>| {
            inner.call(&task.args)
        }));
    worker.stream().boxed()
}

/// Waits for the parts, which end one after the other: the claimer when told to, the worker when the
/// claims end, the completer when nobody sends any more. A part that fails ends them all.
async fn join(
    tasks: &mut JoinSet<Part>,
    stopping: &CancellationToken,
    ended: &CancellationToken,
) -> Result<(), RunnerError> {
    let mut result = Ok(());
    while let Some(joined) = tasks.join_next().await {
        let failed = match joined {
            Ok(Part::Claimer | Part::Heartbeat | Part::Worker(Ok(()))) => None,
            Ok(Part::Completer) => {
                ended.cancel();
                None
            }
            Ok(Part::Worker(Err(error))) => Some(RunnerError::Worker(error)),
            Err(panic) => Some(RunnerError::Panicked(panic)),
        };
        if let Some(failed) = failed {
            error!(error = %failed, "the job runner stops");
            stopping.cancel();
            result = result.and(Err(failed));
        }
    }
    result
}
