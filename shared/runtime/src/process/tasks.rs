//! The long-running parts of a process. None should end before it is told to; when one does, the
//! process ends, so that whatever supervises it starts it afresh.

use std::future::Future;

use tokio::task::JoinSet;

/// Why a part ended.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It ended though nobody had told it to.
    #[error("{0} has ended by itself; this is a defect of Tandem, please report it")]
    Ended(&'static str),
    /// It failed.
    #[error("{part} has failed: {reason}")]
    Failed {
        /// The part.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// It panicked.
    #[error("a part of the process panicked: {0}; please report it")]
    Panicked(String),
}

/// The long-running parts of a process.
#[derive(Default)]
pub struct Tasks {
    running: JoinSet<(&'static str, Result<(), String>)>,
}

impl Tasks {
    /// Starts a part.
    pub fn spawn<E: std::fmt::Display>(
        &mut self,
        part: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.running.spawn(async move {
            // The text is all that is done with it, and the alternate form has the causes.
            (part, task.await.map_err(|error| format!("{error:#}")))
        });
    }

    /// Starts a part that cannot fail.
    pub fn spawn_endless(
        &mut self,
        part: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.running.spawn(async move {
            task.await;
            (part, Ok(()))
        });
    }

    /// Resolves when a part has ended before it was told to.
    pub async fn failed(&mut self) -> TaskError {
        match self.running.join_next().await {
            Some(Ok((part, Ok(())))) => TaskError::Ended(part),
            Some(Ok((part, Err(reason)))) => TaskError::Failed { part, reason },
            Some(Err(panic)) => TaskError::Panicked(panic.to_string()),
            None => TaskError::Ended("the process"),
        }
    }

    /// Waits for all parts, which have been told to end. The first that failed is reported.
    ///
    /// # Errors
    /// [`TaskError`] of the first part that failed.
    pub async fn join(mut self) -> Result<(), TaskError> {
        let mut result = Ok(());
        while let Some(ended) = self.running.join_next().await {
            let ended = match ended {
                Ok((_, Ok(()))) => Ok(()),
                Ok((part, Err(reason))) => Err(TaskError::Failed { part, reason }),
                Err(panic) => Err(TaskError::Panicked(panic.to_string())),
            };
            result = result.and(ended);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_by_itself_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn_endless("the sleeper", std::future::pending());
        tasks.spawn("the runner", async { Err("out of breath") });
        let error = tasks.failed().await.to_string();
        assert_eq!(error, "the runner has failed: out of breath");
    }
}
