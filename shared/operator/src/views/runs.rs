//! Runs.

use serde::{Deserialize, Serialize};
use tandem_domain::{RunId, Side, SyncName, Timestamp};
use tandem_store::{Progress, Run, RunKind, RunState, Trigger};

use super::{when, when_opt};

/// A run of a sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Its number.
    pub number: i64,
    /// The sync.
    pub sync: SyncName,
    /// What it does.
    pub kind: RunKind,
    /// The side, where the kind has one.
    pub side: Option<Side>,
    /// What caused it.
    pub trigger: Trigger,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    #[serde(with = "when")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(with = "when_opt")]
    pub ended_at: Option<Timestamp>,
    /// What it has done.
    pub progress: Progress,
    /// Why it failed or was skipped.
    pub error: Option<String>,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            number: run.number,
            sync: run.sync,
            kind: run.kind,
            side: run.side,
            trigger: run.trigger,
            state: run.state,
            started_at: run.started_at,
            ended_at: run.ended_at,
            progress: run.progress,
            error: run.error,
        }
    }
}
