//! Runs: first syncs, polls and sweeps as an operator sees them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{RecordId, RunId, Side, SyncName, Timestamp};

use crate::StoreError;
use crate::jobs::{JobKind, Lane, Lease, Trigger};

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The first sync, and every later whole comparison of both sides.
    Backfill,
    /// Changes since the cursor on one side.
    Poll,
    /// One side whole.
    Sweep,
}

impl RunKind {
    /// All of them, for parsing.
    pub const ALL: [Self; 3] = [Self::Backfill, Self::Poll, Self::Sweep];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::Poll => "poll",
            Self::Sweep => "sweep",
        }
    }
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended; some rows or records could not be handled.
    Partial,
    /// Stopped by an error; what it had recorded stays.
    Failed,
    /// Not begun, because the one before it still ran.
    Skipped,
}

impl RunState {
    /// All of them, for parsing.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Skipped,
    ];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Records of a side that were listed, by whether the filters of the sync let them take part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Those that take part.
    pub listed: u64,
    /// Those that the filters leave out.
    pub filtered: u64,
}

/// The share of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// Side a.
    pub a: Share,
    /// Side b.
    pub b: Share,
}

impl Shares {
    /// That of a side.
    #[must_use]
    pub const fn of(&self, side: Side) -> Share {
        match side {
            Side::A => self.a,
            Side::B => self.b,
        }
    }
}

/// What a run has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Records listed.
    pub listed: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Links found by matching.
    pub matched: u64,
    /// Records that differ and got a job.
    pub queued: u64,
    /// Records that are as they were.
    pub unchanged: u64,
    /// Records held for an operator.
    pub held: u64,
    /// Records of the side that were not seen any more.
    pub vanished: u64,
    /// Records that the filters leave out; they are not among those that are listed.
    #[serde(default)]
    pub filtered: u64,
    /// The records listed and left out once more, by side; nothing for runs from before this was kept.
    #[serde(default)]
    pub shares: Shares,
    /// What else there is to tell of the run, at most 20 messages.
    pub problems: Vec<String>,
    /// The first records that could not be read, at most [`ROW_ERRORS_MAX`]; `unreadable` counts all.
    #[serde(default)]
    pub row_errors: Vec<RowError>,
}

/// So many unreadable records are kept with a run.
pub const ROW_ERRORS_MAX: usize = 200;

/// A record that could not be read. It is read again at the next whole comparison, or when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// Its side.
    pub side: Side,
    /// The record, if at least its id could be read.
    pub record: Option<RecordId>,
    /// What is wrong with it, and where.
    pub reason: String,
}

impl Progress {
    /// Counts records of a side that a listing showed.
    pub fn add_listed(&mut self, side: Side, listed: u64, filtered: u64) {
        self.listed += listed;
        self.filtered += filtered;
        let share = match side {
            Side::A => &mut self.shares.a,
            Side::B => &mut self.shares.b,
        };
        share.listed += listed;
        share.filtered += filtered;
    }

    /// Counts a record that could not be read, and keeps it if there is room.
    pub fn add_unreadable(&mut self, error: RowError) {
        self.unreadable += 1;
        if self.row_errors.len() < ROW_ERRORS_MAX {
            self.row_errors.push(error);
        }
    }

    /// The counts of both together; problems and unreadable records as far as there is room.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for side in Side::BOTH {
            let Share { listed, filtered } = other.shares.of(side);
            self.add_listed(side, listed, filtered);
        }
        // Those that are counted by no side are from before sides were counted.
        let Shares { a, b } = other.shares;
        self.listed += other.listed.saturating_sub(a.listed + b.listed);
        self.filtered += other.filtered.saturating_sub(a.filtered + b.filtered);
        self.unreadable += other.unreadable;
        self.matched += other.matched;
        self.queued += other.queued;
        self.unchanged += other.unchanged;
        self.held += other.held;
        self.vanished += other.vanished;
        self.problems.extend(other.problems.iter().cloned());
        let room = ROW_ERRORS_MAX.saturating_sub(self.row_errors.len());
        self.row_errors
            .extend(other.row_errors.iter().take(room).cloned());
        self
    }

    /// How many unreadable records are counted but not kept.
    #[must_use]
    pub fn row_errors_left_out(&self) -> u64 {
        self.unreadable.saturating_sub(self.row_errors.len() as u64)
    }
}

/// A run to begin.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Made by the caller.
    pub id: RunId,
    /// The sync.
    pub sync: SyncName,
    /// What it does.
    pub kind: RunKind,
    /// The side, for a poll or sweep.
    pub side: Option<Side>,
    /// What caused it.
    pub trigger: Trigger,
    /// The lease of the job that carries it. A process that stood still and has lost its job neither begins a run nor ends that
    /// of the process that has the job by now.
    pub under: Option<Lease>,
    /// Runs that nobody carries any more, whose place it takes: they fail, see [`GIVEN_UP`].
    pub instead_of: Vec<RunId>,
}

/// What a run says whose process went away in the middle of it.
pub const GIVEN_UP: &str =
    "the process that ran it went away; what it had recorded stays, and this run begins again";

/// A stored run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its number: rises by one with each run of the database; the generation of its listings.
    pub number: i64,
    /// The sync.
    pub sync: SyncName,
    /// What it does.
    pub kind: RunKind,
    /// The side, for a poll or sweep.
    pub side: Option<Side>,
    /// What caused it.
    pub trigger: Trigger,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it has done.
    pub progress: Progress,
    /// Why it failed or was skipped.
    pub error: Option<String>,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only of this kind.
    pub kind: Option<RunKind>,
    /// Only in this state.
    pub state: Option<RunState>,
    /// Only older than this run (cursor paging).
    pub before: Option<RunId>,
    /// At most so many, and never more than [`crate::PAGE_ROWS_MAX`].
    pub limit: usize,
}

impl Run {
    /// The lanes of the jobs that could carry the run: while none of them is running, nobody works on it. A
    /// poll of a system that tells no changes is a sweep, so both kinds of job carry both kinds of run.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        let sync = || self.sync.clone();
        let kinds = match (self.kind, self.side) {
            (RunKind::Poll | RunKind::Sweep, Some(side)) => vec![
                JobKind::Poll { sync: sync(), side },
                JobKind::Sweep { sync: sync(), side },
            ],
            (RunKind::Backfill, _) => vec![JobKind::Backfill { sync: sync() }],
            (RunKind::Poll | RunKind::Sweep, None) => Vec::new(),
        };
        kinds.iter().map(Lane::of_job).collect()
    }
}

/// The runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Begins a run. While another of the same sync, kind and side runs, but for those that it takes the place of, the new one
    /// is stored as skipped and returned so.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the lease of its job is not held any more: nothing is changed.
    async fn begin_run(&self, run: NewRun, now: Timestamp) -> Result<Run, StoreError>;

    /// Stores how far a run has come.
    async fn progress_run(&self, id: RunId, progress: &Progress) -> Result<(), StoreError>;

    /// Ends a run; when it succeeded (or partly) what waits for a first sync is made due if it was a whole
    /// comparison, and the cursor of its side moves to `cursor`, in the
    /// same transaction. One that was failed as orphaned meanwhile stays so, and moves nothing.
    async fn end_run(
        &self,
        id: RunId,
        state: RunState,
        progress: &Progress,
        error: Option<&str>,
        cursor: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Fails the runs still marked as running that began before `before`, with this error: their
    /// process died. One that has stored pages is left: its job goes on with it. Returns how many.
    async fn fail_orphaned_runs(
        &self,
        before: Timestamp,
        error: &str,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Where the next poll of a side starts, by the system's clock; `None` before the first.
    async fn cursor(&self, sync: &SyncName, side: Side) -> Result<Option<Timestamp>, StoreError>;

    /// One run.
    async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError>;

    /// Lists runs.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, StoreError>;

    /// Removes runs ended before `before`, at most `limit`; of each sync, kind and side the newest
    /// that succeeded, if only in part, stays. Returns how many.
    async fn prune_runs(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
