//! The operator's desk: the same verbs on what is kept here, or on a Tandem elsewhere through its HTTP API.
//! A command does not know which of the two it works on.
//!
//! Not here: what needs the database itself (`db`, `apply`, `export`) or the systems (`check`, `sync plan`,
//! `sync verify`).

mod remote;

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use tandem_domain::{
    ConflictId, ConnectionName, EventId, JobId, LinkId, RecordId, RunId, Side, SyncName,
};
use tandem_operator::views::{
    ChangeView, ConflictView, ConnectionView, EventDetail, EventView, JobDetail, JobView, LinkView,
    Page, RunView, ScheduleView, StandingView, SyncView,
};
use tandem_operator::{
    ChangeQuery, Confirmed, ConflictQuery, DeadLetter, DeadLetterDetail, DeadLetterGroups,
    DeadLetterId, DeadLetterQuery, Discarded, EventQuery, JobQuery, Operator, Replayed, Resolved,
    RunQuery, Start, Status, Story, Switch, SyncStatus,
};
use tandem_store::{Edits, Resolution, ScheduleKey};

pub use remote::Remote;
use remote::{Items, Started, path};

/// Where an operator's verbs are carried out.
#[derive(Clone)]
pub enum Desk {
    /// On the storage, by this process.
    Local(Box<Operator>),
    /// By a Tandem elsewhere.
    Remote(Arc<Remote>),
}

/// Which part of a list of links.
#[derive(Serialize)]
struct LinksQuery {
    cursor: Option<LinkId>,
    limit: Option<usize>,
}

/// Which record.
#[derive(Serialize)]
struct ExplainQuery<'a> {
    record: &'a RecordId,
    side: Option<Side>,
}

/// Questions answered in one request: each is checked with the systems first.
const IDS_AT_ONCE: usize = 20;

/// Dead letters named in one request.
const LETTERS_AT_ONCE: usize = 1_000;

/// Nothing to choose.
#[derive(Serialize)]
struct Whole {}

const fn switch_word(switch: Switch) -> &'static str {
    match switch {
        Switch::Pause => "pause",
        Switch::Resume => "resume",
    }
}

/// Everything at a glance; connections, syncs, schedules.
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

/// Jobs, runs, links, changes, the story of a record.
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
        cursor: Option<LinkId>,
        limit: Option<usize>,
    ) -> anyhow::Result<Page<LinkView>> {
        match self {
            Self::Local(operator) => Ok(operator.links(sync, cursor, limit).await?),
            Self::Remote(remote) => {
                let query = LinksQuery { cursor, limit };
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

    /// A record as its system holds it now.
    pub async fn look(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> anyhow::Result<StandingView> {
        match self {
            Self::Local(operator) => Ok(operator.look(sync, side, record).await?),
            Self::Remote(remote) => {
                let query = json!({ "side": side, "record": record });
                remote
                    .get(path(&["syncs", sync.as_str(), "record"]), &query)
                    .await
            }
        }
    }

    /// Links two records by hand.
    pub async fn link_by_hand(
        &self,
        sync: &SyncName,
        a: &RecordId,
        b: &RecordId,
    ) -> anyhow::Result<LinkView> {
        match self {
            Self::Local(operator) => Ok(operator.link_by_hand(sync, a, b).await?),
            Self::Remote(remote) => {
                let at = path(&["syncs", sync.as_str(), "links"]);
                remote.post(at, &json!({ "a": a, "b": b })).await
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

/// Events and dead letters.
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

    /// All dead letters that match, at most the newest ten thousand.
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

/// Questions.
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
