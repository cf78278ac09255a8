//! Events and dead letters.

use serde_json::json;
use tandem_domain::{EventId, JobId};
use tandem_operator::views::{EventDetail, EventView, Page};
use tandem_operator::{
    DeadLetter, DeadLetterDetail, DeadLetterGroups, DeadLetterId, DeadLetterQuery, Discarded,
    EventQuery, Replayed,
};
use tandem_store::Edits;

use super::remote::path;
use super::{Desk, Whole};

/// Dead letters named in one request.
const LETTERS_AT_ONCE: usize = 1_000;

impl Desk {
    /// Events, newest first.
    pub async fn events(&self, query: EventQuery) -> anyhow::Result<Page<EventView>> {
        match self {
            Self::Local(operator) => Ok(operator.events(query).await?),
            Self::Remote(remote) => remote.get(path(&["events"]), &query).await,
        }
    }

    /// One event with its raw body.
    pub async fn event(&self, id: EventId) -> anyhow::Result<EventDetail> {
        match self {
            Self::Local(operator) => Ok(operator.event(id).await?),
            Self::Remote(remote) => {
                remote
                    .get(path(&["events", &id.to_string()]), &Whole {})
                    .await
            }
        }
    }

    /// Dead letters, newest first.
    pub async fn dead_letters(&self, query: DeadLetterQuery) -> anyhow::Result<Page<DeadLetter>> {
        match self {
            Self::Local(operator) => Ok(operator.dead_letters(query).await?),
            Self::Remote(remote) => remote.get(path(&["dead-letters"]), &query).await,
        }
    }

    /// All dead letters that match.
    pub async fn all_dead_letters(
        &self,
        query: &DeadLetterQuery,
    ) -> anyhow::Result<Vec<DeadLetter>> {
        if let Self::Local(operator) = self {
            return Ok(operator.all_dead_letters(query).await?);
        }
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = self
                .dead_letters(DeadLetterQuery {
                    cursor,
                    limit: Some(tandem_store::PAGE_ROWS_MAX),
                    ..query.clone()
                })
                .await?;
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// The same as comma-separated values.
    pub async fn dead_letters_csv(&self, query: &DeadLetterQuery) -> anyhow::Result<String> {
        match self {
            Self::Local(operator) => Ok(operator.dead_letters_csv(query).await?),
            Self::Remote(remote) => {
                remote
                    .get_text(path(&["dead-letters", "export"]), query)
                    .await
            }
        }
    }

    /// Dead letters by cause.
    pub async fn dead_letter_groups(
        &self,
        query: DeadLetterQuery,
    ) -> anyhow::Result<DeadLetterGroups> {
        match self {
            Self::Local(operator) => Ok(operator.dead_letter_groups(query).await?),
            Self::Remote(remote) => remote.get(path(&["dead-letters", "groups"]), &query).await,
        }
    }

    /// One dead letter with all that may explain it.
    pub async fn dead_letter(&self, id: DeadLetterId) -> anyhow::Result<DeadLetterDetail> {
        match self {
            Self::Local(operator) => Ok(operator.dead_letter(id).await?),
            Self::Remote(remote) => {
                remote
                    .get(path(&["dead-letters", &id.to_string()]), &Whole {})
                    .await
            }
        }
    }

    /// Puts dead letters to work again.
    pub async fn replay(&self, ids: &[DeadLetterId]) -> anyhow::Result<Replayed> {
        let remote = match self {
            Self::Local(operator) => return Ok(operator.replay(ids).await?),
            Self::Remote(remote) => remote,
        };
        let mut whole = Replayed::default();
        for ids in ids.chunks(LETTERS_AT_ONCE) {
            let at = path(&["dead-letters", "replay"]);
            let part: Replayed = remote.post(at, &json!({ "ids": ids })).await?;
            whole.replayed.extend(part.replayed);
            whole.skipped.extend(part.skipped);
        }
        Ok(whole)
    }

    /// Replays one job with values that both sides are to have.
    pub async fn replay_edited(&self, id: JobId, edits: &Edits) -> anyhow::Result<()> {
        match self {
            Self::Local(operator) => {
                operator.replay_edited(id, edits).await?;
            }
            Self::Remote(remote) => {
                let at = path(&["dead-letters", &id.to_string(), "replay"]);
                let _: Replayed = remote.post(at, &json!({ "set": edits })).await?;
            }
        }
        Ok(())
    }

    /// Discards dead letters for good, with a reason.
    pub async fn discard(&self, ids: &[DeadLetterId], reason: &str) -> anyhow::Result<Discarded> {
        let remote = match self {
            Self::Local(operator) => return Ok(operator.discard(ids, reason).await?),
            Self::Remote(remote) => remote,
        };
        let mut whole = Discarded::default();
        for ids in ids.chunks(LETTERS_AT_ONCE) {
            let body = json!({ "ids": ids, "reason": reason });
            let part: Discarded = remote
                .post(path(&["dead-letters", "discard"]), &body)
                .await?;
            whole.discarded += part.discarded;
            whole.skipped.extend(part.skipped);
        }
        Ok(whole)
    }
}
