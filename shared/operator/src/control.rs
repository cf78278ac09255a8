//! Pausing, resuming, and starting by hand.

use std::time::Duration;

use tandem_domain::{ConnectionName, JobId, Side, SyncName, Timestamp};
use tandem_store::{
    ConnectionRow, Hints, JobClass, JobFilter, JobKind, JobState, NewJob, PAGE_ROWS_MAX, Pause,
    ScheduleKey, SchedulePurpose, StoredSchedule, SyncRow, Trigger,
};

use crate::error::after;
use crate::reasons::no_sentence;
use crate::views::{ConnectionView, Rest, ScheduleView, SyncView};
use crate::{Operator, OperatorError};

/// What to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Compares both sides whole.
    Backfill,
    /// Looks for changes since the last poll of one side.
    Poll(Side),
    /// Compares one side whole, and looks for what has vanished.
    Sweep(Side),
}

/// Whether something is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It stops; what has begun is finished.
    Pause,
    /// It goes on.
    Resume,
}

impl Switch {
    const fn pauses(self) -> bool {
        matches!(self, Self::Pause)
    }
}

/// Every running process has heeded a pause after this: each looks once a second. No job begins after that.
const HEEDED_AFTER: Duration = Duration::from_millis(1_500);
/// What had begun is waited for so long; then the answer says that it is still at work.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// A look at what is still at work that takes longer is given up: somebody holds what it would read.
const LOOK_MAX: Duration = Duration::from_secs(8);
/// Between two looks at what is still at work.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// The longest reason that is kept with a pause, in characters.
const REASON_CHARS_MAX: usize = 500;
/// What is said of a pause for which nobody gave a reason.
const BY_HAND: &str = "an operator paused it";

/// The reason to keep with a pause; `None` to resume.
fn reason(switch: Switch, because: Option<&str>) -> Result<Option<&str>, OperatorError> {
    let because = because.map(str::trim).filter(|because| !because.is_empty());
    if !switch.pauses() {
        return match because {
            None => Ok(None),
            Some(_) => Err(OperatorError::Invalid {
                problem: "`because` says why something is paused, and nothing keeps it of a resume"
                    .to_owned(),
                advice: "leave it out; nothing was resumed",
            }),
        };
    }
    if let Some(problem) = because.and_then(no_sentence) {
        return Err(OperatorError::Invalid {
            problem,
            advice: "say it without; nothing was paused",
        });
    }
    let length = because.map_or(0, |because| because.chars().count());
    if length > REASON_CHARS_MAX {
        return Err(OperatorError::Invalid {
            problem: format!("the reason has {length} characters, and {REASON_CHARS_MAX} are kept"),
            advice: "say it shorter; nothing was paused",
        });
    }
    Ok(because.or(Some(BY_HAND)))
}

impl Operator {
    /// All connections that were not removed.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn connections(&self) -> Result<Vec<ConnectionView>, OperatorError> {
        let rows = self.store().connections().await?;
        let (known, now) = (self.store().health().await?, self.now());
        let present = rows.into_iter().filter(|row| row.deleted_at.is_none());
        Ok(present
            .map(|row| ConnectionView::new(row, &known, now))
            .collect())
    }

    /// One connection.
    ///
    /// # Errors
    /// When there is no such connection, or the storage fails.
    pub async fn connection(&self, name: &ConnectionName) -> Result<ConnectionView, OperatorError> {
        let row = self.known_connection(name).await?;
        let known = self.store().health().await?;
        Ok(ConnectionView::new(row, &known, self.now()))
    }

    /// Pauses or resumes a connection. Its webhooks are kept while it is paused. `because` says why it is paused. A pause is
    /// answered when it holds, or, after some seconds, with how many jobs that had begun are still at work, or with why that
    /// could not be seen.
    ///
    /// # Errors
    /// When there is no such connection, the reason is too long, or the storage fails before it is stored.
    pub async fn switch_connection(
        &self,
        name: &ConnectionName,
        switch: Switch,
        because: Option<&str>,
    ) -> Result<ConnectionView, OperatorError> {
        let known = self.known_connection(name).await?;
        let because = reason(switch, because)?;
        let now = self.now();
        self.store().pause_connection(name, because, now).await?;
        tracing::info!(connection = %name, pauses = switch.pauses(), because, "an operator switched a connection");
        if !switch.pauses() {
            let connection = after("the connection is resumed", self.connection(name).await)?;
            // Resumed by one, it may still stand for its address.
            let paused = connection.paused;
            self.parts.hooks.set_paused(name.as_str(), paused);
            return Ok(connection);
        }
        self.parts.hooks.set_paused(name.as_str(), true);
        let rest = self.rest_of(name).await;
        let connection = self.connection(name).await.unwrap_or_else(|_| {
            let pause = Some(paused_by(known.pause.clone(), because, now));
            ConnectionView::new(ConnectionRow { pause, ..known }, &[], now)
        });
        Ok(ConnectionView {
            pause: connection.pause.map(|pause| pause.with(rest)),
            ..connection
        })
    }

    /// Whether the syncs of a connection are at rest after its pause.
    async fn rest_of(&self, name: &ConnectionName) -> Rest {
        let of_it = |end: &str, sync: &SyncView| {
            sync.document[end]["connection"].as_str() == Some(name.as_str())
        };
        match self.syncs().await {
            Ok(mut syncs) => {
                syncs.retain(|sync| of_it("a", sync) || of_it("b", sync));
                let syncs: Vec<SyncName> = syncs.into_iter().map(|sync| sync.name).collect();
                self.until_it_holds(&syncs).await
            }
            Err(error) => Rest::Unseen(error.to_string()),
        }
    }

    /// Has a system tried again at once that did not answer: all workers close its breaker.
    ///
    /// # Errors
    /// When there is no such connection, or the storage fails.
    pub async fn reset_connection(
        &self,
        name: &ConnectionName,
    ) -> Result<ConnectionView, OperatorError> {
        self.known_connection(name).await?;
        self.store().reset_connection(name, self.now()).await?;
        tracing::info!(connection = %name, "an operator had a connection tried again");
        after("the connection is tried again", self.connection(name).await)
    }

    /// All syncs that were not removed.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn syncs(&self) -> Result<Vec<SyncView>, OperatorError> {
        let rows = self.store().syncs().await?;
        let present = rows.into_iter().filter(|row| row.deleted_at.is_none());
        Ok(present.map(SyncView::from).collect())
    }

    /// Pauses or resumes a sync. Its jobs wait while it is paused. `because` says why it is paused. A pause is answered when it
    /// holds, or, after some seconds, with how many jobs that had begun are still at work, or with why that could not be seen.
    ///
    /// # Errors
    /// When there is no such sync, the reason is too long, or the storage fails before it is stored.
    pub async fn switch_sync(
        &self,
        name: &SyncName,
        switch: Switch,
        because: Option<&str>,
    ) -> Result<SyncView, OperatorError> {
        let known = self.known_sync(name).await?;
        let because = reason(switch, because)?;
        let now = self.now();
        self.store().pause_sync(name, because, now).await?;
        tracing::info!(sync = %name, paused = switch.pauses(), because, "an operator switched a sync");
        if !switch.pauses() {
            let sync = after("the sync is resumed", self.known_sync(name).await)?;
            return Ok(sync.into());
        }
        let rest = self.until_it_holds(std::slice::from_ref(name)).await;
        let sync = self.known_sync(name).await.unwrap_or_else(|_| {
            let pause = Some(paused_by(known.pause.clone(), because, now));
            SyncRow { pause, ..known }
        });
        let sync = SyncView::from(sync);
        Ok(SyncView {
            pause: sync.pause.map(|pause| pause.with(rest)),
            ..sync
        })
    }

    /// Waits until a pause holds: no job of these syncs begins any more, and those that had begun have ended, or some seconds
    /// are over. The pause is stored by then, whatever is seen here.
    async fn until_it_holds(&self, syncs: &[SyncName]) -> Rest {
        let mut left = ENDS_WITHIN;
        tokio::time::sleep(HEEDED_AFTER).await;
        loop {
            let at_work = match tokio::time::timeout(LOOK_MAX, self.at_work(syncs)).await {
                Ok(Ok(at_work)) => at_work,
                Ok(Err(error)) => return Rest::Unseen(error.to_string()),
                Err(_) => {
                    let secs = LOOK_MAX.as_secs();
                    return Rest::Unseen(format!("the storage has not answered for {secs} s"));
                }
            };
            if at_work == 0 || left.is_zero() {
                return Rest::AtWork(at_work);
            }
            tokio::time::sleep(LOOKS_EVERY).await;
            left = left.saturating_sub(LOOKS_EVERY);
        }
    }

    /// How many jobs of these syncs are at work.
    async fn at_work(&self, syncs: &[SyncName]) -> Result<usize, OperatorError> {
        let mut at_work = 0;
        for sync in syncs {
            let running = JobFilter {
                sync: Some(sync.clone()),
                state: Some(JobState::Running),
                limit: PAGE_ROWS_MAX,
                ..JobFilter::default()
            };
            at_work += self.store().jobs(&running).await?.len();
        }
        Ok(at_work)
    }

    /// Starts something by hand. If the same waits already, that one stands for it.
    ///
    /// # Errors
    /// When there is no such sync, or it or one of its connections is paused, or the storage fails.
    pub async fn start(&self, sync: &SyncName, start: Start) -> Result<JobId, OperatorError> {
        if let Some(problem) = self.standstill(sync).await? {
            return Err(OperatorError::NotNow {
                problem,
                advice: "nothing was started; resume it first",
            });
        }
        let now = self.now();
        let (kind, class) = job_of(sync.clone(), start);
        let job = NewJob {
            id: self.new_job_id(now),
            kind,
            class,
            trigger: Trigger::Manual,
            run_at: now,
            hints: Hints::default(),
            traceparent: None,
        };
        let id = job.id;
        let standing = self.store().enqueue(vec![job], now).await?;
        self.ring(&standing);
        tracing::info!(%sync, job = %id, ?start, "an operator started a run");
        Ok(standing.first().copied().unwrap_or(id))
    }

    /// Why no job of a sync runs, if a person or Tandem itself has paused it, or one of its connections.
    ///
    /// # Errors
    /// When there is no such sync, or the storage fails.
    pub(crate) async fn standstill(
        &self,
        name: &SyncName,
    ) -> Result<Option<String>, OperatorError> {
        let sync = SyncView::from(self.known_sync(name).await?);
        if let Some(pause) = &sync.pause {
            return Ok(Some(format!("the sync `{name}` is {}", pause.words)));
        }
        let connections = self.connections_of(&sync).await?;
        Ok(connections.into_iter().find_map(|connection| {
            let words = connection.pause?.words;
            Some(format!("the connection `{}` is {words}", connection.name))
        }))
    }

    /// The connections of both sides of a sync.
    pub(crate) async fn connections_of(
        &self,
        sync: &SyncView,
    ) -> Result<Vec<ConnectionView>, OperatorError> {
        let ends = ["a", "b"].map(|side| sync.document[side]["connection"].as_str());
        let mut connections = self.connections().await?;
        connections.retain(|one| ends.contains(&Some(one.name.as_str())));
        Ok(connections)
    }

    /// The schedules, of one sync or of all.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn schedules(
        &self,
        sync: Option<&SyncName>,
    ) -> Result<Vec<ScheduleView>, OperatorError> {
        self.check_sync(sync).await?;
        let rows = self.store().schedules().await?;
        let wanted = |row: &StoredSchedule| sync.is_none_or(|sync| row.key.sync == *sync);
        Ok(rows
            .into_iter()
            .filter(wanted)
            .map(ScheduleView::from)
            .collect())
    }

    /// Pauses or resumes a schedule.
    ///
    /// # Errors
    /// When there is no such schedule, or the storage fails.
    pub async fn switch_schedule(
        &self,
        key: &ScheduleKey,
        switch: Switch,
    ) -> Result<ScheduleView, OperatorError> {
        let found = self
            .store()
            .edit_schedule(key, Some(switch.pauses()), None, self.now())
            .await?;
        after(
            "the schedule is changed",
            self.edited_schedule(key, found).await,
        )
    }

    /// Starts what a schedule starts now, and leaves its times as they are.
    ///
    /// # Errors
    /// When there is no such schedule, or its sync is paused, or the storage fails.
    pub async fn trigger_schedule(&self, key: &ScheduleKey) -> Result<JobId, OperatorError> {
        let rows = self.store().schedules().await?;
        if !rows.iter().any(|row| row.key == *key) {
            return Err(no_schedule(key));
        }
        let start = match key.purpose {
            SchedulePurpose::PollA => Start::Poll(Side::A),
            SchedulePurpose::PollB => Start::Poll(Side::B),
            SchedulePurpose::Full => Start::Backfill,
        };
        self.start(&key.sync, start).await
    }

    async fn edited_schedule(
        &self,
        key: &ScheduleKey,
        found: bool,
    ) -> Result<ScheduleView, OperatorError> {
        let rows = self.store().schedules().await?;
        rows.into_iter()
            .find(|row| found && row.key == *key)
            .map(ScheduleView::from)
            .ok_or_else(|| no_schedule(key))
    }
}

/// How something stands that was just paused, where it cannot be looked up: what was paused already stays so as it was.
fn paused_by(before: Option<Pause>, because: Option<&str>, now: Timestamp) -> Pause {
    let pause = before.unwrap_or(Pause {
        since: Some(now),
        ..Pause::default()
    });
    Pause {
        because: pause.because.or_else(|| because.map(str::to_owned)),
        ..pause
    }
}

fn no_schedule(key: &ScheduleKey) -> OperatorError {
    OperatorError::not_found(
        "schedule",
        format!("{}/{}", key.sync, key.purpose.as_str()),
        "list the schedules to see what there is",
    )
}

fn job_of(sync: SyncName, start: Start) -> (JobKind, JobClass) {
    match start {
        Start::Backfill => (JobKind::Backfill { sync }, JobClass::Backfill),
        Start::Poll(side) => (JobKind::Poll { sync, side }, JobClass::Interactive),
        Start::Sweep(side) => (JobKind::Sweep { sync, side }, JobClass::Backfill),
    }
}
