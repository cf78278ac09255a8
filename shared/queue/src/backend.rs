//! The source of tasks for apalis' worker: what the claimer claimed.
//!
//! Backends that come with apalis keep their own tables and acknowledge each task by itself; here the
//! truth is our rows, claimed and ended in batches, so this backend only passes on.

use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::error::WorkerError;
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::worker::context::WorkerContext;
use tokio::sync::mpsc;
use tower::layer::util::Identity;

use crate::in_flight::Running;

/// Yields claimed jobs until the claimer stops; the worker then finishes what runs and ends.
pub(crate) struct Claims {
    pub(crate) claimed: mpsc::Receiver<Arc<Running>>,
}

impl Backend for Claims {
    type Task = Task<Arc<Running>>;
    type Error = WorkerError;

    fn poll_ready(
        &mut self,
        _cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        self.claimed
            .poll_recv(cx)
            .map(|next| next.map(|running| Ok(TaskBuilder::new(running).build())))
    }

    fn poll_close(
        &mut self,
        _cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        // Called once nothing runs any more. Without the stop, apalis' worker waits for one forever
        // after its backend has ended.
        Poll::Ready(worker.stop())
    }
}

impl BackendConfig for Claims {
    type Args = Arc<Running>;
    type Id = ();
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> Self::Layer {
        Identity::new()
    }
}
