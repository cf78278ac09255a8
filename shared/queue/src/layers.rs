//! What is wrapped around each call of the handler, as tower layers: its span, its timeout, and what
//! becomes of panics and of the process' end. None of them ever fails: each turns what happened
//! into an outcome of the job.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures::FutureExt;
use futures::future::BoxFuture;
use tandem_domain::{Disposition, ErrorCode};
use tandem_store::{Failure, JobKind, JobOutcome, Lease, Waiting};
use tokio::sync::mpsc;
use tower::{Layer, Service};
use tracing::{Instrument, error};

use crate::completer::Finished;
use crate::handler::{Handled, JobContext};
use crate::in_flight::Running;
use crate::outcome::outcome_for;
use crate::runner_core::Core;
use crate::telemetry::JobSpans;
use crate::{RunnerConfig, telemetry};

/// One call of the handler, with the layers so far around it.
pub(crate) type Call = BoxFuture<'static, Result<Handled, BoxDynError>>;

/// What the layers need; one for the whole runner.
pub(crate) struct Surroundings {
    pub(crate) core: Arc<Core>,
    pub(crate) finished: mpsc::Sender<Finished>,
}

impl Surroundings {
    /// Innermost: the handler.
    pub(crate) fn call(&self, running: &Running) -> Call {
        let claimed = running.claimed.clone();
        let context = JobContext {
            lease: claimed.lease,
            cancelled: running.cancelled.clone(),
            until: running.until.clone(),
            stopping: self.core.stopping.clone(),
        };
        let handler = Arc::clone(&self.core.parts.handler);
        async move { Ok(handler.handle(claimed, context).await) }.boxed()
    }

    /// Runs the call in a task of its own, so that jobs use all cores.
    pub(crate) fn spawn(self: Arc<Self>, running: Arc<Running>, call: Call) -> Call {
        async move {
            let joined = tokio::spawn(call).await;
            if let Err(panic) = &joined {
                // Not the handler but the layers around it. The lease is renewed no more, so that
                // its end gives the job back to the queue.
                let Lease { job, token } = running.claimed.lease;
                error!(error = %panic, %job, lease = %token, "a defect of the job runner; please report it");
                self.core.in_flight.remove([running.claimed.lease]);
            }
            joined?
        }
        .boxed()
    }

    /// Turns a panic into a failed attempt.
    pub(crate) fn catch_panic(self: Arc<Self>, running: Arc<Running>, call: Call) -> Call {
        async move {
            // Safe to go on after: the handler's own state is behind shared references, and what it
            // left half done in the store is journalled.
            match AssertUnwindSafe(call).catch_unwind().await {
                Ok(result) => result,
                Err(panic) => {
                    let message = format!("the job's code panicked: {}", panic_message(&*panic));
                    error!(message, "a defect of Tandem; please report it");
                    Ok(self.failed(&running, ErrorCode::Internal, message))
                }
            }
        }
        .boxed()
    }

    /// Ends a call that takes too long. Whether its last effect happened is in the journal.
    pub(crate) fn time_out(self: Arc<Self>, running: Arc<Running>, call: Call) -> Call {
        async move {
            let limit = timeout_of(&self.core.config, &running.claimed.job.kind);
            match tokio::time::timeout(limit, call).await {
                Ok(result) => result,
                Err(_elapsed) => {
                    let message = format!("the job did not end within {} s", limit.as_secs_f32());
                    Ok(self.failed(&running, ErrorCode::Unreachable, message))
                }
            }
        }
        .boxed()
    }

    /// Hands the job back instead of starting it when the process is about to end, and drops the call
    /// when the time for finishing is over.
    pub(crate) fn hand_back(self: Arc<Self>, _running: Arc<Running>, call: Call) -> Call {
        async move {
            if self.core.stopping.is_cancelled() {
                return Ok(self.handed_back());
            }
            match self.core.hand_back.run_until_cancelled(call).await {
                Some(result) => result,
                None => Ok(self.handed_back()),
            }
        }
        .boxed()
    }

    /// Makes the job a step of its trace, and names both in all that is logged under it.
    pub(crate) fn span(self: Arc<Self>, running: Arc<Running>, call: Call) -> Call {
        let JobSpans { traced, logged } = JobSpans::of(&running.claimed.job);
        let step = traced.clone();
        async move {
            let handled = call.await?;
            telemetry::traced_end(&step, &handled);
            Ok(handled)
        }
        .instrument(traced)
        .instrument(logged)
        .boxed()
    }

    /// Outermost: passes the outcome on to the completer.
    pub(crate) fn complete(self: Arc<Self>, running: Arc<Running>, call: Call) -> Call {
        async move {
            let handled = call.await?;
            let job = &running.claimed.job;
            let now = self.core.parts.clock.now();
            telemetry::worked(&job.kind, now.since(running.claimed_at));
            self.core.parts.gate.release(job, now);
            match handled {
                Handled::Outcome(outcome) => {
                    let id = job.id;
                    let finished = Finished { running, outcome };
                    if !finished.send(&self.finished).await {
                        error!(job = %id, "the runner has ended; this job comes back when its lease ends");
                    }
                }
                Handled::Settled => {
                    telemetry::finished(&job.kind, telemetry::OUTCOME_SETTLED);
                    self.core.in_flight.remove([running.claimed.lease]);
                    running.free_slot();
                    self.core.freed.notify_one();
                }
            }
            Ok(Handled::Settled)
        }
        .boxed()
    }

    fn handed_back(&self) -> Handled {
        Handled::Outcome(JobOutcome::Snooze {
            run_at: self.core.parts.clock.now(),
            failure: None,
            reason: Waiting::Stopping,
        })
    }

    fn failed(&self, running: &Running, code: ErrorCode, message: String) -> Handled {
        let job = &running.claimed.job;
        let failure = Failure {
            code,
            chain: vec![message],
        };
        Handled::Outcome(outcome_for(
            Disposition::Retry,
            job.attempt,
            &self.core.parts.handler.retry_policy(&job.kind),
            failure,
            self.core.parts.clock.now(),
            self.core.parts.entropy.next_u64(),
        ))
    }
}

const fn timeout_of(config: &RunnerConfig, kind: &JobKind) -> Duration {
    match kind {
        JobKind::Reconcile { .. } | JobKind::Poll { .. } | JobKind::Noop { .. } => {
            config.handler_timeout
        }
        JobKind::Sweep { .. } | JobKind::Backfill { .. } => config.listing_timeout,
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Wraps one call in another.
type Wrap = fn(Arc<Surroundings>, Arc<Running>, Call) -> Call;

/// A tower layer made of one of the functions above.
#[derive(Clone)]
pub(crate) struct Around {
    surroundings: Arc<Surroundings>,
    wrap: Wrap,
}

impl Around {
    pub(crate) fn new(surroundings: &Arc<Surroundings>, wrap: Wrap) -> Self {
        Self {
            surroundings: Arc::clone(surroundings),
            wrap,
        }
    }
}

impl<S> Layer<S> for Around {
    type Service = AroundService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AroundService {
            inner,
            around: self.clone(),
        }
    }
}

/// The service that [`Around`] makes of another.
pub(crate) struct AroundService<S> {
    inner: S,
    around: Around,
}

impl<S> Service<Task<Arc<Running>>> for AroundService<S>
where
    S: Service<Task<Arc<Running>>, Response = Handled>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = Handled;
    type Error = BoxDynError;
    type Future = Call;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Arc<Running>>) -> Self::Future {
        let running = Arc::clone(&task.args);
        let call = self.inner.call(task);
        let call = async move { call.await.map_err(Into::into) }.boxed();
        (self.around.wrap)(Arc::clone(&self.around.surroundings), running, call)
    }
}
