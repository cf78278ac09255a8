//! The state of everything at a glance.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_domain::{ConflictId, RunId, Side, SyncName, Timestamp};
use tandem_store::{
    Conflict, ConflictFilter, ConflictKind, ConflictState, EventFilter, EventState, Intent,
    JobCounts, Notice, PAGE_ROWS_MAX, RunFilter, RunKind, RunState, SyncTotals,
};

use crate::story::Ends;
use crate::views::{
    ConflictView, ConnectionView, HealthView, PauseView, RunView, ScheduleView, SyncView,
    last_seen, unattended,
};
use crate::{Operator, OperatorError};

/// Runs shown of each sync.
const RECENT_RUNS: usize = 5;

/// A number that was counted only so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many were found.
    pub count: usize,
    /// Whether there may be more.
    pub more: bool,
}

impl Counted {
    fn of(count: usize) -> Self {
        Self {
            count,
            more: count >= PAGE_ROWS_MAX,
        }
    }
}

/// Jobs by where they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Waiting, due or not.
    pub available: u64,
    /// At work.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long the oldest due job has waited, in seconds.
    pub oldest_due_secs: Option<u64>,
    /// Waiting jobs: interactive, poll, backfill.
    pub available_by_class: [u64; 3],
}

impl QueueStatus {
    fn new(counts: &JobCounts, now: Timestamp) -> Self {
        Self {
            available: counts.available,
            running: counts.running,
            dead: counts.dead,
            oldest_due_secs: counts.oldest_due.map(|due| now.since(due).as_secs()),
            available_by_class: counts.available_by_class,
        }
    }
}

/// Writes whose end is not known: they were sent, or were about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWrites {
    /// How many were found.
    pub count: usize,
    /// Whether there may be more.
    pub more: bool,
    /// When the oldest of them was decided; null when there is none.
    #[serde(with = "crate::views::when_opt")]
    pub oldest: Option<Timestamp>,
}

impl OpenWrites {
    /// Those of a sync among the open ones, which are in the order of their age.
    fn of(sync: &SyncName, open: &[Intent]) -> Self {
        let own: Vec<&Intent> = open.iter().filter(|one| one.sync == *sync).collect();
        Self {
            count: own.len(),
            more: open.len() >= PAGE_ROWS_MAX,
            oldest: own.first().map(|one| one.created_at),
        }
    }
}

/// A system looks as if it had been restored from a backup, and a person is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBackNotice {
    /// The question.
    pub conflict: ConflictId,
    /// What is asked.
    pub asks: String,
}

/// A side of which the filters leave records out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilteredSide {
    /// The side.
    pub side: Side,
    /// Its records that take part.
    pub listed: u64,
    /// Those that are left out.
    pub left_out: u64,
    /// The run that listed them.
    pub run: RunId,
    /// When that began.
    #[serde(with = "crate::views::when")]
    pub at: Timestamp,
}

/// The state of one sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// The sync.
    #[serde(flatten)]
    pub sync: SyncView,
    /// The connections of both sides.
    pub connections: Vec<ConnectionStatus>,
    /// Pairs held equal.
    pub links: u64,
    /// Records that a person said to leave alone.
    #[serde(default)]
    pub left_alone: u64,
    /// Records of side a that are held equal with nothing, because the pair was retired.
    #[serde(default)]
    pub partnerless_a: u64,
    /// The same of side b.
    #[serde(default)]
    pub partnerless_b: u64,
    /// Its jobs.
    pub queue: QueueStatus,
    /// Questions that wait for an answer.
    pub open_conflicts: Counted,
    /// Questions whose answer is not carried out yet.
    #[serde(default)]
    pub answered_conflicts: Counted,
    /// Open questions whether a whole system was set back to an older state, in words.
    #[serde(default)]
    pub set_back: Vec<SetBackNotice>,
    /// Writes whose end is not known yet.
    #[serde(default)]
    pub open_writes: Option<OpenWrites>,
    /// The newest run that could not read all records, unless both sides were compared whole since without any such.
    #[serde(default)]
    pub set_aside: Option<RunView>,
    /// What the filters leave out, by the newest whole listing of each side; only sides of which they leave something out.
    #[serde(default)]
    pub filtered: Vec<FilteredSide>,
    /// What it did since its start.
    pub totals: SyncTotals,
    /// Its newest runs.
    pub runs: Vec<RunView>,
    /// When it runs by itself.
    pub schedules: Vec<ScheduleView>,
}

/// The state of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was looked up, in RFC 3339.
    pub at: String,
    /// Why nothing is kept now, and what to do; nothing where what is written is kept.
    #[serde(default)]
    pub not_kept: Option<String>,
    /// The connections.
    pub connections: Vec<ConnectionStatus>,
    /// The syncs.
    pub syncs: Vec<SyncStatus>,
    /// What is said when no process looks after things; nothing where one does.
    #[serde(default)]
    pub unattended: Option<String>,
    /// When a process last told of a connection.
    #[serde(default, with = "crate::views::when_opt")]
    pub seen_at: Option<Timestamp>,
    /// Which one.
    #[serde(default)]
    pub seen_by: Option<String>,
    /// What processes have to say, such as that they could not take over a changed configuration.
    #[serde(default)]
    pub notices: Vec<NoticeView>,
    /// All jobs.
    pub queue: QueueStatus,
    /// Events that could not be understood.
    pub quarantined_events: Counted,
    /// Events that had been stored before, since the start.
    pub duplicate_events: u64,
    /// What was done since the start.
    pub totals: SyncTotals,
}

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Its name.
    pub name: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Since when and why it is paused.
    #[serde(default)]
    pub pause: Option<PauseView>,
    /// How its system stands.
    pub health: HealthView,
}

impl From<ConnectionView> for ConnectionStatus {
    fn from(view: ConnectionView) -> Self {
        Self {
            name: view.name.into(),
            paused: view.paused,
            pause: view.pause,
            health: view.health,
        }
    }
}

/// What a process has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeView {
    /// The process.
    pub process: String,
    /// What it says.
    pub text: String,
    /// Since when.
    #[serde(with = "crate::views::when")]
    pub at: Timestamp,
}

impl From<Notice> for NoticeView {
    fn from(notice: Notice) -> Self {
        Self {
            process: notice.process,
            text: notice.text,
            at: notice.at,
        }
    }
}

impl SetBackNotice {
    fn new(question: Conflict, ends: &Ends) -> Self {
        let view = ConflictView::new(question, ends);
        Self {
            conflict: view.id,
            asks: view.asks,
        }
    }
}

impl Operator {
    /// The state of everything.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn status(&self) -> Result<Status, OperatorError> {
        let now = self.now();
        // Reading goes on where nothing can be written, and all would look well.
        let not_kept = self.store().ping().await.err();
        let mut syncs = Vec::new();
        let writes = self.open_writes(now).await?;
        for sync in self.syncs().await? {
            syncs.push(self.status_of(sync, &writes, now).await?);
        }
        let quarantined = EventFilter {
            state: Some(EventState::Quarantined),
            limit: PAGE_ROWS_MAX,
            ..EventFilter::default()
        };
        let connections = self.connections().await?;
        let notices = self.store().notices().await?;
        let health = self.store().health().await?;
        let seen = last_seen(&health);
        Ok(Status {
            at: now.to_string(),
            not_kept: not_kept.map(|error| error.to_string()),
            unattended: unattended(connections.len(), &health, now),
            seen_at: seen.map(|(at, _)| at),
            seen_by: seen.map(|(_, by)| by.to_owned()),
            connections: connections
                .into_iter()
                .map(ConnectionStatus::from)
                .collect(),
            syncs,
            notices: notices.into_iter().map(NoticeView::from).collect(),
            queue: QueueStatus::new(&self.store().job_counts(None, now).await?, now),
            quarantined_events: Counted::of(self.store().events(&quarantined).await?.len()),
            duplicate_events: self.store().duplicate_events().await?,
            totals: self.store().totals(None).await?,
        })
    }

    /// The state of one sync.
    ///
    /// # Errors
    /// When there is no such sync, or the storage fails.
    pub async fn sync_status(&self, name: &SyncName) -> Result<SyncStatus, OperatorError> {
        let (sync, now) = (self.known_sync(name).await?, self.now());
        let writes = self.open_writes(now).await?;
        self.status_of(sync.into(), &writes, now).await
    }

    /// The oldest writes whose end is not known, of all syncs.
    async fn open_writes(&self, now: Timestamp) -> Result<Vec<Intent>, OperatorError> {
        // Those that were decided in this very moment, too.
        let until = now.plus(Duration::from_millis(1));
        let open = self.store().stale_intents(until, None, PAGE_ROWS_MAX);
        Ok(open.await?)
    }

    /// The newest run that set records aside. A poll sees each of them once, so that a later one says nothing of them.
    async fn set_aside(&self, sync: &SyncName) -> Result<Option<RunView>, OperatorError> {
        let newest = async |kind, state| {
            let filter = RunFilter {
                sync: Some(sync.clone()),
                kind,
                state: Some(state),
                limit: 1,
                ..RunFilter::default()
            };
            self.store().runs(&filter).await.map(|mut runs| runs.pop())
        };
        let Some(partial) = newest(None, RunState::Partial).await? else {
            return Ok(None);
        };
        let whole = newest(Some(RunKind::Backfill), RunState::Succeeded).await?;
        let is_over = whole.is_some_and(|whole| whole.started_at > partial.started_at);
        Ok((!is_over).then(|| RunView::from(partial)))
    }

    /// What the filters left out of each side when it was listed whole last.
    async fn filtered(&self, sync: &SyncName) -> Result<Vec<FilteredSide>, OperatorError> {
        let mut runs = Vec::new();
        for kind in [RunKind::Backfill, RunKind::Sweep] {
            for state in [RunState::Succeeded, RunState::Partial] {
                let filter = RunFilter {
                    sync: Some(sync.clone()),
                    kind: Some(kind),
                    state: Some(state),
                    limit: RECENT_RUNS,
                    ..RunFilter::default()
                };
                runs.extend(self.store().runs(&filter).await?);
            }
        }
        let newest = |side: Side| {
            let whole = runs
                .iter()
                .filter(|run| run.side.is_none_or(|of| of == side));
            whole.max_by_key(|run| run.number)
        };
        let sides = Side::BOTH.into_iter().filter_map(|side| {
            let run = newest(side)?;
            let share = run.progress.shares.of(side);
            (share.filtered > 0).then_some(FilteredSide {
                side,
                listed: share.listed,
                left_out: share.filtered,
                run: run.id,
                at: run.started_at,
            })
        });
        Ok(sides.collect())
    }

    /// How many answers of a sync are not carried out yet. One about a whole system is kept for a day, for what comes up late;
    /// it is carried out when no pair waits for it.
    async fn count_answered(&self, sync: &SyncName) -> Result<Counted, OperatorError> {
        let mut count = 0;
        for question in self.questions_in(sync, ConflictState::Answered).await? {
            let is_kept = matches!(question.kind, ConflictKind::SetBack { .. })
                && self
                    .store()
                    .set_back_links(sync, question.side, 1)
                    .await?
                    .is_empty();
            count += usize::from(!is_kept);
        }
        Ok(Counted::of(count))
    }

    /// How many questions of a sync are in a state.
    async fn count_questions(
        &self,
        sync: &SyncName,
        state: ConflictState,
    ) -> Result<Counted, OperatorError> {
        Ok(Counted::of(self.questions_in(sync, state).await?.len()))
    }

    async fn questions_in(
        &self,
        sync: &SyncName,
        state: ConflictState,
    ) -> Result<Vec<Conflict>, OperatorError> {
        let filter = ConflictFilter {
            sync: Some(sync.clone()),
            state: Some(state),
            limit: PAGE_ROWS_MAX,
            ..ConflictFilter::default()
        };
        Ok(self.store().conflicts(&filter).await?)
    }

    async fn status_of(
        &self,
        sync: SyncView,
        writes: &[Intent],
        now: Timestamp,
    ) -> Result<SyncStatus, OperatorError> {
        let name = sync.name.clone();
        let counts = self.store().job_counts(Some(&name), now).await?;
        let set_back = ConflictFilter {
            sync: Some(name.clone()),
            state: Some(ConflictState::Open),
            kind: Some("set_back".to_owned()),
            before: None,
            limit: PAGE_ROWS_MAX,
        };
        let (set_back, ends) = (
            self.store().conflicts(&set_back).await?,
            self.ends_of(&name).await?,
        );
        let set_back = set_back.into_iter();
        let set_back = set_back.map(|question| SetBackNotice::new(question, &ends));
        let set_back: Vec<SetBackNotice> = set_back.collect();
        let runs = RunFilter {
            sync: Some(name.clone()),
            limit: RECENT_RUNS,
            ..RunFilter::default()
        };
        let runs = self.store().runs(&runs).await?;
        let connections = self.connections_of(&sync).await?.into_iter();
        Ok(SyncStatus {
            connections: connections.map(ConnectionStatus::from).collect(),
            sync,
            links: self.store().link_count(&name).await?,
            left_alone: self.store().left_alone_count(&name).await?,
            partnerless_a: self.store().partnerless_count(&name, Side::A).await?,
            partnerless_b: self.store().partnerless_count(&name, Side::B).await?,
            queue: QueueStatus::new(&counts, now),
            open_conflicts: self.count_questions(&name, ConflictState::Open).await?,
            answered_conflicts: self.count_answered(&name).await?,
            set_back,
            open_writes: Some(OpenWrites::of(&name, writes)).filter(|writes| writes.count > 0),
            set_aside: self.set_aside(&name).await?,
            filtered: self.filtered(&name).await?,
            totals: self.store().totals(Some(&name)).await?,
            runs: runs.into_iter().map(RunView::from).collect(),
            schedules: self.schedules(Some(&name)).await?,
        })
    }
}
