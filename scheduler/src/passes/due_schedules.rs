//! Starts what is due: polls, sweeps, whole comparisons.
//!
//! The job is inserted first and the schedule moved on after it, so that no tick is lost; a second
//! insertion merges into the waiting job, so that none is doubled. A tick that finds the run before it
//! still under way is skipped, and the skipped run says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{Entropy, JobId, RunId, Side, SyncName, Timestamp};
use tandem_queue::Doorbell;
use tandem_runtime::Schedule;
use tandem_store::{
    Hints, JobClass, JobKind, JobState, NewJob, NewRun, PAGE_ROWS_MAX, Progress, Run, RunFilter,
    RunKind, RunState, ScheduleKey, SchedulePurpose, Store, StoreError, StoredSchedule, Trigger,
};

use super::{Pass, PassReport};
use crate::settings::{SchedulerSettings, Sweeping};

/// What a run that ended between two looks says: it was never begun.
const SKIPPED: &str = "the one before it still ran when this one was due";

/// See the module.
pub struct DueSchedules {
    store: Arc<dyn Store>,
    doorbell: Arc<dyn Doorbell>,
    entropy: Arc<dyn Entropy>,
    runs_max: usize,
    sweeping: Sweeping,
    /// The jobs inserted here that may still wait. Losing it lets a few runs too many wait in the
    /// queue after a restart, no more.
    inserted: Mutex<BTreeMap<ScheduleKey, JobId>>,
}

/// How busy the syncs are.
struct Load {
    running: Vec<Run>,
    waiting: BTreeSet<ScheduleKey>,
    free: usize,
}

/// What became of a due schedule.
enum Tick {
    Started(JobId),
    Skipped,
    Postponed,
}

impl DueSchedules {
    /// The pass over this store.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        doorbell: Arc<dyn Doorbell>,
        entropy: Arc<dyn Entropy>,
        settings: &SchedulerSettings,
    ) -> Self {
        Self {
            store,
            doorbell,
            entropy,
            runs_max: settings.runs_max,
            sweeping: settings.sweeping.clone(),
            inserted: Mutex::default(),
        }
    }

    /// The schedules that could come due, soonest first: not paused, nor their syncs.
    async fn live_schedules(&self) -> Result<Vec<(Timestamp, StoredSchedule)>, StoreError> {
        let syncs = self.store.syncs().await?;
        let live: BTreeSet<SyncName> = syncs
            .into_iter()
            .filter(|sync| sync.pause.is_none() && sync.deleted_at.is_none())
            .map(|sync| sync.name)
            .collect();
        let mut schedules: Vec<(Timestamp, StoredSchedule)> = self
            .store
            .schedules()
            .await?
            .into_iter()
            .filter(|schedule| !schedule.paused && live.contains(&schedule.key.sync))
            .filter_map(|schedule| schedule.next_at.map(|next_at| (next_at, schedule)))
            .collect();
        schedules.sort_by(|(left, one), (right, other)| (left, &one.key).cmp(&(right, &other.key)));
        Ok(schedules)
    }

    async fn load(&self) -> Result<Load, StoreError> {
        let filter = RunFilter {
            state: Some(RunState::Running),
            limit: PAGE_ROWS_MAX,
            ..RunFilter::default()
        };
        let running = self.store.runs(&filter).await?;
        let mut waiting = BTreeSet::new();
        for (key, id) in self.inserted() {
            let job = self.store.job(id).await?;
            if job.is_some_and(|job| job.state == JobState::Available) {
                waiting.insert(key);
            } else {
                self.with_inserted(|inserted| inserted.remove(&key));
            }
        }
        let free = self.runs_max.saturating_sub(running.len() + waiting.len());
        Ok(Load {
            running,
            waiting,
            free,
        })
    }

    fn inserted(&self) -> BTreeMap<ScheduleKey, JobId> {
        self.with_inserted(|inserted| inserted.clone())
    }

    fn with_inserted<T>(&self, change: impl FnOnce(&mut BTreeMap<ScheduleKey, JobId>) -> T) -> T {
        // A map of ids is whole after every single change.
        change(&mut self.inserted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When a schedule is due. One that is further off than it can be was set by a clock that was ahead: nothing would
    /// happen until that time comes.
    async fn brought_forward(
        &self,
        next_at: Timestamp,
        schedule: &StoredSchedule,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        if next_at <= now {
            return Ok(next_at);
        }
        let possible = next_after(schedule, now);
        let Some(sooner) = possible.filter(|sooner| next_at.since(*sooner) > CLOCK_STEP) else {
            return Ok(next_at);
        };
        let key = &schedule.key;
        let moved = self.store.advance_schedule(key, next_at, Some(sooner), now);
        if moved.await? {
            tracing::warn!(
                sync = %key.sync, purpose = key.purpose.as_str(), was = %next_at, %sooner,
                "the schedule was set for a time that is too far off, as by a clock that was ahead: it is brought forward"
            );
        }
        Ok(sooner)
    }

    async fn tick(
        &self,
        due_at: Timestamp,
        schedule: &StoredSchedule,
        load: &mut Load,
        now: Timestamp,
    ) -> Result<Tick, StoreError> {
        let key = &schedule.key;
        let next_at = next_after(schedule, now);
        let (kind, run_kind, side) = self.what(key);
        if load
            .running
            .iter()
            .any(|run| is_of(run, key, run_kind, side))
        {
            if self
                .store
                .advance_schedule(key, due_at, next_at, now)
                .await?
            {
                self.tell_skipped(key, run_kind, side, now).await?;
            }
            return Ok(Tick::Skipped);
        }
        // One that waits already is the run of this tick too: inserting merges.
        if !load.waiting.contains(key) {
            if load.free == 0 {
                return Ok(Tick::Postponed);
            }
            load.free -= 1;
            load.waiting.insert(key.clone());
        }
        let job = self.insert(kind, key.purpose, now).await?;
        self.with_inserted(|inserted| inserted.insert(key.clone(), job));
        self.store
            .advance_schedule(key, due_at, next_at, now)
            .await?;
        Ok(Tick::Started(job))
    }

    /// The job and the run that a schedule starts.
    fn what(&self, key: &ScheduleKey) -> (JobKind, RunKind, Option<Side>) {
        let sync = key.sync.clone();
        let side = match key.purpose {
            SchedulePurpose::PollA => Side::A,
            SchedulePurpose::PollB => Side::B,
            SchedulePurpose::Full => return (JobKind::Backfill { sync }, RunKind::Backfill, None),
        };
        if self.sweeping.contains(key) {
            (JobKind::Sweep { sync, side }, RunKind::Sweep, Some(side))
        } else {
            (JobKind::Poll { sync, side }, RunKind::Poll, Some(side))
        }
    }

    async fn insert(
        &self,
        kind: JobKind,
        purpose: SchedulePurpose,
        now: Timestamp,
    ) -> Result<JobId, StoreError> {
        let id = JobId::new(now, &*self.entropy);
        let job = NewJob {
            id,
            kind,
            class: match purpose {
                SchedulePurpose::PollA | SchedulePurpose::PollB => JobClass::Poll,
                SchedulePurpose::Full => JobClass::Backfill,
            },
            trigger: Trigger::Schedule,
            run_at: now,
            hints: Hints::default(),
            traceparent: Some(tandem_trace::current_or_new(&*self.entropy).to_string()),
        };
        let ids = self.store.enqueue(vec![job], now).await?;
        Ok(ids.first().copied().unwrap_or(id))
    }

    /// Leaves a run in the history that says that it was skipped.
    async fn tell_skipped(
        &self,
        key: &ScheduleKey,
        kind: RunKind,
        side: Option<Side>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let run = NewRun {
            id: RunId::new(now, &*self.entropy),
            sync: key.sync.clone(),
            kind,
            side,
            trigger: Trigger::Schedule,
            under: None,
            instead_of: Vec::new(),
        };
        let run = self.store.begin_run(run, now).await?;
        tracing::info!(sync = %key.sync, kind = kind.as_str(), run = %run.id, "skipped: the run before it is still under way");
        if run.state == RunState::Running {
            // The run before it has ended meanwhile, and no job belongs to this one.
            let nothing = Progress::default();
            self.store
                .end_run(
                    run.id,
                    RunState::Skipped,
                    &nothing,
                    Some(SKIPPED),
                    None,
                    now,
                )
                .await?;
        }
        Ok(())
    }
}

fn is_of(run: &Run, key: &ScheduleKey, kind: RunKind, side: Option<Side>) -> bool {
    run.sync == key.sync && run.kind == kind && run.side == side
}

/// When it is due next. A schedule that this version cannot read is not due again until it is applied anew.
/// Clocks that differ by less, or are set by less, are left alone.
const CLOCK_STEP: Duration = Duration::from_secs(60);

fn next_after(schedule: &StoredSchedule, now: Timestamp) -> Option<Timestamp> {
    match schedule.spec.parse::<Schedule>() {
        Ok(parsed) => parsed.next_after(now),
        Err(error) => {
            tracing::error!(sync = %schedule.key.sync, purpose = schedule.key.purpose.as_str(), %error, "the stored schedule cannot be read; it runs once more, then apply the configuration again");
            None
        }
    }
}

#[async_trait]
impl Pass for DueSchedules {
    fn name(&self) -> &'static str {
        "due_schedules"
    }

    async fn run(&self, now: Timestamp) -> Result<PassReport, StoreError> {
        let mut schedules = self.live_schedules().await?;
        for (next_at, schedule) in &mut schedules {
            *next_at = self.brought_forward(*next_at, schedule, now).await?;
        }
        schedules.sort_by_key(|(next_at, _)| *next_at);
        let is_due = |(next_at, _): &(Timestamp, StoredSchedule)| *next_at <= now;
        let (due, later): (Vec<_>, Vec<_>) = schedules.into_iter().partition(is_due);
        let mut report = PassReport {
            handled: 0,
            next: later.first().map(|(next_at, _)| *next_at),
        };
        if due.is_empty() {
            return Ok(report);
        }
        let mut load = self.load().await?;
        for (due_at, schedule) in &due {
            match self.tick(*due_at, schedule, &mut load, now).await? {
                Tick::Started(job) => {
                    self.doorbell.ring(&[job]);
                    report.handled += 1;
                }
                Tick::Skipped => report.handled += 1,
                Tick::Postponed => {}
            }
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests;
