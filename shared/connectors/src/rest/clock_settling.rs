//! Finding out how a system's clock stands before its times are used. The answers to our own requests tell, but the
//! first job of a process would decide by the first of them alone.

use std::time::Duration;

use tandem_domain::Timestamp;
use tokio::sync::Mutex;

use super::RestConnector;
use super::clock_offset::HEARD_ENOUGH;
use crate::clock_state::ClockState;
use crate::connector::{Connector as _, ConnectorError, Listing};

/// A system that did not answer is not asked for its clock again within this: who waits meets that by itself.
const ASKED_AGAIN: Duration = Duration::from_secs(30);

/// When a system last did not answer. One asks at a time, and the others wait for what comes of it.
#[derive(Debug, Default)]
pub(super) struct Settling(Mutex<Option<Timestamp>>);

impl RestConnector {
    /// Asks for first pages until enough answers were heard.
    pub(super) async fn settle(&self) {
        if !self.is_unsettled() {
            return;
        }
        let mut failed_at = self.settling.0.lock().await;
        let now = self.exchange.clock.now();
        if failed_at.is_some_and(|at| at.is_within(ASKED_AGAIN, now)) {
            return;
        }
        let streams = self.streams.keys().cycle();
        for stream in streams.take(HEARD_ENOUGH as usize) {
            if !self.is_unsettled() {
                return;
            }
            // A refusal has a date as well.
            if let Err(
                ConnectorError::Unreachable { .. }
                | ConnectorError::RateLimited { .. }
                | ConnectorError::Unauthorized { .. },
            ) = self.list(stream, &Listing::All, None).await
            {
                break;
            }
        }
        if self.is_unsettled() {
            *failed_at = Some(self.exchange.clock.now());
        }
    }

    fn is_unsettled(&self) -> bool {
        self.exchange.offset.state() == ClockState::Unsettled
    }
}
