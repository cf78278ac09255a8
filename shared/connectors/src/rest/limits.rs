//! What every request passes before it is sent, and what its answer says about the next ones.

use std::time::Duration;

use http::HeaderMap;
use tandem_domain::Timestamp;
use tokio::sync::SemaphorePermit;

use super::errors::Operation;
use super::exchange::Exchange;
use crate::budget::{note_limited, observations};
use crate::connector::ConnectorError;

/// Held back by our own limits, a job asks again after this long at the earliest.
const REFUSAL_FLOOR: Duration = Duration::from_millis(100);
/// The cause in metrics for an answer that asks to slow down.
const ANSWERED: &str = "answer";

impl Exchange {
    /// Waits until a request may be sent: for one of those under way to end, and for the budget.
    ///
    /// # Errors
    /// [`ConnectorError::RateLimited`] when the wait would be too long to hold a worker. Nothing was sent.
    pub(super) async fn admit(&self) -> Result<SemaphorePermit<'_>, ConnectorError> {
        let Ok(turn) = self.at_once.acquire().await else {
            // The semaphore is never closed.
            unreachable!()
        };
        self.budget.acquire().await.map_err(|refusal| {
            note_limited(&self.label, refusal.cause.as_str());
            ConnectorError::RateLimited {
                system: self.system.clone(),
                retry_after: refusal.retry_after.max(REFUSAL_FLOOR),
            }
        })?;
        Ok(turn)
    }

    /// A refusal with the wait that is kept, whatever the answer asks for.
    pub(super) fn restrained(
        &self,
        operation: &Operation<'_>,
        sent: Timestamp,
        error: ConnectorError,
    ) -> ConnectorError {
        let wait = |asked| {
            let now = self.clock.now();
            self.restraint.refused(operation.writes, sent, now, asked)
        };
        match error {
            ConnectorError::RateLimited {
                system,
                retry_after,
            } => ConnectorError::RateLimited {
                system,
                retry_after: wait(retry_after),
            },
            ConnectorError::Unreachable {
                system,
                reason,
                retry_after: Some(asked),
            } => ConnectorError::Unreachable {
                system,
                reason,
                retry_after: Some(wait(asked)),
            },
            other => other,
        }
    }

    /// Tells the budget what the headers of an answer say is left.
    pub(super) async fn observe_limits(&self, headers: &HeaderMap) {
        let Some(limit) = &self.manifest.rate_limit else {
            return;
        };
        for seen in observations(&limit.value, headers, self.clock.now()) {
            self.budget.observed(&seen).await;
        }
    }

    /// Passes on that an answer asked to wait, so that no request of the connection starts before.
    pub(super) async fn heed(&self, error: &ConnectorError) {
        if let Some(wait) = asked_to_wait(error) {
            self.budget.told_to_wait(wait).await;
        }
        if matches!(error, ConnectorError::RateLimited { .. }) {
            note_limited(&self.label, ANSWERED);
        }
    }
}

fn asked_to_wait(error: &ConnectorError) -> Option<Duration> {
    match error {
        ConnectorError::RateLimited { retry_after, .. } => Some(*retry_after),
        ConnectorError::Unreachable { retry_after, .. } => *retry_after,
        ConnectorError::Unauthorized { .. }
        | ConnectorError::Refused { .. }
        | ConnectorError::VersionConflict { .. }
        | ConnectorError::NotFound { .. }
        | ConnectorError::ResponseLost { .. }
        | ConnectorError::Malformed { .. }
        | ConnectorError::Unreadable { .. }
        | ConnectorError::Endless { .. }
        | ConnectorError::RightEnded { .. }
        | ConnectorError::Misconfigured { .. } => None,
    }
}
