//! What can be done with a dead letter as things stand: what would do nothing is not offered, and why not is said.

use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, SyncName};
use tandem_store::{Event, EventState, Job, JobState};

use crate::{Operator, OperatorError};

/// The verbs that do something for a dead letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offers {
    /// Whether it can be replayed.
    pub replay: bool,
    /// Whether it can be discarded.
    pub discard: bool,
    /// Why one of them is not offered, or why a replay would wait, in a sentence.
    pub because: Option<String>,
}

impl Offers {
    fn nothing(because: String) -> Self {
        Self {
            because: Some(because),
            ..Self::default()
        }
    }

    fn only_discarding(because: String) -> Self {
        Self {
            discard: true,
            ..Self::nothing(because)
        }
    }

    const fn all(because: Option<String>) -> Self {
        Self {
            replay: true,
            discard: true,
            because,
        }
    }
}

impl Operator {
    /// What can be done with a job that gave up.
    pub(super) async fn offers_of_job(&self, job: &Job) -> Result<Offers, OperatorError> {
        if job.state != JobState::Dead {
            return Ok(Offers::nothing(format!(
                "it is no dead letter any more: the job is {}",
                job.state.as_str()
            )));
        }
        let Some(sync) = job.kind.sync() else {
            return Ok(Offers::all(None));
        };
        if let Some(because) = self.no_sync(sync).await? {
            return Ok(Offers::only_discarding(because));
        }
        let standstill = self.standstill(sync).await?;
        let waits = standstill.map(|words| format!("a replay would wait: {words}"));
        Ok(Offers::all(waits))
    }

    /// Why no job of a sync is ever run, if there is no such sync any more.
    pub(super) async fn no_sync(&self, sync: &SyncName) -> Result<Option<String>, OperatorError> {
        match self.known_sync(sync).await {
            Ok(_) => Ok(None),
            Err(OperatorError::NotFound { .. }) => Ok(Some(format!(
                "the sync `{sync}` was removed, so that nothing would run the job; apply a configuration that names it again \
                 to have it replayed"
            ))),
            Err(error) => Err(error),
        }
    }

    /// What can be done with an event.
    pub(super) async fn offers_of_event(&self, event: &Event) -> Result<Offers, OperatorError> {
        if event.state != EventState::Quarantined {
            return Ok(Offers::nothing(
                "it is no dead letter any more: the event is not in quarantine".to_owned(),
            ));
        }
        let gone = self.no_connection(&event.connection).await?;
        Ok(gone.map_or_else(|| Offers::all(None), Offers::only_discarding))
    }

    async fn no_connection(
        &self,
        connection: &ConnectionName,
    ) -> Result<Option<String>, OperatorError> {
        match self.known_connection(connection).await {
            Ok(_) => Ok(None),
            Err(OperatorError::NotFound { .. }) => Ok(Some(format!(
                "the connection `{connection}` was removed, so that nothing could read the event; apply a configuration that \
                 names it again to have it replayed"
            ))),
            Err(error) => Err(error),
        }
    }
}
