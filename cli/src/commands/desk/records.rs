//! Jobs, runs, links, changes, the story of a record.

use serde::Serialize;
use serde_json::json;
use tandem_domain::{JobId, LinkId, RecordId, RunId, Side, SyncName};
use tandem_operator::views::{ChangeView, JobDetail, JobView, LinkView, Page, RunView};
use tandem_operator::{ChangeQuery, Confirmed, JobQuery, LinkingView, RunQuery, Story};

use tandem_store::LinkStanding;

use super::remote::path;
use super::{Desk, Whole};

/// Which part of a list of links.
#[derive(Serialize)]
struct LinksQuery {
    state: Option<LinkStanding>,
    cursor: Option<LinkId>,
    limit: Option<usize>,
}

/// Which record.
#[derive(Serialize)]
struct ExplainQuery<'a> {
    record: &'a RecordId,
    side: Option<Side>,
}

impl Desk {
    /// Jobs, newest first.
    pub async fn jobs(&self, query: JobQuery) -> anyhow::Result<Page<JobView>> {
        match self {
            Self::Local(operator) => Ok(operator.jobs(query).await?),
            Self::Remote(remote) => remote.get(path(&["jobs"]), &query).await,
        }
    }

    /// One job.
    pub async fn job(&self, id: JobId) -> anyhow::Result<JobDetail> {
        match self {
            Self::Local(operator) => Ok(operator.job(id).await?),
            Self::Remote(remote) => {
                remote
                    .get(path(&["jobs", &id.to_string()]), &Whole {})
                    .await
            }
        }
    }

    /// Runs, newest first.
    pub async fn runs(&self, query: RunQuery) -> anyhow::Result<Page<RunView>> {
        match self {
            Self::Local(operator) => Ok(operator.runs(query).await?),
            Self::Remote(remote) => remote.get(path(&["runs"]), &query).await,
        }
    }

    /// One run.
    pub async fn run(&self, id: RunId) -> anyhow::Result<RunView> {
        match self {
            Self::Local(operator) => Ok(operator.run(id).await?),
            Self::Remote(remote) => {
                remote
                    .get(path(&["runs", &id.to_string()]), &Whole {})
                    .await
            }
        }
    }

    /// Links of a sync in the order of their making.
    pub async fn links(
        &self,
        sync: &SyncName,
        state: Option<LinkStanding>,
        cursor: Option<LinkId>,
        limit: Option<usize>,
    ) -> anyhow::Result<Page<LinkView>> {
        match self {
            Self::Local(operator) => Ok(operator.links(sync, state, cursor, limit).await?),
            Self::Remote(remote) => {
                let query = LinksQuery {
                    state,
                    cursor,
                    limit,
                };
                remote
                    .get(path(&["syncs", sync.as_str(), "links"]), &query)
                    .await
            }
        }
    }

    /// One link.
    pub async fn link(&self, id: LinkId) -> anyhow::Result<LinkView> {
        match self {
            Self::Local(operator) => Ok(operator.link(id).await?),
            Self::Remote(remote) => {
                remote
                    .get(path(&["links", &id.to_string()]), &Whole {})
                    .await
            }
        }
    }

    /// What linking two records by hand would do; an error where it cannot be done.
    pub async fn linking(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
    ) -> anyhow::Result<LinkingView> {
        match self {
            Self::Local(operator) => Ok(operator.linking(sync, a, b).await?),
            Self::Remote(remote) => {
                let at = path(&["syncs", sync.as_str(), "links", "preview"]);
                remote.get(at, &json!({ "a": a, "b": b })).await
            }
        }
    }

    /// Links two records by hand, as somebody who has seen what that would do.
    pub async fn link_by_hand(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
    ) -> anyhow::Result<LinkView> {
        match self {
            Self::Local(operator) => Ok(operator.link_by_hand(sync, a, b, Confirmed(true)).await?),
            Self::Remote(remote) => {
                let at = path(&["syncs", sync.as_str(), "links"]);
                let body = json!({ "a": a, "b": b, "confirm": true });
                remote.post(at, &body).await
            }
        }
    }

    /// Takes a pair apart.
    pub async fn unlink_by_hand(&self, id: LinkId) -> anyhow::Result<LinkView> {
        match self {
            Self::Local(operator) => Ok(operator.unlink_by_hand(id).await?),
            Self::Remote(remote) => {
                let at = path(&["links", &id.to_string(), "unlink"]);
                remote.post(at, &json!({})).await
            }
        }
    }

    /// The change log, newest first.
    pub async fn changes(&self, query: ChangeQuery) -> anyhow::Result<Page<ChangeView>> {
        match self {
            Self::Local(operator) => Ok(operator.changes(query).await?),
            Self::Remote(remote) => remote.get(path(&["changes"]), &query).await,
        }
    }

    /// The story of a record.
    pub async fn explain(
        &self,
        sync: &SyncName,
        side: Option<Side>,
        record: &RecordId,
    ) -> anyhow::Result<Story> {
        match self {
            Self::Local(operator) => Ok(operator.explain(sync, side, record).await?),
            Self::Remote(remote) => {
                let query = ExplainQuery { record, side };
                remote
                    .get(path(&["syncs", sync.as_str(), "explain"]), &query)
                    .await
            }
        }
    }
}
