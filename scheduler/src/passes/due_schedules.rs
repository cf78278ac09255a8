//! Starts what is due: polls, sweeps, whole comparisons.
//!
//! The job is inserted first and the schedule moved on after it, so that no tick is lost; a second
//! insertion merges into the waiting job, so that none is doubled. A tick that finds the run before it
//! still under way is skipped, and the skipped run says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tandem_domain::{Entropy, JobId, RunId, Side, SyncName, Timestamp};
use tandem_queue::Doorbell;
use tandem_runtime::Schedule;
use tandem_runtime::telemetry::TraceContext;
use tandem_store::{
    Hints, JobClass, JobKind, JobState, NewJob, NewRun, PAGE_ROWS_MAX, Progress, Run, RunFilter,
    RunKind, RunState, ScheduleKey, SchedulePurpose, Store, StoreError, StoredSchedule, Trigger,
};

use super::{Pass, PassReport};
use crate::settings::SchedulerSettings;

/// What a run that ended between two looks says: it was never begun.
const SKIPPED: &str = "the one before it still ran when this one was due";

/// See the module.
pub struct DueSchedules {
    store: Arc<dyn Store>,
    doorbell: Arc<dyn Doorbell>,
    entropy: Arc<dyn Entropy>,
    runs_max: usize,
    sweeping: BTreeSet<ScheduleKey>,
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
            .filter(|sync| !sync.paused && sync.deleted_at.is_none())
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
            traceparent: Some(TraceContext::new(&*self.entropy).to_string()),
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
        let schedules = self.live_schedules().await?;
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
mod tests {
    use std::time::Duration;

    use tandem_store::JobFilter;

    use super::super::support::{Fixture, key};
    use super::*;

    fn pass_of(fixture: &Fixture, settings: &SchedulerSettings) -> DueSchedules {
        let entropy = fixture.entropy.clone();
        DueSchedules::new(
            fixture.store.shared(),
            fixture.bell.clone(),
            entropy,
            settings,
        )
    }

    async fn waiting(fixture: &Fixture) -> Vec<JobKind> {
        let filter = JobFilter {
            state: Some(JobState::Available),
            limit: 100,
            ..JobFilter::default()
        };
        let mut jobs = fixture.store.jobs(&filter).await.expect("asked");
        jobs.sort_by(|one, other| one.lane.cmp(&other.lane));
        jobs.into_iter().map(|job| job.kind).collect()
    }

    const EVERY_SCHEDULE: [(SchedulePurpose, &str, u64); 3] = [
        (SchedulePurpose::PollA, "every 5 minutes", 10),
        (SchedulePurpose::PollB, "every 5 minutes", 10),
        (SchedulePurpose::Full, "daily at 02:00 UTC", 20),
    ];

    #[tokio::test]
    async fn each_purpose_starts_its_job_when_due_and_only_once() {
        let fixture = Fixture::open().await;
        fixture.apply(&["customers"], &EVERY_SCHEDULE).await;
        let sweeping = BTreeSet::from([key("customers", SchedulePurpose::PollB)]);
        let pass = pass_of(
            &fixture,
            &SchedulerSettings {
                sweeping,
                ..SchedulerSettings::default()
            },
        );
        let early = pass.run(fixture.now()).await.expect("it runs");
        assert_eq!(
            early,
            PassReport {
                handled: 0,
                next: Some(fixture.make.after(10))
            }
        );
        let due = fixture.make.after(20);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 3);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 0);
        let sync: SyncName = "customers".parse().expect("a name");
        assert_eq!(
            waiting(&fixture).await,
            [
                JobKind::Backfill { sync: sync.clone() },
                JobKind::Poll {
                    sync: sync.clone(),
                    side: Side::A
                },
                JobKind::Sweep {
                    sync,
                    side: Side::B
                },
            ]
        );
        assert_eq!(fixture.bell.rung().len(), 3);
        let poll = fixture
            .schedule(&key("customers", SchedulePurpose::PollA))
            .await;
        assert_eq!(poll.next_at, Some(due.plus(Duration::from_secs(300))));
        assert_eq!(poll.last_at, Some(due));
        let full = fixture
            .schedule(&key("customers", SchedulePurpose::Full))
            .await;
        assert_eq!(
            full.next_at.expect("daily").to_string(),
            "2026-01-01T02:00:00Z"
        );
    }

    #[tokio::test]
    async fn a_tick_while_the_run_before_it_is_under_way_is_skipped_and_says_so() {
        let fixture = Fixture::open().await;
        fixture.apply(&["customers"], &EVERY_SCHEDULE[..1]).await;
        let before = fixture.begin_run("customers", RunKind::Poll).await;
        let pass = pass_of(&fixture, &SchedulerSettings::default());
        let due = fixture.make.after(10);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 0);
        assert_eq!(waiting(&fixture).await, []);
        let runs = fixture
            .store
            .runs(&RunFilter {
                limit: 10,
                ..RunFilter::default()
            })
            .await;
        let runs = runs.expect("asked");
        let skipped = runs
            .iter()
            .find(|run| run.id != before.id)
            .expect("it is told");
        assert_eq!((skipped.state, runs.len()), (RunState::Skipped, 2));
        let poll = fixture
            .schedule(&key("customers", SchedulePurpose::PollA))
            .await;
        assert_eq!(poll.next_at, Some(due.plus(Duration::from_secs(300))));
    }

    #[tokio::test]
    async fn more_runs_than_allowed_stay_due_until_there_is_room() {
        let fixture = Fixture::open().await;
        fixture
            .apply(&["one", "three", "two"], &EVERY_SCHEDULE[..1])
            .await;
        let pass = pass_of(
            &fixture,
            &SchedulerSettings {
                runs_max: 2,
                ..SchedulerSettings::default()
            },
        );
        let due = fixture.make.after(10);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 2);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 0);
        let late = fixture.schedule(&key("two", SchedulePurpose::PollA)).await;
        assert_eq!(late.next_at, Some(due));
        fixture.make.clock.set(due);
        let claimed = fixture.claim_one().await;
        let done = tandem_store::JobOutcome::Done {
            note: "nothing new".to_owned(),
        };
        let finished = fixture.store.finish(vec![(claimed.lease, done)], due).await;
        assert_eq!(finished.expect("finished"), [true]);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
        assert_eq!(waiting(&fixture).await.len(), 2);
    }

    #[tokio::test]
    async fn what_is_paused_or_removed_is_not_due() {
        let fixture = Fixture::open().await;
        fixture.apply(&["gone"], &EVERY_SCHEDULE[..1]).await;
        fixture
            .apply(&["paused", "resting"], &EVERY_SCHEDULE[..1])
            .await;
        let (store, now) = (fixture.store.shared(), fixture.now());
        let paused = "paused".parse().expect("a name");
        assert!(store.pause_sync(&paused, true, now).await.expect("paused"));
        let resting = key("resting", SchedulePurpose::PollA);
        let edited = store.edit_schedule(&resting, Some(true), None, now).await;
        assert!(edited.expect("paused"));
        let pass = pass_of(&fixture, &SchedulerSettings::default());
        let due = fixture.make.after(10);
        assert_eq!(pass.run(due).await.expect("it runs"), PassReport::default());
        assert!(
            store
                .pause_sync(&paused, false, now)
                .await
                .expect("resumed")
        );
        assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
    }

    #[tokio::test]
    async fn two_schedulers_start_one_job() {
        let fixture = Fixture::open().await;
        fixture.apply(&["customers"], &EVERY_SCHEDULE[..1]).await;
        let settings = SchedulerSettings::default();
        let (one, other) = (pass_of(&fixture, &settings), pass_of(&fixture, &settings));
        let due = fixture.make.after(10);
        let (first, second) = tokio::join!(one.run(due), other.run(due));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(waiting(&fixture).await.len(), 1);
    }

    #[tokio::test]
    async fn a_manual_schedule_runs_once_when_a_person_makes_it_due() {
        let fixture = Fixture::open().await;
        fixture
            .apply(&["customers"], &[(SchedulePurpose::Full, "manual", 5)])
            .await;
        let pass = pass_of(&fixture, &SchedulerSettings::default());
        let due = fixture.make.after(5);
        assert_eq!(pass.run(due).await.expect("it runs").handled, 1);
        let full = fixture
            .schedule(&key("customers", SchedulePurpose::Full))
            .await;
        assert_eq!(full.next_at, None);
    }
}
