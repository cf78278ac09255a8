//! Questions, and the answers to them.

use serde_json::json;
use tandem_domain::ConflictId;
use tandem_operator::views::{ConflictView, Page};
use tandem_operator::{Confirmed, ConflictQuery, Resolved};
use tandem_store::Resolution;

use super::remote::path;
use super::{Desk, Whole};

/// Questions answered in one request: each is checked with the systems first.
const IDS_AT_ONCE: usize = 20;

impl Desk {
    /// Questions, newest first.
    pub async fn conflicts(&self, query: ConflictQuery) -> anyhow::Result<Page<ConflictView>> {
        match self {
            Self::Local(operator) => Ok(operator.conflicts(query).await?),
            Self::Remote(remote) => remote.get(path(&["conflicts"]), &query).await,
        }
    }

    /// One question.
    pub async fn conflict(&self, id: ConflictId) -> anyhow::Result<ConflictView> {
        match self {
            Self::Local(operator) => Ok(operator.conflict(id).await?),
            Self::Remote(remote) => {
                remote
                    .get(path(&["conflicts", &id.to_string()]), &Whole {})
                    .await
            }
        }
    }

    /// All questions that match.
    pub async fn all_conflicts(&self, query: &ConflictQuery) -> anyhow::Result<Vec<ConflictView>> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = self
                .conflicts(ConflictQuery {
                    cursor,
                    limit: Some(tandem_store::PAGE_ROWS_MAX),
                    ..query.clone()
                })
                .await?;
            all.extend(page.items);
            let Some(next) = page.next else {
                return Ok(all);
            };
            cursor = Some(next.parse()?);
        }
    }

    /// Answers many questions alike.
    pub async fn resolve_all(
        &self,
        ids: &[ConflictId],
        resolution: &Resolution,
    ) -> anyhow::Result<Resolved> {
        let remote = match self {
            Self::Local(operator) => return Ok(operator.resolve_all(ids, resolution).await?),
            Self::Remote(remote) => remote,
        };
        let mut whole = Resolved::default();
        for ids in ids.chunks(IDS_AT_ONCE) {
            let body = json!({ "ids": ids, "answer": resolution });
            let part: Resolved = remote.post(path(&["conflicts", "resolve"]), &body).await?;
            whole.resolved.extend(part.resolved);
            whole.skipped.extend(part.skipped);
            let waits = part.waits.into_iter();
            let new: Vec<_> = waits.filter(|one| !whole.waits.contains(one)).collect();
            whole.waits.extend(new);
        }
        Ok(whole)
    }

    /// Takes `ignore` back.
    pub async fn reopen(&self, id: ConflictId) -> anyhow::Result<ConflictView> {
        match self {
            Self::Local(operator) => Ok(operator.reopen(id).await?),
            Self::Remote(remote) => {
                let at = path(&["conflicts", &id.to_string(), "reopen"]);
                remote.post(at, &json!({})).await
            }
        }
    }

    /// Answers a question.
    pub async fn resolve(
        &self,
        id: ConflictId,
        resolution: Resolution,
        confirmed: Confirmed,
    ) -> anyhow::Result<ConflictView> {
        match self {
            Self::Local(operator) => Ok(operator.resolve_when(id, resolution, confirmed).await?),
            Self::Remote(remote) => {
                let at = path(&["conflicts", &id.to_string(), "resolve"]);
                let mut body = serde_json::to_value(&resolution)?;
                if confirmed.0 && matches!(resolution, Resolution::LinkTo { .. }) {
                    body["confirm"] = true.into();
                }
                remote.post(at, &body).await
            }
        }
    }
}
