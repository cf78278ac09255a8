//! Everything at a glance; connections, syncs, schedules.

use serde_json::json;
use tandem_domain::{ConnectionName, JobId, SyncName};
use tandem_operator::views::{ConnectionView, ScheduleView, SyncView};
use tandem_operator::{Start, Status, Switch, SyncStatus};
use tandem_store::ScheduleKey;

use super::remote::{Items, Started, path};
use super::{Desk, Whole};

impl Desk {
    /// Everything at a glance.
    pub async fn status(&self) -> anyhow::Result<Status> {
        match self {
            Self::Local(operator) => Ok(operator.status().await?),
            Self::Remote(remote) => remote.get(path(&["status"]), &Whole {}).await,
        }
    }

    /// All connections.
    pub async fn connections(&self) -> anyhow::Result<Vec<ConnectionView>> {
        match self {
            Self::Local(operator) => Ok(operator.connections().await?),
            Self::Remote(remote) => {
                let list: Items<_> = remote.get(path(&["connections"]), &Whole {}).await?;
                Ok(list.items)
            }
        }
    }

    /// One connection.
    pub async fn connection(&self, name: &ConnectionName) -> anyhow::Result<ConnectionView> {
        match self {
            Self::Local(operator) => Ok(operator.connection(name).await?),
            Self::Remote(remote) => {
                let at = path(&["connections", name.as_str()]);
                remote.get(at, &Whole {}).await
            }
        }
    }

    /// Pauses or resumes a connection.
    pub async fn switch_connection(
        &self,
        name: &ConnectionName,
        switch: Switch,
        because: Option<&str>,
    ) -> anyhow::Result<ConnectionView> {
        match self {
            Self::Local(operator) => Ok(operator.switch_connection(name, switch, because).await?),
            Self::Remote(remote) => {
                let at = path(&["connections", name.as_str(), switch_word(switch)]);
                remote.post(at, &json!({ "because": because })).await
            }
        }
    }

    /// Has a system tried again at once.
    pub async fn reset_connection(&self, name: &ConnectionName) -> anyhow::Result<ConnectionView> {
        match self {
            Self::Local(operator) => Ok(operator.reset_connection(name).await?),
            Self::Remote(remote) => {
                let at = path(&["connections", name.as_str(), "reset"]);
                remote.post(at, &json!({})).await
            }
        }
    }

    /// All syncs.
    pub async fn syncs(&self) -> anyhow::Result<Vec<SyncView>> {
        match self {
            Self::Local(operator) => Ok(operator.syncs().await?),
            Self::Remote(remote) => {
                let list: Items<_> = remote.get(path(&["syncs"]), &Whole {}).await?;
                Ok(list.items)
            }
        }
    }

    /// How one sync stands.
    pub async fn sync_status(&self, name: &SyncName) -> anyhow::Result<SyncStatus> {
        match self {
            Self::Local(operator) => Ok(operator.sync_status(name).await?),
            Self::Remote(remote) => remote.get(path(&["syncs", name.as_str()]), &Whole {}).await,
        }
    }

    /// Pauses or resumes a sync.
    pub async fn switch_sync(
        &self,
        name: &SyncName,
        switch: Switch,
        because: Option<&str>,
    ) -> anyhow::Result<SyncView> {
        match self {
            Self::Local(operator) => Ok(operator.switch_sync(name, switch, because).await?),
            Self::Remote(remote) => {
                let at = path(&["syncs", name.as_str(), switch_word(switch)]);
                remote.post(at, &json!({ "because": because })).await
            }
        }
    }

    /// Starts something by hand.
    pub async fn start(&self, sync: &SyncName, start: Start) -> anyhow::Result<JobId> {
        match self {
            Self::Local(operator) => Ok(operator.start(sync, start).await?),
            Self::Remote(remote) => {
                let body = match start {
                    Start::Backfill => json!({ "what": "backfill" }),
                    Start::Poll(side) => json!({ "what": "poll", "side": side }),
                    Start::Sweep(side) => json!({ "what": "sweep", "side": side }),
                };
                let at = path(&["syncs", sync.as_str(), "start"]);
                let started: Started = remote.post(at, &body).await?;
                Ok(started.job)
            }
        }
    }

    /// The schedules, of one sync or of all.
    pub async fn schedules(&self, sync: Option<&SyncName>) -> anyhow::Result<Vec<ScheduleView>> {
        match self {
            Self::Local(operator) => Ok(operator.schedules(sync).await?),
            Self::Remote(remote) => {
                let query = json!({ "sync": sync });
                let list: Items<_> = remote.get(path(&["schedules"]), &query).await?;
                Ok(list.items)
            }
        }
    }

    /// Pauses or resumes a schedule.
    pub async fn switch_schedule(
        &self,
        key: &ScheduleKey,
        switch: Switch,
    ) -> anyhow::Result<ScheduleView> {
        match self {
            Self::Local(operator) => Ok(operator.switch_schedule(key, switch).await?),
            Self::Remote(remote) => {
                let at = schedule_path(key, switch_word(switch));
                remote.post(at, &json!({})).await
            }
        }
    }

    /// Starts what a schedule starts.
    pub async fn trigger_schedule(&self, key: &ScheduleKey) -> anyhow::Result<JobId> {
        match self {
            Self::Local(operator) => Ok(operator.trigger_schedule(key).await?),
            Self::Remote(remote) => {
                let started: Started = remote
                    .post(schedule_path(key, "trigger"), &json!({}))
                    .await?;
                Ok(started.job)
            }
        }
    }
}

fn schedule_path(key: &ScheduleKey, verb: &str) -> Vec<String> {
    path(&["schedules", key.sync.as_str(), key.purpose.as_str(), verb])
}

const fn switch_word(switch: Switch) -> &'static str {
    match switch {
        Switch::Pause => "pause",
        Switch::Resume => "resume",
    }
}
